"""The second implementation itself gives the figures that came with the two public sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from .feeds_of_public_sets import CDNOW, PIZZAPLACE, public_sets, read_public_set
from .figures import customers, revenue
from .figures.book import Book, Order, build_book
from .figures.exact import total


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, dict[str, Any]]:
    landed = read_public_set(CDNOW, tmp_path_factory.mktemp("cdnow"))
    expected = json.loads((public_sets() / "cdnow_sample/expected.json").read_text(encoding="utf-8"))
    return build_book(landed.delivered, as_of=date(1998, 6, 30)), expected


@pytest.fixture(scope="module")
def pizzaplace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, dict[str, Any]]:
    landed = read_public_set(PIZZAPLACE, tmp_path_factory.mktemp("pizzaplace"))
    document = json.loads(
        (public_sets() / "pizzaplace/expected.json").read_text(encoding="utf-8"), parse_float=Decimal
    )
    return build_book(landed.delivered), {check["id"]: check["value"] for check in document["checks"]}


def _counted(rows: Iterable[dict[str, Any]], name: str, amount: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        entry = found.setdefault(row[name], [0, Decimal(0)])
        entry[0] += 1
        entry[1] += row[amount]
    return {word: [count, str(money.quantize(Decimal("0.01")))] for word, (count, money) in found.items()}


def test_cdnow_customers_scores_and_activity(cdnow: tuple[Book, dict[str, Any]]) -> None:
    book, expected = cdnow
    clv: list[dict[str, Any]] = customers.lifetime_value(book)
    rfm: list[dict[str, Any]] = customers.segments(book)
    churn: list[dict[str, Any]] = customers.churn_indicators(book)
    assert (len(clv), len(book.orders)) == (expected["customers"], expected["orders"])
    assert str(total([order.net for order in book.orders]).quantize(Decimal("0.01"))) == expected["net"]
    assert _counted(clv, "clv_tier", "lifetime_value_to_date") == expected["clv_tier"]
    assert _counted(rfm, "segment", "monetary") == expected["segments"]
    for score in ("r_score", "f_score", "m_score"):
        assert Counter(str(row[score]) for row in rfm) == expected[score]
    assert sum(row["recency_days"] for row in rfm) == expected["sum_recency_days"]
    assert sum(row["is_at_risk"] for row in churn) == expected["at_risk_gt_45"]
    assert sum(row["days_since_last_order"] > 90 for row in churn) == expected["lapsed_gt_90"]
    # The set's authors call "at_risk" what the metric dictionary calls "slowing": 46 to 90 days.
    words = {"active": "active", "slowing": "at_risk", "lapsed": "lapsed"}
    assert Counter(words[row["activity_status"]] for row in churn) == expected["activity"]
    gaps = [
        row["average_days_between_orders"] for row in churn if row["average_days_between_orders"] is not None
    ]
    assert len(gaps) == expected["gap_customers"]
    assert round(sum(gaps) / len(gaps), 3) == expected["gap_mean_of_means"]
    assert sum(row["orders"] >= 2 for row in clv) == expected["repeat_customers_2_orders"]


def test_cdnow_retention_and_lifetime_value(cdnow: tuple[Book, dict[str, Any]]) -> None:
    book, expected = cdnow
    rows: list[dict[str, Any]] = customers.cohort_ltv(book)
    for horizon in (7, 30, 90):
        chosen = [row for row in rows if row["horizon_days"] == horizon]
        mature, retained = (
            sum(row[f"{word}_customers"] for row in chosen) for word in ("mature", "retained")
        )
        assert [mature, retained] == expected[f"retention_{horizon}d"]
        value = total([row["ltv_total"] for row in chosen]).quantize(Decimal("0.01"))
        assert str(value) == expected[f"ltv_{horizon}d_total"]


def test_pizzaplace_totals(pizzaplace: tuple[Book, dict[str, Any]]) -> None:
    book, expected = pizzaplace
    lines = [line for order in book.orders for line in order.lines]
    assert len(lines) == expected["raw.rows"]
    assert len(book.orders) == expected["raw.orders"]
    assert len({line.product_id for line in lines}) == expected["raw.skus"]
    assert len({line.category for line in lines}) == expected["raw.categories"]
    assert len({order.order_date for order in book.orders}) == expected["raw.days"]
    assert min(order.ordered_at_local for order in book.orders).isoformat() == expected["raw.min_ts"]
    assert max(order.ordered_at_local for order in book.orders).isoformat() == expected["raw.max_ts"]
    assert total([line.gross for line in lines]) == expected["revenue.gross"]
    assert book.as_of == {"restaurant": date(2015, 12, 31)}


def _by(book: Book, name: str) -> dict[object, tuple[int, Decimal, Decimal]]:
    """Orders, pizzas and revenue of whole orders per bucket."""
    keys = {
        "month": lambda order: order.order_date.strftime("%Y-%m"),
        "hour": lambda order: order.ordered_at_local.hour,
        "part": lambda order: order.day_part,
        "weekday": lambda order: order.order_date.isoweekday(),
        "week": lambda order: order.order_date.isocalendar()[:2],
    }
    groups: dict[object, list[Order]] = {}
    for order in book.orders:
        groups.setdefault(keys[name](order), []).append(order)
    return {
        key: (len(found), total([one.units for one in found]), total([one.net for one in found]))
        for key, found in groups.items()
    }


def test_pizzaplace_calendar_buckets(pizzaplace: tuple[Book, dict[str, Any]]) -> None:
    book, expected = pizzaplace
    months, hours, parts, weekdays, weeks = (
        _by(book, name) for name in ("month", "hour", "part", "weekday", "week")
    )
    assert {key: (net, orders, units) for key, (orders, units, net) in months.items()} == {
        row[0]: tuple(row[1:]) for row in expected["sales.monthly"]
    }
    assert hours == {row[0]: tuple(row[1:]) for row in expected["sales.by_hour"]}
    assert {key: (orders, net) for key, (orders, _, net) in parts.items()} == {
        row[0]: tuple(row[1:]) for row in expected["sales.by_day_part"]
    }
    assert {key: (orders, net) for key, (orders, _, net) in weekdays.items()} == {
        row[0]: tuple(row[1:]) for row in expected["sales.by_dow"]
    }
    for year, week, orders, net in expected["sales.iso_week_edges"]:
        assert weeks[year, week][::2] == (orders, net)


def test_pizzaplace_categories_come_from_the_line(pizzaplace: tuple[Book, dict[str, Any]]) -> None:
    """Money of the daily sales rows adds up per category; distinct orders are counted from the lines."""
    book, expected = pizzaplace
    rows: list[dict[str, Any]] = revenue.sales_daily(book)
    for category, net, units, orders in expected["sales.by_category"]:
        chosen = [row for row in rows if row["category"] == category]
        assert total([row["net_sales"] for row in chosen]) == net
        assert total([row["units"] for row in chosen]) == units
        assert (
            len({line.order_id for one in book.orders for line in one.lines if line.category == category})
            == orders
        )
