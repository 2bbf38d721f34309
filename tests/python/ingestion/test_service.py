"""The promises of ingestion, kept over whole runs: files in a folder, rows in a warehouse."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from shop import HEADER, Shop, order_line, orders

from ingestion import discovery, intake, service, session
from ingestion.bronze_store import FolderBronze
from ingestion.engines.duckdb import DuckDBEngine
from ingestion.ledger import Ledger
from ingestion.loader import WarehouseLoader
from settings.errors import ConfigurationError, DataRejectedError, NotFoundError

DATED = {"delivery_time": {"pattern": r"_(\d{8})", "format": "%Y%m%d"}}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home")


# Promise 1 and 5: effectively once


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3), bad=[9]))
    shop.deliver("b.csv", orders(range(3, 5)))
    first = shop.run()
    assert (first.files_seen, first.files_loaded, first.rows_accepted, first.rows_quarantined) == (2, 2, 5, 1)
    before = shop.state()
    second = shop.run()
    assert (second.files_seen, second.files_loaded, second.files_duplicate) == (2, 0, 2)
    assert second.batches == []
    assert shop.state() == before


def test_the_same_content_under_other_names_is_noted_once_per_name_and_loaded_once(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("a_again.csv", orders(range(3)))
    report = shop.run()
    assert (report.files_loaded, report.files_duplicate) == (1, 1)
    shop.deliver("z.csv", orders(range(3)))
    for _ in range(2):
        shop.run()
    assert shop.statuses() == {"a.csv": ["loaded"], "a_again.csv": ["duplicate"], "z.csv": ["duplicate"]}
    assert len(shop.ids()) == 3
    assert shop.query("select distinct duplicate_of from ops.load_ledger where status = 'duplicate'") == [
        (shop.batch_of("a.csv"),)
    ]


def test_the_same_content_in_another_feed_is_another_delivery(shop: Shop) -> None:
    shop.add_feed("other_orders", "store.orders")
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("a.csv", orders(range(3)), feed="other_orders")
    assert shop.run().files_loaded == 2
    assert len(shop.ids()) == 6


def test_changed_content_under_the_same_name_is_a_later_delivery(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(2)))
    shop.run()
    shop.deliver("a.csv", orders(range(2), amount="11.00"))
    shop.run()
    rows = shop.query("select id, total_amount, _load_sequence from raw.store_orders order by 3, 1")
    assert [(row[0], row[2]) for row in rows] == [("00000", 1), ("00001", 1), ("00000", 2), ("00001", 2)]
    assert rows[-1][1] == Decimal("11.0000")


def test_the_gzipped_file_is_another_content_but_its_repetition_is_not(shop: Shop) -> None:
    packed = gzip.compress(orders(range(2)).encode(), mtime=0)
    shop.deliver("a.csv", packed)
    shop.deliver("b.csv", packed)
    report = shop.run()
    assert (report.files_loaded, report.files_duplicate, report.rows_accepted) == (1, 1, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who writes to a file")
def test_a_growing_file_is_left_for_the_next_run_and_takes_no_number(shop: Shop) -> None:
    path = shop.deliver("a.csv", orders(range(2)))
    shop.deliver("c.csv", orders(range(5, 7)))
    with path.open("a") as upload:
        upload.write(order_line(2) + "\n")
        upload.flush()
        report = shop.run()
        assert report.files_loaded == 1
        assert [(item.object_name, item.reason) for item in report.waiting] == [
            ("a.csv", "is still open for writing")
        ]
    report = shop.run()
    assert (report.files_loaded, report.rows_accepted, report.waiting) == (1, 3, [])
    assert shop.statuses() == {"c.csv": ["loaded"], "a.csv": ["loaded"]}


def test_a_file_that_changes_while_it_is_checked_is_forgotten_until_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.deliver("a.csv", orders(range(2)))
    real = DuckDBEngine.validate

    def validate_and_grow(self: DuckDBEngine, request: Any) -> Any:
        outcome = real(self, request)
        with path.open("a") as stream:
            stream.write(order_line(2) + "\n")
        return outcome

    monkeypatch.setattr(DuckDBEngine, "validate", validate_and_grow)
    report = shop.run()
    assert (report.files_loaded, len(report.waiting), report.batches) == (0, 1, [])
    assert shop.statuses() == {}
    assert shop.ids() == []
    monkeypatch.undo()
    assert shop.run().rows_accepted == 3
    assert shop.query("select load_sequence from ops.load_ledger") == [(1,)]


# Promise 2 and 3: nothing is dropped without a count


def test_every_row_is_accounted_for_and_carries_where_it_comes_from(shop: Shop) -> None:
    """Good, bad, repeated and excluded rows of one file, worked out by hand."""
    shop.feeds[0]["entities"][0]["exclude"] = {"customer_id": ["C5"]}
    content = orders([0, 1, 2, 5], bad=[9]) + order_line(1) + "\n"
    shop.deliver("a.csv", content)
    report = shop.run()
    assert (report.rows_read, report.rows_accepted, report.rows_quarantined) == (6, 3, 1)
    assert (report.rows_duplicate, report.rows_excluded) == (1, 1)
    assert report.is_conserved
    lineage = shop.query(
        "select _feed, _batch_id, _load_sequence, _source_file, _row_number, _arrived_at::varchar, _delivery_mode"
        " from raw.store_orders order by _row_number"
    )
    batch = shop.batch_of("a.csv")
    assert lineage == [
        ("shop_orders", batch, 1, "a.csv", row, "2026-03-01 06:00:00", "append") for row in (1, 2, 3)
    ]
    assert shop.query("select row_number, rule is not null, column_name, status from ops.quarantine") == [
        (5, True, "total_amount", "open")
    ]


def test_columns_bind_by_name_and_differences_are_noted(shop: Shop) -> None:
    shop.deliver("a.csv", "status,note,TOTAL_AMOUNT ,id,created_at\npaid,hello,7.50,x1,2026-02-01 10:00:00\n")
    assert shop.run().rows_accepted == 1
    assert shop.query("select id, total_amount, currency, _rescued->>'note' from raw.store_orders") == [
        ("x1", Decimal("7.5000"), "USD", "hello")
    ]
    kinds = set(shop.query("select kind, column_name from ops.drift_events"))
    assert ("column_added", "note") in kinds
    assert ("column_missing", "customer_id") in kinds


def test_two_entities_of_one_file_load_together(shop: Shop) -> None:
    shop.add_feed("sales", "store.orders", "store.order_items")
    shop.deliver(
        "s.csv",
        "id,order_id,line_id,product_id,quantity,unit_price,total_amount,created_at,status\n"
        "1,1,1,p,2,3.00,9.00,2026-02-01 10:00:00,paid\n"
        "1,1,2,q,1,3.00,9.00,2026-02-01 10:00:00,paid\n",
        feed="sales",
    )
    report = shop.run()
    assert report.files_loaded == 1
    assert shop.query("select count(*) from raw.store_order_items") == [(2,)]
    assert shop.ids() == ["1"]
    assert shop.query("select rows_read from ops.load_ledger") == [(2,)]
    assert report.is_conserved


# Promise 4: a bad row costs a row, a bad file a file, too many bad rows the file


@pytest.mark.parametrize(
    ("good", "bad", "loaded"),
    [
        (50, 100, True),  # most of the file, but not more than 100 rows
        (50, 101, False),
        (9_999, 101, True),  # exactly 1 % of 10,100 rows
        (9_998, 101, False),  # just over 1 %
        (14_850, 150, True),  # exactly 1 %; 0.01 × 15,000 in binary floating point is not to be trusted
        (14_849, 150, False),
    ],
)
def test_a_file_is_rejected_whole_only_over_both_limits(
    shop: Shop, good: int, bad: int, loaded: bool
) -> None:
    shop.deliver("a.csv", orders(range(good), bad=range(20_000, 20_000 + bad)))
    report = shop.run()
    assert (report.files_loaded, report.files_rejected) == ((1, 0) if loaded else (0, 1))
    assert len(shop.ids()) == (good if loaded else 0)


def over_threshold(shop: Shop) -> str:
    shop.change(quarantine_threshold={"share": 0.1, "rows": 2})
    shop.deliver("a.csv", orders(range(5), bad=range(10, 13)))
    (result,) = shop.run().batches
    assert (result.status, result.rule) == ("rejected", "quarantine_threshold")
    return result.batch_id


def test_a_rejected_file_leaves_one_line_that_says_why_and_what_to_do(shop: Shop) -> None:
    batch = over_threshold(shop)
    assert shop.ids() == []
    (row,) = shop.query("select batch_id, row_number, source_file, status, message from ops.quarantine")
    assert row[:4] == (batch, None, "a.csv", "open")
    assert "3 of 8 rows" in row[4]
    assert "total_amount" in row[4]
    assert f"tillhouse accept {batch}" in row[4]


def test_an_accepted_file_loads_from_bronze_as_if_it_had_never_been_rejected(
    shop: Shop, tmp_path: Path
) -> None:
    batch = over_threshold(shop)
    shop.remove("a.csv")
    result = shop.service().accept(batch, "by-hand")
    assert (result.status, result.rows_accepted, result.rows_quarantined) == ("loaded", 5, 3)
    lenient = Shop.at(tmp_path / "lenient", quarantine_threshold={"share": 1, "rows": 1000})
    lenient.deliver("a.csv", orders(range(5), bad=range(10, 13)))
    lenient.run()
    accepted, never_rejected = shop.state(), lenient.state()
    released = [row for row in accepted["ops.quarantine"] if row[-1] == "released"]
    assert len(released) == 1
    accepted["ops.quarantine"].remove(released[0])
    assert accepted == never_rejected
    assert shop.service().accept(batch, "again").message == "it is loaded already"
    assert len(shop.ids()) == 5


def test_a_bad_file_costs_only_itself(shop: Shop) -> None:
    shop.deliver("a.csv", b"")
    shop.deliver("b.csv", b"id,amount\n\xff\xfe\xfa,1\n")
    shop.deliver("c.csv", "id,status\n1,paid\n")
    shop.deliver("d.csv", "<html>504</html>")
    shop.deliver("e.csv", gzip.compress(orders(range(3)).encode())[:-3])
    shop.deliver("good.csv", orders(range(3)))
    report = shop.run()
    assert (report.files_loaded, report.files_rejected) == (1, 5)
    rules = {result.object_name: result.rule for result in report.batches if result.status == "rejected"}
    assert rules == {
        "a.csv": "empty",
        "b.csv": "encoding",
        "c.csv": "missing_column",
        "d.csv": "not_delimited",
        "e.csv": "truncated_gzip",
    }
    assert all(
        "What to do" in (result.message or "") for result in report.batches if result.status == "rejected"
    )
    assert report.blocking == []
    assert not list((shop.home.bronze / "shop_orders").glob("*/*.parquet.tmp"))
    again = shop.run()
    assert (again.files_rejected, again.files_duplicate) == (0, 6)


def test_a_rejected_file_is_tried_again_when_its_feed_is_corrected(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)).replace(",", ";"))
    assert shop.run().files_rejected == 1
    shop.change(delimiter=";")
    report = shop.run()
    assert (report.files_loaded, report.rows_accepted) == (1, 3)
    assert shop.query("select load_sequence, status from ops.load_ledger") == [(1, "loaded")]
    assert shop.query("select status from ops.quarantine") == [("released",)]


def test_a_name_without_the_declared_delivery_time_is_rejected(shop: Shop) -> None:
    shop.change(**DATED)
    shop.deliver("orders_20260201.csv", orders(range(2)))
    shop.deliver("orders_latest.csv", orders(range(5, 6)))
    report = shop.run()
    assert report.files_loaded == 1
    (rejected,) = [result for result in report.batches if result.status == "rejected"]
    assert (rejected.object_name, rejected.rule) == ("orders_latest.csv", "delivery_time")
    assert shop.run().files_rejected == 0


def test_withdrawing_takes_rows_and_quarantine_and_the_next_run_leaves_it_so(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    before = shop.state(ledger=False)
    shop.deliver("b.csv", orders(range(10, 12), bad=[20]))
    shop.run()
    whole = shop.state()
    batch = shop.batch_of("b.csv")
    assert shop.service().withdraw(batch, "by-hand").status == "withdrawn"
    assert shop.state(ledger=False) == before
    assert shop.run().files_loaded == 0
    shop.deliver("b_again.csv", orders(range(10, 12), bad=[20]))
    assert shop.run().files_duplicate == 3
    assert shop.state(ledger=False) == before
    shop.service().accept(batch, "by-hand")
    assert shop.state(ledger=False) == {
        name: rows for name, rows in whole.items() if name != "ops.load_ledger"
    }
    assert shop.service().withdraw(batch, "by-hand").status == "withdrawn"
    assert shop.service().withdraw(batch, "by-hand").message == "it was withdrawn before"


def test_a_file_withdrawn_after_its_mapping_was_corrected_loads_again_with_the_new_one(shop: Shop) -> None:
    """The documented order: correct the feed file, withdraw the batch, run."""
    shop.deliver("a.csv", orders(range(3), amount="1000"))
    shop.run()
    cents = {"total_amount": {"column": "total_amount", "unit": "cents"}}
    shop.change(entities=[{"entity": "store.orders", "columns": cents}])
    shop.service().withdraw(shop.batch_of("a.csv"), "by-hand")
    assert shop.run().files_loaded == 1
    assert shop.query("select distinct total_amount, _load_sequence from raw.store_orders") == [
        (Decimal("10.0000"), 1)
    ]
    assert shop.run().files_loaded == 0


def test_withdrawing_without_its_feed_file_says_that_the_file_stays_out(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    shop.change(business_timezone="Europe/Berlin")
    result = service.IngestionService(shop.home, ()).withdraw(shop.batch_of("a.csv"), "by-hand")
    assert "`tillhouse accept`" in str(result.message)
    shop.run()
    assert shop.statuses() == {"a.csv": ["withdrawn"]}


def test_a_withdrawn_file_stays_out_when_its_feed_changes_later(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    shop.service().withdraw(shop.batch_of("a.csv"), "by-hand")
    shop.change(null_words=["NULL"])
    assert shop.run().files_loaded == 0
    assert shop.ids() == []


def test_accept_and_withdraw_say_what_they_cannot_do(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(3)))
    shop.deliver("empty.csv", "")
    shop.run()
    duplicate, empty = shop.batch_of("b.csv", "duplicate"), shop.batch_of("empty.csv", "rejected")
    original = shop.batch_of("a.csv")
    for action in (shop.service().accept, shop.service().withdraw):
        with pytest.raises(DataRejectedError, match="repeats batch") as caught:
            action(duplicate, "by-hand")
        assert original in caught.value.remedy
        with pytest.raises(NotFoundError):
            action("no-such-batch", "by-hand")
    with pytest.raises(DataRejectedError, match="refused"):
        shop.service().accept(empty, "by-hand")
    assert shop.service().withdraw(empty, "by-hand").status == "withdrawn"
    assert shop.query("select count(*) from ops.quarantine") == [(0,)]


# Replacing


@pytest.fixture
def replacing(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home", same_name="replace")


def test_a_changed_file_replaces_the_former_of_its_name(replacing: Shop) -> None:
    shop = replacing
    shop.deliver("a.csv", orders(range(3), bad=[9]))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    shop.deliver("a.csv", orders(range(1, 5)))
    shop.run()
    assert shop.ids() == ["00001", "00002", "00003", "00004", "00010", "00011"]
    assert shop.statuses() == {"a.csv": ["withdrawn", "loaded"], "b.csv": ["loaded"]}
    assert shop.query("select count(*) from ops.quarantine") == [(0,)]
    before = shop.state()
    shop.run()
    assert shop.state() == before


def test_a_rejected_successor_leaves_the_former_file_in_place(replacing: Shop) -> None:
    shop = replacing
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    shop.deliver("a.csv", "")
    assert shop.run().files_rejected == 1
    assert len(shop.ids()) == 3


def test_a_file_that_goes_back_to_its_former_content_is_loaded_again_as_the_latest(replacing: Shop) -> None:
    shop = replacing
    for amount in ("1.00", "2.00", "1.00"):
        shop.deliver("a.csv", orders(range(2), amount=amount))
        shop.run()
    assert shop.statuses() == {"a.csv": ["withdrawn", "withdrawn", "loaded"]}
    assert shop.query("select distinct total_amount, _load_sequence from raw.store_orders") == [
        (Decimal("1.0000"), 3)
    ]
    assert shop.run().files_loaded == 0


def test_content_stays_as_long_as_one_name_still_delivers_it(replacing: Shop) -> None:
    """Two names, one content; when the first moves on, the second still stands for its rows."""
    shop = replacing
    shop.deliver("a.csv", orders(range(2)))
    shop.deliver("b.csv", orders(range(2)))
    shop.run()
    assert shop.ids() == ["00000", "00001"]
    shop.deliver("a.csv", orders(range(5, 6)))
    shop.run()
    assert shop.ids() == ["00000", "00001", "00005"]
    shop.deliver("b.csv", orders(range(5, 6)))
    shop.run()
    assert shop.ids() == ["00005"]
    shop.run()
    assert shop.ids() == ["00005"]


def test_an_older_version_cannot_be_accepted_over_the_newer_one(replacing: Shop) -> None:
    shop = replacing
    shop.deliver("a.csv", orders(range(2)))
    shop.run()
    old = shop.batch_of("a.csv")
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    with pytest.raises(DataRejectedError, match="newer file"):
        shop.service().accept(old, "by-hand")


# Numbers and replay


def test_deliveries_out_of_order_sort_by_their_stated_time_not_by_arrival(tmp_path: Path) -> None:
    files = {f"orders_2026020{day}.csv": orders(range(3), amount=f"{day}.00") for day in (1, 2, 3)}
    together = Shop.at(tmp_path / "together", **DATED)
    for name, content in files.items():
        together.deliver(name, content)
    together.run()
    apart = Shop.at(tmp_path / "apart", **DATED)
    for name in ("orders_20260202.csv", "orders_20260203.csv", "orders_20260201.csv"):
        apart.deliver(name, files[name])
        apart.run()
    assert apart.state() == together.state()
    numbers = apart.query("select object_name, load_sequence from ops.load_ledger order by load_sequence")
    assert [name for name, _ in numbers] == sorted(files)
    end_of_day = datetime(2026, 2, 2, tzinfo=UTC)
    assert numbers[0][1] == int(end_of_day.timestamp()) * 1000


def test_a_reload_from_bronze_gives_the_same_rows_without_the_landing_files(shop: Shop) -> None:
    shop.change(same_name="replace")
    shop.deliver("a.csv", orders(range(3), bad=[9]))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    shop.deliver("a.csv", orders(range(4), bad=[9]))
    shop.run()
    before = shop.state()
    shutil.rmtree(shop.home.landing / "shop_orders")
    report = shop.service().reload("again")
    assert (report.files_loaded, report.rows_accepted, report.rows_quarantined) == (2, 6, 1)
    assert shop.state() == before
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute("drop table raw.store_orders")
        connection.execute("delete from ops.quarantine")
    shop.service().reload("again", feed="shop_orders")
    assert shop.state() == before


def test_a_lost_warehouse_comes_back_from_bronze_under_the_same_numbers(shop: Shop) -> None:
    shop.change(quarantine_threshold={"share": 0.1, "rows": 2})
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    shop.deliver("rejected.csv", orders(range(5), bad=range(20, 25)))
    shop.deliver("withdrawn.csv", orders(range(40, 42)))
    shop.run()
    shop.service().withdraw(shop.batch_of("withdrawn.csv"), "by-hand")
    before = shop.state()
    file_rows = [row for row in before["ops.quarantine"] if row[5] is None]
    shop.home.warehouse.unlink()
    shop.service().reload("rebuild")
    after = shop.state()
    assert len(file_rows) == 1
    before["ops.quarantine"].remove(file_rows[0])
    assert after == before
    assert shop.run().files_loaded == 0


def test_after_a_lost_warehouse_what_was_not_asked_for_is_not_taken_for_loaded(shop: Shop) -> None:
    shop.add_feed("other_orders", "store.orders")
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(10, 12)), feed="other_orders")
    shop.deliver("gone.csv", orders(range(20, 22)), feed="other_orders")
    shop.run()
    before = shop.state()
    shop.home.warehouse.unlink()
    shop.remove("gone.csv", feed="other_orders")
    shop.service().reload("one feed", feed="shop_orders")
    assert shop.statuses("other_orders") == {"b.csv": ["pending"], "gone.csv": ["pending"]}
    report = shop.run()
    assert (report.files_loaded, report.waiting) == (2, [])
    assert shop.state() == before


def test_after_a_lost_warehouse_a_damaged_record_costs_only_its_delivery(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    damaged = shop.batch_of("a.csv")
    (shop.home.bronze / "shop_orders" / damaged / "batch.json").write_text("{")
    before = shop.state()
    shop.home.warehouse.unlink()
    report = shop.service().reload("rebuild")
    assert [(batch.batch_id, batch.rule) for batch in report.blocking] == [(damaged, "bronze")]
    assert shop.ids() == ["00010", "00011"]
    shop.run()
    assert [row[0] for row in before["raw.store_orders"]] == shop.ids()


def test_after_a_lost_warehouse_a_rejected_file_still_follows_its_corrected_feed(shop: Shop) -> None:
    shop.change(quarantine_threshold={"share": 0.1, "rows": 2})
    shop.deliver("rejected.csv", orders(range(5), bad=range(20, 25)))
    shop.run()
    shop.home.warehouse.unlink()
    shop.service().reload("rebuild")
    shop.change(quarantine_threshold={"share": 0.9, "rows": 2})
    shop.run()
    assert shop.statuses() == {"rejected.csv": ["loaded"]}


def test_one_batch_or_one_feed_is_replayed_and_unknown_ones_are_told(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    report = shop.service().reload("again", batch_id=shop.batch_of("b.csv"))
    assert [result.object_name for result in report.batches] == ["b.csv"]
    with pytest.raises(NotFoundError):
        shop.service().reload("again", feed="nobody")
    shop.service().withdraw(shop.batch_of("b.csv"), "by-hand")
    with pytest.raises(DataRejectedError, match="nothing to replay"):
        shop.service().reload("again", batch_id=shop.batch_of("b.csv", "withdrawn"))


def test_a_damaged_bronze_copy_costs_only_its_delivery(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(10, 12)))
    shop.run()
    before = shop.state(ledger=False)
    (parquet,) = (shop.home.bronze / "shop_orders" / shop.batch_of("a.csv")).glob("store.orders.parquet")
    parquet.write_bytes(b"PAR1 not any more")
    report = shop.service().reload("again")
    assert [result.status for result in report.batches] == ["failed", "loaded"]
    assert [result.object_name for result in report.blocking] == ["a.csv"]
    assert shop.state(ledger=False) == before


# Promise 6: after a crash at any point the next run gives the state that no crash would have given


class PowerCut(BaseException):
    """Ends the process as far as the code can tell."""


def cut(after: int, real: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    calls = 0

    def crashing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after and before:
            raise PowerCut
        result = real(*arguments, **named)
        if calls == after:
            raise PowerCut
        return result

    return crashing


WHILE_LOADING: list[tuple[Any, str, bool]] = [
    (FolderBronze, "keep", True),
    (FolderBronze, "keep", False),
    (WarehouseLoader, "_insert_entity", False),
    (Ledger, "update", False),
    (session.Session, "load", False),
]
ANYWHERE: list[tuple[Any, str, bool]] = [
    *WHILE_LOADING,
    (discovery.Discovery, "write", True),
    (Ledger, "insert", False),
    (intake.Intake, "_take", True),
    (intake, "inspect_candidate", False),
    (DuckDBEngine, "validate", False),
    (WarehouseLoader, "_insert_counts", False),
    (Ledger, "record_attempt", True),
    (WarehouseLoader, "reject", False),
    (intake.Intake, "_take", False),
]


def day_one(shop: Shop) -> None:
    shop.deliver("m.csv", orders(range(3), bad=[9]))
    shop.deliver("n.csv", orders(range(2), amount="12.00"))
    shop.deliver("o.csv", "")


def day_two(shop: Shop) -> None:
    """A file that sorts before those that a crash may have left, and one that replaces a former."""
    shop.deliver("a.csv", orders(range(5), amount="13.00"))
    shop.deliver("m.csv", orders(range(3), amount="14.00"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The state after two days on which nothing went wrong."""
    shop = Shop.at(tmp_path_factory.mktemp("straight") / "home", same_name="replace")
    for deliver in (day_one, day_two):
        deliver(shop)
        shop.run()
    return shop.state()


