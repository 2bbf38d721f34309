"""Every key whose rows come or go is named for the models, once somebody listens."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from shop import Shop, orders

from ingestion.ops_schema import STATE_TABLES

INVENTORY_HEADER = "snapshot_date,product_id,on_hand,allocated,reorder_point\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two loaded orders; a consumer that has taken sequence 7 of the orders."""
    shop = Shop.at(tmp_path / "home", same_name="replace")
    shop.deliver("one.csv", orders([1, 2], bad=[9]))
    shop.run()
    write(shop, "insert into state.watermark values ('fct_orders', 'raw.store_orders', 7)")
    return shop


def write(shop: Shop, sql: str) -> None:
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute(sql)


def changed(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.query(
        "select source, sequence, source_system, key, customer_key, day from state.changed order by all"
    )


def orders_changed(shop: Shop) -> list[tuple[int, str]]:
    assert {row[0] for row in changed(shop)} <= {"raw.store_orders"}
    return [(row[1], row[3]) for row in changed(shop)]


def test_tables_are_there_from_the_first_load_on(shop: Shop) -> None:
    for table, columns in STATE_TABLES.items():
        described = shop.query(f"describe {table}")
        assert [row[0] for row in described] == [name for name, _ in columns]


def test_a_first_load_tells_nobody(shop: Shop) -> None:
    assert changed(shop) == []


def test_a_load_names_each_key_once_and_follows_the_greatest_sequence(shop: Shop) -> None:
    twice = orders([3, 4]) + orders([3], status="cancelled").splitlines()[1] + "\n"
    shop.deliver("two.csv", twice)
    shop.run()
    expected = [("raw.store_orders", 8, "store", key, None, None) for key in ("00003", "00004")]
    assert changed(shop) == expected
    shop.deliver("three.csv", orders([4, 5], status="delivered"))
    shop.run()
    assert orders_changed(shop) == [(8, "00003"), (8, "00004"), (9, "00004"), (9, "00005")]


def test_what_a_newer_file_of_the_name_replaces_is_named_with_what_it_brings(shop: Shop) -> None:
    shop.deliver("one.csv", orders([2, 3]))
    shop.run()
    assert shop.ids() == ["00002", "00003"]
    assert orders_changed(shop) == [(8, "00001"), (8, "00002"), (9, "00002"), (9, "00003")]


def test_a_withdrawal_names_what_it_removes_and_an_acceptance_what_comes_back(shop: Shop) -> None:
    batch = shop.batch_of("one.csv")
    shop.service().withdraw(batch, "run-w")
    assert orders_changed(shop) == [(8, "00001"), (8, "00002")]
    shop.service().accept(batch, "run-a")
    assert orders_changed(shop)[2:] == [(9, "00001"), (9, "00002")]


def test_a_reload_names_what_was_there_and_what_is_there_now(shop: Shop) -> None:
    write(shop, "update raw.store_orders set id = 'lost' where id = '00001'")
    shop.service().reload("run-r")
    assert orders_changed(shop) == [(8, "00002"), (8, "lost"), (9, "00001"), (9, "00002")]


def test_a_stock_count_is_named_by_product_and_day(shop: Shop) -> None:
    shop.add_feed("shop_stock", "store.inventory")
    rows = "2026-02-01,P1,5,0,2\n2026-02-02,P1,4,0,2\n2026-02-02,P2,4,0,2\n"
    shop.deliver("stock.csv", INVENTORY_HEADER + rows, feed="shop_stock")
    shop.run()
    assert changed(shop) == [
        ("raw.store_inventory", 1, "store", "P1", None, date(2026, 2, 1)),
        ("raw.store_inventory", 1, "store", "P1", None, date(2026, 2, 2)),
        ("raw.store_inventory", 1, "store", "P2", None, date(2026, 2, 2)),
    ]


def test_small_tables_and_files_without_rows_name_nothing(shop: Shop) -> None:
    shop.add_feed("shop_products", "store.products")
    shop.deliver(
        "p.csv",
        "product_id,name,category,price,effective_at\nP1,A,B,1.00,2026-01-01 00:00:00\n",
        "shop_products",
    )
    shop.deliver("none.csv", orders([]))
    shop.run()
    assert changed(shop) == []


def test_a_load_that_fails_names_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    shop.deliver("two.csv", orders([3]))
    monkeypatch.setattr("ingestion.ledger.Ledger.update", fail)
    with pytest.raises(RuntimeError):
        shop.run()
    monkeypatch.undo()
    assert changed(shop) == []
