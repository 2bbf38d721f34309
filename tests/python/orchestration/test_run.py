"""Whole runs: files in, tested marts out, and what readers see when something goes wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from conftest import SAMPLE_FEEDS, SAMPLE_PLAN, SampleRun

from ingestion import operations
from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from ingestion.warehouses import only_writer
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.definitions import RELOAD_JOB, build_definitions
from orchestration.run import QUIET_CONSOLE, prepare_instance, run_daily
from sample_data.generator import generate
from settings.errors import BuildFailedError, BusyError, ConfigurationError, DataRejectedError
from settings.home import Home
from settings.writer_lock import writer_lock

UNMAPPED_ORDER = (
    "id,customer_id,total_amount,currency,created_at,status,updated_at\n"
    "strange-1,,10.00,USD,2026-10-30T10:00:00Z,teleported,2026-10-30T10:00:00Z\n"
)
EXTRA_ORDERS_FEED = """
company: shop
feeds:
  - name: extra_orders
    location: file://landing/extra_orders
    glob: "*.csv"
    required: true
    entities:
      - entity: store.orders
"""


@pytest.fixture
def copied(sample_run: SampleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the finished sample run that a test may go on with."""
    home = Home(tmp_path / "copied")
    shutil.copytree(sample_run.home.root, home.root)
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    shutil.copyfile(SAMPLE_FEEDS, home.feeds / "sample.yml")
    return home


def marts(published: Path) -> list[str]:
    with duckdb.connect(str(published), read_only=True) as connection:
        found = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
        ).fetchall()
    return [name for (name,) in found]


def differing_marts(left: Path, right: Path) -> dict[str, int]:
    """Rows of each mart that only one of two published files has; empty where all marts are equal."""
    assert marts(left) == marts(right)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{left}' as a (read_only); attach '{right}' as b (read_only)")
        counts = {}
        for name in marts(left):
            row = connection.execute(
                f"select count(*) from ((from a.marts.{name} except all from b.marts.{name})"
                f" union all (from b.marts.{name} except all from a.marts.{name}))"
            ).fetchone()
            assert row is not None
            counts[name] = row[0]
    return {name: count for name, count in counts.items() if count}


def test_a_second_run_changes_nothing_and_says_that_every_file_is_known(copied: Home) -> None:
    before = copied.published.stat()
    outcome = run_daily(copied)
    assert outcome.row.status == "nothing_new"
    assert outcome.row.files_loaded == 0
    assert outcome.row.files_duplicate == outcome.row.files_seen > 0
    after = copied.published.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.minutes
def test_marts_lose_an_erased_customer_and_no_figure_and_equal_a_rebuild(
    copied: Home, sample_run: SampleRun, tmp_path: Path
) -> None:
    ((customer, key),) = sample_run.query(
        "select customer_id, customer_key from marts.fct_orders where source_system = 'store' and is_booked"
        " and customer_key in (select customer_key from marts.dim_customer)"
        " group by all having count(*) > 2 order by count(*) desc, customer_id limit 1"
    )
    assert mentions(sample_run.published, customer, key)
    with only_writer("duckdb", copied):
        report = IngestionService(copied, load_feeds(copied.feeds, copied)).erase(
            "store", [customer], (), "erase"
        )
    assert report.batches
    assert run_daily(copied).row.status == "succeeded"
    assert mentions(copied.published, customer, key) == []
    figures = "select sum(net_revenue), sum(orders), sum(refunds) from marts.fct_revenue_daily"
    with duckdb.connect(str(copied.published), read_only=True) as connection:
        assert connection.execute(figures).fetchall() == sample_run.query(figures)
    incremental = tmp_path / "incremental.duckdb"
    shutil.copyfile(copied.published, incremental)
    run_daily(copied, full_refresh=True)
    assert differing_marts(incremental, copied.published) == {}


def mentions(published: Path, *values: str) -> list[str]:
    """The columns of marts in which one of these values stands."""
    found = []
    with duckdb.connect(str(published), read_only=True) as connection:
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = 'marts' and data_type = 'VARCHAR' order by all"
        ).fetchall()
        for table, column in columns:
            row = connection.execute(
                f'select count(*) from marts.{table} where list_contains(?, "{column}")', [list(values)]
            ).fetchone()
            if row and row[0]:
                found.append(f"{table}.{column}")
    return found


@pytest.mark.minutes
def test_a_full_refresh_of_the_same_files_gives_equal_marts(copied: Home, sample_run: SampleRun) -> None:
    outcome = run_daily(copied, full_refresh=True)
    assert outcome.row.status == "succeeded"
    assert copied.published.stat().st_ino != sample_run.published.stat().st_ino
    assert differing_marts(copied.published, sample_run.published) == {}


@pytest.mark.minutes
def test_history_first_and_the_days_later_give_the_marts_of_one_run_over_all(
    tmp_path: Path, sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "daily").ensure()
    monkeypatch.setenv("TILLHOUSE_HOME", str(home.root))
    last = SAMPLE_PLAN.deliveries
    for first, until in ((0, last - 2), (last - 1, last)):
        generate(SAMPLE_PLAN, home.landing, first_delivery=first, last_delivery=until)
        assert run_daily(home, feeds=SAMPLE_FEEDS).row.status == "succeeded"
    assert differing_marts(home.published, sample_run.published) == {}