@pytest.mark.parametrize(
    ("crash_on", "point"),
    [*((day_one, point) for point in ANYWHERE), *((day_two, point) for point in WHILE_LOADING)],
    ids=lambda value: getattr(value, "__name__", None) or f"{value[1]}-{'before' if value[2] else 'after'}",
)
def test_a_crash_at_any_point_ends_in_the_state_of_no_crash(
    replacing: Shop,
    monkeypatch: pytest.MonkeyPatch,
    straight: dict[str, list[tuple[Any, ...]]],
    crash_on: Callable[[Shop], None],
    point: tuple[Any, str, bool],
) -> None:
    owner, name, before = point
    for deliver in (day_one, day_two):
        deliver(replacing)
        if deliver is crash_on:
            monkeypatch.setattr(owner, name, cut(1, getattr(owner, name), before=before))
            with pytest.raises(PowerCut):
                replacing.run()
            monkeypatch.undo()
        replacing.run()
    assert replacing.state() == straight
    assert list((replacing.home.root / service.WORK_FOLDER).glob("*")) == []


def test_a_file_that_arrives_between_crash_and_rerun_does_not_take_the_earlier_numbers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.deliver("m.csv", orders(range(3)))
    shop.deliver("n.csv", orders(range(3, 5)))
    monkeypatch.setattr(DuckDBEngine, "validate", cut(1, DuckDBEngine.validate, before=True))
    with pytest.raises(PowerCut):
        shop.run()
    monkeypatch.undo()
    shop.deliver("a.csv", orders(range(8, 9)))
    shop.run()
    assert shop.query("select object_name from ops.load_ledger order by load_sequence") == [
        ("m.csv",), ("n.csv",), ("a.csv",),
    ]  # fmt: skip


