"""A sample of the mutated files: both engines refuse the same ones, and leave the same rows of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzz.drawing import FEEDS, draw_file
from fuzz.trial import differences
from parity import DRIVER

FILES = 8 * len(FEEDS)  # of each feed so many; `make soak-files` draws thousands for the embedded engine
FIRST = 500_000  # further on than what the embedded engine's own test draws


def test_mutated_files_fare_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLHOUSE_TOKEN_KEY", "a key for tests alone")
    monkeypatch.setenv("TILLHOUSE_SPARK_MASTER", "local[2]")
    monkeypatch.setenv("TILLHOUSE_SPARK_CONFIGURATION", json.dumps(DRIVER))
    files = [draw_file(seed) for seed in range(FIRST, FIRST + FILES)]
    told = differences(files, tmp_path, ("duckdb", "spark"))
    assert not told, "\n".join(told[:20])
