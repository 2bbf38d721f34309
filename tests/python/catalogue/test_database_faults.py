"""Faults between the loader and a database server: what was not committed is not there, what was is found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import Fault, TcpProxy
from postgres_server import PostgresDatabase
from shop import Shop, orders

from ingestion.ledger import Ledger
from ingestion.loader import WarehouseLoader
from ingestion.warehouses import only_writer, open_warehouse
from ingestion.warehouses.postgres import WriterLock
from settings.errors import BusyError, UnavailableError

FILES = {"a.csv": orders(range(3), bad=[8]), "b.csv": orders(range(3, 5))}
END_OTHERS = (
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)


@pytest.fixture
def proxy(postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    """Between the loader and the server; the test itself asks the server directly."""
    with TcpProxy(postgres_database.host, postgres_database.port) as found:
        monkeypatch.setenv("TILLHOUSE_POSTGRES_PORT", str(found.port))
        yield found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    found = Shop.at(tmp_path / "home")
    for name, content in FILES.items():
        found.deliver(name, content)
    return found


def loaded(database: PostgresDatabase) -> dict[str, Any]:
    """What the server holds of the two files."""
    return {
        "rows": database.query("select id, _source_file, _row_number from raw.store_orders order by 1, 2"),
        "quarantine": database.query("select source_file, row_number, rule, status from ops.quarantine"),
        "ledger": database.query(
            "select object_name, status, load_sequence, rows_read from ops.load_ledger order by 1"
        ),
        "counts": database.query(
            "select rows_read, rows_accepted, rows_quarantined, control_totals from ops.load_entity_counts"
            " order by 1"
        ),
    }


@pytest.fixture
def undisturbed(tmp_path: Path, postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    database = postgres_server.create_database()
    try:
        with monkeypatch.context() as patch:
            for name, value in database.environment.items():
                patch.setenv(name, value)
            other = Shop.at(tmp_path / "undisturbed")
            for name, content in FILES.items():
                other.deliver(name, content)
            other.service("postgres").ingest("run-1")
        return loaded(database)
    finally:
        postgres_server.drop_database(database)


def test_a_connection_that_ends_among_the_rows_leaves_none_of_them(
    proxy: TcpProxy, postgres_database: PostgresDatabase, shop: Shop, undisturbed: dict[str, Any]
) -> None:
    proxy.harm(Fault("reset", reaches_server=False), when=b"00002")  # the third row is on its way
    with pytest.raises(UnavailableError):
        shop.service("postgres").ingest("run-1")
    assert proxy.harmed == 1
    assert postgres_database.query("select count(*) from raw.store_orders") == [(0,)]
    assert postgres_database.query("select distinct status from ops.load_ledger") == [("pending",)]
    shop.service("postgres").ingest("run-2")
    assert loaded(postgres_database) == undisturbed


def test_a_commit_whose_answer_is_lost_is_found_in_the_ledger_and_not_repeated(
    proxy: TcpProxy,
    postgres_database: PostgresDatabase,
    shop: Shop,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can tell the client whether it committed but the ledger, which committed with the rows."""
    real, once = Ledger.record_attempt, iter([Fault("reset")])

    def then_lose_the_next_answer(*words: Any, **named: Any) -> None:
        real(*words, **named)
        for fault in once:
            proxy.harm(fault)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_attempt", then_lose_the_next_answer)
        with pytest.raises(UnavailableError):
            shop.service("postgres").ingest("run-1")
    assert proxy.harmed == 1
    assert postgres_database.query("select status from ops.load_ledger order by object_name") == [
        ("loaded",), ("pending",),
    ]  # fmt: skip
    assert postgres_database.query("select count(*) from raw.store_orders") == [(3,)]
    report = shop.service("postgres").ingest("run-2")
    assert [batch.object_name for batch in report.batches] == ["b.csv"]
    assert loaded(postgres_database) == undisturbed


def test_a_lock_that_is_not_given_in_time_costs_the_try_and_not_the_file(
    postgres_database: PostgresDatabase,
    shop: Shop,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told as a passing fault, which the daily job tries again as a whole."""
    real = WarehouseLoader.load
    with postgres_database.connect() as other:
        other.autocommit = False

        def wait_for_nothing(loader: WarehouseLoader, batch: Any) -> None:
            with other.cursor() as cursor:
                cursor.execute("lock table raw.store_orders in access exclusive mode")
            loader._warehouse.execute("set local lock_timeout = '50ms'")
            real(loader, batch)

        with monkeypatch.context() as patch:
            patch.setattr(WarehouseLoader, "load", wait_for_nothing)
            with pytest.raises(UnavailableError) as raised:
                shop.service("postgres").ingest("run-1")
        assert isinstance(raised.value, ConnectionError)
        other.rollback()
    shop.service("postgres").ingest("run-2")
    assert loaded(postgres_database) == undisturbed


def test_a_writers_lock_that_the_server_dropped_is_taken_again(
    postgres_database: PostgresDatabase, shop: Shop
) -> None:
    with only_writer("postgres", shop.home):
        postgres_database.execute(END_OTHERS)
        shop.service("postgres").ingest("run-1")
        with pytest.raises(BusyError, match="another tillhouse run is writing"):
            WriterLock("postgres")


def test_who_lost_the_lock_to_another_run_writes_nothing_more(
    postgres_database: PostgresDatabase, shop: Shop
) -> None:
    """Not even after the other has ended: what it left in the warehouse may not have passed its tests."""
    with only_writer("postgres", shop.home):
        postgres_database.execute(END_OTHERS)
        other = WriterLock("postgres")
        with pytest.raises(BusyError, match="another tillhouse run is writing"):
            shop.service("postgres").ingest("run-1")
        other.close()
        for _ in range(2):
            with pytest.raises(BusyError, match="another tillhouse run has written since"):
                open_warehouse("postgres", shop.home)
        open_warehouse("postgres", shop.home, read_only=True).close()
    with only_writer("postgres", shop.home):
        shop.service("postgres").ingest("run-2")
    assert postgres_database.query("select count(*) from raw.store_orders") == [(5,)]
