"""Which mart is recomputed by which figures, and at which grain the two are laid side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .figures import customers, discounts, facts, inventory, locations, payments, revenue
from .figures.book import Book
from .figures.deliveries import Landed
from .warehouse import Row, Warehouse, differences

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


def compare(compared: Compared, book: Book, landed: Landed, warehouse: Warehouse) -> list[str]:
    """Differences between a mart and the recomputation, in both directions."""
    actual = warehouse.natural_rows(compared.mart, compared.own_key, compared.where)
    return differences(compared.mart, actual, compared.figures(book, landed), compared.grain)


def compare_customers(book: Book, warehouse: Warehouse) -> list[str]:
    """`dim_customer`: e-mail tokens are keyed, so here only whether there is one."""
    actual = warehouse.natural_rows("dim_customer")
    for row in actual:
        row["has_email"] = row.pop("email_token") is not None
    return differences("dim_customer", actual, facts.customers(book), SYSTEM_CUSTOMER)
