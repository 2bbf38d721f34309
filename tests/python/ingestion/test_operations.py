"""What people ask of the warehouse's memory, and what a spreadsheet gets to see of it."""

from __future__ import annotations

import csv
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from shop import Shop, orders

from ingestion import operations
from ingestion.operations import QuarantineFilter
from ingestion.report import IngestionReport
from ingestion.warehouses import open_warehouse
from settings.errors import BusyError, NotFoundError, UsageError
from settings.home import Home


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two loaded files with bad rows, a rejected file, a repeated one."""
    shop = Shop.at(tmp_path / "home")
    shop.deliver("a.csv", orders(range(3), bad=[8, 9]))
    shop.deliver("b.csv", orders(range(10, 12), bad=[18]))
    shop.deliver("b_again.csv", orders(range(10, 12), bad=[18]))
    shop.deliver("empty.csv", "")
    shop.run()
    return shop


# Runs


def test_a_run_is_written_from_start_to_end(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    operations.start_run(home, "r1", target="duckdb")
    row = operations.run_row(home, "r1")
    assert (row.status, row.target, row.files_seen, row.finished_at) == ("running", "duckdb", 0, None)
    report = IngestionReport(5, 3, 1, 1, 100, 90, 7, 2, 1)
    operations.record_ingestion(home, "r1", report)
    published_at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    operations.finish_run(
        home, "r1", status="succeeded", published_at=published_at, as_of_date=date(2026, 11, 19)
    )
    row = operations.run_row(home, "r1")
    counted = (row.files_seen, row.files_loaded, row.files_duplicate, row.files_rejected, row.rows_read)
    assert counted == (5, 3, 1, 1, 100)
    assert (row.rows_accepted, row.rows_quarantined, row.status) == (90, 7, "succeeded")
    assert row.published_at == published_at.replace(tzinfo=None)
    assert row.as_of_date == date(2026, 11, 19)
    assert row.finished_at is not None
    assert row.finished_at >= row.started_at


def test_a_run_that_begins_again_starts_from_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for _ in range(2):
        operations.start_run(home, "r1", target="duckdb")
    operations.start_run(home, "r2", target="duckdb")
    operations.finish_run(home, "r1", status="failed", message="it's over")
    found = operations.last_runs(home, limit=5).records()
    assert {row["run_id"]: row["status"] for row in found} == {"r1": "failed", "r2": "running"}
    assert len(operations.last_runs(home, limit=1).rows) == 1
    with pytest.raises(NotFoundError):
        operations.run_row(home, "r3")


def test_a_run_that_was_killed_is_called_failed_by_the_next_one(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    operations.start_run(home, "killed", target="duckdb")
    operations.start_run(home, "next", target="duckdb")
    found = {row["run_id"]: row for row in operations.last_runs(home, limit=5).records()}
    assert found["killed"]["status"] == "failed"
    assert "ended before" in found["killed"]["message"]
    assert found["next"]["status"] == "running"


def test_dbt_results_replace_those_of_the_same_run(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    good = ("model.t.a", "model", "a", "success", None, None, 0.5, None)
    bad = ("test.t.b", "test", "b", "fail", "error", 3, 0.1, "Got 3 results")
    operations.record_dbt_results(home, "r1", [good, bad])
    operations.record_dbt_results(home, "r1", [good, bad])
    operations.record_dbt_results(home, "r2", [good])
    assert operations.failed_dbt_results(home, "r1").rows == [
        ("test", "b", "fail", "error", 3, "Got 3 results")
    ]
    operations.record_dbt_results(home, "r1", [])
    assert operations.failed_dbt_results(home, "r1").rows == []
    assert operations.failed_dbt_results(home, "r2").rows == []


# Deliveries


def test_the_ledger_is_told_per_feed_and_per_delivery(shop: Shop) -> None:
    (feed,) = operations.ledger_by_feed(shop.home).records()
    states = {name: feed[name] for name in ("loaded", "rejected", "pending", "withdrawn", "duplicate")}
    assert states == {"loaded": 2, "rejected": 1, "pending": 0, "withdrawn": 0, "duplicate": 1}
    assert (feed["rows_read"], feed["newest_file"]) == (8, "b.csv")
    entries = operations.ledger_entries(shop.home, feed="shop_orders").records()
    assert [entry["object_name"] for entry in entries] == ["empty.csv", "b.csv", "a.csv", "b_again.csv"]
    rejected = operations.ledger_entries(shop.home, status="rejected").records()
    assert [entry["rule"] for entry in rejected] == ["empty"]
    assert len(operations.ledger_entries(shop.home, limit=1).rows) == 1
    with pytest.raises(NotFoundError, match="nobody"):
        operations.ledger_entries(shop.home, feed="nobody")


def test_freshness_and_rows_count_what_is_loaded(shop: Shop) -> None:
    (row,) = operations.freshness(shop.home).records()
    assert (row["feed"], row["entity"], row["rows_accepted"]) == ("shop_orders", "store.orders", 5)
    assert str(row["newest_event_at"]) == "2026-02-01 10:11:00"
    assert str(row["newest_delivery_at"]) == "2026-03-01 06:00:00"
    assert operations.rows_loaded(shop.home) == 5
    shop.service().withdraw(shop.batch_of("b.csv"), "by-hand")
    assert operations.rows_loaded(shop.home) == 3


def test_the_datas_fingerprint_changes_with_what_is_loaded_and_only_then(shop: Shop) -> None:
    fingerprints = [operations.data_fingerprint(shop.home)]
    shop.run()
    operations.start_run(shop.home, "r", target="duckdb")
    assert operations.data_fingerprint(shop.home) == fingerprints[0]
    shop.deliver("c.csv", orders(range(30, 31)))
    shop.run()
    fingerprints.append(operations.data_fingerprint(shop.home))
    shop.service().reload("again")
    fingerprints.append(operations.data_fingerprint(shop.home))
    shop.service().withdraw(shop.batch_of("c.csv"), "by-hand")
    fingerprints.append(operations.data_fingerprint(shop.home))
    assert len(set(fingerprints)) == 4


def test_keys_wait_once_models_follow_deliveries_and_those_that_models_name_are_not_counted(
    shop: Shop,
) -> None:
    assert operations.keys_waiting(shop.home) == 0  # nobody follows yet
    with closing(open_warehouse("duckdb", shop.home)) as warehouse, warehouse.transaction():
        warehouse.execute("insert into state.watermark values ('stg_store__orders', 'raw.store_orders', 0)")
        warehouse.execute(
            "insert into state.changed (source, sequence, key) values ('stg_store__orders', 1, '1')"
        )
    shop.deliver("c.csv", orders(range(20, 24)))
    shop.run()
    assert operations.keys_waiting(shop.home) == 4
    shop.service().withdraw(shop.batch_of("a.csv"), "by-hand")
    assert operations.keys_waiting(shop.home) == 7


# Quarantine


def test_the_quarantine_is_summed_listed_and_shown(shop: Shop) -> None:
    summary = operations.quarantine_summary(shop.home).records()
    found = {(row["rule"], row["rows"], row["files"], row["batches"]) for row in summary}
    rule = shop.query("select distinct rule from ops.quarantine where row_number is not null")[0][0]
    assert found == {("empty", 0, 1, 1), (rule, 3, 0, 2)}
    listed = operations.quarantine_rows(shop.home, QuarantineFilter(rule=rule)).records()
    assert [(row["source_file"], row["row_number"]) for row in listed] == [
        ("a.csv", 4), ("a.csv", 5), ("b.csv", 3),
    ]  # fmt: skip
    batch = shop.batch_of("a.csv")
    row = operations.quarantine_row(shop.home, batch, 5)
    assert (row["source_file"], row["column_name"], row["raw_value"]) == ("a.csv", "total_amount", "ten")
    file_row = operations.quarantine_row(shop.home, shop.batch_of("empty.csv", "rejected"), None)
    assert (file_row["source_file"], file_row["rule"]) == ("empty.csv", "empty")
    with pytest.raises(NotFoundError, match="row 1 is not"):
        operations.quarantine_row(shop.home, batch, 1)


@pytest.mark.parametrize(
    ("only", "rows"),
    [
        (QuarantineFilter(), 4),
        (QuarantineFilter(feed="shop_orders"), 4),
        (QuarantineFilter(feed="other"), 0),
        (QuarantineFilter(entity="store.orders"), 3),
        (QuarantineFilter(rule="empty"), 1),
        (QuarantineFilter(status="released"), 0),
        (QuarantineFilter(status=None), 4),
        (QuarantineFilter(day=date(2000, 1, 1)), 0),
    ],
)
def test_filters_narrow_the_quarantine(shop: Shop, only: QuarantineFilter, rows: int) -> None:
    assert len(operations.quarantine_rows(shop.home, only).rows) == rows
    assert (
        sum(row["rows"] + row["files"] for row in operations.quarantine_summary(shop.home, only).records())
        == rows
    )


@pytest.mark.parametrize(
    ("cell", "exported"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+SUM(1;2)", "'+SUM(1;2)"),
        ("-1+cmd", "'-1+cmd"),
        ("@import", "'@import"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("--5", "'--5"),
        ("-5.00", "-5.00"),
        ("+5", "+5"),
        ("-1.5e3", "-1.5e3"),
        ("-1,50", "-1,50"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("it's", "it's"),
    ],
)
def test_an_export_runs_nothing_in_a_spreadsheet_and_spoils_no_number(
    tmp_path: Path, cell: str, exported: str
) -> None:
    home = Home(tmp_path / "home")
    operations.start_run(home, "r", target="duckdb")
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(
            "insert into ops.quarantine (batch_id, feed, raw_value, status) values ('b', 'f', ?, 'open')",
            [cell],
        )
    target = tmp_path / "it's bad.csv"
    assert operations.export_quarantine(home, target) == 1
    with target.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["raw_value"] == exported
    assert target.stat().st_mode & 0o077 == 0


def test_an_export_that_cannot_be_written_is_told(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        operations.export_quarantine(shop.home, tmp_path / "absent" / "x.csv")


# Without a warehouse


def test_questions_without_a_warehouse_say_how_to_get_one(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    with pytest.raises(NotFoundError, match="no warehouse") as caught:
        operations.last_runs(home)
    assert "tillhouse demo" in caught.value.remedy
    duckdb.connect(str(home.warehouse)).close()
    with pytest.raises(NotFoundError, match="no ledger"):
        operations.ledger_by_feed(home)


def test_a_warehouse_that_is_being_written_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(*_: object, **__: object) -> None:
        raise duckdb.IOException("IO Error: Could not set lock on file")

    monkeypatch.setattr(duckdb, "connect", held)
    with pytest.raises(BusyError, match="another process"):
        operations.last_runs(shop.home)
