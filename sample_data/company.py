"""The sample company as a whole: what both systems share, and the files that are not about orders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cached_property

import numpy as np
import pyarrow as pa

from sample_data.catalogue import Catalogue
from sample_data.columns import dates, numbers, pick, table
from sample_data.customers import CustomerBase
from sample_data.delivered import Delivered
from sample_data.inventory import StockCounts, count_rows, stock_counts
from sample_data.locations import restaurant_rows, restaurants, shop_rows
from sample_data.plan import RESTAURANT_ZONE, STORE_ZONE, SamplePlan
from sample_data.randomness import some, stream
from sample_data.restaurant import Restaurant
from sample_data.store import Store
from sample_data.trading import LONGEST_LAG_DAYS, Block, TradingCalendar, blocks, holidays

_CUSTOMER_ROWS = 200_000  # at a time
_RENAMED_IN, _NEXT_YEAR_IN = 6, 8  # deliveries that bring lists of places and days again
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Company:
    """Everything that follows from a plan. Building it draws master data only."""

    def __init__(self, plan: SamplePlan) -> None:
        self.plan = plan
        store_orders = round(plan.orders * plan.store_share)
        self.shop_days = TradingCalendar(plan, "store", STORE_ZONE, store_orders)
        self.restaurant_days = TradingCalendar(
            plan, "restaurant", RESTAURANT_ZONE, plan.orders - store_orders
        )
        self.catalogue = Catalogue(self.shop_days)
        self.customers = CustomerBase(self.shop_days, per_order=0.16, loyal_share=0.3)
        self.users = CustomerBase(self.restaurant_days, per_order=0.11, loyal_share=0.35)
        self.places = restaurants(self.restaurant_days)
        self.store = Store(self.shop_days, self.catalogue, self.customers)
        self.restaurant = Restaurant(self.restaurant_days, self.places, self.users)

    @cached_property
    def blocks(self) -> list[Block]:
        return blocks(self.plan, self.shop_days.order_counts + self.restaurant_days.order_counts)

    def blocks_for(self, first_delivery: int, last_delivery: int) -> list[Block]:
        """The blocks that have something to say in these deliveries."""
        earliest = 0
        if first_delivery > 0:
            earliest = self.plan.history_days + first_delivery - 1 - LONGEST_LAG_DAYS
        return [block for block in self.blocks if block.stop > earliest and block.delivery <= last_delivery]

    @cached_property
    def counts(self) -> StockCounts:
        return stock_counts(self.shop_days, self.catalogue)

    def delivery_days(self, delivery: int) -> range:
        """Indexes of the days that a delivery covers."""
        history = self.plan.history_days
        return range(history) if delivery == 0 else range(history + delivery - 1, history + delivery)

    def master_rows(self, delivery: int) -> Iterator[Delivered]:
        """Customers, stock counts, places and the calendar of a delivery. Price lists: see `Catalogue`."""
        yield from self._customer_rows(delivery)
        counted = count_rows(self.shop_days, self.catalogue, self.counts, self.delivery_days(delivery))
        yield Delivered("store_inventory", delivery, counted, {"counts": counted.num_rows})
        if delivery == 0:
            yield self._listed("store_locations", 0, shop_rows(self.plan))
        if delivery in {0, _RENAMED_IN}:
            rows = restaurant_rows(self.plan, self.places, renamed=delivery > 0)
            yield self._listed("restaurant_locations", delivery, rows)
        last_year = self.plan.last_day.year
        if delivery == 0:
            yield self._listed("restaurant_date_dim", 0, calendar_rows(self.plan.first_day.year, last_year))
        elif delivery == _NEXT_YEAR_IN:
            yield self._listed("restaurant_date_dim", delivery, calendar_rows(last_year + 1, last_year + 1))

    @staticmethod
    def _listed(feed: str, delivery: int, rows: pa.Table) -> Delivered:
        return Delivered(feed, delivery, rows, {"listed": rows.num_rows})

    def _customer_rows(self, delivery: int) -> Iterator[Delivered]:
        base = self.customers
        customers, updated_at = base.versions(delivery)
        fresh = base.deliveries[customers, 0] == delivery
        if delivery == 0:
            # Some members also stand in the file as they were before they joined; the newer row wins.
            rng = stream(self.plan.seed, "customers", "older")
            changed = updated_at > base.events[customers, 0]
            older = np.flatnonzero(some(rng, changed, 0.01, at_least=1))
            moments = base.events[customers[older], 0]
            if len(older):
                rows = base.rows(customers[older], moments)
                yield Delivered("store_customers", 0, rows, {"older_versions": len(older)})
        for start in range(0, len(customers), _CUSTOMER_ROWS):
            chosen = slice(start, start + _CUSTOMER_ROWS)
            rows = base.rows(customers[chosen], updated_at[chosen])
            new = int(np.count_nonzero(fresh[chosen]))
            facts = {"customers": new, "newer_versions": rows.num_rows - new}
            yield Delivered("store_customers", delivery, rows, facts)


def calendar_rows(first_year: int, last_year: int) -> pa.Table:
    """Rows of the franchise's calendar of whole years, in its words."""
    first, after = date(first_year, 1, 1), date(last_year + 1, 1, 1)
    days = np.arange(np.datetime64(first), np.datetime64(after))
    named = {day: name for year in range(first_year, last_year + 1) for day, name in holidays(year).items()}
    celebrated = sorted(named)
    positions = np.array([(day - first).days for day in celebrated])
    name = np.zeros(len(days), dtype=np.int64)
    name[positions] = np.arange(1, len(celebrated) + 1)
    weekday = (days.astype(np.int64) + 3) % 7
    month = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    # The ISO week of a day is the week of its Thursday, counted from the Thursday's 1 January.
    thursday = days - weekday.astype("timedelta64[D]") + np.timedelta64(3, "D")
    week = (thursday - thursday.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7 + 1
    return table(
        {
            "DATE_KEY": dates(days, pattern="%d-%m-%Y"),
            "YEAR": numbers(year),
            "MONTH": numbers(month),
            "WEEK": numbers(week),
            "DAY_OF_WEEK": pick(_WEEKDAYS, weekday),
            "IS_WEEKEND": pick(("False", "True"), (weekday >= 5).astype(np.int8)),
            "IS_HOLIDAY": pick(("False", "True"), (name > 0).astype(np.int8)),
            "HOLIDAY_NAME": pick((None, *(named[day] for day in celebrated)), name),
        }
    )
