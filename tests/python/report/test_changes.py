"""Decompositions add up to the change, exactly, and find the place where it happened."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.report.changes import Part, average_told_by, most_concentrated, told_by

MEMBERS = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "ü", "", "none"]))
AMOUNTS = st.decimals(min_value=-10_000, max_value=10_000, places=4)
FIGURES = st.dictionaries(MEMBERS, AMOUNTS)
PARTS = st.dictionaries(
    MEMBERS,
    st.builds(Part, st.decimals(min_value=0, max_value=10_000, places=4), st.integers(1, 50)),
    min_size=1,
)


@given(FIGURES, FIGURES)
def test_contributions_add_up_to_the_change(
    before: dict[str | None, Decimal], after: dict[str | None, Decimal]
) -> None:
    told = told_by("place", before, after)
    assert told.change == sum(after.values(), Decimal(0)) - sum(before.values(), Decimal(0))
    assert {one.member for one in told.contributions} == before.keys() | after.keys()
    sizes = [abs(one.change) for one in told.contributions]
    assert sizes == sorted(sizes, reverse=True)
    if told.explaining:
        explained = sum(one.change for one in told.explaining)
        assert Fraction(explained) / Fraction(told.change) > Fraction(67, 100)


@given(PARTS, PARTS)
def test_rate_and_mix_add_up_to_the_change_of_the_average(
    before: dict[str | None, Part], after: dict[str | None, Part]
) -> None:
    told = average_told_by("place", before, after)
    assert told is not None
    first, last = (
        Fraction(sum((part.amount for part in day.values()), Decimal(0)))
        / sum(part.count for part in day.values())
        for day in (before, after)
    )
    assert (told.before, told.after) == (first, last)
    assert told.rate + told.mix == last - first


@given(PARTS, st.integers(2, 9))
def test_equal_averages_and_shares_have_no_effect(day: dict[str | None, Part], times: int) -> None:
    grown = {member: Part(part.amount * times, part.count * times) for member, part in day.items()}
    told = average_told_by("place", day, grown)
    assert told is not None
    assert all(one.rate == 0 and one.mix == 0 for one in told.members)


def test_a_day_without_a_count_has_no_average_to_tell() -> None:
    assert average_told_by("place", {}, {"a": Part(Decimal(1), 1)}) is None


def test_the_worked_example_of_the_guide() -> None:
    before = {"store": Part(Decimal(1000), 10), "restaurant": Part(Decimal(300), 10)}
    after = {"store": Part(Decimal(550), 5), "restaurant": Part(Decimal(450), 15)}
    told = average_told_by("system", before, after)
    assert told is not None
    assert (told.before, told.after) == (65, 50)
    assert (told.rate, told.mix) == (Fraction("3.75"), Fraction("-18.75"))


def day(**figures: int) -> dict[str | None, Decimal]:
    return {name: Decimal(figure) for name, figure in figures.items()}


def test_the_dimension_in_which_one_member_fell_is_found() -> None:
    by_place = told_by("place", day(north=50, south=30, east=20), day(north=8, south=31, east=21))
    by_hour = told_by("hour", day(lunch=60, dinner=40), day(lunch=36, dinner=24))
    chosen = most_concentrated([by_hour, by_place])
    assert chosen is by_place
    assert [one.member for one in chosen.explaining] == ["north"]
    assert chosen.explaining[0].share == pytest.approx(42 / 40)


def test_members_that_all_moved_alike_surprise_nobody() -> None:
    told = told_by("hour", day(lunch=60, dinner=40), day(lunch=36, dinner=24))
    assert told.surprise == pytest.approx(0)


def test_surprise_is_the_divergence_of_the_two_distributions() -> None:
    # All of it moved from one member to the other: the Jensen-Shannon divergence is ln 2.
    told = told_by("place", day(a=10, b=0), day(a=0, b=20))
    assert sum(one.surprise for one in told.contributions) == pytest.approx(0.6931471805599453)


def test_a_change_that_is_spread_has_no_explaining_members() -> None:
    before = day(**{f"m{number}": 10 for number in range(20)})
    after = day(**{f"m{number}": 11 for number in range(20)})
    told = told_by("place", before, after)
    assert told.explaining == ()
    assert most_concentrated([told]) is told


def test_figures_below_zero_and_no_change_at_all_are_told() -> None:
    returned = told_by("segment", day(a=5, b=-3), day(a=5, b=4))
    assert [one.member for one in returned.explaining] == ["b"]
    still = told_by("segment", day(a=5, b=5), day(a=5, b=5))
    assert still.explaining == ()
    assert all(one.share is None for one in still.contributions)


def test_a_dimension_of_one_member_tells_nothing() -> None:
    assert most_concentrated([told_by("currency", day(USD=1), day(USD=2))]) is None