def deliver(home: Home, text: str) -> None:
    folder = home.landing / "extra_orders"
    folder.mkdir(exist_ok=True)
    (folder / "orders.csv").write_text(text)
    (home.feeds / "extra.yml").write_text(EXTRA_ORDERS_FEED)


def assert_readers_see_the_former_marts(copied: Home, before: int, sample_run: SampleRun) -> None:
    assert copied.published.stat().st_ino == before
    assert differing_marts(copied.published, sample_run.published) == {}


@pytest.mark.minutes
def test_a_status_that_no_feed_maps_fails_the_audit_and_readers_keep_the_former_marts(
    copied: Home, sample_run: SampleRun
) -> None:
    before = copied.published.stat().st_ino
    deliver(copied, UNMAPPED_ORDER)
    with pytest.raises(BuildFailedError) as failed:
        run_daily(copied)
    assert "nothing" not in str(failed.value).splitlines()[0]
    assert_readers_see_the_former_marts(copied, before, sample_run)
    newest = operations.last_runs(copied, 1).records()[0]
    assert newest["status"] == "failed"
    assert operations.failed_dbt_results(copied, newest["run_id"]).rows

    # The remedy: the feed learns the word, the file is taken back and loaded again.
    loaded = operations.ledger_entries(copied, feed="extra_orders").records()[0]
    assert loaded["rows_read"] == 1
    with pytest.raises(BuildFailedError):
        run_daily(copied)  # nothing new came in, and the audit still stands in the way


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda home: deliver(home, "id,customer_id\n1,2\n"), "missing_column"),
        (lambda home: deliver(home, ""), "empty"),
    ],
    ids=["a required column is missing", "the file is empty"],
)
def test_a_rejected_file_of_a_required_feed_stops_publication(
    copied: Home, sample_run: SampleRun, spoil: Callable[[Home], None], rule: str
) -> None:
    before = copied.published.stat().st_ino
    spoil(copied)
    with pytest.raises(DataRejectedError, match="extra_orders"):
        run_daily(copied)
    assert_readers_see_the_former_marts(copied, before, sample_run)
    assert [row["rule"] for row in operations.ledger_entries(copied, status="rejected").records()] == [rule]
    assert operations.last_runs(copied, 1).records()[0]["status"] == "failed"


def test_a_run_beside_another_is_refused_and_changes_nothing(copied: Home) -> None:
    runs = operations.last_runs(copied, 100).rows
    with writer_lock(copied), pytest.raises(BusyError, match="another tillhouse run"):
        run_daily(copied)
    assert operations.last_runs(copied, 100).rows == runs


def test_a_target_without_a_loader_is_told(copied: Home) -> None:
    with pytest.raises(ConfigurationError, match="no loader yet"):
        run_daily(copied, target="redshift")


def test_a_home_without_feeds_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLHOUSE_HOME", str(tmp_path / "new"))
    with pytest.raises(ConfigurationError) as told:
        run_daily(Home(tmp_path / "new"))
    assert told.value.remedy


def test_dagster_keeps_its_history_in_the_home_folder_with_telemetry_off(sample_run: SampleRun) -> None:
    assert "enabled: false" in (sample_run.home.dagster / "dagster.yaml").read_text()
    assert (sample_run.home.dagster / "history").is_dir()


@pytest.mark.minutes
@pytest.mark.parametrize(
    ("settings", "replayed"),
    [({"reload_feed": "store_payments"}, "store_payments"), ({"reload_file": "FILE"}, "store_returns")],
    ids=["a feed", "a file"],
)
def test_the_reload_job_replays_from_bronze_and_publishes_the_same_marts(
    settings: dict[str, str], replayed: str, copied: Home, sample_run: SampleRun
) -> None:
    newest = operations.ledger_entries(copied, feed=replayed, status="loaded", limit=1).records()[0]
    settings = {name: value.replace("FILE", newest["object_name"]) for name, value in settings.items()}
    shutil.rmtree(copied.landing)  # bronze is enough
    copied.landing.mkdir()
    prepare_instance(copied)
    manifest = DbtRunner(BuildSettings(copied)).parse()
    job = build_definitions(manifest, load_feeds(SAMPLE_FEEDS, copied)).resolve_job_def(RELOAD_JOB)
    config = {"home": str(copied.root), "feeds": str(SAMPLE_FEEDS), **settings}
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            instance=instance,
            run_config={"loggers": QUIET_CONSOLE, "resources": {"warehouse": {"config": config}}},
        )
        tags = instance.get_run_by_id(result.run_id).tags  # type: ignore[union-attr]
    assert operations.run_row(copied, result.run_id).status == "succeeded"
    assert newest["batch_id"] in tags["tillhouse/batches"].split(",")
    assert differing_marts(copied.published, sample_run.published) == {}
