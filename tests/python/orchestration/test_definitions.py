"""What Dagster loads, and when it starts a run by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.definitions import DAILY_CRON, DAILY_JOB, build_definitions, landing_sensor
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
        return build_definitions(DbtRunner(BuildSettings(home)).parse())


def test_all_assets_resolve_into_one_graph_from_raw_tables_to_what_is_published(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    published = dg.AssetKey(["published", "warehouse"])
    upstream = (
        graph.get_ancestor_asset_keys(published, include_self=False)
        if hasattr(graph, "get_ancestor_asset_keys")
        else dg.AssetSelection.assets(published).upstream().resolve(graph)
    )
    assert dg.AssetKey(["marts", "fct_revenue_daily"]) in upstream
    assert dg.AssetKey(["staging", "stg_store__orders"]) in upstream
    assert dg.AssetKey(["raw", "store_orders"]) in upstream


def test_no_asset_stands_apart_as_a_source_that_nothing_makes(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.external_asset_keys} == set()


def test_every_run_is_one_process_so_that_only_what_it_tested_is_published(
    definitions: dg.Definitions,
) -> None:
    # `__ASSET_JOB` is what the asset graph's button "materialize all" starts.
    for name in (DAILY_JOB, "__ASSET_JOB"):
        assert definitions.resolve_job_def(name).executor_def is dg.in_process_executor


def test_the_daily_job_runs_once_a_day_in_utc(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("every_day")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == (
        DAILY_CRON,
        "UTC",
        DAILY_JOB,
    )


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
