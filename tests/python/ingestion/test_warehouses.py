"""The same deliveries make the same rows on DuckDB and on Postgres, whatever happens on the way."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest
from adbc_driver_postgresql import dbapi
from postgres_server import PostgresDatabase
from shop import RUN_COLUMNS, Shop, orders

from ingestion import operations
from ingestion.contract import load_contracts
from ingestion.engines.base import Statement
from ingestion.feed import load_feeds
from ingestion.ledger import Ledger
from ingestion.loader import WarehouseLoader
from ingestion.operations import QuarantineFilter
from ingestion.service import IngestionService
from ingestion.warehouses import only_writer, open_warehouse, postgres
from ingestion.warehouses.base import Columns, MissingTableError, StatementError, Warehouse
from ingestion.warehouses.postgres import open_postgres
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.errors import BusyError, ConfigurationError, NotFoundError, UnavailableError
from settings.home import PROJECT_ROOT, Home

# Not in `Shop.state`: what a run writes of itself.
TABLES = (
    *(contract.raw_table for contract in load_contracts().values()),
    "ops.load_entity_counts", "ops.quarantine", "ops.drift_events", "ops.load_ledger", "ops.load_attempts",
    "state.changed", "state.watermark",
)  # fmt: skip
NOT_COMPARED = RUN_COLUMNS | {"attempted_at"}


@dataclass
class Twins:
    """One company in two homes: one loads into DuckDB, one into Postgres."""

    embedded: Shop
    server: Shop
    database: PostgresDatabase

    def both(self, act: Callable[[Shop, IngestionService, str], Any]) -> None:
        """Do the same in both."""
        for shop, target in ((self.embedded, "duckdb"), (self.server, "postgres")):
            act(shop, shop.service(target), target)

    def deliver(self, name: str, content: str | bytes, feed: str = "shop_orders") -> None:
        for shop in (self.embedded, self.server):
            shop.deliver(name, content, feed)

    def run(self, run_id: str) -> None:
        self.both(lambda _, service, __: service.ingest(run_id))

    def batch_of(self, name: str) -> str:
        return self.embedded.batch_of(name)

    def rows(self, target: str, *, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
        """Every row of the warehouse as text that shows the type of each value, in a fixed order."""
        shop = self.embedded if target == "duckdb" else self.server
        found = {}
        with closing(open_warehouse(target, shop.home, read_only=True)) as warehouse:
            for table in TABLES:
                table_rows = warehouse.query(f"select * from {table}").records()
                found[table] = sorted(
                    repr({n: v for n, v in row.items() if n not in NOT_COMPARED | without})
                    for row in table_rows
                )
        return found

    def assert_equal(self) -> None:
        embedded, server = self.rows("duckdb"), self.rows("postgres")
        for table in TABLES:
            assert embedded[table] == server[table], table


@pytest.fixture
def twins(tmp_path: Path, postgres_database: PostgresDatabase) -> Twins:
    shops = [Shop.at(tmp_path / name, same_name="replace") for name in ("embedded", "server")]
    return Twins(*shops, postgres_database)


def listen(_: Shop, __: IngestionService, target: str) -> None:
    """A consumer that has taken nothing yet of the orders."""
    with closing(open_warehouse(target, _.home)) as warehouse:
        warehouse.execute(
            "insert into state.watermark values (?, ?, ?)", ["fct_orders", "raw.store_orders", 4]
        )


NASTY = [
    "id,customer_id,total_amount,currency,created_at,status,updated_at,extra",
    "1,C1,0.0001,USD,2026-02-01 10:00:00.123456,paid,,x",
    "2,,-0.0001,EUR,1900-01-01 00:00:00,paid,2026-02-01T23:59:59.999999,",
    '"3","O\'Brien ""the"" \\N; drop",99999999999.9999,JPY,2026-02-01 10:00,paid,,"{""a"": [1, null]}"',
    "4,Zoë 𝔘 ﷽ ,-99999999999.9999,USD,2026-02-01 10:00:00,delivered,,100%",
    "5,C5,10000,USD,2026-02-01 10:00:00,delivered,,?",
    "6,C6,0,USD,2026-02-01 10:00:00,delivered,,$1",
    "7,C7,12345678.9,USD,2026-02-01 10:00:00,created,,=1+1",
    "8,C8,ten,USD,2026-02-01 10:00:00,paid,,",
    "9,C9,1.00001,USD,2026-02-30 10:00:00,paid,,",
    "9,C9,1.00001,ZZZ,2026-02-03 10:00:00,sent,,\x00",
]


def test_deliveries_withdrawals_replays_and_releases_leave_equal_rows(twins: Twins) -> None:
    twins.both(lambda shop, _, __: shop.change(quarantine_threshold={"share": 0.5, "rows": 2}))
    twins.deliver("nasty.csv", "\n".join(NASTY) + "\n")
    twins.deliver("two.csv", orders(range(10, 14), bad=[20]))
    twins.deliver("nasty_again.csv", "\n".join(NASTY) + "\n")
    twins.deliver("refused.csv", orders(range(3), bad=range(20, 26)))
    twins.deliver("empty.csv", "")
    twins.run("run-1")
    twins.assert_equal()
    assert twins.rows("postgres")["raw.store_orders"]
    twins.both(listen)
    twins.deliver("two.csv", orders(range(12, 16)))
    twins.run("run-2")
    twins.assert_equal()
    refused = operations.ledger_entries(twins.embedded.home, status="rejected").records()
    (accepted,) = [row["batch_id"] for row in refused if row["object_name"] == "refused.csv"]
    twins.both(lambda _, service, __: service.accept(accepted, "run-3"))
    twins.assert_equal()
    batch = twins.batch_of("nasty.csv")
    twins.both(lambda _, service, __: service.withdraw(batch, "run-4"))
    twins.assert_equal()
    assert twins.database.query("select count(*) from raw.store_orders where _batch_id = %s", [batch]) == [
        (0,)
    ]
    twins.both(lambda _, service, __: service.accept(batch, "run-5"))
    twins.both(lambda _, service, __: service.reload("run-6"))
    twins.assert_equal()
    named = twins.database.query("select source, sequence, key from state.changed order by 1, 2, 3")
    assert ("raw.store_orders", 5, "00010") in named
    assert len({sequence for _, sequence, _ in named}) >= 6


def test_every_feed_of_the_sample_company_loads_equally(
    tmp_path: Path, postgres_database: PostgresDatabase
) -> None:
    homes = {target: Home(tmp_path / target).ensure() for target in ("duckdb", "postgres")}
    feeds_file = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
    for target, home in homes.items():
        generate(SamplePlan(orders=400, days=60, deliveries=2), home.landing)
        modified = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
        for path in sorted(home.landing.rglob("*")):
            os.utime(path, (modified, modified))
        report = IngestionService(home, load_feeds(feeds_file, home), target=target).ingest("run-1")
        assert report.rows_accepted > 1000
    pair = Twins(Shop(homes["duckdb"]), Shop(homes["postgres"]), postgres_database)
    assert all(pair.rows("postgres")[table] for table in TABLES if table.startswith("raw."))
    pair.assert_equal()


def test_questions_get_equal_answers(twins: Twins) -> None:
    twins.deliver("a.csv", orders(range(3), bad=[8, 9]))
    twins.deliver("b.csv", orders(range(10, 12), bad=[18]))
    twins.deliver("empty.csv", "")
    twins.both(lambda shop, _, target: operations.start_run(shop.home, "run-1", target=target))
    reports = []
    twins.both(lambda _, service, __: reports.append(service.ingest("run-1")))
    result = ("model.t.a", "model", "a", "error", None, None, 0.5, "it's broken?")

    def finish(shop: Shop, _: IngestionService, target: str) -> None:
        operations.record_ingestion(shop.home, "run-1", reports[0], target=target)
        operations.record_dbt_results(shop.home, "run-1", [result, result], target=target)
        operations.record_dbt_results(shop.home, "run-1", [result], target=target)
        operations.finish_run(
            shop.home, "run-1", status="failed", message="broken", published_at=datetime.now(UTC),
            as_of_date=date(2026, 2, 1), target=target,
        )  # fmt: skip

    twins.both(finish)
    batch = twins.batch_of("a.csv")
    open_rows = QuarantineFilter(feed="shop_orders", day=datetime.now(UTC).date())
    answers: dict[str, list[Any]] = {"duckdb": [], "postgres": []}
    exports = []

    def ask(shop: Shop, _: IngestionService, target: str) -> None:
        home = shop.home
        tables = [
            operations.last_runs(home, target=target),
            operations.failed_dbt_results(home, "run-1", target=target),
            operations.dbt_result_counts(home, "run-1", target=target),
            operations.ledger_by_feed(home, target=target),
            operations.ledger_entries(home, feed="shop_orders", target=target),
            operations.freshness(home, target=target),
            operations.quarantine_summary(home, open_rows, target=target),
            operations.quarantine_rows(home, open_rows, target=target),
        ]
        unstable = {
            "started_at",
            "seconds",
            "target",
            "published_at",
            "first_seen_at",
            "loaded_at",
            "last_loaded_at",
        }
        for table in tables:
            assert table.rows
            answers[target].append(
                [{n: v for n, v in row.items() if n not in unstable} for row in table.records()]
            )
        one = operations.quarantine_row(home, batch, 4, target=target)
        answers[target].append({name: value for name, value in one.items() if name != "_ingested_at"})
        answers[target].append(operations.rows_loaded(home, target=target))
        answers[target].append(operations.batches_of_file(home, "a.csv", target=target))
        row = operations.run_row(home, "run-1", target=target)
        answers[target].append((row.status, row.rows_accepted, row.as_of_date, row.message))
        assert len(operations.data_fingerprint(home, target=target)) == 64
        path = home.root / "bad.csv"
        assert operations.export_quarantine(home, path, target=target) == 4
        exports.append([line.split(",")[:6] for line in path.read_text(encoding="utf-8").splitlines()])

    twins.both(ask)
    assert answers["duckdb"] == answers["postgres"]
    assert exports[0] == exports[1]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (WarehouseLoader, "_insert_entity"),
        (WarehouseLoader, "_insert_counts"),
        (Ledger, "update"),
        (Ledger, "record_attempt"),
    ],
)
def test_a_crash_inside_the_transaction_loads_nothing_and_costs_nothing(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    twins.deliver("a.csv", orders(range(3), bad=[8, 9]))
    real = getattr(owner, name)

    def crash(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, crash)
    with pytest.raises(KeyboardInterrupt):
        twins.server.service("postgres").ingest("run-1")
    assert twins.database.query("select count(*) from raw.store_orders") == [(0,)]
    assert twins.database.query("select count(*) from ops.quarantine") == [(0,)]
    assert twins.database.query("select status from ops.load_ledger") == [("pending",)]
    monkeypatch.undo()
    for variable, value in twins.database.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(PROJECT_ROOT))
    twins.run("run-2")
    twins.assert_equal()


def test_a_connection_that_ends_is_told_as_such_and_rolls_back(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a ConnectionError, which Dagster tries again."""
    twins.deliver("a.csv", orders(range(3)))
    real = WarehouseLoader._insert_counts

    def cut(*arguments: Any) -> None:
        twins.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(WarehouseLoader, "_insert_counts", cut)
        with pytest.raises(UnavailableError) as raised:
            twins.server.service("postgres").ingest("run-1")
    assert isinstance(raised.value, ConnectionError)
    assert twins.database.query("select count(*) from raw.store_orders") == [(0,)]
    twins.server.service("postgres").ingest("run-2")
    assert twins.database.query("select count(*) from raw.store_orders") == [(3,)]


