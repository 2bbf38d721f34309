"""Which sample a measurement takes: as many days that a day brings about the orders asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sample_data.plan import RESTAURANT_ZONE, STORE_ZONE, SamplePlan
from sample_data.trading import TradingCalendar

# With these an order has three lines on average.
EXTRA_LINES_PER_ORDER = 0.65
# The first day warms up what a first run makes for good; the others are measured.
MEASURED_DAYS = 3
# Behind them: a day runs two models at a time, so that a model's seconds hold what its neighbour takes.
APART_DAYS = 5
SHORTEST_HISTORY, LONGEST_PLAN = 30, 3_650


@dataclass(frozen=True)
class BenchPlan:
    """A history of orders, and the days that follow it one delivery each.

    Attributes:
        orders: orders over history and days together.
        day_orders: about how many orders one of the last days has.
        days: business days, so that `day_orders` comes out.
        measured_days: the daily run, as it is.
        apart_days: only load and models, one at a time.
    """

    orders: int
    day_orders: int
    days: int
    measured_days: int = MEASURED_DAYS
    apart_days: int = APART_DAYS

    @property
    def last_day(self) -> int:
        """The delivery of the last day that is run as it is; the history is number 0."""
        return self.measured_days + 1

    @property
    def deliveries(self) -> int:
        return self.last_day + self.apart_days

    @property
    def sample(self) -> SamplePlan:
        return SamplePlan(
            orders=self.orders,
            days=self.days,
            deliveries=self.deliveries,
            extra_lines_per_order=EXTRA_LINES_PER_ORDER,
        )


def plan_for(
    orders: int, day_orders: int, *, measured_days: int = MEASURED_DAYS, apart_days: int = APART_DAYS
) -> BenchPlan:
    """The plan whose last days have about `day_orders` orders each.

    Demand grows with the days and depends on weekday and season, so the number of days is searched for. A history
    that would be shorter than a month or longer than ten years stays at that bound.
    """
    shortest = SHORTEST_HISTORY + BenchPlan(orders, day_orders, 0, measured_days, apart_days).deliveries
    days = min(max(orders // day_orders, shortest), LONGEST_PLAN)
    for _ in range(10):
        plan = BenchPlan(orders, day_orders, days, measured_days, apart_days)
        share = orders_of_a_day(plan.sample) / day_orders
        better = min(max(round(days * share), shortest), LONGEST_PLAN)
        if abs(share - 1) < 0.02 or better == days:
            break
        days = better
    return BenchPlan(orders, day_orders, days, measured_days, apart_days)


def orders_of_a_day(sample: SamplePlan) -> float:
    """Orders of the days that arrive one by one, on average."""
    store_orders = round(sample.orders * sample.store_share)
    calendars = (
        TradingCalendar(sample, "store", STORE_ZONE, store_orders),
        TradingCalendar(sample, "restaurant", RESTAURANT_ZONE, sample.orders - store_orders),
    )
    placed = sum(int(calendar.order_counts[-sample.deliveries :].sum()) for calendar in calendars)
    return placed / sample.deliveries