def test_a_pending_file_that_was_renamed_or_lost_is_taken_up_or_reported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.deliver("m.csv", orders(range(3)))
    shop.deliver("n.csv", orders(range(3, 5)))
    monkeypatch.setattr(DuckDBEngine, "validate", cut(1, DuckDBEngine.validate, before=True))
    with pytest.raises(PowerCut):
        shop.run()
    monkeypatch.undo()
    shop.remove("n.csv")
    (shop.home.landing / "shop_orders" / "m.csv").rename(shop.home.landing / "shop_orders" / "renamed.csv")
    report = shop.run()
    assert report.files_loaded == 1
    assert shop.query("select distinct _source_file, _load_sequence from raw.store_orders") == [("m.csv", 1)]
    (waiting,) = report.waiting
    assert waiting.object_name == "n.csv"
    assert "withdraw" in waiting.reason
    shop.service().withdraw(shop.batch_of("n.csv", "pending"), "by-hand")
    assert shop.run().waiting == []


@pytest.mark.parametrize("same_name", ["new_delivery", "replace"])
@pytest.mark.parametrize("then", ["gone", "as it was before"])
def test_a_killed_load_is_made_good_where_its_content_lies_there_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_name: str, then: str
) -> None:
    """Bronze has all of it, and the file's later fate must not depend on whether a run was killed."""
    straight = Shop.at(tmp_path / "straight", same_name=same_name)
    killed = Shop.at(tmp_path / "killed", same_name=same_name)
    for shop in (straight, killed):
        shop.deliver("m.csv", orders(range(3)))
        shop.run()
        shop.deliver("m.csv", orders(range(2, 6), bad=[9]))
        if shop is killed:
            monkeypatch.setattr(FolderBronze, "keep", cut(1, FolderBronze.keep, before=False))
            with pytest.raises(PowerCut):
                shop.run()
            monkeypatch.undo()
        else:
            shop.run()
        if then == "gone":
            shop.remove("m.csv")
        else:
            shop.deliver("m.csv", orders(range(3)))
        shop.run()
    assert killed.state() == straight.state()
    assert killed.run().batches == []


