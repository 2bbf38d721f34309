"""Two sample companies, generated once: a small one for counting, a larger one for shapes.

A plugin by name and no conftest.py: modules here are found by their bare name, and that one is taken.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_files import Sample

from sample_data.generator import generate
from sample_data.plan import SamplePlan

SMALL = SamplePlan(orders=4_000, days=160, deliveries=12, seed=11, bad_rows=0.003, duplicate_rows=0.003)
LARGE = SamplePlan(orders=24_000)


def make_sample(plan: SamplePlan, folder: Path) -> Sample:
    generate(plan, folder / "landing", truth=folder / "truth.json")
    return Sample(folder / "landing", json.loads((folder / "truth.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(LARGE, tmp_path_factory.mktemp("large"))
