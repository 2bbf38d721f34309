"""The measurement of many small files loads what it says, and finds nothing new the second time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import small_files
from bench.measure import measure_step
from bench.small_files_steps import ORDERS_OF_A_FILE

pytestmark = pytest.mark.minutes


def test_both_runs_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["small_files", "--files", "12"])
    small_files.main()
    told = capsys.readouterr().out
    assert "12 files of 3 orders: " in told
    assert "CPU ms a file" in told
    assert "with nothing new: " in told


def test_a_load_of_other_files_is_no_measurement(tmp_path: Path) -> None:
    home = tmp_path / "home"
    measure_step("write_files", home, module=small_files.MODULE, files=5)
    with pytest.raises(RuntimeError, match=f"6 files with {6 * ORDERS_OF_A_FILE} rows should load"):
        measure_step("load", home, module=small_files.MODULE, files=6)