NUMBERS: Columns = [("n", "bigint"), ("word", "varchar")]


def test_rows_of_many_batches_come_whole_and_in_order(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ROWS_PER_BATCH", 2_048)  # what DuckDB hands over at least
    rows = Statement("select i, concat('row ', i) as word from range($count) as r(i)", {"count": 9_000})
    with closing(open_warehouse("postgres", twins.server.home)) as warehouse:
        warehouse.execute("create table public.numbers (n bigint, word text)")
        assert warehouse.insert("public.numbers", NUMBERS, rows).rows == 9_000
        assert warehouse.query("select n, word from public.numbers order by ctid").rows == [
            (number, f"row {number}") for number in range(9_000)
        ]
        assert warehouse.insert("public.numbers", NUMBERS, replace(rows, parameters={"count": 0})).rows == 0


CONSTANTS: Columns = [
    ("feed", "varchar"), ("file", "varchar"), ("number", "bigint"), ("arrived", "timestamp"), ("mode", "varchar"),
]  # fmt: skip
DELIVERIES: list[dict[str, object]] = [
    {
        "feed": "it's \\ a \"feed\"", "file": "Bestellungen März.csv", "number": 2**62,
        "arrived": datetime.fromisoformat("2026-02-28 23:59:59.999999"), "mode": "full",
    },
    # What the delivery before it had must not stay.
    {"feed": "", "file": None, "number": -1, "arrived": datetime.fromisoformat("1970-01-01"), "mode": "incremental"},
]  # fmt: skip


def delivery_of(values: Mapping[str, object]) -> Statement:
    casts = ", ".join(f"cast(${name} as {kind})" for name, kind in CONSTANTS)
    return Statement(
        f"select i, {casts}, concat('row ', i) from range(3) as r(i)",
        values,
        {name: name for name in values},
    )


@pytest.fixture
def server(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warehouse]:
    """A server with an empty schema `raw`."""
    for name, value in postgres_database.environment.items():
        monkeypatch.setenv(name, value)
    with closing(open_warehouse("postgres", Home(tmp_path))) as warehouse:
        warehouse.execute("create schema raw")
        yield warehouse


@pytest.fixture
def deliveries(server: Warehouse) -> Warehouse:
    """A server with a table whose rows say which delivery they came with."""
    constants = ", ".join(f"{name} {server.column_type(kind)}" for name, kind in CONSTANTS)
    server.execute(f"create table raw.deliveries (n bigint, {constants}, word text)")
    return server


DELIVERY_COLUMNS: Columns = [NUMBERS[0], *CONSTANTS, NUMBERS[1]]


def insert_deliveries(warehouse: Warehouse) -> None:
    for values in DELIVERIES:
        with warehouse.transaction():
            inserted = warehouse.insert("raw.deliveries", DELIVERY_COLUMNS, delivery_of(values))
        assert inserted.rows == 3


def has_all_deliveries(warehouse: Warehouse) -> bool:
    return warehouse.query("select * from raw.deliveries order by ctid").rows == [
        (number, *values.values(), f"row {number}") for values in DELIVERIES for number in range(3)
    ]


def test_what_is_equal_in_all_rows_of_a_delivery_is_told_to_the_server_once(
    deliveries: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    ingest = dbapi.Cursor.adbc_ingest

    def noting(self: dbapi.Cursor, table: str, data: pyarrow.RecordBatchReader, **settings: Any) -> int:
        sent.append(data.schema.names)
        return ingest(self, table, data, **settings)

    monkeypatch.setattr(dbapi.Cursor, "adbc_ingest", noting)
    for _ in range(2):  # asking again changes nothing
        deliveries.prepare_constants(["raw.deliveries"], CONSTANTS)
    insert_deliveries(deliveries)
    assert has_all_deliveries(deliveries)
    # The server takes an empty setting for none.
    assert sent == [["n", "word"], ["n", "feed", "file", "word"]]


def test_constants_are_sent_with_the_rows_where_no_transaction_would_keep_them(deliveries: Warehouse) -> None:
    deliveries.prepare_constants(["raw.deliveries"], CONSTANTS)
    for values in DELIVERIES:
        deliveries.insert("raw.deliveries", DELIVERY_COLUMNS, delivery_of(values))
    assert has_all_deliveries(deliveries)


@pytest.mark.parametrize("is_prepared", [False, True])
def test_constants_come_also_into_tables_of_another_role(deliveries: Warehouse, is_prepared: bool) -> None:
    role = f"loader_{uuid.uuid4().hex}"
    if is_prepared:
        deliveries.prepare_constants(["raw.deliveries"], CONSTANTS)
    deliveries.execute(f"create role {role}")
    deliveries.execute(f"grant usage on schema raw to {role}")
    deliveries.execute(f"grant select, insert on raw.deliveries to {role}")
    deliveries.execute(f"set role {role}")
    try:
        deliveries.prepare_constants(["raw.deliveries"], CONSTANTS)
        insert_deliveries(deliveries)
        assert has_all_deliveries(deliveries)
    finally:
        deliveries.execute("reset role")
        deliveries.execute(f"drop owned by {role}")
        deliveries.execute(f"drop role {role}")


def test_a_row_that_somebody_inserts_by_hand_belongs_to_no_delivery(deliveries: Warehouse) -> None:
    deliveries.prepare_constants(["raw.deliveries"], CONSTANTS)
    deliveries.execute("insert into raw.deliveries (n, word) values (-2, 'by hand')")
    insert_deliveries(deliveries)
    deliveries.execute("insert into raw.deliveries (n, word) values (-1, 'by hand')")
    assert deliveries.query("select * from raw.deliveries where n < 0 order by n").rows == [
        (number, None, None, None, None, None, "by hand") for number in (-2, -1)
    ]


@pytest.mark.parametrize("bad", [0, 8_000], ids=["in the first batch", "in a later batch"])
def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    monkeypatch.setattr(postgres, "ROWS_PER_BATCH", 2_048)
    broken = f"case when i = {bad} then error('page is damaged') else i end"
    rows = Statement(f"select {broken}, 'word' from range(9000) as r(i)", {})
    with closing(open_warehouse("postgres", twins.server.home)) as warehouse:
        warehouse.execute("create table public.numbers (n bigint, word text)")
        with pytest.raises((StatementError, duckdb.Error), match="page is damaged"), warehouse.transaction():
            warehouse.insert("public.numbers", NUMBERS, rows)
        assert warehouse.query("select count(*) from public.numbers").rows == [(0,)]


ROWS_OF_A_DELIVERY = 20_000
LINES: Columns = [("_load_sequence", "bigint"), ("filler", "varchar")]


@pytest.fixture
def lines(server: Warehouse) -> Warehouse:
    """A server with a table of rows by delivery, of which the planner knows nothing."""
    server.execute("create table raw.lines (_load_sequence bigint, filler text)")
    server.execute("alter table raw.lines set (autovacuum_enabled = off)")
    return server


def insert_delivery(warehouse: Warehouse, number: int) -> str:
    """The condition that leads to its rows."""
    rows = f"select {number}, repeat('x', 200) from range({ROWS_OF_A_DELIVERY})"
    inserted = warehouse.insert("raw.lines", LINES, Statement(rows, {}))
    assert inserted.rows == ROWS_OF_A_DELIVERY
    assert inserted.where is not None
    return inserted.where


def scan_of(warehouse: Warehouse, condition: str) -> dict[str, Any]:
    """The scan of raw.lines, with the rows that it took and that it read for nothing."""
    # A parameter, since the driver wraps a statement without any in a COPY.
    ((plan,),) = warehouse.query(
        f"explain (analyze, format json) select count(*) from raw.lines where {condition} and ?", [True]
    ).rows
    return next(node for node in nodes_of(plan) if node.get("Relation Name") == "lines")


def test_what_was_just_inserted_is_found_without_the_rows_before_it(lines: Warehouse) -> None:
    """Many files in one first load: none may be looked for in the rows of all the others."""
    for number in range(1, 6):
        with lines.transaction():
            scan = scan_of(lines, f"{insert_delivery(lines, number)} and _load_sequence = {number}")
            assert scan["Node Type"] == "Tid Range Scan"
            assert scan["Actual Rows"] == ROWS_OF_A_DELIVERY
            # Those in the blocks that the COPY before it laid in ahead.
            assert scan["Rows Removed by Filter"] < ROWS_OF_A_DELIVERY / 2


def test_a_search_for_a_delivery_reads_its_blocks_before_there_are_statistics(
    lines: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "UNSUMMARISED_ROWS", 0)
    insert_delivery(lines, 1)
    for number in range(2, 6):
        with lines.transaction():
            lines.index_deliveries(["raw.lines"])
            insert_delivery(lines, number)
            scan = scan_of(lines, f"_load_sequence = {number}")
            assert scan["Node Type"] == "Bitmap Heap Scan"
            assert scan["Actual Rows"] * scan["Actual Loops"] == ROWS_OF_A_DELIVERY
            # Those that share its first block, told for each process on average.
            assert scan["Rows Removed by Index Recheck"] * scan["Actual Loops"] < ROWS_OF_A_DELIVERY


def test_rows_that_a_vacuum_left_room_for_are_found_by_their_number(
    lines: Warehouse, postgres_database: PostgresDatabase
) -> None:
    for number in range(1, 4):
        insert_delivery(lines, number)
    lines.execute("delete from raw.lines where _load_sequence = 1")
    postgres_database.execute("vacuum raw.lines")
    inserted = insert_delivery(lines, 4)
    counted = "select count(*) from raw.lines where _load_sequence = 4"
    assert lines.query(f"{counted} and {inserted}").rows[0][0] < ROWS_OF_A_DELIVERY
    assert lines.query(counted).rows == [(ROWS_OF_A_DELIVERY,)]


@pytest.mark.parametrize("files", [1, 3])
def test_a_load_whose_rows_lie_apart_is_counted_all_the_same(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    real = postgres.PostgresWarehouse.insert
    monkeypatch.setattr(
        postgres.PostgresWarehouse, "insert", lambda *given: replace(real(*given), where="false")
    )
    for number in range(files):
        twins.deliver(f"{number}.csv", orders(range(10 * number, 10 * number + 4)))
    twins.run("run-1")
    assert len(twins.rows("postgres")["raw.store_orders"]) == 4 * files
    twins.assert_equal()


def test_rows_that_came_under_another_delivery_are_not_taken_for_its_own(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be as many and add up, and nobody could withdraw them."""
    real = postgres.PostgresWarehouse.insert

    def mislabelled(warehouse: Any, table: str, columns: Columns, rows: Statement) -> Any:
        parameters = {**rows.parameters, "batch_id": "another"}
        return real(warehouse, table, columns, replace(rows, parameters=parameters))

    monkeypatch.setattr(postgres.PostgresWarehouse, "insert", mislabelled)
    twins.deliver("a.csv", orders(range(3)))
    (batch,) = twins.server.service("postgres").ingest("run-1").batches
    assert batch.status == "failed"
    assert "rows in the table should be 3, found 0" in str(batch.message)
    assert twins.database.query("select count(*) from raw.store_orders") == [(0,)]


def test_an_index_that_was_rolled_back_is_made_again(lines: Warehouse) -> None:
    def break_off() -> None:
        with lines.transaction():
            lines.index_deliveries(["raw.lines"])
            lines.execute("select 1 / 0")

    with pytest.raises(StatementError):
        break_off()
    indexes = "select count(*) from pg_indexes where tablename = 'lines'"
    assert lines.query(indexes).rows == [(0,)]
    for _ in range(2):
        lines.index_deliveries(["raw.lines"])
        assert lines.query(indexes).rows == [(1,)]


def nodes_of(plan: Any) -> Iterator[dict[str, Any]]:
    """Every node of a plan as Postgres tells it in JSON."""
    waiting = [one["Plan"] for one in (json.loads(plan) if isinstance(plan, str) else plan)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("Plans", [])


def test_a_second_writer_from_another_home_is_told_to_wait(twins: Twins) -> None:
    first, second = twins.server.home, twins.embedded.home
    told = "another tillhouse run is writing to the Postgres database"
    with only_writer("postgres", first):
        with pytest.raises(BusyError, match=told), only_writer("postgres", second):
            pass
        with only_writer("duckdb", second):
            pass
    with only_writer("postgres", second):
        pass


def test_what_is_missing_or_wrong_is_told(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = twins.server.home
    with pytest.raises(NotFoundError, match="no ledger yet"):
        operations.last_runs(home, target="postgres")
    with closing(open_warehouse("postgres", home)) as warehouse:
        with pytest.raises(MissingTableError):
            warehouse.query("select * from nowhere.nothing")
        with pytest.raises(StatementError, match="22012"):
            warehouse.query("select 1 / 0")
        with pytest.raises(ValueError, match="2 marks for 1 parameters"):
            warehouse.query("select ?, ?", [1])
        assert warehouse.query("select cast(1.50 as numeric), cast(null as numeric)").rows == [
            (Decimal("1.50"), None)
        ]
    with (
        closing(open_warehouse("postgres", home, read_only=True)) as warehouse,
        pytest.raises(StatementError, match="read-only"),
    ):
        warehouse.execute("create table t (a integer)")
    monkeypatch.setenv("TILLHOUSE_POSTGRES_PORT", "1")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 cannot be used"):
        open_warehouse("postgres", home)
    with pytest.raises(ConfigurationError, match="of type 'duckdb'"):
        open_postgres("duckdb")
    with pytest.raises(ConfigurationError, match="no loader"):
        open_warehouse("redshift", home)
