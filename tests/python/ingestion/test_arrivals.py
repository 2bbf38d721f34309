"""Dates in the future are judged by an arrival that is recorded once, and that a copied file cannot get wrong."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shop import HEADER, Shop

DAY = timedelta(days=1)


def order_at(number: int, moment: datetime) -> str:
    return f"{number},c,1.00,USD,{moment:%Y-%m-%d %H:%M:%S},paid,\n"


def deliver(shop: Shop, name: str, *moments: datetime, modified_at: datetime) -> None:
    rows = "".join(order_at(number, moment) for number, moment in enumerate(moments))
    path = shop.deliver(name, f"{HEADER}\n{rows}")
    os.utime(path, (modified_at.timestamp(), modified_at.timestamp()))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home")


def test_a_file_with_an_old_time_keeps_its_rows(shop: Shop) -> None:
    now = datetime.now(UTC)
    deliver(shop, "a.csv", now - 3 * DAY, now, now + 2 * DAY, modified_at=datetime(1980, 1, 1, tzinfo=UTC))
    report = shop.run()
    assert (report.rows_accepted, report.rows_quarantined) == (2, 1)
    # The lineage tells what the file said of itself.
    assert shop.query("select distinct _arrived_at::varchar from raw.store_orders") == [
        ("1980-01-01 00:00:00",)
    ]


def test_a_file_from_a_clock_that_is_ahead_is_judged_by_its_own_time(shop: Shop) -> None:
    now = datetime.now(UTC)
    deliver(shop, "a.csv", now + 2 * DAY, now + 5 * DAY, modified_at=now + 3 * DAY)
    assert (shop.run().rows_accepted, len(shop.ids())) == (1, 1)


def test_a_declared_delivery_time_stays_the_measure(shop: Shop) -> None:
    shop.change(delivery_time={"pattern": "_(\\d{8})", "format": "%Y%m%d"})
    delivered = datetime(2026, 2, 2, tzinfo=UTC)
    deliver(
        shop, "a_20260201.csv", delivered + DAY, delivered + DAY + timedelta(seconds=1), modified_at=delivered
    )
    report = shop.run()
    assert (report.rows_accepted, report.rows_quarantined) == (1, 1)
    ((message,),) = shop.query("select message from ops.quarantine")
    assert "2026-02-02 00:00 UTC" in message


def test_reruns_and_replays_judge_as_the_first_time(shop: Shop) -> None:
    now = datetime.now(UTC)
    deliver(shop, "a.csv", now, now + 2 * DAY, modified_at=now - 9 * DAY)
    shop.run()
    ((first_seen,),) = shop.query("select first_seen_at from ops.load_ledger")
    ((message,),) = shop.query("select message from ops.quarantine")
    assert f"{first_seen:%Y-%m-%d %H:%M} UTC" in message
    before = shop.state()
    shop.run()
    shop.service().reload("again")
    assert shop.state() == before
    shop.home.warehouse.unlink()
    shop.service().reload("rebuild")
    assert shop.state() == before
