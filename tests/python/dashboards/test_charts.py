"""Charts as an analyst would draw them: bars from zero, colours that can be told apart, cut periods set apart."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from serving.access.answers import Answer, Viewer
from serving.dashboards.boards import Boards
from serving.dashboards.charts import PALETTE, REST, REST_COLOUR, draw
from serving.dashboards.definitions import Card, Chart, load_dashboards
from serving.dashboards.figures import Column, columns_of, difference, told, written
from serving.dashboards.questions import Filters, Period, grain_of
from serving.semantic import Grain

DRAWN = [
    (dashboard.name, card.name)
    for dashboard in load_dashboards()
    for card in dashboard.cards
    if card.chart not in {Chart.NUMBER, Chart.TABLE}
]
WEEK = Column("week", "Week", "period")
SALES = Column("net_sales", "Net sales", "money")
CATEGORY = Column("category", "Category", "text")


def card(**parts: Any) -> Card:
    return Card(name="one", title="One", text="One.", metrics=("net_sales",), width=12, height=8, **parts)


def specification(*arguments: Any, **parts: Any) -> dict[str, Any]:
    (picture,) = draw(*arguments, **parts)
    found: dict[str, Any] = picture.chart.to_dict()
    return found


def values(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a specification carries with it."""
    (rows,) = found["datasets"].values()
    return list(rows)


def channels(found: Any, name: str) -> list[dict[str, Any]]:
    """All encodings of one channel, through all layers."""
    layers = [found, *found.get("layer", [])]
    return [layer["encoding"][name] for layer in layers if name in layer.get("encoding", {})]


@pytest.mark.parametrize(("dashboard", "name"), DRAWN)
def test_every_card_is_drawn_from_its_own_figures_and_loads_nothing(
    boards: Boards, dashboard: str, name: str
) -> None:
    board = next(one for one in boards.dashboards if one.name == dashboard)
    chosen = board.card(name)
    analyst = Viewer(boards.answers.policy.role("analyst"))
    answer = boards.card(analyst, board, chosen, Filters()).answer
    assert answer.rows
    mart = boards.answers.marts()[chosen.mart] if chosen.mart else None
    columns = columns_of(chosen, answer.columns, boards.answers.client.catalogue(), mart)
    pictures = draw(chosen, answer, columns, grain=grain_of(chosen, None))
    facet = chosen.encoding.facet
    assert [picture.title for picture in pictures] == (
        list(dict.fromkeys(row[facet] for row in answer.records())) if facet else [""]
    )
    for picture in pictures:
        found = picture.chart.to_dict()
        assert "'url'" not in str(found)
        assert values(found)
        if chosen.chart in {Chart.BAR, Chart.STACKED_BAR}:
            scales = [
                one["scale"]
                for axis in "xy"
                for one in channels(found, axis)
                if one["type"] == "quantitative"
            ]
            assert scales
            assert all(scale.get("zero") is True or scale.get("domainMin") == 0 for scale in scales)


def weekly(*amounts: tuple[date, str, str]) -> Answer:
    return Answer(
        ("week", "category", "net_sales"), [(day, name, Decimal(amount)) for day, name, amount in amounts]
    )


def test_a_period_that_is_cut_is_told_from_a_whole_one() -> None:
    answer = Answer(
        ("week", "net_sales"),
        [(date(2026, 10, 5), Decimal(7)), (date(2026, 10, 12), Decimal(7)), (date(2026, 10, 19), Decimal(2))],
    )
    found = specification(
        card(chart=Chart.LINE, grain="auto", encoding={"x": "grain", "y": "net_sales"}), answer, [WEEK, SALES],
        grain=Grain.WEEK, period=Period(date(2026, 10, 6), date(2026, 10, 20)), last_day=date(2026, 10, 20),
    )  # fmt: skip
    assert [(row["week"], row["is_cut"]) for row in values(found)] == [
        ("2026-10-05", True), ("2026-10-12", False), ("2026-10-19", True),
    ]  # fmt: skip
    line = next(layer for layer in found["layer"] if layer["mark"]["type"] == "line")
    assert line["transform"] == [{"filter": "!datum.is_cut"}]