def test_a_fault_of_the_engine_costs_its_file_and_tells_nothing_of_the_data(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", orders(range(3, 5)))
    real = DuckDBEngine.validate

    def fail_on_a(self: DuckDBEngine, request: Any) -> Any:
        if request.facts.object_name == "a.csv":
            raise duckdb.InternalException("row 7: bob@example.com")
        return real(self, request)

    monkeypatch.setattr(DuckDBEngine, "validate", fail_on_a)
    report = shop.run()
    assert report.files_loaded == 1
    assert [(result.object_name, result.status) for result in report.blocking] == [("a.csv", "failed")]
    assert "bob" not in caplog.text + str(report)
    monkeypatch.undo()
    assert shop.run().files_loaded == 1


@pytest.mark.parametrize("small", [0, 400, 1 << 20])
def test_checking_ahead_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, small: int, tmp_path: Path
) -> None:
    """Small and large files in any mixture load in their order, with their own rows and faults."""
    deliveries = {
        f"{name}.csv": orders(range(start, start + size), bad=[start + 900] if start % 2 else [])
        for name, start, size in (
            ("a", 0, 2),
            ("b", 1000, 40),
            ("c", 2001, 3),
            ("d", 3000, 1),
            ("f", 4001, 50),
        )
    }
    deliveries["e.csv"] = "<html>"
    straight = Shop.at(tmp_path / "straight")
    for target in (straight, shop):
        for name, content in deliveries.items():
            target.deliver(name, content)
    monkeypatch.setattr(intake, "SMALL_FILE_BYTES", -1)
    straight.run()
    monkeypatch.setattr(intake, "SMALL_FILE_BYTES", small)
    assert [result.object_name for result in shop.run().batches] == sorted(deliveries)
    assert shop.state() == straight.state()


