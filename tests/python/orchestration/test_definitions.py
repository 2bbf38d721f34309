"""What Dagster loads, and when it starts a run by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from conftest import SAMPLE_FEEDS

from ingestion.feed import load_feeds
from ingestion.report import BatchResult, IngestionReport
from orchestration.assets import PUBLISHED_KEY, WarehouseRun, batch_tags, only_transient_errors_are_retried
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.definitions import (
    DAILY_CRON,
    DAILY_JOB,
    FULL_REFRESH_JOB,
    RELOAD_JOB,
    WEEKLY_CHECKS_JOB,
    build_definitions,
    defs,
    landing_sensor,
    schedule_timezone,
)
from settings.errors import BuildFailedError, BusyError, ConfigurationError
from settings.home import PROJECT_ROOT, Home

FEED = """
company: shop
feeds:
  - name: shop_products
    location: file://landing/products
    glob: "*.csv"
    entities:
      - entity: store.products
"""


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = Home(tmp_path_factory.mktemp("definitions"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROFILES_DIR", str(PROJECT_ROOT))
        return build_definitions(DbtRunner(BuildSettings(home)).parse(), load_feeds(SAMPLE_FEEDS, home))


def test_lineage_runs_from_the_files_of_a_feed_to_what_is_published(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    upstream = dg.AssetSelection.assets(PUBLISHED_KEY).upstream().resolve(graph)
    for path in (
        ["raw", "store_orders"],
        ["staging", "stg_store__orders"],
        ["snapshots", "snap_store__products"],
        ["marts", "fct_revenue_daily"],
        ["quality", "quality_file_conservation"],
    ):
        assert dg.AssetKey(path) in upstream, path
    raw = graph.get(dg.AssetKey(["raw", "store_payments"]))
    assert raw.parent_keys == {dg.AssetKey(["landing", "store_payments"])}


def test_only_files_and_faces_are_made_by_others(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {key.path[0] for key in graph.external_asset_keys} == {"landing", "faces"}


def test_every_public_mart_and_the_published_warehouse_have_a_freshness_policy(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    fresh = {key for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy is not None}
    assert PUBLISHED_KEY in fresh
    assert {key.path[0] for key in fresh} == {"marts", "quality", "published"}
    assert dg.AssetKey(["marts", "fct_orders"]) in fresh


def test_every_step_is_retried_with_backoff_and_shares_the_pool_of_one(definitions: dg.Definitions) -> None:
    steps = definitions.resolve_job_def(DAILY_JOB).graph.node_defs
    # What follows a publication cannot fail, so nothing of it is tried again.
    followers = {"faces_metrics", "faces_daily_report", "faces_metabase"}
    assert {step.name for step in steps} == {"ingest", "dbt_build", "published__warehouse", *followers}
    for step in (one for one in steps if one.name not in followers):
        assert isinstance(step, dg.OpDefinition)
        assert step.retry_policy is not None, step.name
        assert step.retry_policy.backoff == dg.Backoff.EXPONENTIAL
        assert step.pool == "warehouse"
    assert "default_limit: 1" in (PROJECT_ROOT / "dagster.yaml").read_text()


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (BusyError("held"), True),
        (duckdb.IOException("could not set lock"), True),
        (ConfigurationError("wrong feed"), False),
        (BuildFailedError("a test failed"), False),
        (ZeroDivisionError("a fault of ours"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_what_may_pass_by_itself_is_tried_again(error: Exception, is_retried: bool) -> None:
    with pytest.raises((type(error), dg.Failure)) as raised, only_transient_errors_are_retried():
        raise error
    assert (raised.value is error) == is_retried
    if not is_retried:
        assert isinstance(raised.value, dg.Failure)
        assert not raised.value.allow_retries
        assert raised.value.__cause__ is error


def test_the_daily_job_runs_in_the_business_time_zone_where_the_day_ends_last(
    definitions: dg.Definitions,
) -> None:
    schedule = definitions.resolve_schedule_def("every_day")
    assert (schedule.cron_schedule, schedule.job_name) == (DAILY_CRON, DAILY_JOB)
    assert schedule.execution_timezone == "America/Chicago"
    assert schedule_timezone([]) == "UTC"


def test_a_job_each_for_the_day_for_a_full_refresh_and_for_a_replay(definitions: dg.Definitions) -> None:
    def settings(name: str) -> dict[str, Any]:
        found: dict[str, Any] = definitions.resolve_job_def(name).run_config["resources"]["warehouse"][
            "config"
        ]
        return found

    assert settings(DAILY_JOB) == {}
    assert settings(FULL_REFRESH_JOB) == {"full_refresh": True}
    assert settings(RELOAD_JOB) == {"reload_all": True}


def test_a_run_is_tagged_with_the_batches_it_loaded() -> None:
    batches = [BatchResult(f"batch-{number}", "shop", f"{number}.csv", "loaded") for number in range(60)]
    tags = batch_tags(IngestionReport(batches=batches))
    assert tags["tillhouse/batch_count"] == "60"
    assert tags["tillhouse/batches"].split(",") == [f"batch-{number}" for number in range(50)]
    assert batch_tags(IngestionReport()) == {"tillhouse/batch_count": "0"}


def test_a_scheduled_run_works_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TILLHOUSE_TARGET", "TILLHOUSE_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    asked = WarehouseRun(home=str(tmp_path)).request("a run")
    assert (asked.target, asked.engine) == ("duckdb", "duckdb")
    monkeypatch.setenv("TILLHOUSE_TARGET", "postgres")
    monkeypatch.setenv("TILLHOUSE_ENGINE", "spark")
    asked = WarehouseRun(home=str(tmp_path)).request("a run")
    assert (asked.target, asked.engine) == ("postgres", "spark")
    asked = WarehouseRun(home=str(tmp_path), target="duckdb", engine="duckdb").request("a run")
    assert (asked.target, asked.engine) == ("duckdb", "duckdb")


def test_what_dagster_loads_by_itself_is_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "own").ensure()
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    loaded = loaded_by_dagster()
    assert isinstance(loaded, dg.Definitions)
    assert {job.name for job in loaded.jobs or []} == {
        DAILY_JOB,
        FULL_REFRESH_JOB,
        RELOAD_JOB,
        WEEKLY_CHECKS_JOB,
    }
    (home.feeds / "wrong.yml").write_text("company: shop\nfeeds: 3\n")
    assert isinstance(loaded_by_dagster(), dg.Definitions)


def loaded_by_dagster() -> dg.Definitions:
    found = defs() if callable(defs) else defs
    return found.load_fn(None) if hasattr(found, "load_fn") else found  # type: ignore[no-any-return]


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = Home(tmp_path / "home").ensure()
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    (home.feeds / "shop.yml").write_text(FEED)
    folder = home.landing / "products"
    folder.mkdir()
    return folder


class Sensor:
    """The sensor with an instance and a cursor that last from tick to tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        @dg.op
        def nothing() -> None: ...

        @dg.job(name=DAILY_JOB)
        def daily() -> None:
            nothing()

        self.instance = instance
        self.sensor = landing_sensor(daily)
        self.cursor: str | None = None

    def tick(self) -> str | None:
        """The run key that this tick asks for, or None where it asks for none."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = self.sensor(context)
        self.cursor = context.cursor
        return result.run_key if isinstance(result, dg.RunRequest) else None

    def last_run_failed(self) -> None:
        @dg.op
        def breaks() -> None:
            raise ValueError

        @dg.job(name=DAILY_JOB)
        def daily() -> None:
            breaks()

        daily.execute_in_process(instance=self.instance, raise_on_error=False)


@pytest.fixture
def sensor() -> Sensor:
    return Sensor(dg.DagsterInstance.ephemeral())


def test_a_new_file_starts_one_run_and_an_unchanged_folder_none(landing: Path, sensor: Sensor) -> None:
    (landing / "a.csv").write_text("x\n")
    first = sensor.tick()
    assert first is not None
    assert sensor.tick() is None
    (landing / "b.csv").write_text("y\n")
    assert sensor.tick() not in {None, first}


def test_a_failed_run_is_tried_again_under_another_key_three_times_in_all(
    landing: Path, sensor: Sensor
) -> None:
    (landing / "a.csv").write_text("x\n")
    keys = []
    for _ in range(5):
        keys.append(sensor.tick())
        sensor.last_run_failed()
    tried = [key for key in keys if key]
    assert len(tried) == len(set(tried)) == 3
    assert keys[3:] == [None, None]


def test_a_wrong_feed_file_is_told_and_starts_nothing(landing: Path, sensor: Sensor) -> None:
    (landing.parent.parent / "feeds" / "shop.yml").write_text("company: shop\nfeeds: 3\n")
    assert sensor.tick() is None


def test_a_home_without_feeds_starts_nothing(landing: Path, sensor: Sensor) -> None:
    shutil.rmtree(landing.parent.parent / "feeds")
    assert sensor.tick() is None
