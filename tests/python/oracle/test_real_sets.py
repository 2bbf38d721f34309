"""Every figure that came with the two public sets is exact in the published marts, by feed file and no code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.run import run_daily
from settings.home import PROJECT_ROOT, Home

from .feeds_of_public_sets import public_sets
from .pipeline import environment_of

CENTS = Decimal("0.01")


class Published:
    """Reads of one published warehouse."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        (row,) = self.rows(sql)
        return row[0] if len(row) == 1 else row


def published(root: Path, name: str, file: str, as_of: date | None) -> Home:
    """What `tillhouse run --feeds examples/feeds/<name>.yml` publishes from the set's file."""
    source = public_sets() / name / file
    home = Home(root / "home")
    (home.landing / name).mkdir(parents=True)
    shutil.copy(source, home.landing / name / file)
    with environment_of(home):
        run_daily(home, feeds=PROJECT_ROOT / "examples" / "feeds" / f"{name}.yml", as_of=as_of)
    return home


def expected(name: str) -> dict[str, Any]:
    text = (public_sets() / name / "expected.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return document


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("cdnow")
    home = published(folder, "cdnow_sample", "CDNOW_sample.txt", date(1998, 6, 30))
    with duckdb.connect(str(home.published), read_only=True) as connection:
        yield Published(connection)


@pytest.fixture(scope="module")
def pizzaplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    home = published(tmp_path_factory.mktemp("pizzaplace"), "pizzaplace", "pizzaplace.csv", None)
    with duckdb.connect(str(home.published), read_only=True) as connection:
        yield Published(connection)


# CDNOW


def test_cdnow_totals(cdnow: Published) -> None:
    figures = expected("cdnow_sample")
    assert cdnow.one("select count(*) from marts.mart_customer_lifetime_value") == figures["customers"]
    assert cdnow.one("select count(*) from marts.dim_customer") == figures["customers"]
    assert cdnow.one("select count(*) from marts.fct_orders where is_booked") == figures["orders"]
    for mart, column in (
        ("fct_orders", "net_sales_amount"),
        ("fct_revenue_daily", "net_revenue"),
        ("mart_customer_lifetime_value", "lifetime_value_to_date"),
        ("mart_cohort_triangle", "net_revenue"),
    ):
        assert cdnow.one(f"select sum({column}) from marts.{mart}") == Decimal(figures["net"]), mart


@pytest.mark.parametrize(
    ("figure", "mart", "word", "amount"),
    [
        ("clv_tier", "mart_customer_lifetime_value", "clv_tier", "lifetime_value_to_date"),
        ("segments", "mart_customer_segments", "segment", "monetary"),
    ],
)
def test_cdnow_tiers_and_segments(cdnow: Published, figure: str, mart: str, word: str, amount: str) -> None:
    found = cdnow.rows(f"select {word}, count(*), sum({amount}) from marts.{mart} group by 1")
    assert {name: [count, str(money.quantize(CENTS))] for name, count, money in found} == expected(
        "cdnow_sample"
    )[figure]


@pytest.mark.parametrize("score", ["r_score", "f_score", "m_score"])
def test_cdnow_scores(cdnow: Published, score: str) -> None:
    found = cdnow.rows(f"select {score}, count(*) from marts.mart_customer_segments group by 1")
    assert {str(value): count for value, count in found} == expected("cdnow_sample")[score]


def test_cdnow_churn(cdnow: Published) -> None:
    figures = expected("cdnow_sample")
    churn = "marts.mart_churn_indicators"
    assert (
        cdnow.one("select sum(recency_days) from marts.mart_customer_segments") == figures["sum_recency_days"]
    )
    assert cdnow.one(f"select sum(days_since_last_order) from {churn}") == figures["sum_recency_days"]
    assert cdnow.one(f"select count(*) from {churn} where is_at_risk") == figures["at_risk_gt_45"]
    assert (
        cdnow.one(f"select count(*) from {churn} where days_since_last_order > 90") == figures["lapsed_gt_90"]
    )
    # The set says "at_risk" for the customers of 46 to 90 days, which the marts call slowing.
    found = dict(cdnow.rows(f"select activity_status, count(*) from {churn} group by 1"))
    told = {"slowing" if word == "at_risk" else word: count for word, count in figures["activity"].items()}
    assert found == told
    count, mean = cdnow.one(
        f"select count(average_days_between_orders), avg(average_days_between_orders) from {churn}"
    )
    assert count == figures["gap_customers"]
    assert Decimal(mean).quantize(Decimal("0.001")) == figures["gap_mean_of_means"]
    repeating = "select count(*) from marts.mart_customer_lifetime_value where orders >= 2"
    assert cdnow.one(repeating) == figures["repeat_customers_2_orders"]


@pytest.mark.parametrize("horizon", [7, 30, 90])
def test_cdnow_retention_and_lifetime_value(cdnow: Published, horizon: int) -> None:
    figures = expected("cdnow_sample")
    mature, retained, value = cdnow.one(
        "select sum(mature_customers), sum(retained_customers), sum(ltv_total) from marts.fct_cohort_ltv"
        f" where horizon_days = {horizon}"
    )
    assert [mature, retained] == figures[f"retention_{horizon}d"]
    assert value == Decimal(figures[f"ltv_{horizon}d_total"])


def test_every_cdnow_figure_has_a_test() -> None:
    tested = {"customers", "orders", "net", "clv_tier", "segments", "r_score", "f_score", "m_score"}
    tested |= {"sum_recency_days", "at_risk_gt_45", "lapsed_gt_90", "activity", "gap_customers"}
    tested |= {"gap_mean_of_means", "repeat_customers_2_orders"}
    tested |= {
        f"{word}_{days}d{end}" for days in (7, 30, 90) for word, end in (("retention", ""), ("ltv", "_total"))
    }
    assert set(expected("cdnow_sample")) == tested


# pizzaplace

LINES = "marts.fct_order_items"
ORDERS = "marts.fct_orders"
ORDERS_AND_REVENUE = f"count(*), sum(net_sales_amount) from {ORDERS}"
# Per check of expected.json: the query whose rows it lists (a scalar is one row of one column).
PIZZAPLACE_CHECKS: dict[str, str] = {
    "raw.rows": f"select count(*) from {LINES}",
    "raw.orders": f"select count(*) from {ORDERS}",
    "raw.skus": "select count(*) from marts.dim_product",
    "raw.categories": "select count(distinct category) from marts.fct_sales_daily",
    "raw.days": "select count(*) from marts.fct_revenue_daily",
    "raw.min_ts": f"select min(ordered_at_local) from {ORDERS}",
    "raw.max_ts": f"select max(ordered_at_local) from {ORDERS}",
    "revenue.gross": "select sum(gross_revenue) from marts.fct_revenue_daily",
    "revenue.aov": "select sum(gross_revenue), sum(orders) from marts.fct_revenue_daily",
    "revenue.items_per_order": "select sum(units), sum(orders) from marts.fct_revenue_daily",
    "sales.monthly": "select strftime(revenue_date, '%Y-%m'), sum(net_revenue), sum(orders), sum(units)"
    " from marts.fct_revenue_daily group by 1 order by 1",
    "sales.by_category": "select category, sum(net_sales_amount), sum(quantity), count(distinct order_key)"
    f" from {LINES} group by 1 order by 1",
    "sales.by_hour": f"select hour(ordered_at_local), count(*), sum(units), sum(net_sales_amount) from {ORDERS}"
    " group by 1 order by 1",
    "sales.by_day_part": f"select day_part, {ORDERS_AND_REVENUE} group by 1 order by 1",
    "sales.by_dow": f"select day_of_week, {ORDERS_AND_REVENUE} join marts.dim_date on date_day = order_date"
    " group by 1 order by 1",
    "sales.iso_week_edges": f"select iso_year, iso_week, {ORDERS_AND_REVENUE} join marts.dim_date"
    " on date_day = order_date where iso_week in (1, 52, 53) group by 1, 2 order by 1, 2",
}


@pytest.mark.parametrize("check", list(PIZZAPLACE_CHECKS))
def test_pizzaplace_figure(pizzaplace: Published, check: str) -> None:
    told = next(one for one in expected("pizzaplace")["checks"] if one["id"] == check)["value"]
    found = pizzaplace.rows(PIZZAPLACE_CHECKS[check])
    if isinstance(told, list):
        assert [list(row) for row in found] == told
    elif len(found[0]) == 2:
        # A quotient, told to as many digits as it was written with.
        whole, orders = found[0]
        assert (Decimal(whole) / orders).quantize(told) == told
    else:
        (value,) = found[0]
        assert (value.isoformat() if isinstance(value, datetime) else value) == told


def test_pizzaplace_weekly_and_monthly_marts_add_up_to_the_set(pizzaplace: Published) -> None:
    """The rollups carry the same money and units; the repeated lines of the set are real sales in each."""
    checks = {one["id"]: one["value"] for one in expected("pizzaplace")["checks"]}
    for mart in ("fct_sales_daily", "mart_sales_weekly", "mart_sales_monthly"):
        money, units = pizzaplace.one(f"select sum(net_sales), sum(units) from marts.{mart}")
        assert (money, units) == (checks["revenue.gross"], checks["raw.rows"]), mart
        assert money != checks["revenue.gross_after_wrong_dedup"]
    by_month = pizzaplace.rows(
        "select strftime(month_start, '%Y-%m'), sum(net_sales), sum(units)"
        " from marts.mart_sales_monthly group by 1 order by 1"
    )
    assert by_month == [(month, revenue, pizzas) for month, revenue, _, pizzas in checks["sales.monthly"]]


def test_every_pizzaplace_figure_has_a_test() -> None:
    figures = expected("pizzaplace")
    wrong_on_purpose = {"revenue.gross_after_wrong_dedup"}
    assert {one["id"] for one in figures["checks"]} == PIZZAPLACE_CHECKS.keys() | wrong_on_purpose


def test_pizzaplace_as_of_date(pizzaplace: Published) -> None:
    as_of = pizzaplace.one("select distinct as_of_date from marts.mart_location_performance")
    assert as_of == date.fromisoformat(expected("pizzaplace")["as_of"])