def test_more_series_than_colours_go_together_where_they_add_up() -> None:
    answer = weekly(*((date(2026, 10, 5), f"c{number}", str(100 - number)) for number in range(10)))
    found = specification(
        card(chart=Chart.STACKED_BAR, by=("category",), grain="week",
             encoding={"x": "grain", "y": "net_sales", "colour": "category"}),
        answer, [WEEK, CATEGORY, SALES], grain=Grain.WEEK,
    )  # fmt: skip
    (colour,) = channels(found, "color")
    assert colour["scale"]["domain"] == ["c0", "c1", "c2", "c3", "c4", "c5", REST]
    assert colour["scale"]["range"] == [*PALETTE[:6], REST_COLOUR]
    rest = [row["net_sales"] for row in values(found) if row["category"] == REST]
    assert rest == [94 + 93 + 92 + 91]


def test_a_week_without_a_row_keeps_its_place() -> None:
    answer = weekly((date(2026, 10, 5), "a", "1"), (date(2026, 10, 19), "a", "2"))
    found = specification(
        card(chart=Chart.STACKED_BAR, by=("category",), grain="week",
             encoding={"x": "grain", "y": "net_sales", "colour": "category"}),
        answer, [WEEK, CATEGORY, SALES], grain=Grain.WEEK,
    )  # fmt: skip
    assert channels(found, "x")[0]["scale"]["domain"] == ["2026-10-05", "2026-10-12", "2026-10-19"]


def test_facets_end_at_the_same_value() -> None:
    answer = Answer(
        ("system", "category", "net_sales"),
        [("store", "a", Decimal(10)), ("store", "b", None), ("restaurant", "a", Decimal(90))],
    )
    columns = [Column("system", "System", "text"), CATEGORY, SALES]
    chosen = card(
        chart=Chart.BAR,
        by=("system", "category"),
        encoding={"x": "category", "y": "net_sales", "facet": "system"},
    )
    found = [picture.chart.to_dict() for picture in draw(chosen, answer, columns)]
    assert [channels(one, "x")[0]["scale"]["domainMax"] for one in found] == [90, 90]


def test_one_giant_does_not_press_the_others_into_a_corner() -> None:
    columns = [CATEGORY, Column("orders", "Orders", "count"), SALES]
    chosen = card(
        chart=Chart.SCATTER,
        by=("category", "orders"),
        encoding={"x": "orders", "y": "net_sales", "label": "category"},
    )
    rows = [("a", 5, Decimal(1)), ("b", 6, Decimal(2)), ("c", 500, Decimal(3))]
    found = specification(chosen, Answer(("category", "orders", "net_sales"), rows), columns)
    assert channels(found, "x")[0]["scale"]["type"] == "log"
    assert "logarithmic" in channels(found, "x")[0]["title"]


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (None, "money", "–"), (Decimal("1234.567"), "money", "1,234.57"), (Decimal("-98765.4"), "money", "-98,765"),
        (5737, "count", "5,737"), (0.0284, "share", "2.8%"), (3.247, "ratio", "3.25"), (337.0, "hours", "337.0 h"),
        (25.44, "days", "25.4 d"), ("x", "text", "x"),
    ],
)  # fmt: skip
def test_figures_read_with_their_units(value: Any, form: str, expected: str) -> None:
    assert written(value, form) == expected


@pytest.mark.parametrize(
    ("now", "before", "form", "expected"),
    [
        (Decimal(110), Decimal(100), "money", "+10.0 %"), (Decimal(50), Decimal(-100), "money", "+150.0 %"),
        (0.03, 0.05, "share", "-2.0 points"), (5, 0, "count", None), (None, 1, "count", None), (1, None, "count", None),
        (158_281, 116, "count", "× 1,364"),
    ],
)  # fmt: skip
def test_differences_to_the_period_before(now: Any, before: Any, form: str, expected: str | None) -> None:
    assert difference(now, before, form) == expected


def test_what_tells_rows_apart_is_told_in_words() -> None:
    assert told(None, CATEGORY) == "none"
    assert told(True, Column("loyalty_member", "Member", "boolean")) == "yes"
    assert told(1, Column("iso_weekday", "Weekday", "label")) == "Mon"
    assert told(date(2026, 3, 1), Column("cohort_month", "Cohort", "date")) == "Mar 2026"
    assert told(date(2026, 3, 2), WEEK, Grain.WEEK) == "02 Mar 2026"
