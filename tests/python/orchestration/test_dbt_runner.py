"""What dbt is asked, and how its results are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from shared_dbt import PARSE

from orchestration.dbt_runner import (
    BuildReport,
    BuildSettings,
    DbtRunner,
    NodeResult,
    dbt_arguments,
    node_results,
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
    assert "--select marts --exclude tag:slow" in build
    assert "--resource-type model" in build
    assert "--full-refresh" in build
    assert not {"--select", "--exclude", "--resource-type", "--full-refresh"} & set(
        words("parse", **asked).split()
    )


@pytest.mark.parametrize("command", ["parse", "build"])
def test_no_command_of_dbt_writes_the_manifest(command: str) -> None:
    assert "--no-write-json" in words(command)


def test_the_profile_says_how_many_models_run_at_a_time_where_the_settings_do_not() -> None:
    assert "--threads 2" in words("build", threads=2)
    assert "--threads" not in words("build")


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


@pytest.mark.minutes  # three parses, of which nobody else can have made one
def test_the_manifest_is_written_where_dbt_has_parsed_something_anew(tmp_path: Path) -> None:
    settings = BuildSettings(Home(tmp_path / "home"))
    runner = DbtRunner(settings)
    PARSE(runner)
    files = [settings.home.dbt_target / name for name in ("manifest.json", "semantic_manifest.json")]
    written = [file.stat().st_mtime_ns for file in files]

    PARSE(runner)
    assert [file.stat().st_mtime_ns for file in files] == written

    PARSE(DbtRunner(replace(settings, as_of=date(2026, 6, 30))))
    assert all(file.stat().st_mtime_ns > former for file, former in zip(files, written, strict=True))


def test_ctrl_c_inside_dbt_is_no_failure_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.cli.main import dbtRunner, dbtRunnerResult

    def interrupted(*_: Any, **__: Any) -> Any:
        return dbtRunnerResult(success=False, exception=KeyboardInterrupt())

    monkeypatch.setattr(dbtRunner, "invoke", interrupted)
    # With this prefix no test has parsed the project, so dbt is asked.
    monkeypatch.setenv("TILLHOUSE_SCHEMA_PREFIX", "never_parsed_")
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
class FakeConfig:
    meta: dict[str, Any] = field(default_factory=dict)
    severity: str = "ERROR"


@dataclass
class FakeDependencies:
    nodes: list[str]


@dataclass
class FakeNode:
    name: str
    config: FakeConfig = field(default_factory=FakeConfig)
    description: str = ""
    resource_type: str = "test"
    compiled_code: str = "the query of the test"
    attached_node: str = "model.tillhouse.fct_orders"
    depends_on: FakeDependencies = field(default_factory=lambda: FakeDependencies([]))

    @property
    def unique_id(self) -> str:
        return f"test.tillhouse.{self.name}"


@dataclass
class FakeResult:
    node: FakeNode
    status: str
    failures: int | None = None
    message: str = "Got 2 results"
    execution_time: float = 0.3


@dataclass
class FakeRun:
    results: list[FakeResult]


PACKED = FakeNode(
    "fct_orders_checks_hold",
    FakeConfig(
        {
            "checks": {
                "primary_key": {"severity": "error", "remedy": ""},
                "rate_is_known": {"severity": "error", "remedy": "Add the rate.\n"},
                "customer_key_is_known": {"severity": "warn", "remedy": ""},
            }
        }
    ),
)


def read(result: FakeResult, rows: Sequence[tuple[Any, ...]] | None = None) -> list[NodeResult]:
    def query(sql: str) -> Sequence[tuple[Any, ...]]:
        assert rows is not None, "nothing was found, so there is nothing to ask"
        assert sql == "the query of the test"
        return rows

    return list(node_results(FakeRun([result]), query))


def told(results: list[NodeResult]) -> list[tuple[str, str, str, int | None, str]]:
    return [
        (found.name, found.status, found.severity, found.failures, found.message.strip()) for found in results
    ]


def test_each_check_of_a_packed_test_is_a_result_with_its_broken_rows_and_what_to_do() -> None:
    rows = [("rate_is_known", "error", 3), ("customer_key_is_known", "warn", 1)]
    results = read(FakeResult(PACKED, "fail", 2), rows)
    assert told(results) == [
        ("fct_orders.primary_key", "pass", "error", 0, ""),
        ("fct_orders.rate_is_known", "fail", "error", 3, "3 rows break it. Add the rate"),
        ("fct_orders.customer_key_is_known", "warn", "warn", 1, "1 row breaks it"),
    ]
    assert [found.unique_id for found in results] == [
        f"test.tillhouse.fct_orders_checks_hold.{name}"
        for name in ("primary_key", "rate_is_known", "customer_key_is_known")
    ]
    assert {found.tested_models for found in results} == {("model.tillhouse.fct_orders",)}
    assert sum(found.seconds for found in results) == pytest.approx(0.3)


def test_checks_that_pass_are_results_and_nothing_is_asked_again() -> None:
    assert told(read(FakeResult(PACKED, "pass", 0, message=""))) == [
        (f"fct_orders.{name}", "pass", severity, 0, "")
        for name, severity in (
            ("primary_key", "error"),
            ("rate_is_known", "error"),
            ("customer_key_is_known", "warn"),
        )
    ]


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_checks_that_did_not_run_are_not_called_passed(status: str) -> None:
    results = read(FakeResult(PACKED, status, None, "no such column"))
    assert [found.status for found in results] == [status] * 3
    assert {found.message for found in results} == {"no such column"}
    assert {found.failures for found in results} == {None}


def test_a_test_that_packs_nothing_is_one_result_and_says_what_to_do_when_it_fails() -> None:
    bridge = FakeNode("revenue_bridge", description="Compare the days.\n")
    assert told(read(FakeResult(bridge, "fail", 2))) == [
        ("revenue_bridge", "fail", "error", 2, "Got 2 results. Compare the days")
    ]
    assert told(read(FakeResult(bridge, "warn", 2))) == [
        ("revenue_bridge", "warn", "error", 2, "Got 2 results")
    ]
