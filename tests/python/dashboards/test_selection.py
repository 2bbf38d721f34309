"""Addresses of pages: what was chosen goes in and comes out again, and what cannot be read is told."""

from __future__ import annotations

from datetime import date

import pytest

from serving.dashboards.boards import Choices, Location
from serving.dashboards.questions import Filters, Period
from serving.dashboards.selection import Selection, read_address, read_period
from settings.errors import UsageError

LAST = date(2026, 10, 31)
CHOICES = Choices(
    systems=("restaurant", "store"),
    locations=(
        Location("restaurant:R1", "abc", "One (restaurant)"),
        Location("store:R1", "def", "One (store)"),
    ),
    categories=("Coffee & Tea", "Pizza"),
    channels=("online",),
    last_day=LAST,
)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(period="all", systems=("store",)),
        Selection(
            "2026-01-01..2026-01-31", ("store", "restaurant"), ("store:R1",), ("Coffee & Tea",), ("online",)
        ),
    ],
)
def test_a_selection_comes_back_from_its_address(selection: Selection) -> None:
    reading = read_address(selection.parameters(), CHOICES)
    assert (reading.selection, reading.problems) == (selection, [])


def test_the_page_as_it_begins_has_a_bare_address() -> None:
    assert Selection().parameters() == {}


def test_what_cannot_be_read_is_left_out_and_told() -> None:
    reading = read_address(
        {
            "period": ["yesterday"],
            "system": ["store", "moon", "store"],
            "location": ["store:R2"],
            "other": ["x"],
        },
        CHOICES,
    )
    assert reading.selection == Selection(systems=("store",))
    assert [problem.partition(" that you")[0] for problem in reading.problems] == [
        "'yesterday' is no period: choose 7d, 28d, 91d, 364d, all, or two days such as 2026-01-01..2026-03-31",
        "there is no system 'moon'",
        "there is no location 'store:R2'",
    ]


def test_a_location_is_its_key_to_the_questions() -> None:
    chosen = Selection("28d", locations=("store:R1",)).filters(CHOICES)
    assert chosen == Filters(Period(date(2026, 10, 4), LAST), locations=("def",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", None),
        ("7d", Period(date(2026, 10, 25), LAST)),
        ("364d", Period(date(2025, 11, 2), LAST)),
        ("2026-01-31..2026-01-31", Period(date(2026, 1, 31), date(2026, 1, 31))),
    ],
)
def test_periods_count_back_from_the_last_day_with_an_order(text: str, expected: Period | None) -> None:
    assert read_period(text, LAST) == expected


@pytest.mark.parametrize(
    "text",
    ["", "8d", "2026-02-30..2026-03-01", "2026-03-01..2026-02-01", "2026-03-01", "٢٠٢٦-01-01..2026-02-01"],
)
def test_other_words_are_no_period(text: str) -> None:
    with pytest.raises(UsageError):
        read_period(text, LAST)


def test_without_an_order_a_preset_is_all_time() -> None:
    assert read_period("28d", None) is None