# Required feeds


def test_a_required_feed_that_never_delivered_blocks(shop: Shop) -> None:
    shop.change(required=True)
    shop.add_feed("shop_payments", "store.payments")
    (missing,) = shop.run().blocking
    assert (missing.status, missing.feed, missing.rule) == ("missing", "shop_orders", "missing_delivery")
    shop.deliver("a.csv", orders(range(3)))
    assert shop.run().blocking == []


def test_a_required_feed_blocks_while_its_newest_delivery_is_rejected(shop: Shop) -> None:
    shop.change(required=True)
    shop.deliver("a.csv", orders(range(3)))
    shop.run()
    shop.deliver("b.csv", "")
    for _ in range(2):
        (result,) = shop.run().blocking
        assert (result.object_name, result.rule) == ("b.csv", "empty")
    shop.deliver("c.csv", orders(range(3, 5)))
    assert shop.run().blocking == []


def test_a_dismissed_rejection_no_longer_blocks(shop: Shop) -> None:
    shop.change(required=True)
    shop.deliver("a.csv", orders(range(3)))
    shop.deliver("b.csv", "")
    (result,) = shop.run().blocking
    shop.service().withdraw(result.batch_id, "by-hand")
    assert shop.run().blocking == []


def test_a_required_feed_blocks_while_it_lacks_the_newest_day_of_its_company(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", required=True, **DATED)
    shop.add_feed("shop_customers", "store.customers", **DATED)
    customers = "id,signup_date\n1,2026-01-01\n"
    shop.deliver("orders_20260201.csv", orders(range(3)))
    shop.deliver("customers_20260201.csv", customers, feed="shop_customers")
    assert shop.run().blocking == []
    shop.deliver("customers_20260202.csv", customers + "2,2026-01-02\n", feed="shop_customers")
    (missing,) = shop.run().blocking
    assert (missing.status, missing.feed) == ("missing", "shop_orders")
    assert "2026-02-02" in (missing.message or "")
    shop.deliver("orders_20260202.csv", orders(range(3, 5)))
    assert shop.run().blocking == []


# Manifests, folders, engines


def test_a_file_waits_for_its_manifest_and_is_held_to_it(shop: Shop) -> None:
    shop.change(glob="*", manifest={"suffix": ".json"})
    shop.deliver("a.csv", orders(range(3)))
    report = shop.run()
    assert (report.files_loaded, report.waiting[0].reason) == (0, "its manifest has not arrived")
    shop.deliver("a.csv.json", json.dumps({"rows": 3, "delivered_at": "2026-02-05T00:00:00Z"}))
    shop.deliver("b.csv", orders(range(3, 5)))
    shop.deliver("b.csv.json", json.dumps({"rows": 3}))
    report = shop.run()
    assert (report.files_seen, report.files_loaded, report.files_rejected) == (2, 1, 1)
    assert shop.query(
        "select load_sequence, delivered_at::varchar from ops.load_ledger where status = 'loaded'"
    ) == [(int(datetime(2026, 2, 5, tzinfo=UTC).timestamp()) * 1000, "2026-02-05 00:00:00")]


def test_a_folder_below_home_may_be_missing_another_may_not(shop: Shop, tmp_path: Path) -> None:
    (shop.home.landing / "shop_orders").rmdir()
    assert shop.run().files_seen == 0
    shop.change(location=f"file://{tmp_path}/typo")
    with pytest.raises(ConfigurationError, match="does not exist"):
        shop.run()
    shop.add_feed("shop_payments", "store.payments")
    report = shop.run()
    assert "typo" in report.warnings[0]
    assert report.blocking == []
    shop.change(required=True)
    (missing,) = shop.run().blocking
    assert (missing.feed, missing.status) == ("shop_orders", "missing")


def test_a_place_or_an_engine_that_does_not_exist_is_told_before_anything_happens(shop: Shop) -> None:
    with pytest.raises(ConfigurationError):
        service.IngestionService(shop.home, [], engine="abacus").ingest("run")
    with pytest.raises(ConfigurationError):
        service.IngestionService(shop.home, [], target="oracle").ingest("run")
    shop.change(location="gdrive://folder")
    with pytest.raises(ConfigurationError, match="gdrive://"):
        shop.run()


def test_warnings_tell_of_empty_files_and_contradictions(shop: Shop) -> None:
    shop.deliver("empty.csv", HEADER + "\n")
    shop.deliver("twice.csv", orders([1]) + order_line(1, amount="11.00") + "\n")
    report = shop.run()
    assert report.files_loaded == 2
    assert any("empty.csv" in text and "no rows" in text for text in report.warnings)
    assert any("twice.csv" in text and "contradict" in text for text in report.warnings)


def test_nothing_of_a_customers_address_reaches_warehouse_log_or_report(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the address stands in a row that goes to quarantine, or in a file that is refused."""
    shop.add_feed("shop_customers", "store.customers")
    rows = "1,bob@example.com,2026-01-01\n2,bob@example.com,not a date\n"
    shop.deliver("a.csv", "id,email,signup_date\n" + rows, feed="shop_customers")
    shop.deliver("b.csv", rows, feed="shop_customers")
    caplog.set_level("DEBUG")
    report = shop.run()
    assert (report.files_loaded, report.files_rejected, report.rows_quarantined) == (1, 1, 1)
    assert "bob" not in caplog.text + repr(report) + str(shop.state())
    assert b"bob@" not in shop.home.warehouse.read_bytes()
    assert not list((shop.home.root / service.WORK_FOLDER).glob("*"))
