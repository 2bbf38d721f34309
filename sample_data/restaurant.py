"""The franchise's order lines and their options of a block of days.

The export has no order header and no customer list: every line repeats its order. Times are local and
carry no zone. A discount is an option with a negative price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample_data.columns import identifiers, money, numbers, pick, table, timestamps
from sample_data.customers import CustomerBase
from sample_data.delivered import Delivered, by_delivery
from sample_data.locations import RESTAURANT_IDS, RESTAURANTS, Restaurants
from sample_data.menu import (
    COFFEE_GROUP,
    COUPON,
    ITEMS,
    NO_GROUP,
    OPTIONS,
    REWARD,
    SHOT,
    day_part_weights,
    option_table,
)
from sample_data.randomness import Integers, Mask, some, stream
from sample_data.trading import Block, TradingCalendar

_APPS = ("FRANCHISE_POS", "MOBILE_APP", "KIOSK", "DEVELOPMENT")
DEVELOPMENT = 3
_PRICE_RISE_PER_CENT = 4  # in the middle of the plan's days


@dataclass(frozen=True)
class _Lines:
    """Lines of a block by position; order columns are repeated on each line."""

    order: Integers  # running number of the order
    day: Integers
    place: Integers
    local: Integers  # seconds since 1970 of the wall clock
    user: Integers
    is_loyal: Mask
    app: Integers
    line: Integers
    item: Integers
    price: Integers
    quantity: Integers
    is_discounted: Mask  # the order


class Restaurant:
    """Generates the franchise's blocks. One instance serves all blocks of a plan."""

    def __init__(self, calendar: TradingCalendar, places: Restaurants, users: CustomerBase) -> None:
        self.calendar, self.places, self.users = calendar, places, users
        self.plan = calendar.plan
        self.nowhere = self.plan.deliveries + 1
        cumulative = np.cumsum(places.weights, axis=1)
        days = np.arange(self.plan.days)[:, None]
        self._place_shares = (days + cumulative / cumulative[:, -1:]).ravel()
        by_hour = np.cumsum(day_part_weights(), axis=1)
        self._item_shares = (np.arange(24)[:, None] + by_hour / by_hour[:, -1:]).ravel()
        _, self._option_shares = option_table()
        self._prices = np.array([item.price for item in ITEMS])
        self._groups = np.array([item.group for item in ITEMS])
        self._option_prices = np.array([option.price for option in OPTIONS])

    def block(self, block: Block) -> Iterator[Delivered]:
        """Everything that ever arrives about the orders of a block, feed by feed, delivery by delivery."""
        counts = self.calendar.order_counts[block.start : block.stop]
        if not counts.sum():
            return
        rng = stream(self.plan.seed, "restaurant", block.index)
        at_least = 1 if block.delivery == 0 else 0
        lines, disagreeing = self._lines(rng, block, counts, at_least=at_least)
        arrives, late = self._arrivals(block, lines)
        corrected = self._corrected(rng, lines, arrives, at_least=at_least)
        yield from self._line_rows(
            rng,
            lines,
            arrives,
            late=late,
            corrected=corrected,
            disagreeing=disagreeing,
            at_least=at_least,
        )
        yield from self._option_rows(rng, lines, arrives, corrected, at_least=at_least)

    def _lines(
        self, rng: np.random.Generator, block: Block, counts: Integers, *, at_least: int
    ) -> tuple[_Lines, Mask]:
        day = np.repeat(np.arange(block.start, block.stop), counts)
        size = len(day)
        seconds = self.calendar.times_of_day(rng, day)
        local = self.calendar.days.astype("datetime64[s]").astype(np.int64)[day] + seconds
        user = self.users.choose(rng, block.start, block.stop, guest_share=0.42)
        by_time = np.argsort(local, kind="stable")
        day, local, user = day[by_time], local[by_time], user[by_time]
        place = np.searchsorted(self._place_shares, day + rng.random(size), side="right") - day * RESTAURANTS
        loyal = self.users.is_loyal(user, day)
        app = np.searchsorted(np.array([0.7, 0.9]), rng.random(size), side="right")
        discounted = rng.random(size) < np.where(loyal, 0.2, 0.07)
        beyond_first = 1.35 + 0.5 * loyal + self.plan.extra_lines_per_order
        per_order = np.minimum(1 + rng.poisson(beyond_first), 15)
        order = np.repeat(np.arange(size), per_order)
        count = len(order)
        starts = np.cumsum(per_order) - per_order
        hour = (local // 3_600 % 24)[order]
        item = np.searchsorted(self._item_shares, hour + rng.random(count), side="right") - hour * len(ITEMS)
        risen = day[order] >= self.plan.days // 2
        price = self._prices[item] * (100 + np.where(risen, _PRICE_RISE_PER_CENT, 0)) // 100
        dear = (place[order] % 5 == 0) & (price > 100)
        price = price + np.where(dear, 50, 0)
        disagreeing = some(rng, per_order > 1, 0.0006, at_least=at_least)
        line = np.arange(count) - starts[order] + 1
        loyal_lines = loyal[order] ^ (disagreeing[order] & (line == 2))
        first = self.calendar.first_numbers[block.start]
        lines = _Lines(
            order=first + order,
            day=day[order],
            place=place[order],
            local=local[order],
            user=user[order],
            is_loyal=loyal_lines,
            app=app[order],
            line=line,
            item=item,
            price=price,
            quantity=np.minimum(rng.geometric(0.82, count), 9),
            is_discounted=discounted[order],
        )
        return lines, disagreeing[order] & (line == 2)

    def _arrivals(self, block: Block, lines: _Lines) -> tuple[Integers, Mask]:
        """Some orders arrive later than their day, one delivery in five misses a whole restaurant at first."""
        on_time = np.maximum(lines.day - self.plan.history_days + 1, 0)
        late_order = stream(self.plan.seed, "late", block.index).random(
            1 + int(lines.order[-1] - lines.order[0])
        )
        late = late_order[lines.order - lines.order[0]] < 0.004
        if block.delivery % 5 == 2:
            busiest = int(np.bincount(lines.place, minlength=RESTAURANTS).argmax())
            late |= lines.place == busiest
        late &= (on_time >= 1) & (on_time + 2 <= self.plan.deliveries)
        return np.where(late, on_time + 2, on_time), late

    def _corrected(
        self, rng: np.random.Generator, lines: _Lines, arrives: Integers, *, at_least: int
    ) -> Mask:
        """Lines that come again in the delivery after their first, with one piece more and new options."""
        recent = lines.day >= self.plan.history_days - 1
        return some(rng, recent & (arrives < self.plan.deliveries), 0.004, at_least=at_least)

    def _line_rows(
        self,
        rng: np.random.Generator,
        lines: _Lines,
        arrives: Integers,
        *,
        late: Mask,
        corrected: Mask,
        disagreeing: Mask,
        at_least: int,
    ) -> Iterator[Delivered]:
        count = len(lines.order)
        # Rows of the software house's own trials run through the same till.
        trial = np.flatnonzero(some(rng, np.ones(count, dtype=np.bool_), 0.002, at_least=max(1, at_least)))
        again = np.flatnonzero(corrected)
        position = np.concatenate([np.arange(count), again, trial])
        is_again = (np.arange(len(position)) >= count) & (np.arange(len(position)) < count + len(again))
        is_trial = np.arange(len(position)) >= count + len(again)
        lands = arrives[position] + is_again
        number = lines.order[position]
        user = lines.user[position]
        card = 9_999_000_000_000_000 + (user + 1) * 10_007 + np.where(user < 0, number * 31, 0)
        by_card = (lines.app[position] != 1) & (number % 3 > 0)
        rows = table(
            {
                "APP_NAME": pick(_APPS, np.where(is_trial, DEVELOPMENT, lines.app[position])),
                "RESTAURANT_ID": pick(RESTAURANT_IDS, lines.place[position]),
                "CREATION_TIME": timestamps(lines.local[position]),
                "ORDER_ID": order_ids(number, is_trial),
                "USER_ID": identifiers("U", self.users.numbers(user), keep=user >= 0),
                "PRINTED_CARD_NUMBER": numbers(card, keep=by_card),
                "IS_LOYALTY": pick(("False", "True"), lines.is_loyal[position].astype(np.int8)),
                "CURRENCY": pick(("USD",), np.zeros(len(position), dtype=np.int8)),
                "LINEITEM_ID": identifiers("L", number * 20 + lines.line[position]),
                "ITEM_CATEGORY": pick([item.category for item in ITEMS], lines.item[position]),
                "ITEM_NAME": pick([item.name for item in ITEMS], lines.item[position]),
                "ITEM_PRICE": money(lines.price[position]),
                "ITEM_QUANTITY": numbers(lines.quantity[position] + is_again),
            }
        )
        fresh = ~is_again & ~is_trial
        first_line = fresh & (lines.line[position] == 1)
        facts = {
            "orders": first_line,
            "order_lines": fresh,
            "corrected_lines": is_again,
            "excluded_rows": is_trial,
            "late_orders": first_line & late[position],
            "late_lines": fresh & late[position],
            "guest_orders": first_line & (user < 0),
            "orders_with_disagreeing_lines": fresh & disagreeing[position],
        }
        yield from by_delivery(
            self.nowhere, "restaurant_order_items", rows=rows, arrives=lands, facts=facts, once=is_trial
        )

    def _option_rows(
        self,
        rng: np.random.Generator,
        lines: _Lines,
        arrives: Integers,
        corrected: Mask,
        *,
        at_least: int,
    ) -> Iterator[Delivered]:
        group = self._groups[lines.item]
        count = len(group)
        chosen = np.where(
            group == NO_GROUP, 0, np.searchsorted(np.array([0.34, 0.72, 0.92]), rng.random(count))
        )
        line = np.repeat(np.arange(count), chosen)
        option = np.searchsorted(self._option_shares, group[line] + rng.random(len(line)), side="right")
        # Two shots are two equal rows, never a quantity.
        shots = np.repeat(np.flatnonzero((group == COFFEE_GROUP) & (rng.random(count) < 0.08)), 2)
        reduced = np.flatnonzero(lines.is_discounted & (lines.line == 1))
        amount = lines.price * lines.quantity
        percent = rng.choice(np.array([10, 15, 20, 50]), len(reduced))
        off = -np.maximum(amount[reduced] * percent // 100, 0)
        off = np.where(lines.is_loyal[reduced], np.maximum(-300, -amount[reduced]), off)
        promotion = np.where(lines.is_loyal[reduced], REWARD, COUPON)
        line = np.concatenate([line, shots, reduced])
        option = np.concatenate([option, np.full(len(shots), SHOT), promotion])
        price = np.concatenate([self._option_prices[option[: len(option) - len(reduced)]], off])
        quantity = np.where((price > 0) & (option != SHOT) & (rng.random(len(line)) < 0.05), 2, 1)
        keep = np.argsort(line, kind="stable")
        line, option, price, quantity = (values[keep] for values in (line, option, price, quantity))
        # A corrected line comes with all its options, and with one more bottle of dressing.
        again = np.flatnonzero(corrected[line])
        more = np.flatnonzero(corrected)
        position = np.concatenate([line, line[again], more])
        option = np.concatenate([option, option[again], np.full(len(more), 8)])
        price = np.concatenate([price, price[again], np.full(len(more), 40)])
        quantity = np.concatenate([quantity, quantity[again], np.ones(len(more), dtype=np.int64)])
        is_again = np.arange(len(position)) >= len(line)
        lands = arrives[position] + is_again
        stray = np.flatnonzero(some(rng, ~is_again, 0.0006, at_least=at_least))
        stray_marks = np.arange(len(position) + len(stray)) >= len(position)
        position, option, price, quantity, lands = (
            np.concatenate([values, values[stray]]) for values in (position, option, price, quantity, lands)
        )
        is_again = np.concatenate([is_again, np.zeros(len(stray), dtype=np.bool_)])
        number = lines.order[position] + np.where(stray_marks, 70_000_000, 0)
        rows = table(
            {
                "ORDER_ID": order_ids(number, np.zeros(len(position), dtype=np.bool_)),
                "LINEITEM_ID": identifiers("L", number * 20 + lines.line[position]),
                "OPTION_GROUP_NAME": pick([choice.group_name for choice in OPTIONS], option),
                "OPTION_NAME": pick([choice.name for choice in OPTIONS], option),
                "OPTION_PRICE": money(price),
                "OPTION_QUANTITY": numbers(quantity),
            }
        )
        facts = {
            "options": ~is_again & ~stray_marks,
            "corrected_options": is_again,
            "orphan_options": stray_marks,
            "negative_options": (price < 0) & ~is_again & ~stray_marks,
            "free_options": (price == 0) & ~is_again & ~stray_marks,
        }
        yield from by_delivery(
            self.nowhere, "restaurant_order_item_options", rows=rows, arrives=lands, facts=facts
        )


def order_ids(numbers_from_zero: Integers, is_trial: Mask) -> pa.Array:
    """Order ids of ten digits with leading zeros; trial orders have a letter of their own."""
    padded = pc.utf8_lpad(pa.array(numbers_from_zero + 100_000).cast(pa.string()), 10, "0")
    if not is_trial.any():
        return padded
    marked = pc.binary_join_element_wise("T", padded, "")
    return pc.if_else(pa.array(is_trial), marked, padded)
