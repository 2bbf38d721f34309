"""How the columns of a file are shown, how a change of them is noticed, and what a change costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import HEADER, Shop, order_line, orders
from validation_cases import check, write_feed

from ingestion.columns import display_names, is_plain
from settings.home import Home

ADDRESS = "jane@example.com"
CARD = "4111111111111111"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home")


@pytest.fixture
def frozen(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home", drift="freeze")


def export(*numbers: int, extra: str = "", without: str = "") -> str:
    """A plain export of orders, with a column more or a column less."""
    names = HEADER.split(",")
    rows = [order_line(number).split(",") for number in numbers]
    table = [[*row, *([extra] if extra else [])] for row in [names, *rows]]
    kept = [position for position, name in enumerate([*names, extra][: len(table[0])]) if name != without]
    return "".join(",".join(row[position] for position in kept) + "\n" for row in table)


# Frozen feeds


def test_a_frozen_feed_takes_a_plain_export_day_after_day(frozen: Shop) -> None:
    """Optional columns of the contract that the sender never had are no change."""
    for day in range(3):
        frozen.deliver(f"{day}.csv", orders(range(10 * day, 10 * day + 3)))
        assert frozen.run().files_loaded == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"extra": "email"}, "'email' is new"),
        ({"extra": "is_loyalty"}, "'is_loyalty' is new"),  # a contract column that begins to have values
        ({"without": "customer_id"}, "'customer_id' is missing"),
    ],
)
def test_a_frozen_feed_rejects_a_new_column_and_a_missing_one(
    frozen: Shop, change: dict[str, str], told: str
) -> None:
    frozen.deliver("a.csv", export(1, 2))
    frozen.run()
    frozen.deliver("b.csv", export(3, 4, **change))
    (result,) = frozen.run().batches
    assert (result.status, result.rule) == ("rejected", "frozen_columns")
    assert told in (result.message or "")
    assert frozen.ids() == ["00001", "00002"]


def test_the_second_of_two_files_in_one_run_is_held_to_the_first(frozen: Shop) -> None:
    frozen.deliver("a.csv", export(1))
    frozen.deliver("b.csv", export(2, extra="note"))
    assert [result.status for result in frozen.run().batches] == ["loaded", "rejected"]


def test_another_order_or_spelling_of_the_columns_is_no_change(frozen: Shop) -> None:
    frozen.deliver("a.csv", export(1))
    frozen.deliver("b.csv", "STATUS,updated_at,id,Customer_Id,total_amount,currency,created_at\n"
                   "paid,,2,c,1.00,USD,2026-02-01 10:00:00\n")  # fmt: skip
    assert frozen.run().files_loaded == 2


def test_a_column_that_nothing_reads_may_go(frozen: Shop) -> None:
    frozen.deliver("a.csv", export(1, extra="note"))
    frozen.deliver("b.csv", export(2))
    assert frozen.run().files_loaded == 2


def test_a_frozen_feed_goes_on_when_the_feed_file_names_the_column(frozen: Shop) -> None:
    frozen.deliver("a.csv", export(1))
    frozen.deliver("b.csv", export(2, extra="member"))
    frozen.run()
    frozen.change(entities=[{"entity": "store.orders", "columns": {"tax_amount": {"constant": ""}}}])
    assert frozen.run().files_rejected == 1
    frozen.change(entities=[{"entity": "store.orders", "columns": {"location_id": {"compose": ["member"]}}}])
    assert frozen.run().files_loaded == 1


def test_an_accepted_file_becomes_what_later_ones_are_compared_with(frozen: Shop) -> None:
    frozen.deliver("a.csv", export(1))
    frozen.deliver("b.csv", export(2, extra="note"))
    (_, rejected) = frozen.run().batches
    assert f"tillhouse accept {rejected.batch_id}" in (rejected.message or "")
    assert frozen.service().accept(rejected.batch_id, "by-hand").status == "loaded"
    frozen.deliver("c.csv", export(3, extra="note"))
    assert frozen.run().files_loaded == 1
    assert frozen.ids() == ["00001", "00002", "00003"]


# Names


@pytest.mark.parametrize(
    "name", ["id", "Order Date", "Amount (EUR)", "größe", "_row", "price/unit", "total_2026"]
)
def test_the_name_of_a_column_is_shown(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize(
    "name", [ADDRESS, CARD, f"visa {CARD}", "+44 20 7946 0018", "DE89 3704 0044 0532", "x" * 61, "", "a\nb"]
)
def test_what_may_be_anybodys_data_is_not(name: str) -> None:
    assert not is_plain(name)


def test_hidden_names_are_told_apart_and_names_of_the_feed_file_are_shown(home: Home) -> None:
    feed = write_feed(home, "store.customers", columns={"region": "@region"})
    names = ["id", ADDRESS, "@region", " ", "column_2"]
    assert display_names(feed, names) == ("id", "column_2_", "@region", "column_4", "column_2")


def test_a_first_row_taken_for_a_header_is_told_nowhere(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Not where the file is refused, nor where its columns are kept aside."""
    caplog.set_level("DEBUG")
    row = "1,{},10.00,USD,2026-02-01 10:00:00,paid\n"
    shop.deliver("headless.csv", row.format(ADDRESS) + row.format("bob@example.com"))
    shop.deliver("twice.csv", f"{ADDRESS},{ADDRESS}\n1,2\n")
    shop.deliver("like.csv", f"id,totl_amount@example.com,{CARD}\n1,2,3\n")
    shop.deliver("good.csv", f"id,total_amount,created_at,status,{ADDRESS},{CARD}\n"
                 "1,1.00,2026-02-01 10:00:00,paid,x,y\n2,ten,2026-02-01 10:00:00,paid,x,y\n")  # fmt: skip
    report = shop.run()
    assert (report.files_loaded, report.files_rejected, report.rows_quarantined) == (1, 3, 1)
    told = caplog.text + repr(report) + str(shop.state())
    assert "example.com" not in told
    assert CARD not in told
    assert shop.query("select _rescued from raw.store_orders") == [('{"column_5":"x","column_6":"y"}',)]
    records = "".join(path.read_text() for path in shop.home.bronze.rglob("batch.json"))
    assert "example.com" not in records


