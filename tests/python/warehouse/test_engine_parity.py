"""The same deliveries make the same marts on DuckDB and on Postgres: every row, every column, every digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import SAMPLE_FEEDS, SAMPLE_PLAN, TOKEN_KEY, SampleRun, environment
from postgres_server import PostgresDatabase, PostgresServer

from bench import handwritten
from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Warehouse
from orchestration.dbt_runner import BuildSettings, DbtRunner
from sample_data.generator import generate
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

pytestmark = pytest.mark.minutes

MARTS = sorted(path.stem for path in (PROJECT_ROOT / "models" / "marts").rglob("*.sql"))
LINEAGE = {"_batch_id", "_load_sequence", "_row_number", "_arrived_at"}
BELIEF_TIMES = {"dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"}  # when a run took place
COMPUTED = ("model", "seed", "snapshot")
SHOWN = 3
LAST = SAMPLE_PLAN.deliveries  # 0 is the history, 1 and up one day each


@dataclass(frozen=True)
class Engines:
    """The sample company in both warehouses, built and tested."""

    embedded: Warehouse
    server: Warehouse
    database: PostgresDatabase
    is_one_run: bool

    def relation(self, name: str) -> str:
        (schema,) = self.embedded.query(
            "select table_schema from information_schema.tables where table_name = ?"
            " and table_schema in ('marts', 'intermediate')",
            [name],
        ).rows[0]
        return f"{schema}.{name}"

    def differences(self, relation: str, without: set[str] = frozenset()) -> str:  # type: ignore[assignment]
        """What one of them has and the other has not; empty where they are equal."""
        embedded, server = (
            rows_of(warehouse, relation, without) for warehouse in (self.embedded, self.server)
        )
        assert embedded, f"the sample has nothing to compare in {relation}"
        lines = [f"only {engine}: {row}" for engine, row in unequal(embedded, server)]
        return "\n".join([f"{relation}: {len(lines)} rows differ", *lines[: 2 * SHOWN]]) if lines else ""


def rows_of(warehouse: Warehouse, relation: str, without: set[str]) -> list[str]:
    """Rows as texts that show type, scale and every bit, in one order."""
    records = warehouse.query(f"select * from {relation}").records()
    return sorted(
        repr([(name, value) for name, value in row.items() if name not in without]) for row in records
    )


def unequal(embedded: list[str], server: list[str]) -> Iterator[tuple[str, str]]:
    left, right = list(embedded), list(server)
    while left or right:
        if left and right and left[-1] == right[-1]:
            left.pop()
            right.pop()
        elif not right or (left and left[-1] > right[-1]):
            yield "on DuckDB", left.pop()
        else:
            yield "on Postgres", right.pop()


@pytest.fixture(scope="module", params=[(LAST,), (0, LAST - 1, LAST)], ids=["in_one_run", "run_by_run"])
def engines(
    request: pytest.FixtureRequest,
    sample_run: SampleRun,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engines]:
    """DuckDB took all deliveries in one run; Postgres too, or in several that compute only what changed."""
    home = Home(tmp_path_factory.mktemp("server") / "home").ensure()
    database = postgres_server.create_database()
    settings = {
        **database.environment,
        HOME_VARIABLE: str(home.root),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        "TILLHOUSE_TOKEN_KEY": TOKEN_KEY,
    }
    with environment(**settings):
        is_one_run = len(request.param) == 1
        # Unit tests judge the code, so once is enough.
        settled = DbtRunner(BuildSettings(home, target="postgres", unit_tests=is_one_run))
        # A day that lacks what later deliveries bring may break a rule on the data; the last build may not.
        settling = DbtRunner(BuildSettings(home, target="postgres", resource_types=COMPUTED))
        first = 0
        for last in request.param:
            generate(sample_run.plan, home.landing, first_delivery=first, last_delivery=last)
            first = last + 1
            report = IngestionService(home, load_feeds(SAMPLE_FEEDS, home), target="postgres").ingest(
                f"run-{last}"
            )
            assert report.files_loaded
            assert not report.blocking
            build = (settled if last == LAST else settling).build()
            assert "\n".join(f"{one.name}: {one.message}" for one in build.failures) == ""
        with (
            closing(open_warehouse("duckdb", sample_run.home, read_only=True)) as embedded,
            closing(open_warehouse("postgres", home, read_only=True)) as server,
        ):
            yield Engines(embedded, server, database, is_one_run)
    postgres_server.drop_database(database)


@pytest.mark.parametrize("mart", MARTS)
def test_a_mart_is_equal_on_both_engines(engines: Engines, mart: str) -> None:
    found = engines.differences(engines.relation(mart))
    assert not found, found


def test_what_is_known_is_equal_but_for_the_times_of_the_runs(engines: Engines) -> None:
    if engines.is_one_run:
        found = engines.differences("snapshots.snap_store__products", BELIEF_TIMES)
    else:
        # What was believed when, and from which delivery, depends on how deliveries fall into runs.
        found = engines.differences(
            "snapshots.snap_store__products where dbt_valid_to is null", BELIEF_TIMES | LINEAGE
        )
    assert not found, found


def test_times_of_belief_are_in_utc_whatever_the_server_says(engines: Engines) -> None:
    """The server of the tests keeps another zone, half a day away."""
    (seconds,) = engines.server.query(
        "select cast(max(abs(extract(epoch from dbt_valid_from - (now() at time zone 'UTC')))) as double precision)"
        " from snapshots.snap_store__products"
    ).rows[0]
    assert seconds < 3600


def test_columns_have_the_same_names_and_order(engines: Engines) -> None:
    def columns(warehouse: Warehouse) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        rows: list[tuple[Any, ...]] = warehouse.query(
            "select table_name, column_name from information_schema.columns"
            " where table_schema in ('marts', 'quality') order by table_name, ordinal_position"
        ).rows
        for table, column in rows:
            found.setdefault(table, []).append(column)
        return found

    assert columns(engines.embedded) == columns(engines.server)


def test_the_marts_written_by_hand_are_equal_on_postgres_too(engines: Engines) -> None:
    if not engines.is_one_run:
        return  # the marts are compared above; the SQL by hand reads raw tables, which are the same
    with engines.database.connect() as connection:
        seconds = handwritten.run_on_postgres(connection)
        assert {mart for mart in MARTS if not mart.startswith("int_")} <= set(seconds)
        assert handwritten.differences_on_postgres(connection) == []
        with connection.cursor() as cursor:
            cursor.execute(
                "update by_hand.fct_orders set gross_amount = gross_amount + 0.0001 where lines = 2"
            )
            changed = cursor.rowcount
        difference = handwritten.Difference("fct_orders", changed, changed)
        assert handwritten.differences_on_postgres(connection) == [difference]
        with pytest.raises(handwritten.DifferentMartsError, match="fct_orders"):
            handwritten.require_none([difference])
    engines.database.execute("drop schema by_hand cascade")
