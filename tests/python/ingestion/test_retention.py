"""What the retention settings drop, and what they never drop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from shop import Shop, orders

from ingestion.retention import RetentionReport
from settings.errors import ConfigurationError, DataRejectedError
from settings.retention import QUARANTINE_VARIABLE, UNUSED_BRONZE_VARIABLE, Retention

ALL = Retention(quarantine_days=30, unused_bronze_days=30)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A loaded file with bad rows, a rejected one, a withdrawn one."""
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 0.9, "rows": 0})
    shop.deliver("a.csv", orders(range(3), bad=[8, 9]))
    shop.deliver("bad.csv", orders([], bad=[20, 21]))
    shop.deliver("away.csv", orders(range(30, 33), bad=[38]))
    shop.run()
    shop.service().withdraw(shop.batch_of("away.csv"), "away")
    return shop


def age(shop: Shop, days: int) -> None:
    """Let everything have come in some days ago."""
    then = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute("update ops.load_ledger set first_seen_at = ?", [then])
        connection.execute("update ops.quarantine set _ingested_at = ?", [then])


def cells(shop: Shop) -> str:
    """All that stands in bronze and in quarantine of bad rows."""
    found = str(shop.query("select raw_row, raw_value from ops.quarantine where row_number is not null"))
    for path in sorted(shop.home.bronze.rglob("*.parquet")):
        if not path.name.endswith(".repeats.parquet"):
            found += str(
                duckdb.execute("select _raw_row, _raw_value from read_parquet(?)", [str(path)]).fetchall()
            )
    return found


def test_nothing_is_dropped_unless_somebody_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    age(shop, 10_000)
    before = shop.state(), cells(shop)
    assert Retention.from_environment().keeps_everything
    assert shop.service().retain(Retention.from_environment(), "keep") == RetentionReport()
    assert (shop.state(), cells(shop)) == before
    monkeypatch.setenv(QUARANTINE_VARIABLE, "30")
    monkeypatch.setenv(UNUSED_BRONZE_VARIABLE, " 7 ")
    assert Retention.from_environment() == Retention(30, 7)
    for wrong in ("0", "-1", "1.5", "week", "²"):
        monkeypatch.setenv(QUARANTINE_VARIABLE, wrong)
        with pytest.raises(ConfigurationError, match=QUARANTINE_VARIABLE):
            Retention.from_environment()


def test_what_is_old_goes_and_a_dry_run_says_what_would(shop: Shop) -> None:
    age(shop, 29)
    assert shop.service().retain(ALL, "young") == RetentionReport()
    age(shop, 31)
    before = shop.state(), cells(shop)
    would = shop.service().retain(ALL, "dry", dry_run=True)
    assert (would.rows_cut, would.deliveries_dropped) == (2, 2)
    assert (shop.state(), cells(shop)) == before
    assert shop.service().retain(ALL, "do") == would
    assert "ten" not in cells(shop)
    assert shop.service().retain(ALL, "again") == RetentionReport()
    # Place, rule and counts of the bad rows stay.
    asked = "select row_number, rule, status from ops.quarantine where row_number is not null order by 1"
    assert shop.query(asked) == [(4, "not_a_number", "open"), (5, "not_a_number", "open")]


def test_a_rebuild_from_bronze_gives_what_is_loaded(shop: Shop) -> None:
    age(shop, 31)
    shop.service().retain(ALL, "do")
    rows = shop.query("select * exclude (_ingested_at) from raw.store_orders order by id")
    bad = shop.query(
        "select row_number, rule, raw_row from ops.quarantine where row_number is not null order by 1"
    )
    shop.home.warehouse.unlink()
    shop.service().reload("rebuilt")
    assert shop.query("select * exclude (_ingested_at) from raw.store_orders order by id") == rows
    assert len(rows) == 3
    again = shop.query(
        "select row_number, rule, raw_row from ops.quarantine where row_number is not null order by 1"
    )
    assert again == bad
    # The record of what is not loaded stays, so the files that still lie there are known.
    report = shop.run()
    assert report.files_loaded == 0
    assert shop.statuses()["away.csv"] == ["withdrawn"]


def test_a_dropped_delivery_says_that_its_rows_are_gone(shop: Shop) -> None:
    age(shop, 31)
    shop.service().retain(Retention(unused_bronze_days=30), "do")
    with pytest.raises(DataRejectedError, match="no rows of it"):
        shop.service().accept(shop.batch_of("away.csv", "withdrawn"), "by-hand")
    assert "ten" in cells(shop)


def test_rows_that_have_lost_their_cells_stay_in_quarantine(shop: Shop) -> None:
    age(shop, 31)
    shop.service().retain(Retention(quarantine_days=30), "do")
    shop.change(entities=[{"entity": "store.orders", "columns": {"total_amount": {"map": {"ten": "10"}}}}])
    shop.service().reload("again")
    assert len(shop.ids()) == 3
    assert shop.query("select rows_accepted, rows_quarantined from ops.load_entity_counts") == [(3, 2)]
