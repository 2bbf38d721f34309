"""What cards ask: their figures equal sums over the published marts that do not go through the semantic layer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import SampleRun

from serving.access.answers import Viewer
from serving.dashboards.boards import Boards
from serving.dashboards.definitions import FilterName
from serving.dashboards.questions import Filters, Period, ask, grain_of, rows_behind
from serving.semantic import Grain, MetricQuery
from settings.errors import UsageError

from .metrics import Metrics

REVENUE_SQL = """
    select sum(gross_revenue), sum(discounts), sum(refunds), sum(net_revenue) from marts.fct_revenue_daily
    where revenue_date between ? and ? and source_system = ?
"""


@pytest.fixture(scope="module")
def analyst(boards: Boards) -> Viewer:
    return Viewer(boards.answers.policy.role("analyst"))


@pytest.fixture(scope="module")
def last_weeks(metrics: Metrics) -> Period:
    return Period(metrics.last_day - timedelta(days=27), metrics.last_day)


def rows_of(
    boards: Boards, viewer: Viewer, dashboard: str, card: str, filters: Filters
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Rows of a card, and of the period before."""
    (found,) = [one for one in boards.dashboards if one.name == dashboard]
    answer = boards.card(viewer, found, found.card(card), filters)
    return answer.answer.rows, answer.previous.rows if answer.previous else []


def test_numbers_and_those_of_the_period_before_are_sums_of_the_daily_mart(
    boards: Boards, analyst: Viewer, last_weeks: Period, sample_run: SampleRun
) -> None:
    filters = Filters(last_weeks, systems=("store",))
    former = Period(last_weeks.start - timedelta(days=28), last_weeks.start - timedelta(days=1))
    now, before = (
        sample_run.query(REVENUE_SQL, [period.start, period.end, "store"])[0]
        for period in (last_weeks, former)
    )
    for place, card in enumerate(("gross_revenue", "discounts", "refunds", "net_revenue")):
        shown, shown_before = rows_of(boards, analyst, "revenue", card, filters)
        assert (shown[0][0], shown_before[0][0]) == (now[place], before[place]), card
    assert now[3] > 0


def test_bars_by_category_are_sums_of_lines_less_returns(
    boards: Boards, analyst: Viewer, last_weeks: Period, sample_run: SampleRun
) -> None:
    days = [last_weeks.start, last_weeks.end]
    expected = dict(
        sample_run.query(
            """
            select category, sum(amount) from (
                select category, net_sales_amount as amount from marts.fct_order_items
                where is_booked and order_date between ? and ?
                union all
                select category, -eligible_refund_amount from marts.fct_returns
                where return_date between ? and ?
            ) group by category
            """,
            [*days, *days],
        )
    )
    shown, _ = rows_of(boards, analyst, "revenue", "by_category", Filters(last_weeks))
    assert len(shown) == min(15, len(expected))
    assert [row[1] for row in shown] == sorted(expected.values(), reverse=True)[:15]
    assert {row[0]: row[1] for row in shown}.items() <= expected.items()


def test_filters_by_place_and_channel_narrow_orders(
    boards: Boards, analyst: Viewer, last_weeks: Period, sample_run: SampleRun
) -> None:
    ((key,),) = sample_run.query(
        "select location_key from marts.fct_orders where source_system = 'restaurant' group by 1"
        " order by count(*) desc, 1 limit 1"
    )
    ((channel,),) = sample_run.query(
        "select sales_channel from marts.fct_orders where location_key = ? group by 1"
        " order by count(*) desc, 1 limit 1",
        [key],
    )
    ((expected,),) = sample_run.query(
        "select count(*) from marts.fct_orders where is_booked and order_date between ? and ?"
        " and location_key = ? and sales_channel = ?",
        [last_weeks.start, last_weeks.end, key, channel],
    )
    shown, _ = rows_of(
        boards, analyst, "home", "orders", Filters(last_weeks, locations=(key,), channels=(channel,))
    )
    assert shown == [(expected,)]
    assert expected > 0


