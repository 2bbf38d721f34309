"""Days, hours and deliveries: when the company trades, how much, and what arrives when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sample_data.plan import SamplePlan
from sample_data.randomness import Floats, Integers, stream

BLOCK_ORDERS = 40_000  # per block of history: large enough for numpy, small enough for memory
LONGEST_LAG_DAYS = 75  # nothing about an order arrives later than this after its day

_MONTHS = {  # January to December
    "store": (0.82, 0.86, 0.95, 0.97, 1.03, 0.98, 0.92, 0.95, 0.98, 1.05, 1.38, 1.52),
    "restaurant": (0.86, 0.91, 0.97, 1.00, 1.06, 1.09, 1.11, 1.08, 0.99, 1.00, 0.96, 1.02),
}
_WEEKDAYS = {  # Monday to Sunday
    "store": (1.10, 1.05, 1.00, 0.98, 0.94, 0.92, 1.08),
    "restaurant": (0.78, 0.82, 0.90, 0.98, 1.28, 1.36, 1.05),
}
_HOURS = {  # relative demand at the start of each local hour
    "store": (
        0.50, 0.26, 0.14, 0.08, 0.07, 0.12, 0.30, 0.55, 0.80, 1.02, 1.15, 1.22,
        1.30, 1.18, 1.08, 1.05, 1.08, 1.15, 1.30, 1.55, 1.80, 1.75, 1.40, 0.90,
    ),
    "restaurant": (
        0.12, 0.05, 0.02, 0.01, 0.01, 0.15, 0.55, 1.10, 1.25, 0.90, 0.75, 1.70,
        2.60, 2.10, 1.05, 0.70, 0.85, 1.80, 2.50, 2.20, 1.30, 0.80, 0.55, 0.30,
    ),
}  # fmt: skip
_HOLIDAY_FACTORS = {  # (store, restaurant)
    "New Year's Day": (0.80, 0.60),
    "Martin Luther King Jr. Day": (1.05, 1.00),
    "Valentine's Day": (1.10, 1.45),
    "Memorial Day": (1.10, 0.95),
    "Mother's Day": (1.05, 1.50),
    "Independence Day": (0.75, 0.70),
    "Labor Day": (1.10, 0.95),
    "Halloween": (1.00, 1.10),
    "Thanksgiving Day": (1.20, 0.25),
    "Black Friday": (2.60, 1.15),
    "Cyber Monday": (2.30, 0.95),
    "Christmas Eve": (0.90, 0.70),
    "Christmas Day": (0.45, 0.15),
}


def holidays(year: int) -> dict[date, str]:
    """Holidays of the United States that move this company's sales, by day."""
    thanksgiving = _weekday_of_month(year, 11, weekday=3, nth=4)
    return {
        date(year, 1, 1): "New Year's Day",
        _weekday_of_month(year, 1, weekday=0, nth=3): "Martin Luther King Jr. Day",
        date(year, 2, 14): "Valentine's Day",
        _weekday_of_month(year, 6, weekday=0, nth=1) - timedelta(days=7): "Memorial Day",
        _weekday_of_month(year, 5, weekday=6, nth=2): "Mother's Day",
        date(year, 7, 4): "Independence Day",
        _weekday_of_month(year, 9, weekday=0, nth=1): "Labor Day",
        date(year, 10, 31): "Halloween",
        thanksgiving: "Thanksgiving Day",
        thanksgiving + timedelta(days=1): "Black Friday",
        thanksgiving + timedelta(days=4): "Cyber Monday",
        date(year, 12, 24): "Christmas Eve",
        date(year, 12, 25): "Christmas Day",
    }


@dataclass(frozen=True)
class Block:
    """Days that are generated together: `[start, stop)` of the plan's days, and the delivery they are in."""

    index: int
    start: int
    stop: int
    delivery: int
    part: int  # of the history; 0 for a daily delivery


