"""The models' own unit tests, which a daily run leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import Home


@pytest.mark.parametrize(
    "currency",
    [
        pytest.param("", id="the project's currency"),
        pytest.param("EUR", id="another one", marks=pytest.mark.minutes),
    ],
)
def test_an_empty_warehouse_builds_and_every_unit_test_passes(
    currency: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_REPORTING_CURRENCY", currency)
    home = Home(tmp_path / "home")
    report = DbtRunner(BuildSettings(home, unit_tests=True)).build()
    report.require_success()
    unit_tests = [result for result in report.results if result.resource_type == "unit_test"]
    assert len(unit_tests) >= 40
    assert {result.status for result in unit_tests} == {"pass"}
    assert not report.skipped
    compiled = home.dbt_target / "compiled" / "tillhouse" / "models" / "marts" / "core" / "fct_payments.sql"
    assert f"currency = '{currency or 'USD'}'" in compiled.read_text(encoding="utf-8")