def test_groups_of_a_mart_are_summed(boards: Boards, analyst: Viewer, sample_run: SampleRun) -> None:
    expected = sample_run.query(
        "select source_system, r_score, f_score, count(*) from marts.mart_customer_segments"
        " group by 1, 2, 3 order by 1, 2, 3"
    )
    shown, _ = rows_of(boards, analyst, "segments", "rfm_map", Filters())
    assert shown == expected


def test_fixed_conditions_order_and_limit_of_rows_hold(
    boards: Boards, analyst: Viewer, sample_run: SampleRun
) -> None:
    expected = sample_run.query(
        "select order_id, difference from marts.mart_payment_reconciliation where classification <> 'matched'"
        " order by difference, order_key limit 50"
    )
    shown, _ = rows_of(boards, analyst, "payments", "differences", Filters())
    assert [(row[1], row[6]) for row in shown] == expected


def test_rows_behind_a_figure_add_up_to_it(boards: Boards, analyst: Viewer, last_weeks: Period) -> None:
    home = boards.dashboards[0]
    filters = Filters(last_weeks, systems=("restaurant",))
    figure = boards.card(analyst, home, home.card("net_revenue"), filters).answer.rows[0][0]
    behind = boards.rows(analyst, home, home.card("net_revenue"), filters, limit=10_000)
    assert behind.answer.columns[0] == "revenue_day_key"
    assert sum((row["net_revenue"] for row in behind.answer.records()), Decimal()) == figure
    days = [row["revenue_date"] for row in behind.answer.records()]
    assert days == sorted(days, reverse=True)


def test_rows_behind_say_which_filters_their_mart_lacks(boards: Boards, last_weeks: Period) -> None:
    home = boards.dashboards[0]
    filters = Filters(last_weeks, categories=("Pizza",), channels=("KIOSK",))
    found = rows_behind(home.card("net_revenue"), home, filters, boards.answers.marts())
    assert (found.applied, found.not_applied) == (
        (FilterName.PERIOD,),
        (FilterName.CATEGORY, FilterName.CHANNEL),
    )
    without = home.card("orders").model_copy(update={"drill": None})
    with pytest.raises(UsageError, match="no rows stand behind Orders"):
        rows_behind(without, home, filters, boards.answers.marts())


def test_filters_are_applied_or_told(boards: Boards, last_weeks: Period) -> None:
    home = boards.dashboards[0]
    filters = Filters(last_weeks, systems=("store",), channels=("online",))
    narrowed = ask(home.card("at_risk_share"), home, filters)
    assert (narrowed.applied, narrowed.not_applied) == (
        (FilterName.SYSTEM,),
        (FilterName.PERIOD, FilterName.CHANNEL),
    )
    assert isinstance(narrowed.source, MetricQuery)
    assert [one.dimension for one in narrowed.source.filters] == ["system"]
    assert narrowed.previous is None
    (segments,) = [one for one in boards.dashboards if one.name == "segments"]
    assert ask(segments.card("figures"), segments, filters).not_applied == (
        FilterName.PERIOD,
        FilterName.CHANNEL,
    )


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (1, Grain.DAY),
        (35, Grain.DAY),
        (36, Grain.WEEK),
        (200, Grain.WEEK),
        (201, Grain.MONTH),
        (None, Grain.MONTH),
    ],
)
def test_the_grain_follows_the_length_of_the_period(
    boards: Boards, days: int | None, expected: Grain
) -> None:
    card = boards.dashboards[0].card("net_revenue_trend")
    period = Period(date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=days - 1)) if days else None
    assert grain_of(card, period) is expected
    assert grain_of(boards.dashboards[0].card("orders"), period) is None


def test_a_period_has_a_former_one_as_long_and_never_ends_before_it_begins() -> None:
    period = Period(date(2026, 2, 1), date(2026, 2, 28))
    assert period.days == 28
    assert period.previous == Period(date(2026, 1, 4), date(2026, 1, 31))
    with pytest.raises(UsageError, match="before it begins"):
        Period(date(2026, 2, 2), date(2026, 2, 1))
