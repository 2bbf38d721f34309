"""The ledger gives every delivery one number, and the number says which delivery is the later one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from ingestion.contract import load_contracts
from ingestion.ledger import Arrival, Ledger, LedgerEntry, make_batch_id, number_arrivals
from ingestion.ops_schema import OPS_TABLES, ensure_tables
from ingestion.warehouses.duckdb import DuckDBWarehouse
from settings.errors import NotFoundError

DAY_ONE = datetime(2026, 11, 1, tzinfo=UTC)
DAY_TWO = DAY_ONE + timedelta(days=1)


def arrival(name: str, delivered_at: datetime | None = None, seen: int = 0) -> Arrival:
    return Arrival(name, DAY_ONE + timedelta(hours=seen), delivered_at)


def entry(name: str, sequence: int | None, **values: object) -> LedgerEntry:
    made = LedgerEntry(
        batch_id=make_batch_id("f", name, name),
        feed="f",
        load_sequence=sequence,
        object_name=name,
        content_sha256=name,
        size_bytes=1,
        delivered_at=None,
        modified_at=DAY_ONE,
        first_seen_at=DAY_ONE,
        status="loaded",
    )
    return replace(made, **values)  # type: ignore[arg-type]


@pytest.fixture
def ledger() -> Ledger:
    warehouse = DuckDBWarehouse(duckdb.connect())
    ensure_tables(warehouse, load_contracts().values())
    return Ledger(warehouse)


def test_without_a_delivery_time_numbers_follow_first_seen_then_name() -> None:
    assert number_arrivals([], [arrival("b"), arrival("a"), arrival("c", seen=-1)]) == [3, 2, 1]
    assert number_arrivals([entry("x", 41)], [arrival("b"), arrival("a")]) == [43, 42]


def test_with_a_delivery_time_numbers_are_its_milliseconds_plus_the_count_of_that_time() -> None:
    base = int(DAY_ONE.timestamp()) * 1000
    known = [entry("x", base, delivered_at=DAY_ONE), entry("y", base + 1, delivered_at=DAY_ONE)]
    arrivals = [arrival("late", DAY_TWO), arrival("b", DAY_ONE), arrival("a", DAY_ONE)]
    assert number_arrivals(known, arrivals) == [base + 86_400_000, base + 3, base + 2]


def test_numbers_do_not_depend_on_how_deliveries_fall_into_runs() -> None:
    """One run over all files, or a run per file in any order of arrival: the same numbers."""
    days = [DAY_ONE + timedelta(days=day) for day in range(5)]
    together = number_arrivals([], [arrival(f"d{n}", day) for n, day in enumerate(days)])
    known: list[LedgerEntry] = []
    apart = [0] * len(days)
    for seen, n in enumerate((3, 0, 4, 2, 1)):
        (apart[n],) = number_arrivals(known, [arrival(f"d{n}", days[n], seen)])
        known.append(entry(f"d{n}", apart[n], delivered_at=days[n]))
    assert apart == together == sorted(together)


def test_a_thousand_deliveries_of_one_second_still_get_numbers_of_their_own() -> None:
    arrivals = [arrival(f"{n:04d}", DAY_ONE + timedelta(seconds=n // 1001)) for n in range(1002)]
    numbers = number_arrivals([], arrivals)
    assert len(set(numbers)) == 1002


def test_the_newest_delivery_says_when_it_was_seen(ledger: Ledger) -> None:
    assert ledger.last_seen_at() is None
    ledger.insert([entry("a", 1, first_seen_at=DAY_TWO), entry("b", 2, first_seen_at=DAY_ONE)])
    assert ledger.last_seen_at() == DAY_TWO


def test_an_entry_comes_back_as_it_was_written(ledger: Ledger) -> None:
    whole = entry(
        "o'brien; drop table.csv",
        7,
        delivered_at=DAY_TWO,
        loaded_at=DAY_TWO.astimezone(),
        bronze_paths={"store.orders": "f/b/store.orders.parquet"},
        message="ü",
    )
    ledger.insert([whole, entry("b", None)])
    assert ledger.entry(whole.batch_id) == whole
    changed = replace(whole, status="withdrawn", loaded_at=None, rule="withdrawn")
    ledger.update(changed)
    assert ledger.entries("f") == [entry("b", None), changed]
    assert ledger.entries(status="withdrawn") == ledger.entries("f", status="withdrawn") == [changed]
    assert ledger.entries("another", status="withdrawn") == ledger.entries(status="rejected") == []
    ledger.delete(whole.batch_id)
    assert ledger.entries() == [entry("b", None)]
    with pytest.raises(NotFoundError, match="no batch"):
        ledger.entry(whole.batch_id)


def test_batch_ids_are_the_same_on_a_second_try_and_differ_between_deliveries() -> None:
    ids = {
        make_batch_id("f", "s", "n"), make_batch_id("g", "s", "n"), make_batch_id("f", "t", "n"),
        make_batch_id("f", "s", "m"), make_batch_id("f", "s", "n", 1),
    }  # fmt: skip
    assert len(ids) == 5
    assert make_batch_id("f", "s", "n") in ids


def test_tables_are_made_once_and_columns_that_a_contract_gains_are_added() -> None:
    connection = duckdb.connect()
    warehouse = DuckDBWarehouse(connection)
    contract = load_contracts()["store.payments"]
    fewer = contract.model_copy(update={"columns": contract.columns[:-2]})
    ensure_tables(warehouse, [fewer])
    connection.execute("insert into raw.store_payments (id) values ('1')")
    ensure_tables(warehouse, [contract])
    ensure_tables(warehouse, [contract])
    found = {row[0]: row[1] for row in connection.execute("describe raw.store_payments").fetchall()}
    for column in contract.columns:
        assert found[column.output_name].lower() == column.duckdb_type
    assert connection.execute("select count(*) from raw.store_payments").fetchone() == (1,)


def test_every_ops_table_has_the_declared_columns_in_order() -> None:
    connection = duckdb.connect()
    ensure_tables(DuckDBWarehouse(connection), ())
    for table, columns in OPS_TABLES.items():
        described = connection.execute(f"describe {table}").fetchall()
        assert [row[0] for row in described] == [name for name, _ in columns]


def test_a_ledger_that_dbt_made_before_any_file_came_is_kept_up_to_date() -> None:
    """It has the columns, and no key."""
    warehouse = DuckDBWarehouse(duckdb.connect())
    columns = ", ".join(f'"{name}" {kind.split(" ")[0]}' for name, kind in OPS_TABLES["ops.load_ledger"])
    warehouse.execute("create schema ops")
    warehouse.execute(f"create table ops.load_ledger ({columns})")
    ensure_tables(warehouse, load_contracts().values())
    ledger = Ledger(warehouse)
    first, second = entry("a", 1, status="pending"), entry("b", 2, status="pending")
    ledger.insert([first, second])
    ledger.update_all([replace(first, status="loaded"), replace(second, status="rejected")])
    assert [ledger.entry(one.batch_id).status for one in (first, second)] == ["loaded", "rejected"]