@dataclass(frozen=True)
class TradingCalendar:
    """The plan's days for one system.

    Attributes:
        system: `store` or `restaurant`.
        zone: the business time zone.
        orders: orders of this system over all days.
    """

    plan: SamplePlan
    system: str
    zone: str
    orders: int

    @cached_property
    def days(self) -> NDArray[np.datetime64]:
        return np.arange(self.plan.days) + np.datetime64(self.plan.first_day, "D")

    @cached_property
    def months(self) -> Integers:
        """0 for January."""
        return self.days.astype("datetime64[M]").astype(np.int64) % 12

    @cached_property
    def weekdays(self) -> Integers:
        """0 for Monday."""
        return (self.days.astype(np.int64) + 3) % 7

    @cached_property
    def midnights(self) -> Integers:
        """UTC seconds at which each business day starts, and the last one ends. Shape (days + 1,)."""
        zone = ZoneInfo(self.zone)
        firsts = (self.plan.first_day + timedelta(days=n) for n in range(self.plan.days + 1))
        return np.array([int(datetime.combine(d, time(), zone).timestamp()) for d in firsts], dtype=np.int64)

    @cached_property
    def offsets(self) -> Integers:
        """Seconds that local noon of each day is ahead of UTC. Shape (days,)."""
        zone = ZoneInfo(self.zone)
        noons = (
            datetime.combine(self.plan.first_day + timedelta(days=n), time(12), zone)
            for n in range(self.plan.days)
        )
        return np.array([int((noon.utcoffset() or timedelta()).total_seconds()) for noon in noons])

    @cached_property
    def cut_offs(self) -> Integers:
        """UTC seconds at which each delivery is drawn up: what happens at or after is in a later one."""
        return self.midnights[self.plan.history_days :]

    @cached_property
    def demand(self) -> Floats:
        """Relative orders of each day: month, weekday, holiday, growth and some chance."""
        names = {day: name for year in range(self.plan.first_day.year, self.plan.last_day.year + 1)
                 for day, name in holidays(year).items()}  # fmt: skip
        column = 0 if self.system == "store" else 1
        special = np.ones(self.plan.days)
        for day, name in names.items():
            position = (day - self.plan.first_day).days
            if 0 <= position < self.plan.days:
                special[position] = _HOLIDAY_FACTORS[name][column]
        growth = 1 + 0.35 * np.arange(self.plan.days) / 365
        chance = stream(self.plan.seed, self.system, "demand").gamma(60, 1 / 60, self.plan.days)
        by_month = np.array(_MONTHS[self.system])[self.months]
        by_weekday = np.array(_WEEKDAYS[self.system])[self.weekdays]
        return np.asarray(by_month * by_weekday * special * growth * chance, dtype=np.float64)

    @cached_property
    def order_counts(self) -> Integers:
        """Orders of each day; they add up to `orders` exactly (largest remainder)."""
        return shared_out(self.orders, self.demand)

    @cached_property
    def first_numbers(self) -> Integers:
        """The running number of each day's first order, from 0. Shape (days + 1,)."""
        return np.concatenate([[0], np.cumsum(self.order_counts)]).astype(np.int64)

    def times_of_day(self, rng: np.random.Generator, day_index: Integers) -> Integers:
        """Local seconds after midnight, one per order, on the curve of the day.

        On the two days a year when clocks change nothing is sold before three o'clock, so every local
        time exists once and a reader needs no rule for the hour that is missing or repeated.
        """
        hours = np.array([*_HOURS[self.system], _HOURS[self.system][0]])
        minutes = np.interp(np.arange(1440) / 60, np.arange(25), hours)
        cumulative = np.cumsum(minutes) / minutes.sum()
        drawn = np.searchsorted(cumulative, rng.random(len(day_index)), side="right")
        seconds = np.minimum(drawn, 1439) * 60 + rng.integers(0, 60, len(day_index))
        changing = np.diff(self.midnights)[day_index] != 86_400
        return np.asarray(np.where(changing & (seconds < 10_800), seconds + 10_800, seconds), dtype=np.int64)

    def to_utc(self, day_index: Integers, seconds: Integers) -> Integers:
        """UTC seconds of local times of day."""
        local = self.days.astype("datetime64[s]").astype(np.int64)[day_index] + seconds
        # Noon's offset holds all day, except before three on the days when clocks change: see above.
        return local - self.offsets[day_index]

    def deliveries_of(self, moments: Integers) -> Integers:
        """The delivery in which an event of each moment first arrives; `plan.deliveries + 1` for none."""
        return np.asarray(np.searchsorted(self.cut_offs, moments, side="right"), dtype=np.int64)


def shared_out(total: int, weights: Floats) -> Integers:
    """Whole numbers in proportion to the weights that add up to the total (largest remainder)."""
    exact = weights / weights.sum() * total
    whole: Integers = np.floor(exact).astype(np.int64)
    missing = total - int(whole.sum())
    largest = np.argsort(-(exact - whole), kind="stable")[:missing]
    whole[largest] += 1
    return whole


def blocks(plan: SamplePlan, counts: Integers) -> list[Block]:
    """Cut the days into blocks: history in pieces of about `BLOCK_ORDERS`, then one block per delivery.

    Args:
        counts: orders of each day, of both systems together.
    """
    cut: list[Block] = []
    start, held, part, held_in_part = 0, 0, 0, 0
    for day in range(plan.history_days):
        held += int(counts[day])
        full = held >= BLOCK_ORDERS or day == plan.history_days - 1
        if full:
            if held_in_part and held_in_part + held > plan.history_file_orders:
                part, held_in_part = part + 1, 0
            cut.append(Block(len(cut), start, day + 1, 0, part))
            start, held_in_part, held = day + 1, held_in_part + held, 0
    for delivery in range(1, plan.deliveries + 1):
        day = plan.history_days + delivery - 1
        cut.append(Block(len(cut), day, day + 1, delivery, 0))
    return cut


def _weekday_of_month(year: int, month: int, *, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
