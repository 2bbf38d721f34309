"""Every row and every column of the marts equals a recomputation straight from the delivered files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .figures import customers, discounts, facts, inventory, locations, payments, revenue
from .figures.book import Book, build_book
from .figures.deliveries import Landed, read_landing
from .figures.feed_files import read_feeds
from .warehouse import Row, Warehouse, differences, summary

SAMPLE_FEEDS = Path(__file__).resolve().parents[3] / "examples" / "feeds" / "sample.yml"
Figures = Callable[[Book, Landed], list[Row]]


@dataclass(frozen=True)
class Compared:
    """How one mart is recomputed; `own_key` is a hash that stands for the grain itself."""

    mart: str
    grain: tuple[str, ...]
    figures: Figures
    own_key: str | None = None
    where: str = "true"


def _book(figures: Callable[[Book], list[Row]]) -> Figures:
    return lambda book, _landed: figures(book)


def _with_files(figures: Callable[..., list[Row]]) -> Figures:
    return lambda book, landed: figures(book, landed.delivered)


SYSTEM_CUSTOMER = ("source_system", "customer_id")
SYSTEM_PRODUCT = ("source_system", "product_id")
SYSTEM_LOCATION = ("source_system", "location_id")
SALES = (*SYSTEM_LOCATION, "category", "day_part")

COMPARED = (
    # dimensions and facts
    Compared(
        "dim_product", (*SYSTEM_PRODUCT, "valid_from"), _book(facts.products), "product_version_key",
        "source_system = 'store'",
    ),
    Compared("dim_location", SYSTEM_LOCATION, _book(facts.locations)),
    Compared("fct_orders", ("source_system", "order_id"), _book(facts.orders)),
    Compared(
        "fct_order_items", ("source_system", "order_id", "line_id"), _book(facts.order_items),
        where="not has_missing_header",
    ),
    Compared("fct_returns", ("source_system", "return_id"), _book(facts.returns), "return_key"),
    Compared("fct_payments", ("source_system", "payment_id"), _with_files(facts.payment_facts), "payment_key"),
    # revenue and sales
    Compared("fct_revenue_daily", (*SYSTEM_LOCATION, "revenue_date"), _book(revenue.revenue_daily), "revenue_day_key"),
    Compared("fct_sales_daily", (*SALES, "sales_date"), _book(revenue.sales_daily), "sales_day_key"),
    Compared("mart_sales_weekly", (*SALES, "week_start"), _book(revenue.sales_weekly), "sales_week_key"),
    Compared("mart_sales_monthly", (*SALES, "month_start"), _book(revenue.sales_monthly), "sales_month_key"),
    Compared(
        "mart_peak_periods", (*SYSTEM_LOCATION, "iso_weekday", "hour"), _book(locations.peak_periods),
        "peak_period_key",
    ),
    # customers
    Compared("mart_customer_lifetime_value", SYSTEM_CUSTOMER, _book(customers.lifetime_value)),
    Compared("mart_customer_segments", SYSTEM_CUSTOMER, _book(customers.segments)),
    Compared("mart_churn_indicators", SYSTEM_CUSTOMER, _book(customers.churn_indicators)),
    Compared("fct_cohort_ltv", ("source_system", "cohort_month", "horizon_days"), _book(customers.cohort_ltv)),
    Compared(
        "fct_cohort_ltv_weekly", ("source_system", "cohort_week", "horizon_days"),
        _book(customers.cohort_ltv_weekly),
    ),
    Compared(
        "mart_cohort_triangle", ("source_system", "cohort_month", "month_number"),
        _book(customers.cohort_triangle),
    ),
    Compared(
        "fct_customer_metrics", ("source_system", "period_type", "period_start"),
        _book(customers.customer_metrics),
    ),
    Compared("mart_loyalty_impact", ("source_system", "member_group"), _book(customers.loyalty_impact)),
    Compared("mart_loyalty_orders", ("source_system", "order_group"), _book(customers.loyalty_orders)),
    # locations and discounts
    Compared("mart_location_performance", SYSTEM_LOCATION, _book(locations.location_performance)),
    Compared(
        "mart_discount_effectiveness", (*SYSTEM_LOCATION, "month_start", "is_discounted"),
        _book(discounts.discount_effectiveness),
    ),
    Compared("mart_discount_before_after", SYSTEM_PRODUCT, _book(discounts.discount_before_after)),
    # payments and inventory
    Compared(
        "mart_payments_daily", ("source_system", "payment_date", "method"), _with_files(payments.payments_daily),
        "payment_day_key",
    ),
    Compared(
        "mart_payment_reconciliation", ("source_system", "order_id"),
        _with_files(payments.payment_reconciliation),
    ),
    Compared(
        "fct_inventory_daily", (*SYSTEM_PRODUCT, "snapshot_date"), _with_files(inventory.inventory_daily),
        "inventory_key",
    ),
    Compared("mart_inventory_alerts", SYSTEM_PRODUCT, _with_files(inventory.inventory_alerts)),
)  # fmt: skip


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
    expected = compared.figures(book, landed)
    assert expected, "the sample has nothing to compare here"
    actual = warehouse.natural_rows(compared.mart, compared.own_key, compared.where)
    found = differences(compared.mart, actual, expected, compared.grain)
    assert not found, summary(found)


def test_customers_equal_the_recomputation(book: Book, warehouse: Warehouse) -> None:
    """E-mail tokens are keyed: here only whether there is one, and that different addresses differ."""
    actual = warehouse.natural_rows("dim_customer")
    tokens = [row.pop("email_token") for row in actual]
    for row, token in zip(actual, tokens, strict=True):
        row["has_email"] = token is not None
    found = differences("dim_customer", actual, facts.customers(book), SYSTEM_CUSTOMER)
    assert not found, summary(found)
    addresses = {version.text_or_none("email") for version in book.registered.values()} - {None}
    assert len({address.strip().lower() for address in addresses if address}) == len(set(tokens) - {None})


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
