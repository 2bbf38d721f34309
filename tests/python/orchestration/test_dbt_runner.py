"""What dbt is asked, and how its results are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult

from orchestration.dbt_runner import (
    BuildReport,
    BuildSettings,
    DbtRunner,
    NodeResult,
    dbt_arguments,
    message_of,
    project_fingerprint,
)
from settings.errors import BuildFailedError, ConfigurationError
from settings.home import Home
from settings.profile import profiles_directory

SETTINGS = BuildSettings(Home(Path("/nowhere")))


def words(command: str, **changes: Any) -> str:
    return " ".join(dbt_arguments(command, replace(SETTINGS, **changes), profiles_dir=Path("/profiles")))


def result(name: str, status: str = "success", resource_type: str = "model", message: str = "") -> NodeResult:
    return NodeResult(
        unique_id=f"{resource_type}.tillhouse.{name}",
        name=name,
        resource_type=resource_type,
        status=status,
        severity="error",
        failures=None,
        seconds=0.1,
        message=message,
    )


def test_everything_dbt_writes_goes_below_the_home_folder() -> None:
    said = words("build")
    assert "--target-path /nowhere/dbt/target" in said
    assert "--log-path /nowhere/logs" in said


def test_the_as_of_date_travels_as_a_variable() -> None:
    assert "--vars" not in words("build")
    assert '--vars {"as_of_date": "2026-06-30"}' in words("build", as_of=date(2026, 6, 30))


def test_selection_and_full_refresh_reach_a_build_and_never_a_parse() -> None:
    asked: dict[str, Any] = {
        "select": ("marts",),
        "exclude": ("tag:slow",),
        "full_refresh": True,
        "resource_types": ("model",),
    }
    build = words("build", **asked)
    assert "--select marts --exclude tag:slow --resource-type model" in build
    assert "--full-refresh" in build
    assert not {"--select", "--exclude", "--resource-type", "--full-refresh"} & set(
        words("parse", **asked).split()
    )


def test_a_daily_build_leaves_unit_tests_to_ci() -> None:
    assert "--exclude-resource-type unit_test" in words("build")
    assert "--exclude-resource-type" not in words("build", unit_tests=True)
    assert "--exclude-resource-type" not in words("build", resource_types=("unit_test",))


def test_a_report_without_failures_passes_and_warnings_do_not_fail_it() -> None:
    report = BuildReport((result("a"), result("b", "warn", "test"), result("c", "skipped")))
    report.require_success()
    assert [found.name for found in report.warnings] == ["b"]
    assert [found.name for found in report.skipped] == ["c"]


@pytest.mark.parametrize("status", ["error", "fail", "runtime error"])
def test_a_failure_is_named_and_says_that_nothing_was_published(status: str) -> None:
    report = BuildReport((result("a"), result("bridge_holds", status, "test", "Got 3 results")))
    with pytest.raises(BuildFailedError) as failed:
        report.require_success()
    assert "bridge_holds: Got 3 results" in str(failed.value)
    assert "stay in place" in failed.value.remedy


def test_many_failures_are_counted_and_the_first_five_shown() -> None:
    report = BuildReport(tuple(result(f"m{number}", "error") for number in range(7)))
    with pytest.raises(BuildFailedError, match="7 of 7") as failed:
        report.require_success()
    assert "and 2 more" in failed.value.problem
    assert "m5" not in failed.value.problem


def test_a_missing_profile_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"no profiles\.yml") as missing:
        profiles_directory()
    assert "make setup" in missing.value.remedy


def test_a_selector_that_dbt_refuses_is_an_error_of_ours(tmp_path: Path) -> None:
    runner = DbtRunner(BuildSettings(Home(tmp_path / "home"), select=("state:modified",)))
    with pytest.raises(BuildFailedError, match="stopped before it ran"):
        runner.build()


def test_ctrl_c_inside_dbt_is_no_failure_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        return dbtRunnerResult(success=False, exception=KeyboardInterrupt())

    monkeypatch.setattr(dbtRunner, "invoke", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DbtRunner(BuildSettings(Home(tmp_path / "home"))).parse()


def manifest(**changes: Any) -> dict[str, Any]:
    model = {
        "checksum": {"checksum": "abc"},
        "raw_code": "select 1",
        "config": {"materialized": "table"},
        "schema": "marts",
    }
    return {
        "nodes": {"model.x": {**model, **changes.get("model", {})}},
        "macros": {"macro.y": {"macro_sql": changes.get("macro", "{% macro y() %}{% endmacro %}")}},
        "metadata": {"vars": changes.get("vars", {})},
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"raw_code": "select 2"}},
        {"model": {"checksum": {"checksum": "seed changed"}}},
        {"model": {"config": {"materialized": "view"}}},
        {"model": {"schema": "ci_marts"}},
        {"macro": "{% macro y() %}1{% endmacro %}"},
        {"vars": {"at_risk_days": 30}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_fingerprint_sees_every_change_that_can_change_a_mart(changed: dict[str, Any]) -> None:
    assert project_fingerprint(manifest(), SETTINGS) == project_fingerprint(manifest(), SETTINGS)
    assert project_fingerprint(manifest(**changed), SETTINGS) != project_fingerprint(manifest(), SETTINGS)


def test_the_fingerprint_sees_into_a_seed_too_large_for_dbt_to_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.dbt_runner.PROJECT_ROOT", tmp_path)
    (tmp_path / "dbt_project.yml").write_text("name: x")
    seed = {"checksum": {"name": "path", "checksum": "rates.csv"}, "original_file_path": "rates.csv"}
    prints = set()
    for rate in ("1.1", "1.2"):
        (tmp_path / "rates.csv").write_text(rate)
        prints.add(project_fingerprint(manifest(model=seed), SETTINGS))
    assert len(prints) == 2


def test_the_fingerprint_sees_the_reporting_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    before = project_fingerprint(manifest(), SETTINGS)
    monkeypatch.setenv("TILLHOUSE_REPORTING_CURRENCY", "EUR")
    assert project_fingerprint(manifest(), SETTINGS) != before


def test_the_fingerprint_sees_target_and_as_of_date() -> None:
    prints = {
        project_fingerprint(manifest(), settings)
        for settings in (
            SETTINGS,
            replace(SETTINGS, target="postgres"),
            replace(SETTINGS, as_of=date(2026, 1, 1)),
        )
    }
    assert len(prints) == 3


@dataclass
class FakeMetadata:
    name: str


@dataclass
class FakeNode:
    compiled_code: str
    description: str = ""
    test_metadata: FakeMetadata | None = None


@dataclass
class FakeResult:
    node: FakeNode
    status: str = "fail"
    message: str = "Got 2 results"


def test_a_failed_test_tells_which_rules_are_broken_and_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    rows = "select * from (values ('rate_is_known', 3), ('net_is_gross_less_discount', 1))"
    rules = FakeNode(rows, "Add the rate.", FakeMetadata("rules_hold"))
    settings = replace(SETTINGS, home=home)
    assert message_of(FakeResult(rules), settings) == "Got 2 results. Add the rate"
    duckdb.connect(str(home.warehouse)).close()
    broken = "broken: rate_is_known (in 3 rows), net_is_gross_less_discount (in 1 rows)"
    assert message_of(FakeResult(rules), settings) == f"Got 2 results. {broken}. Add the rate"
    elsewhere = replace(rules, compiled_code="select * from not_here")
    assert message_of(FakeResult(elsewhere), settings) == "Got 2 results. Add the rate"
    # Rows of other tests may be anything, so they are not shown.
    assert message_of(FakeResult(replace(rules, test_metadata=FakeMetadata("unique"))), settings) == (
        "Got 2 results. Add the rate"
    )
    assert message_of(FakeResult(rules, status="warn"), settings) == "Got 2 results"
