"""The models' own unit tests, which a daily run leaves out."""

from __future__ import annotations

from pathlib import Path

from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import Home


def test_an_empty_warehouse_builds_and_every_unit_test_passes(tmp_path: Path) -> None:
    runner = DbtRunner(BuildSettings(Home(tmp_path / "home"), unit_tests=True))
    report = runner.build()
    report.require_success()
    unit_tests = [result for result in report.results if result.resource_type == "unit_test"]
    assert len(unit_tests) >= 20
    assert {result.status for result in unit_tests} == {"pass"}
    assert not report.skipped
