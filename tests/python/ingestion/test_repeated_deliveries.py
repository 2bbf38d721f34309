"""Deliveries that repeat another: their names last, their advice is right, an empty day among them counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import HEADER, Shop, orders

from ingestion.bronze import checked_path
from ingestion.engines.duckdb import DuckDBEngine
from settings.errors import DataRejectedError

DATED = {"delivery_time": {"pattern": "_(\\d{8})", "format": "%Y%m%d"}}
CUSTOMERS = "id,signup_date\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home")


def test_after_a_rebuild_a_content_still_stays_for_its_second_name(shop: Shop) -> None:
    shop.change(same_name="replace")
    shop.deliver("a.csv", orders(range(2)))
    shop.deliver("b.csv", orders(range(2)))
    shop.run()
    before = shop.state()
    shop.home.warehouse.unlink()
    shop.service().reload("rebuild")
    assert shop.state() == before
    shop.deliver("a.csv", orders(range(5, 6)))
    shop.run()
    assert shop.ids() == ["00000", "00001", "00005"]
    shop.deliver("b.csv", orders(range(5, 6)))
    shop.run()
    assert shop.ids() == ["00005"]


def test_a_reload_of_a_repetition_names_the_batch_that_has_the_rows(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(2)))
    shop.deliver("b.csv", orders(range(2)))
    shop.run()
    original, repetition = shop.batch_of("a.csv"), shop.batch_of("b.csv", "duplicate")
    with pytest.raises(DataRejectedError, match="repeats batch") as caught:
        shop.service().reload("again", batch_id=repetition)
    assert f"`tillhouse reload --batch {original}`" in caught.value.remedy


@pytest.mark.parametrize("damage", ["everything", "inside"])
def test_accepting_a_damaged_bronze_copy_says_so_and_changes_nothing(shop: Shop, damage: str) -> None:
    shop.change(quarantine_threshold={"share": 0.1, "rows": 2})
    shop.deliver("a.csv", orders(range(500), bad=range(1000, 1200)))
    (rejected,) = shop.run().batches
    before = shop.state()
    parquet = checked_path(shop.home, "shop_orders", rejected.batch_id, "store.orders")
    content = bytearray(parquet.read_bytes())
    content[4 : len(content) // 3] = b"\xff" * (len(content) // 3 - 4)
    parquet.write_bytes(b"PAR1 not any more" if damage == "everything" else bytes(content))
    with pytest.raises(DataRejectedError, match="damaged") as caught:
        shop.service().accept(rejected.batch_id, "by-hand")
    assert (caught.value.rule, bool(caught.value.remedy)) == ("bronze", True)
    assert shop.state() == before
    shop.home.warehouse.unlink()
    shop.service().reload("rebuild")
    assert shop.ids() == []
    assert shop.statuses() == {"a.csv": ["rejected"]}


def test_every_call_closes_its_engine(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    real = DuckDBEngine.close
    monkeypatch.setattr(DuckDBEngine, "close", lambda engine: closed.append(real(engine)))
    shop.run()
    shop.service().reload("again")
    assert len(closed) == 2


# Days on which nothing happened


@pytest.fixture
def required(tmp_path: Path) -> Shop:
    shop = Shop.at(tmp_path / "home", required=True, allow_empty=True, **DATED)
    shop.add_feed("shop_customers", "store.customers", **DATED)
    return shop


def customers(shop: Shop, day: int) -> None:
    shop.deliver(f"customers_2026020{day}.csv", f"{CUSTOMERS}{day},2026-01-01\n", feed="shop_customers")


def test_a_second_empty_day_counts_as_delivered(required: Shop) -> None:
    for day in (1, 2, 3):
        customers(required, day)
        (missing,) = required.run().blocking
        assert f"2026-02-0{day}" in str(missing.message) or day == 1
        required.deliver(f"orders_2026020{day}.csv", HEADER + "\n")
        assert required.run().blocking == []
    assert list(required.statuses().values()) == [["loaded"], ["duplicate"], ["duplicate"]]


def test_two_empty_days_seen_together_count_both(required: Shop) -> None:
    customers(required, 2)
    required.deliver("orders_20260201.csv", HEADER + "\n")
    required.deliver("orders_20260202.csv", HEADER + "\n")
    assert required.run().blocking == []


def test_an_empty_day_after_a_rejected_one_is_the_newest(required: Shop) -> None:
    required.deliver("orders_20260201.csv", HEADER + "\n")
    required.run()
    required.deliver("orders_20260202.csv", "")
    (blocking,) = required.run().blocking
    assert blocking.rule == "empty"
    required.deliver("orders_20260203.csv", HEADER + "\n")
    assert required.run().blocking == []


def test_rows_delivered_again_under_the_next_day_do_not_count_for_it(required: Shop) -> None:
    """Yesterday's file by mistake: the day is still missing."""
    required.deliver("orders_20260201.csv", orders(range(3)))
    customers(required, 2)
    required.deliver("orders_20260202.csv", orders(range(3)))
    (missing,) = required.run().blocking
    assert missing.rule == "missing_delivery"


def test_an_empty_day_of_another_feed_is_a_day_that_must_be_complete(required: Shop) -> None:
    required.deliver("orders_20260201.csv", orders(range(3)))
    for day in (1, 2):
        required.deliver(f"customers_2026020{day}.csv", CUSTOMERS, feed="shop_customers")
    (missing,) = required.run().blocking
    assert "2026-02-02" in str(missing.message)
