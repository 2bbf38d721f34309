"""Each metric equals what the marts hold: recomputed by SQL over them, slice by slice, to the last digit.

The SQL here never reads what MetricFlow reads where a mart holds the figure: daily, weekly and monthly marts answer for
the facts, and facts for what no mart holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from serving.semantic import Grain, MetricQuery, SemanticClient

if TYPE_CHECKING:
    from conftest import SampleRun


@dataclass(frozen=True)
class Case:
    """Metrics by dimensions, and SQL that gives the same columns.

    `marts_periods_alone`: a metric may have more periods than the mart, such as those of a calendar yet to come.
    `may_be_empty`: the sample company need not have any, such as two whole years.
    """

    name: str
    metrics: str
    by: str
    sql: str
    marts_periods_alone: bool = False
    may_be_empty: bool = False

    @property
    def query(self) -> MetricQuery:
        names = self.by.split()
        grain = Grain(names[0]) if names and names[0] in set(Grain) else None
        return MetricQuery(tuple(self.metrics.split()), tuple(names[1:] if grain else names), grain)


def ratio(numerator: str, denominator: str) -> str:
    return f"cast({numerator} as double) / nullif(cast({denominator} as double), 0)"


FULL, DISCOUNTED = "filter (where not is_discounted)", "filter (where is_discounted)"


def start(grain: str, column: str) -> str:
    return f"cast(date_trunc('{grain}', {column}) as date)"


REVENUE = (
    "total_order_amount gross_revenue discounts net_sales refunds net_revenue orders orders_placed units_sold"
    " average_order_value order_conversion_rate average_order_size return_rate unit_return_rate discount_rate"
)
REVENUE_SQL = (
    "sum(total_order_amount), sum(gross_revenue), sum(discounts), sum(net_sales), sum(refunds), sum(net_revenue),"
    " sum(orders), sum(orders_placed), sum(units), "
    + ", ".join(
        (
            ratio("sum(net_sales)", "sum(orders)"),
            ratio("sum(orders)", "sum(orders_placed)"),
            ratio("sum(units)", "sum(orders)"),
            ratio("sum(returned_orders)", "sum(orders)"),
            ratio("sum(returned_units)", "sum(units)"),
            ratio("sum(discounts)", "sum(gross_revenue)"),
        )
    )
)
PLACES = {
    "": "",
    "system": "source_system",
    "location_key": "location_key",
    "region": "region",
    "system region": "source_system, region",
}


def revenue_cases() -> Iterator[Case]:
    for grain in Grain:
        for by, columns in PLACES.items():
            listed = f"{columns}, " if columns else ""
            yield Case(
                f"revenue by {grain} {by}",
                REVENUE,
                f"{grain} {by}",
                f"select {start(grain, 'revenue_date')}, {listed}{REVENUE_SQL} from marts.fct_revenue_daily"
                " left join (select location_key, region from marts.dim_location) using (location_key) group by all",
            )
    yield Case("revenue in all", REVENUE, "", f"select {REVENUE_SQL} from marts.fct_revenue_daily")


SALES = "orders units_sold gross_revenue discounts net_sales average_order_value"
SALES_MARTS = {"day": ("fct_sales_daily", "sales_date"), "week": ("mart_sales_weekly", "week_start"),
               "month": ("mart_sales_monthly", "month_start")}  # fmt: skip


def sales_cases() -> Iterator[Case]:
    for grain, (mart, column) in SALES_MARTS.items():
        yield Case(
            f"sales by {grain}",
            SALES,
            f"{grain} system location_key category day_part",
            f"select {column}, source_system, location_key, category, day_part, orders, units, gross_revenue,"
            f" discounts, net_sales, {ratio('net_sales', 'orders')} from marts.{mart}",
        )
    for by in ("category", "day_part", "category day_part"):
        columns = by.replace(" ", ", ")
        yield Case(
            f"sums of sales by {by}",
            "units_sold gross_revenue discounts net_sales",
            by,
            f"select {columns}, sum(units), sum(gross_revenue), sum(discounts), sum(net_sales)"
            " from marts.fct_sales_daily group by all",
        )
    yield Case(
        "orders by category",
        "orders",
        "month category",
        f"select {start('month', 'order_date')}, category, count(distinct order_key) from marts.fct_order_items"
        " where is_booked group by all",
    )


ORDER_TRAITS = {
    "channel": "sales_channel", "loyalty": "is_loyalty", "discounted": "is_discounted", "currency": "currency",
    "day_part": "day_part", "order_status": "status",
}  # fmt: skip
CUSTOMER_TRAITS = {
    "segment": ("mart_customer_segments", "segment"),
    "clv_tier": ("mart_customer_lifetime_value", "clv_tier"),
    "activity_status": ("mart_churn_indicators", "activity_status"),
    "customer_region": ("dim_customer", "region"),
    "loyalty_member": ("dim_customer", "is_loyalty_member"),
}


def _bridge(trait: str, joined: str) -> str:
    """Booked gross and discounts by the order's month, eligible refunds by the return's, in one slice of the order."""
    return f"""
        with parts as (
            select {start("month", "orders.order_date")} as month, {trait} as trait, orders.gross_amount as gross,
                orders.discount_amount as discount, 0 as refund, orders.order_key
            from marts.fct_orders as orders {joined} where orders.is_booked
            union all
            select {start("month", "returns.return_date")}, {trait}, 0, 0, returns.eligible_refund_amount, null
            from marts.fct_returns as returns inner join marts.fct_orders as orders using (order_key) {joined}
        )
        select month, trait, sum(gross), sum(discount), sum(refund), sum(gross) - sum(discount) - sum(refund),
            count(distinct order_key)
        from parts group by all
    """


def trait_cases() -> Iterator[Case]:
    metrics = "gross_revenue discounts refunds net_revenue orders"
    for name, column in ORDER_TRAITS.items():
        yield Case(f"bridge by {name}", metrics, f"month {name}", _bridge(f"orders.{column}", ""))
    for name, (mart, column) in CUSTOMER_TRAITS.items():
        joined = f"left join marts.{mart} as traits on orders.customer_key = traits.customer_key"
        yield Case(f"bridge by {name}", metrics, f"month {name}", _bridge(f"traits.{column}", joined))
    yield Case(
        "bridge by category",
        "gross_revenue refunds net_revenue",
        "month category",
        f"""
        with parts as (
            select {start("month", "order_date")} as month, category, gross_amount as gross,
                discount_amount as discount, 0 as refund
            from marts.fct_order_items where is_booked
            union all
            select {start("month", "return_date")}, category, 0, 0, eligible_refund_amount from marts.fct_returns
        )
        select month, category, sum(gross), sum(refund), sum(gross) - sum(discount) - sum(refund)
        from parts group by all
        """,
    )


def growth_cases() -> Iterator[Case]:
    for grain in Grain:
        end = {"day": "as_of_date"}.get(grain, f"cast(date_trunc('{grain}', as_of_date + 1) as date) - 1")
        yield Case(
            f"growth by {grain}",
            "revenue_growth_rate",
            f"{grain} system",
            f"""
            with ends as (select source_system, max(order_date) as as_of_date from marts.fct_orders group by 1),
            periods as (
                select source_system, {
                start(grain, "revenue_date")
            } as period, sum(net_revenue) as net_revenue
                from marts.fct_revenue_daily group by all
            )
            select periods.period, source_system, {
                ratio("periods.net_revenue - former.net_revenue", "former.net_revenue")
            } as rate
            from periods inner join ends using (source_system)
            inner join periods as former using (source_system)
            where former.period = periods.period - interval 1 {grain}
                and periods.period + interval 1 {grain} - interval 1 day <= {end} and rate is not null
            """,
            may_be_empty=grain is Grain.YEAR,
        )


def customer_cases() -> Iterator[Case]:
    for grain, active in (
        ("day", "daily_active_customers"), ("week", "weekly_active_customers"), ("month", "monthly_active_customers")
    ):  # fmt: skip
        where = f"from marts.fct_customer_metrics where period_type = '{grain}'"
        yield Case(
            f"customers by {grain}",
            f"{active} new_customers repeat_customers total_customers active_customer_share",
            f"{grain} system",
            "select period_start, source_system, active_customers, new_customers, repeat_customers, total_customers,"
            f" active_customer_share {where}",
            marts_periods_alone=True,
        )
        yield Case(
            f"retention by {grain}",
            "period_retention_rate",
            f"{grain} system",
            f"select period_start, source_system, period_retention_rate {where} and period_retention_rate is not null",
        )
    yield Case(
        "customers by day and location",
        "daily_active_customers new_customers repeat_customers",
        "day location_key",
        "select revenue_date, location_key, customers, new_customers, repeat_customers from marts.fct_revenue_daily"
        " where orders_placed > 0",
    )
    yield Case(
        "new by month and location",
        "new_customers repeat_customers",
        "month location_key",
        f"""
        select {start("month", "order_date")} as month, location_key,
            count(distinct customer_key) filter (
                where {start("month", "customer_first_order_date")} = {start("month", "order_date")}),
            count(distinct customer_key) filter (
                where {start("month", "customer_first_order_date")} < {start("month", "order_date")})
        from (select * replace (case when is_booked then customer_key end as customer_key) from marts.fct_orders)
        group by all
        """,
    )
    for grain, mart, column in (
        ("month", "fct_cohort_ltv", "cohort_month"),
        ("week", "fct_cohort_ltv_weekly", "cohort_week"),
    ):
        horizons = ", ".join(
            f"max({value}) filter (where horizon_days = {days})"
            for value in ("retention_rate", "ltv_per_customer")
            for days in (7, 30, 90)
        )
        yield Case(
            f"cohorts by {grain}",
            "retention_7d retention_30d retention_90d ltv_7d ltv_30d ltv_90d",
            f"{grain} system",
            f"select {column}, source_system, {horizons} from marts.{mart} where mature_customers > 0 group by all",
        )
    yield Case(
        "segments",
        "customers_by_segment",
        "system segment",
        "select source_system, segment, count(*) from marts.mart_customer_segments group by all",
    )
    yield Case(
        "tiers",
        "customers_by_clv_tier average_lifetime_value",
        "system clv_tier",
        f"select source_system, clv_tier, count(*), {ratio('sum(lifetime_value_to_date)', 'count(*)')}"
        " from marts.mart_customer_lifetime_value group by all",
    )
    yield Case(
        "at risk",
        "at_risk_customers at_risk_share",
        "system activity_status",
        "select source_system, activity_status, count(*) filter (where is_at_risk),"
        f" {ratio('count(*) filter (where is_at_risk)', 'count(*)')}"
        " from marts.mart_churn_indicators group by all",
    )
    yield Case(
        "loyalty",
        "repeat_rate average_lifetime_value customers_by_clv_tier",
        "system loyalty_member",
        "select source_system, member_group = 'member', repeat_rate, average_lifetime_value, customers"
        " from marts.mart_loyalty_impact",
    )
    yield Case(
        "revenue of members",
        "loyalty_revenue_share",
        "system",
        "select source_system, revenue_share from marts.mart_loyalty_impact where member_group = 'member'",
    )


def other_cases() -> Iterator[Case]:
    yield Case(
        "locations",
        "orders_per_trading_day orders_per_week location_revenue_share",
        "location_key",
        "select location_key, orders_per_trading_day, orders_per_week, revenue_share"
        " from marts.mart_location_performance",
    )
    yield Case(
        "locations by region",
        "orders_per_trading_day orders_per_week",
        "system region",
        f"select source_system, region, {ratio('sum(orders)', 'sum(trading_days)')},"
        f" {ratio('sum(orders) * 7', 'sum(calendar_days)')}"
        " from marts.mart_location_performance group by all",
    )
    yield Case(
        "discounts",
        "orders gross_revenue discounts net_sales average_order_value discount_rate gross_margin",
        "month system location_key discounted",
        "select month_start, source_system, location_key, is_discounted, orders, gross_revenue, discounts,"
        " net_sales, average_order_value, discount_rate, gross_margin"
        " from marts.mart_discount_effectiveness where orders > 0 or gross_margin is not null",
    )
    yield Case(
        "prices",
        "discounted_order_share full_price_average_order_value discounted_average_order_value",
        "month system",
        "select month_start, source_system,"
        f" {ratio(f'sum(orders) {DISCOUNTED}', 'sum(orders)')},"
        f" {ratio(f'sum(net_sales) {FULL}', f'sum(orders) {FULL}')},"
        f" {ratio(f'sum(net_sales) {DISCOUNTED}', f'sum(orders) {DISCOUNTED}')}"
        " from marts.mart_discount_effectiveness group by all having sum(orders) > 0",
    )
    yield Case(
        "margin",
        "gross_margin gross_margin_rate",
        "month",
        "with parts as ("
        f"select {start('month', 'revenue_date')} as month, sum(net_sales_with_cost) as base,"
        " sum(net_sales_with_cost - refunds_with_cost - cost) as margin, sum(lines_with_cost) as lines,"
        " sum(refunds_with_cost) as refunds from marts.fct_revenue_daily group by 1)"
        f" select month, margin, {ratio('margin', 'base')} from parts where lines > 0 or refunds <> 0",
    )
    payments = "payments_processed payment_amount payment_success_rate average_payment_processing_hours"
    yield Case(
        "payments by day",
        payments,
        "day payment_method",
        "select payment_date, method, succeeded, payment_amount, payment_success_rate, average_processing_hours"
        " from marts.mart_payments_daily",
    )
    yield Case(
        "payments by status",
        "payments_processed payment_amount",
        "payment_status",
        "select status, count(*) filter (where is_succeeded),"
        " coalesce(sum(amount) filter (where is_succeeded), 0) from marts.fct_payments group by all",
    )
    yield Case(
        "reconciliation",
        "unreconciled_orders",
        "month reconciliation",
        f"select {start('month', 'order_date')}, classification,"
        " count(*) filter (where classification <> 'matched') from marts.mart_payment_reconciliation group by all",
    )
    yield Case(
        "alerts",
        "inventory_alerts",
        "product_category",
        "select category, count(*) from marts.mart_inventory_alerts group by all",
        marts_periods_alone=True,
    )
    yield Case(
        "stock",
        "inventory_alerts stockouts average_days_of_cover",
        "",
        """
        with latest as (
            select * from marts.fct_inventory_daily
            qualify row_number() over (partition by product_key order by snapshot_date desc) = 1
        )
        select (select count(*) from marts.mart_inventory_alerts), count(*) filter (where is_stockout),
            cast(sum(cast(days_of_cover as decimal(38, 4))) as double) / count(days_of_cover)
        from latest
        """,
    )
    yield Case(
        "rows",
        "rows_read rows_accepted rows_quarantined quarantine_rate",
        "day feed",
        "select delivery_date, feed, sum(rows_read), sum(rows_accepted), sum(rows_quarantined),"
        f" {ratio('sum(rows_quarantined)', 'sum(rows_read)')}"
        " from quality.quality_file_conservation where status = 'loaded' group by all",
    )
    yield Case(
        "freshness",
        "freshness_hours",
        "feed",
        "select feed, (epoch_us((select max(last_arrived_at) from quality.quality_feed_freshness))"
        " - min(epoch_us(last_arrived_at))) / 3600000000.0 from quality.quality_feed_freshness"
        " group by all",
    )
    yield Case(
        "missing",
        "missing_deliveries",
        "month location_key",
        f"select {start('month', 'missing_date')}, location_key, count(*)"
        " from quality.quality_missing_deliveries group by all",
    )


CASES = [
    *revenue_cases(), *sales_cases(), *trait_cases(), *growth_cases(), *customer_cases(), *other_cases(),
]  # fmt: skip


@pytest.fixture(scope="module")
def client(sample_run: SampleRun) -> Iterator[SemanticClient]:
    with SemanticClient.open(sample_run.home) as opened:
        yield opened


def by_key(rows: list[tuple[Any, ...]], keys: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Figures by slice. A slice in which nothing is may be a row of zeros or no row."""
    found = {row[:keys]: row[keys:] for row in rows}
    assert len(found) == len(rows), "two rows have one key"
    return {key: figures for key, figures in found.items() if any(figures)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_metrics_equal_the_marts(case: Case, client: SemanticClient, sample_run: SampleRun) -> None:
    keys = len(case.by.split())
    expected = by_key(sample_run.query(case.sql), keys)
    assert expected or case.may_be_empty
    found = by_key(client.query(case.query).rows, keys)
    if case.marts_periods_alone:
        found = {key: figures for key, figures in found.items() if key in expected}
    different = {
        key: (found.get(key), expected.get(key))
        for key in found.keys() | expected.keys()
        if found.get(key) != expected.get(key)
    }
    assert not different, (len(different), sorted(different.items(), key=str)[:5], case.metrics)


def test_every_metric_stands_beside_a_mart(client: SemanticClient) -> None:
    compared = {name for case in CASES for name in case.metrics.split()}
    assert compared == set(client.catalogue().public_metrics)


@pytest.mark.minutes
def test_additive_metrics_add_up_over_every_dimension(client: SemanticClient) -> None:
    """A join that repeats or loses rows would show in the sum of the slices."""
    additive = [
        "total_order_amount", "gross_revenue", "discounts", "net_sales", "refunds", "net_revenue", "units_sold",
        "payments_processed", "payment_amount", "unreconciled_orders", "inventory_alerts", "stockouts", "rows_read",
        "rows_accepted", "rows_quarantined", "missing_deliveries", "customers_by_segment", "at_risk_customers",
    ]  # fmt: skip
    totals = {name: client.query(MetricQuery((name,))).rows[0][0] for name in additive}
    dimensions = {name: client.dimensions_of(name) for name in additive}
    for dimension in client.catalogue().dimensions:
        metrics = tuple(name for name in additive if dimension in dimensions[name])
        assert metrics, f"no metric can be asked by {dimension}"
        rows = client.query(MetricQuery(metrics, (dimension,))).rows
        for position, name in enumerate(metrics, start=1):
            assert sum(row[position] or 0 for row in rows) == totals[name], (name, dimension)