def test_a_damaged_or_odd_name_in_json_lines_is_hidden_too(home: Home) -> None:
    feed = write_feed(home, "store.locations", format="jsonl")
    line = f'{{"location_id":"1","name":"a","{ADDRESS}":"x"}}\n'
    checked = check(home, feed, line.encode())
    assert checked.accepted[0]["_rescued"] == '{"column_3":"x"}'
    assert "column_3" in {event.column_name for event in checked.outcome.drift}


# Renamed columns


def test_a_renamed_optional_column_is_warned_of_by_both_names(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.add_feed("shop_customers", "store.customers")
    shop.deliver("a.csv", "id,mail,signup_date\n1,x,2026-01-01\n", feed="shop_customers")
    (warning,) = shop.run().warnings
    assert "'email'" in warning
    assert "'mail'" in warning
    assert warning in caplog.text


@pytest.mark.parametrize(
    "settings", [{"columns": {"email": "mail"}}, {"columns": {"email": {"constant": ""}}}]
)
def test_a_mapped_or_refused_column_is_no_reason_for_a_warning(
    shop: Shop, settings: dict[str, object]
) -> None:
    shop.add_feed("shop_customers", "store.customers")
    shop.change(1, entities=[{"entity": "store.customers", **settings}])
    shop.deliver("a.csv", "id,mail,signup_date\n1,x,2026-01-01\n", feed="shop_customers")
    assert shop.run().warnings == []


def test_a_renamed_column_with_a_default_is_warned_of_too(shop: Shop) -> None:
    """Without a word the default would stand in every row."""
    shop.add_feed("lines", "store.order_items")
    header = "order_id,line_id,product_id,quantity,unit_price,discount_amt"
    shop.deliver("a.csv", f"{header}\n1,1,p,1,3.00,1.00\n", feed="lines")
    (warning,) = shop.run().warnings
    assert "'discount_amount'" in warning
    assert "'discount_amt'" in warning


def test_another_column_beside_absent_ones_is_no_reason_for_a_warning(shop: Shop) -> None:
    shop.deliver("a.csv", export(1, extra="gift_note"))
    assert shop.run().warnings == []
