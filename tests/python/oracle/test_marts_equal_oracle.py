"""Every row and every column of the marts equals a recomputation straight from the delivered files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .compared_marts import COMPARED, Compared, compare, compare_customers
from .figures.book import Book, build_book
from .figures.deliveries import Landed, read_landing
from .figures.feed_files import read_feeds
from .warehouse import Warehouse, summary

SAMPLE_FEEDS = Path(__file__).resolve().parents[3] / "examples" / "feeds" / "sample.yml"


@pytest.fixture(scope="module")
def landed(sample_run: Any) -> Landed:
    return read_landing(read_feeds(SAMPLE_FEEDS, sample_run.home.root))


@pytest.fixture(scope="module")
def book(landed: Landed) -> Book:
    return build_book(landed.delivered)


@pytest.fixture(scope="module")
def warehouse(sample_run: Any) -> Iterator[Warehouse]:
    with Warehouse(sample_run.published) as opened:
        yield opened


def test_the_rows_of_the_files_are_accounted_for_as_they_were_made(landed: Landed, sample_run: Any) -> None:
    """The contract rules, judged again, find exactly the broken, repeated and excluded rows that were put in."""
    for feed, made in sample_run.truth["totals"].items():
        accounts = [account for (name, _, _), account in landed.accounts.items() if name == feed]
        found = {
            word: sum(getattr(account, word) for account in accounts)
            for word in ("rows_read", "repeated", "excluded", "quarantined")
        }
        assert found == {
            "rows_read": made["rows_delivered"],
            "repeated": made["exact_duplicates"],
            "excluded": made["excluded_rows"],
            "quarantined": sum(made["bad_rows"].values()),
        }, feed


@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.mart)
def test_mart_equals_the_recomputation(
    compared: Compared, book: Book, landed: Landed, warehouse: Warehouse
) -> None:
    assert compared.figures(book, landed), "the sample has nothing to compare here"
    found = compare(compared, book, landed, warehouse)
    assert not found, summary(found)


def test_customers_equal_the_recomputation(book: Book, warehouse: Warehouse) -> None:
    found = compare_customers(book, warehouse)
    assert not found, summary(found)


def test_different_addresses_have_different_tokens(book: Book, warehouse: Warehouse) -> None:
    addresses = {version.text_or_none("email") for version in book.registered.values()} - {None}
    tokens = {row["email_token"] for row in warehouse.rows("dim_customer")} - {None}
    assert len({address.strip().lower() for address in addresses if address}) == len(tokens)
    assert not tokens & addresses


def test_lines_without_a_header_are_kept_apart(book: Book, warehouse: Warehouse) -> None:
    kept = {
        (row["order_id"], row["line_id"]) for row in warehouse.rows("fct_order_items", "has_missing_header")
    }
    assert kept == {(version.text("order_id"), version.text("line_id")) for version in book.orphan_lines}


def test_a_restaurant_item_is_one_product_without_prices(book: Book, warehouse: Warehouse) -> None:
    rows = warehouse.rows("dim_product", "source_system = 'restaurant'")
    sold = {line.product_id for order in book.orders if order.system == "restaurant" for line in order.lines}
    assert sorted(row["product_id"] for row in rows) == sorted(sold)
    assert all(row["product_name"] == row["product_id"] and row["is_current"] for row in rows)
    assert all(row["list_price"] is None and row["unit_cost"] is None for row in rows)


def test_every_edge_that_the_sample_is_for_occurs_in_it(book: Book) -> None:
    """A comparison over data without these cases would prove little."""
    assert any(one.is_eligible for one in book.returns)
    assert any(not one.is_eligible for one in book.returns)
    assert any(order.customer_id is None for order in book.orders)
    assert any(not order.is_booked for order in book.orders)
    assert any(order.order_discount for order in book.orders)
    assert any(line.discount for order in book.orders if order.system == "restaurant" for line in order.lines)
    assert any(interval.valid_to for interval in book.prices.intervals())
