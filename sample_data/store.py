"""The shop's orders, lines, payments and returns of a block of days.

An order is a row of moments: created, paid, fulfilled, delivered, and a last one (returned, cancelled or a
wrong step back). A delivery tells of an order what was true when it was drawn up, whenever something
happened since the delivery before. So status progress arrives as later versions of the same order.
Amounts are whole cents, quantities thousandths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sample_data.catalogue import BY_WEIGHT, Catalogue
from sample_data.columns import (
    NEVER,
    identifiers,
    money,
    numbers,
    pick,
    sparse_money,
    table,
    timestamps,
)
from sample_data.customers import CustomerBase
from sample_data.delivered import Delivered, by_delivery, last_of_each_delivery
from sample_data.locations import SHOP_IDS, WEB, shop_weights
from sample_data.plan import SamplePlan
from sample_data.randomness import Integers, Mask, some, stream, weighted
from sample_data.trading import Block, TradingCalendar

CREATED, PAID, FULFILLED, DELIVERED, LAST = range(5)  # columns of the moments
STATUS_WORDS = ("new", "paid", "shipped", "delivered", "returned", "canceled")
_RETURNED, _CANCELLED = 4, 5
PAYMENT_WORDS = ("open", "settled", "refund", "declined")
_METHODS = ("card", "paypal", "bank_transfer", "gift_card", "invoice")
_BANK_TRANSFER, _GIFT_CARD = 2, 3
_REASONS = ("damaged", "does not fit", "changed mind", "wrong item", "late", "defective, see note")
_QUANTITIES = np.array([0, 250, 500, 750, *range(1_000, 13_000, 1_000), 24_000, 36_000, 60_000])
_QUANTITY_TEXTS = tuple(f"{value / 1000:g}" for value in _QUANTITIES.tolist())
_HOUR, _DAY = 3_600, 86_400
TAX_PER_MYRIAD = 825
FREE_SHIPPING_FROM, SHIPPING = 7_500, 599
ORDER_NUMBERS_FROM = 10_000_000


@dataclass(frozen=True)
class _Orders:
    """Orders of a block by position, in the order of their moments of creation."""

    number: Integers
    day: Integers
    customer: Integers
    is_loyal: Mask
    place: Integers
    currency: Integers
    moments: Integers  # (orders, 5)
    last_status: Integers
    arrives: Integers  # (orders, 5): delivery of each moment
    late: Mask


@dataclass(frozen=True)
class _Lines:
    """Lines of a block; `order` is the position of the order, `starts` the first line of each order."""

    order: Integers
    starts: Integers
    line: Integers
    product: Integers
    quantity: Integers  # position in _QUANTITIES
    unit_price: Integers
    amount: Integers
    discount: Integers
    later_discount: Integers
    has_list_price: Mask


@dataclass(frozen=True)
class _Totals:
    """Header amounts in cents by order; `total` before and after a later adjustment of a line."""

    order_discount: Integers
    tax: Integers
    shipping: Integers
    tip: Integers
    total: Integers
    later_total: Integers
    has_discount: Mask
    break_marks: Mask


class Store:
    """Generates the shop's blocks. One instance serves all blocks of a plan."""

    def __init__(self, calendar: TradingCalendar, catalogue: Catalogue, customers: CustomerBase) -> None:
        self.calendar, self.catalogue, self.customers = calendar, catalogue, customers
        self.plan: SamplePlan = calendar.plan
        self.nowhere = self.plan.deliveries + 1  # the delivery that never comes

    def block(self, block: Block) -> Iterator[Delivered]:
        """Everything that ever arrives about the orders of a block, feed by feed, delivery by delivery."""
        counts = self.calendar.order_counts[block.start : block.stop]
        if not counts.sum():
            return
        rng = stream(self.plan.seed, "store", block.index)
        orders = self._orders(rng, block, counts)
        lines = self._lines(rng, orders)
        adjusted = self._adjusted(rng, orders)
        lines, totals = self._totals(rng, orders, lines, adjusted, at_least=_at_least(block))
        returns, orders = self._returned(rng, orders, lines, totals, at_least=_at_least(block))
        yield from self._order_rows(rng, orders, totals, adjusted, at_least=_at_least(block))
        yield from self._line_rows(orders, lines, adjusted)
        yield from self._payment_rows(rng, orders, totals, at_least=_at_least(block))
        yield from returns

    # -- what happens -----------------------------------------------------------------------------------

    def _orders(self, rng: np.random.Generator, block: Block, counts: Integers) -> _Orders:
        day = np.repeat(np.arange(block.start, block.stop), counts)
        size = len(day)
        created = self.calendar.to_utc(day, self.calendar.times_of_day(rng, day))
        customer = self.customers.choose(rng, block.start, block.stop, guest_share=0.11)
        by_time = np.argsort(created, kind="stable")
        day, created, customer = day[by_time], created[by_time], customer[by_time]
        place = weighted(rng, shop_weights(), size)
        picked_up = place != WEB
        fate = rng.random(size)
        never_paid, given_up = fate < 0.02, (fate >= 0.02) & (fate < 0.042)
        cancelled_later = (fate >= 0.042) & (fate < 0.054)
        stays_fulfilled = (fate >= 0.054) & (fate < 0.06)
        slow = rng.random(size) < 0.06  # bank transfers
        paid = created + np.where(slow, rng.integers(_DAY // 2, 3 * _DAY, size), rng.integers(20, 900, size))
        fulfilled = paid + np.where(
            picked_up, rng.integers(600, 6 * _HOUR, size), rng.integers(3 * _HOUR, 50 * _HOUR, size)
        )
        delivered = fulfilled + np.where(
            picked_up, rng.integers(600, 20 * _HOUR, size), rng.integers(20 * _HOUR, 120 * _HOUR, size)
        )
        unpaid = never_paid | given_up
        moments = np.full((size, 5), NEVER, dtype=np.int64)
        moments[:, CREATED] = created
        moments[:, PAID] = np.where(unpaid, NEVER, paid)
        moments[:, FULFILLED] = np.where(unpaid | cancelled_later, NEVER, fulfilled)
        moments[:, DELIVERED] = np.where(unpaid | cancelled_later | stays_fulfilled, NEVER, delivered)
        back = some(rng, moments[:, DELIVERED] < NEVER, 0.0006, at_least=_at_least(block))
        moments[:, LAST] = np.select(
            [given_up, cancelled_later, back],
            [
                created + rng.integers(1_000, 2 * _DAY, size),
                paid + rng.integers(600, _DAY, size),
                delivered + rng.integers(_HOUR, _DAY, size),
            ],
            NEVER,
        )
        arrives = self.calendar.deliveries_of(moments.ravel()).reshape(moments.shape)
        arrives, late = self._delayed(rng, block, arrives)
        return _Orders(
            number=ORDER_NUMBERS_FROM + self.calendar.first_numbers[block.start] + np.arange(size),
            day=day,
            customer=customer,
            is_loyal=self.customers.is_loyal(customer, day),
            place=place,
            currency=np.where(rng.random(size) < 0.8, 0, rng.integers(0, len(self.plan.currencies), size)),
            moments=moments,
            last_status=np.where(back, FULFILLED, _CANCELLED),
            arrives=arrives,
            late=late,
        )

    def _delayed(self, rng: np.random.Generator, block: Block, arrives: Integers) -> tuple[Integers, Mask]:
        """Some orders of daily deliveries arrive one to four deliveries late, with all that belongs to them."""
        delay = rng.integers(1, 5, len(arrives))
        first = arrives[:, CREATED] + delay
        possible = (arrives[:, CREATED] >= 1) & (first <= self.plan.deliveries)
        late = some(rng, possible, 0.004, at_least=1 if block.delivery % 3 == 1 else 0)
        held = np.where(arrives > self.plan.deliveries, arrives, np.maximum(arrives, first[:, None]))
        return np.where(late[:, None], held, arrives), late

    def _lines(self, rng: np.random.Generator, orders: _Orders) -> _Lines:
        size = len(orders.day)
        beyond_first = 1.1 + 0.5 * orders.is_loyal + self.plan.extra_lines_per_order
        per_order = np.minimum(1 + rng.poisson(beyond_first), 12)
        starts = np.concatenate([[0], np.cumsum(per_order)[:-1]])
        order = np.repeat(np.arange(size), per_order)
        count = len(order)
        day, created = orders.day[order], orders.moments[order, CREATED]
        product = self.catalogue.choose(rng, day)
        version = self.catalogue.versions_at(product, created)
        by_weight = self.catalogue.category[product] == BY_WEIGHT
        drawn = np.minimum(rng.geometric(0.68, count), 12) + 3
        wholesale = rng.random(count) < 0.004
        drawn = np.where(wholesale, rng.integers(16, 19, count), drawn)
        quarters = by_weight & (rng.random(count) < 0.6)
        drawn = np.where(quarters, rng.integers(1, 4, count), drawn)
        drawn[rng.random(count) < 0.0005] = 0  # taken off the order, the line stays
        marked = (
            self.catalogue.version_price[version] * (100 - self.catalogue.markdowns[day, product])
        ) // 100
        unit_price = np.where(by_weight, marked // 4 * 4, marked)
        unit_price[rng.random(count) < 0.001] = 0  # free gift
        amount = unit_price * _QUANTITIES[drawn] // 1000
        campaign = self.catalogue.promotions[day, product]
        coupon = np.where(rng.random(count) < 0.03, rng.integers(1, 7, count) * 5, 0)
        percent = np.where((campaign > 0) & (rng.random(count) < 0.85), campaign, coupon)
        discount = amount * percent // 100
        return _Lines(
            order=order,
            starts=starts,
            line=np.arange(count) - starts[order] + 1,
            product=product,
            quantity=drawn,
            unit_price=unit_price,
            amount=amount,
            discount=discount,
            later_discount=discount,
            has_list_price=self.catalogue.priced(product, created),
        )

    def _adjusted(self, rng: np.random.Generator, orders: _Orders) -> Mask:
        """Orders whose first line gets a discount afterwards: told again when they are handed over."""
        first, handed_over = orders.arrives[:, CREATED], orders.arrives[:, DELIVERED]
        seen_before = (handed_over > first) & (handed_over <= self.plan.deliveries)
        return some(rng, seen_before, 0.04)

    def _totals(
        self, rng: np.random.Generator, orders: _Orders, lines: _Lines, adjusted: Mask, *, at_least: int
    ) -> tuple[_Lines, _Totals]:
        size = len(orders.day)
        net = lines.amount - lines.discount
        subtotal = np.add.reduceat(net, lines.starts)
        rebate = np.where(rng.random(size) < 0.12, rng.choice(np.array([5, 10, 15]), size), 0)
        order_discount = subtotal * rebate // 100
        tax = ((subtotal - order_discount) * TAX_PER_MYRIAD + 5_000) // 10_000
        shipping = np.where((orders.place == WEB) & (subtotal < FREE_SHIPPING_FROM), SHIPPING, 0)
        tip = np.where((orders.place != WEB) & (rng.random(size) < 0.15), rng.integers(1, 6, size) * 100, 0)
        total = subtotal - order_discount + tax + shipping + tip
        marks = some(rng, total >= 1_000, 0.0008, at_least=at_least)
        total = total + np.where(marks, rng.choice(np.array([1, -1, 100, SHIPPING]), size), 0)
        # A tenth of what is left of the line. Tax is not worked out again: it is on the header as it was.
        at_first_line = lines.starts[adjusted]
        later_discount = lines.discount.copy()
        later_discount[at_first_line] += net[at_first_line] // 10
        less = np.zeros(size, dtype=np.int64)
        less[adjusted] = net[at_first_line] // 10
        return replace(lines, later_discount=later_discount), _Totals(
            order_discount=order_discount,
            tax=tax,
            shipping=shipping,
            tip=tip,
            total=total,
            later_total=total - less,
            has_discount=rebate > 0,
            break_marks=marks,
        )

    def _returned(
        self, rng: np.random.Generator, orders: _Orders, lines: _Lines, totals: _Totals, *, at_least: int
    ) -> tuple[list[Delivered], _Orders]:
        """Returns of lines, and the orders with those that came back whole marked as returned."""
        handed_over = orders.moments[lines.order, DELIVERED]
        units = _QUANTITIES[lines.quantity]
        possible = (handed_over < NEVER) & (units > 0) & (orders.moments[lines.order, LAST] == NEVER)
        back = np.flatnonzero(possible & (rng.random(len(units)) < 0.05))
        size = len(back)
        order = lines.order[back]
        waits = np.where(
            rng.random(size) < 0.82,
            rng.integers(_DAY, 22 * _DAY, size),
            rng.integers(22 * _DAY, 50 * _DAY, size),
        )
        returned = handed_over[back] + waits
        part = (units[back] >= 2_000) & (rng.random(size) < 0.5)
        quantity = np.where(part, 1_000, units[back])
        net = (lines.amount - lines.later_discount)[back]
        subtotal = np.add.reduceat(lines.amount - lines.later_discount, lines.starts)[order]
        # One cent less than the line's own share at most: a refund exceeds the net only where it is meant to.
        share = totals.order_discount[order] * net // np.maximum(subtotal, 1)
        share += totals.order_discount[order] > 0
        refund = np.maximum(net - share, 0) * quantity // np.maximum(units[back], 1)
        generous = some(rng, net > 0, 0.01, at_least=at_least)  # more than was paid
        refund = np.where(generous, refund * 3 // 2 + 500, refund)
        arrives = self.calendar.deliveries_of(returned)
        if len(back):
            # A return is never told before its order.
            arrives = np.where(
                arrives > self.plan.deliveries, arrives, np.maximum(arrives, orders.arrives[order, CREATED])
            )
        alone = np.bincount(lines.order, minlength=len(orders.day)) == 1
        whole = alone[order] & ~part
        moments, reaches = orders.moments.copy(), orders.arrives.copy()
        last_status = orders.last_status.copy()
        moments[order[whole], LAST] = returned[whole]
        reaches[order[whole], LAST] = arrives[whole]
        last_status[order[whole]] = _RETURNED
        codes = np.searchsorted(_QUANTITIES, quantity)
        rows = table(
            {
                "rma_number": identifiers("RT", orders.number[order] * 100 + lines.line[back]),
                "order_number": identifiers("SO", orders.number[order]),
                "line_number": numbers(lines.line[back]),
                "quantity": pick(_QUANTITY_TEXTS, codes),
                "refund": money(refund),
                "returned_at": timestamps(returned),
                "reason": pick(_REASONS, rng.integers(0, len(_REASONS), size)),
            }
        )
        beyond = refund > net - share
        days_after = self._business_days(returned) - orders.day[order]
        facts = {
            "returns": np.ones(size, dtype=np.bool_),
            "refunds_above_net": beyond,
            "returns_after_30_days": days_after > 30,
        }
        found = list(by_delivery(self.nowhere, "store_returns", rows=rows, arrives=arrives, facts=facts))
        return found, replace(orders, moments=moments, arrives=reaches, last_status=last_status)

    def _business_days(self, moments: Integers) -> Integers:
        return np.searchsorted(self.calendar.midnights, moments, side="right") - 1

    # -- what is told -----------------------------------------------------------------------------------

    def _order_rows(
        self, rng: np.random.Generator, orders: _Orders, totals: _Totals, adjusted: Mask, *, at_least: int
    ) -> Iterator[Delivered]:
        told = last_of_each_delivery(orders.arrives, self.nowhere)
        happened, first = orders.moments < NEVER, orders.arrives[:, CREATED]
        in_history = orders.arrives == 0
        # The history repeats some orders in an older version as well; the newer one wins.
        older = some(rng, in_history[:, PAID] & happened[:, PAID] & ~told[:, PAID], 0.006, at_least=at_least)
        told[older, PAID] = True
        # A step back shows only where the step before it was told, too.
        back = (
            happened[:, LAST] & (orders.last_status == FULFILLED) & (orders.arrives[:, LAST] < self.nowhere)
        )
        hidden = back & ~told[:, DELIVERED]
        told[hidden, DELIVERED] = True
        position, column = np.nonzero(told)
        arrives = orders.arrives[position, column]
        # Others come once more, later and out of date: the newer version stays.
        stale = self._stale(rng, orders, told, at_least=at_least)
        position = np.concatenate([position, np.flatnonzero(stale)])
        column = np.concatenate([column, np.full(int(stale.sum()), PAID)])
        arrives = np.concatenate(
            [arrives, orders.arrives[stale].max(axis=1, initial=0, where=told[stale]) + 1]
        )
        is_stale = np.arange(len(position)) >= len(position) - int(stale.sum())
        is_older = older[position] & (column == PAID) | hidden[position] & (column == DELIVERED)
        is_older &= ~is_stale
        # And a few twice in one file with one `updated_at` and two places: the later row wins.
        single = np.flatnonzero(some(rng, (arrives == 0) & ~is_older, 0.0, at_least=at_least))
        conflicting = np.arange(len(position) + len(single)) >= len(position)
        position, column, arrives, is_stale, is_older = (
            np.concatenate([values, values[single]])
            for values in (position, column, arrives, is_stale, is_older)
        )
        status = np.where(column == LAST, orders.last_status[position], column)
        later = adjusted[position] & (column >= DELIVERED)
        place = np.where(conflicting, (orders.place[position] + 1) % len(SHOP_IDS), orders.place[position])
        customer = orders.customer[position]
        rows = table(
            {
                "order_number": identifiers("SO", orders.number[position]),
                "customer_number": identifiers("C", self.customers.numbers(customer), keep=customer >= 0),
                "placed_at": timestamps(orders.moments[position, CREATED]),
                "last_modified": timestamps(orders.moments[position, column]),
                "state": pick(STATUS_WORDS, status),
                "currency_code": pick(self.plan.currencies, orders.currency[position]),
                "grand_total": money(np.where(later, totals.later_total[position], totals.total[position])),
                "sales_tax": money(totals.tax[position]),
                "shipping": sparse_money(totals.shipping[position], otherwise="0.00"),
                "order_discount": sparse_money(totals.order_discount[position], otherwise=None),
                "tip": sparse_money(totals.tip[position], otherwise=None),
                "location_id": pick(SHOP_IDS, place),
                "club_order": pick(("false", "true"), orders.is_loyal[position].astype(np.int8)),
            }
        )
        is_first = (arrives == first[position]) & ~is_older & ~conflicting
        registered = np.append(self.customers.registered, True)[customer]
        facts = {
            "orders": is_first,
            "newer_versions": (arrives > first[position]) & ~is_stale & ~is_older,
            "older_versions": is_older,
            "stale_versions": is_stale,
            "conflicting_rows": conflicting,
            "late_orders": is_first & orders.late[position],
            "header_breaks": is_first & totals.break_marks[position],
            "guest_orders": is_first & (customer < 0),
            "orders_of_unregistered_customers": is_first & ~registered,
            "status_regressions": (column == LAST) & (status == FULFILLED) & ~conflicting,
        }
        once = np.isin(position, position[single])
        yield from by_delivery(
            self.nowhere, "store_orders", rows=rows, arrives=arrives, facts=facts, once=once
        )

    def _stale(self, rng: np.random.Generator, orders: _Orders, told: Mask, *, at_least: int) -> Mask:
        newest = orders.arrives.max(axis=1, initial=0, where=told)
        beyond_paid = told[:, FULFILLED] | told[:, DELIVERED]
        possible = beyond_paid & (newest >= 1) & (newest < self.plan.deliveries)
        return some(rng, possible, 0.004, at_least=at_least)

    def _line_rows(self, orders: _Orders, lines: _Lines, adjusted: Mask) -> Iterator[Delivered]:
        again = np.flatnonzero(adjusted)
        position = np.concatenate([np.arange(len(lines.order)), lines.starts[again]])
        later = np.arange(len(position)) >= len(lines.order)
        order = lines.order[position]
        arrives = np.where(later, orders.arrives[order, DELIVERED], orders.arrives[order, CREATED])
        discount = np.where(later, lines.later_discount[position], lines.discount[position])
        number = identifiers("SO", orders.number)
        rows = table(
            {
                "order_number": number.take(pa.array(order)),
                "line_number": numbers(lines.line[position]),
                "sku": pick(self.catalogue.ids, lines.product[position]),
                "quantity": pick(_QUANTITY_TEXTS, lines.quantity[position]),
                "unit_price": money(lines.unit_price[position]),
                "line_discount": sparse_money(discount, otherwise=None),
            }
        )
        facts = {
            "order_lines": ~later,
            "corrected_lines": later,
            "late_lines": ~later & orders.late[order],
            "lines_before_first_price": ~later & ~lines.has_list_price[position],
        }
        yield from by_delivery(self.nowhere, "store_order_items", rows=rows, arrives=arrives, facts=facts)

    def _payment_rows(
        self, rng: np.random.Generator, orders: _Orders, totals: _Totals, *, at_least: int
    ) -> Iterator[Delivered]:
        size = len(orders.day)
        created, paid = orders.moments[:, CREATED], orders.moments[:, PAID]
        pays = paid < NEVER
        method = weighted(rng, np.array([0.62, 0.24, 0.0, 0.04, 0.10]), size)
        slow = paid - created >= _DAY // 2
        method = np.where(slow & pays, _BANK_TRANSFER, method)
        handed_over = orders.moments[:, DELIVERED] < NEVER
        unpaid = some(rng, handed_over, 0.001, at_least=at_least)
        short = some(rng, handed_over & ~unpaid & (totals.total > 1_000), 0.001, at_least=at_least)
        much = some(rng, handed_over & ~unpaid & ~short, 0.001, at_least=at_least)
        amount = totals.total + np.where(short, -rng.integers(100, 900, size), 0)
        amount = amount + np.where(much, rng.integers(100, 900, size), 0)
        split = pays & (amount >= 2_000) & (rng.random(size) < 0.025)
        by_card = np.where(split, amount // 3, 0)
        cancelled = (orders.last_status == _CANCELLED) & (orders.moments[:, LAST] < NEVER)
        sent_back = (orders.last_status == _RETURNED) & (rng.random(size) < 0.8)
        refunded = np.where(
            pays & (cancelled | sent_back) & (orders.moments[:, LAST] < NEVER),
            orders.moments[:, LAST] + rng.integers(_HOUR, 20 * _HOUR, size),
            NEVER,
        )
        failed = rng.random(size) < np.where(pays, 0.065, 0.5)
        failed_again = failed & (rng.random(size) < 0.2)
        pending = ~pays & (rng.random(size) < 0.6)
        stray = some(rng, np.ones(size, dtype=np.bool_), 0.0004, at_least=at_least)
        never = np.full(size, NEVER, dtype=np.int64)
        asked = np.where(slow, created, paid - np.minimum(rng.integers(1, 60, size), (paid - created) // 2))
        early = created + np.minimum(rng.integers(2, 15, size), np.maximum(paid - created, 2) // 4)
        usable = pays & ~unpaid
        kinds: list[tuple[Mask, Integers, Integers, Integers, Integers, Integers]] = [
            (usable, np.zeros(size, dtype=np.int64), amount - by_card, asked, paid, refunded),
            (usable & split, np.ones(size, dtype=np.int64), by_card, asked, paid, refunded),
            (pending, np.full(size, 2), totals.total, created + 5, never, never),
            (failed, np.full(size, 3), totals.total, early, never, never),
            (failed_again, np.full(size, 4), totals.total, early + 1, never, never),
            (stray, np.full(size, 5), np.full(size, 2_500), created, created + 60, never),
        ]
        columns = [np.concatenate([kind[n][kind[0]] for kind in kinds]) for n in range(1, 6)]
        order = np.concatenate([np.flatnonzero(kind[0]) for kind in kinds])
        sort = np.lexsort((columns[0], order))
        order = order[sort]
        kind, value, asked, settled, given_back = (column[sort] for column in columns)
        moments = np.stack([asked, settled, given_back], axis=1)
        arrives = self.calendar.deliveries_of(moments.ravel()).reshape(moments.shape)
        told = last_of_each_delivery(arrives, self.nowhere)
        position, column = np.nonzero(told)
        lands = arrives[position, column]
        is_failed = (kind[position] == 3) | (kind[position] == 4)
        is_stray = kind[position] == 5
        status = np.where(is_failed, 3, column)
        used = method[order[position]]
        used = np.where(kind[position] == 1, _GIFT_CARD, np.where(kind[position] == 2, _BANK_TRANSFER, used))
        about = orders.number[order[position]] + np.where(is_stray, 70_000_000, 0)
        payment = orders.number[order[position]] * 10 + kind[position]
        rows = table(
            {
                "transaction_id": identifiers("PM", payment),
                "order_number": identifiers("SO", about),
                "amount_cents": numbers(value[position]),
                "result": pick(PAYMENT_WORDS, status),
                "method": pick(_METHODS, used),
                "requested_at": timestamps(asked[position]),
                "settled_at": timestamps(np.where(column >= 1, settled[position], NEVER)),
            }
        )
        start = arrives[position, 0] == lands
        of_order = order[position]
        facts = {
            "payments": start,
            "corrected_payments": ~start,
            "payments_failed": is_failed,
            "orphan_payments": is_stray & start,
            "underpaid_orders": start & (kind[position] == 0) & short[of_order],
            "overpaid_orders": start & (kind[position] == 0) & much[of_order],
        }
        yield from by_delivery(self.nowhere, "store_payments", rows=rows, arrives=lands, facts=facts)


def _at_least(block: Block) -> int:
    """Rare things happen at least once in each block of the history."""
    return 1 if block.delivery == 0 else 0
