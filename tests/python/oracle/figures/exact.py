"""Arithmetic that the metric dictionary fixes: rounding, ratios, scores, shares of a discount, calendar buckets."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from math import floor
from typing import TypeVar
from zoneinfo import ZoneInfo

Key = TypeVar("Key", bound=Hashable)

ZERO = Decimal(0)
STORED_UNIT = Decimal("0.0001")
# Wide enough for a product of two stored amounts and for the sum of any sample.
WIDE = Context(prec=60)

DAY_PARTS = (
    (0, 4, "overnight"),
    (5, 10, "breakfast"),
    (11, 14, "lunch"),
    (15, 16, "afternoon"),
    (17, 20, "dinner"),
    (21, 23, "late_night"),
)


def stored(amount: Decimal) -> Decimal:
    """Four decimals, half away from zero."""
    return amount.quantize(STORED_UNIT, rounding=ROUND_HALF_UP, context=WIDE)


def product(left: Decimal, right: Decimal) -> Decimal:
    """Exact product, not rounded yet."""
    return WIDE.multiply(left, right)


def total(amounts: Sequence[Decimal]) -> Decimal:
    result = ZERO
    for amount in amounts:
        result = WIDE.add(result, amount)
    return result


def ratio(numerator: Decimal | int, denominator: Decimal | int) -> float | None:
    """One division in double precision of two exact numbers; None when the denominator is zero."""
    if denominator == 0:
        return None
    return float(numerator) / float(denominator)


def change_rate(current: Decimal | int, previous: Decimal | int) -> float | None:
    return ratio(current - previous, previous)


def quintile_scores(values: Mapping[Key, Decimal | int], *, smaller_is_worse: bool = True) -> dict[Key, int]:
    """1 + floor(5 × strictly worse / n), in whole numbers; equal values share a score."""
    ordered = sorted(value if smaller_is_worse else -value for value in values.values())
    count = len(ordered)
    return {
        key: 1 + 5 * bisect_left(ordered, value if smaller_is_worse else -value) // count
        for key, value in values.items()
    }


def largest_remainder(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split `amount` in proportion to `weights`, to the last stored unit, adding up exactly.

    Each part is rounded down to a unit; the units left over go to the largest remainders, the earlier part
    first where remainders are equal. All weights zero: nothing can be split.
    """
    whole = Fraction(total(weights))
    if whole == 0:
        return [ZERO for _ in weights]
    unit = Fraction(STORED_UNIT)
    exact = [Fraction(amount) * Fraction(weight) / whole / unit for weight in weights]
    units = [floor(part) for part in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (units[place] - exact[place], place))
    for place in by_remainder[: int(Fraction(amount) / unit) - sum(units)]:
        units[place] += 1
    return [WIDE.multiply(Decimal(count), STORED_UNIT) for count in units]


def local_time(moment: datetime, zone: str) -> datetime:
    """A naive UTC timestamp as a naive timestamp of `zone`."""
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def day_part(hour: int) -> str:
    return next(name for first, last, name in DAY_PARTS if first <= hour <= last)


def week_start(day: date) -> date:
    return day - timedelta(days=day.isoweekday() - 1)


def month_start(day: date) -> date:
    return day.replace(day=1)


def next_month(day: date) -> date:
    return month_start(day) + timedelta(days=monthrange(day.year, day.month)[1])


def months_between(earlier: date, later: date) -> int:
    return (later.year - earlier.year) * 12 + later.month - earlier.month


def year_earlier(day: date) -> date:
    """The same date a year before; 29 February becomes the 28th."""
    last = monthrange(day.year - 1, day.month)[1]
    return day.replace(year=day.year - 1, day=min(day.day, last))


def each_day(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
