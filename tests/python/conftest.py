"""What several test rooms share: a small sample company, run once from files to published marts."""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, settings
from made_once import exclusive, shared_folder
from postgres_server import postgres_database, postgres_server  # noqa: F401  (fixtures for every test)
from s3_server import pauses, s3_bucket, s3_server  # noqa: F401  (fixtures for every test)
from shared_dbt import dbt_shared_by_tests
from shared_metrics import engines_shared_by_tests

from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
TOKEN_KEY = "a key for tests alone"  # noqa: S105  (no secret: it only has to be the same everywhere)
SAMPLE_PLAN = SamplePlan(orders=3_000, days=214, deliveries=4)
# Rooms that one process takes whole: MetricFlow makes each SQL once, and a large company is generated once.
SEMANTIC_ROOMS = ("dashboards", "metabase", "report", "serving")
TAKEN_WHOLE = {**dict.fromkeys(SEMANTIC_ROOMS, "the semantic layer"), "sample_data": "sample data"}
# They go first, so that two processes end together. The second waits for nothing that the first one makes.
LONGEST = (
    *SEMANTIC_ROOMS,
    "ingestion/test_service.py",
    "sample_data",
    "property/test_killed_runs.py",
    "warehouse/test_engine_parity.py",
    "property/test_on_postgres.py",
    "property/test_incremental_equals_full.py",
    "orchestration/test_run.py",
    "cli/test_cli_runs.py",
    "cli/test_cli_dashboards.py",
    "oracle/test_marts_equal_oracle_when_awkward.py",
    "warehouse/test_dbt_unit_tests.py",
    "warehouse/test_checks.py",
    "warehouse/test_incremental_models.py",
    "oracle/test_real_sets.py",
    "oracle/test_price_intervals.py",
)
# What dbt and MetricFlow have read lives as long as the process: looking it through as often as by default costs time.
gc.set_threshold(50_000, 20, 20)
# No test fails because a machine is slow.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@dataclass(frozen=True)
class SampleRun:
    """A finished run: read it, never write to it."""

    home: Home
    plan: SamplePlan
    truth: dict[str, Any]

    @property
    def landing(self) -> Path:
        return self.home.landing

    @property
    def published(self) -> Path:
        return self.home.published

    def query(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query over the published marts."""
        with duckdb.connect(str(self.published), read_only=True) as connection:
            return connection.execute(sql, parameters or []).fetchall()


@pytest.hookimpl(tryfirst=True)  # before markers are selected by
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what needs Postgres to `make test-engines`, put long files first, and name what goes to one process.

    With `--dist loadgroup --no-loadscope-reorder` groups are given out in this order.
    """
    here = Path(__file__).parent
    places = []
    for item in items:
        name = os.path.relpath(item.path, here)
        places.append(next((at for at, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST)))
        if any(fixture.startswith("postgres_") for fixture in getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.minutes)
        item.add_marker(pytest.mark.xdist_group(TAKEN_WHOLE.get(name.split("/")[0], name)))
    items[:] = [item for _, item in sorted(zip(places, items, strict=True), key=itemgetter(0))]


@pytest.fixture(autouse=True)
def private_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or writes the user's own home, feeds or keys."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    for name in (
        "TILLHOUSE_BRONZE",
        "TILLHOUSE_FEEDS",
        "TILLHOUSE_REPORTING_CURRENCY",
        "TILLHOUSE_SCHEMA_PREFIX",
        "TILLHOUSE_TARGET",
        "DAGSTER_HOME",
        "DBT_PROFILES_DIR",
        # Only the test that asks for a server by name writes to one.
        "METABASE_URL",
        "METABASE_API_KEY",
        "METABASE_USER",
        "METABASE_PASSWORD",
        "METABASE_DB_FILE",
        "METABASE_DB_USER",
        "METABASE_DB_PASSWORD",
        "METABASE_DB_HOST",
        "METABASE_DB_PORT",
        "METABASE_DB_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(PROJECT_ROOT))
    monkeypatch.setenv("TILLHOUSE_TOKEN_KEY", TOKEN_KEY)
    return


@pytest.fixture(scope="session", autouse=True)
def shared_dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One parse for all tests that need the same."""
    with dbt_shared_by_tests(shared_folder(tmp_path_factory)):
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_metrics() -> Iterator[None]:
    """One MetricFlow for all clients of the same metrics."""
    with engines_shared_by_tests():
        yield


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """The sample company after one run that took all its deliveries together."""
    shared = shared_folder(tmp_path_factory)
    home = Home(shared / "sample_run")
    with exclusive(shared / "sample_run.lock"):
        if not home.published.exists():
            shutil.rmtree(home.root, ignore_errors=True)
            make_sample_run(home)
    truth = json.loads((home.root / "sample_truth.json").read_text(encoding="utf-8"))
    return SampleRun(home=home, plan=SAMPLE_PLAN, truth=truth)


def make_sample_run(home: Home) -> None:
    """Generate the sample company into a home and run it there."""
    from orchestration.run import run_daily  # noqa: PLC0415  (seconds of imports that most tests do not need)

    home.ensure()
    generate(SAMPLE_PLAN, home.landing, truth=home.root / "sample_truth.json")
    with environment(
        **{
            HOME_VARIABLE: str(home.root),
            "DBT_PROFILES_DIR": str(PROJECT_ROOT),
            "TILLHOUSE_TOKEN_KEY": TOKEN_KEY,
        }
    ):
        run_daily(home, feeds=SAMPLE_FEEDS)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables of this process's environment for a while."""
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
