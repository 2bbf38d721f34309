"""Orders, lines and returns of both systems in one shape, with their money and their business dates."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from .contracts import UNMAPPED
from .entities import Delivered, Version, latest_options, latest_versions
from .exact import ZERO, day_part, largest_remainder, local_time, product, stored, total
from .prices import PriceHistory

REFUND_WINDOW_DAYS = 30
BOOKED_STATUSES = frozenset({"paid", "fulfilled", "delivered", "returned"})


@dataclass(frozen=True)
class ExchangeRates:
    """Rates into the reporting currency: per currency, (day, rate) ascending."""

    reporting_currency: str = "USD"
    rates: Mapping[str, Sequence[tuple[date, Decimal]]] = field(default_factory=dict)

    def on(self, currency: str, day: date) -> Decimal | None:
        """Latest rate on or before `day`; None when there is none."""
        if currency == self.reporting_currency:
            return Decimal(1)
        known = self.rates.get(currency, ())
        place = bisect_right([start for start, _ in known], day)
        return known[place - 1][1] if place else None


@dataclass
class Line:
    system: str
    order_id: str
    line_id: str
    product_id: str
    category: str | None
    quantity: Decimal
    unit_price: Decimal | None  # None where only a total of several units was delivered
    item_amount: Decimal
    option_amount: Decimal
    gross: Decimal
    discount: Decimal
    net: Decimal
    list_price_amount: Decimal | None = None
    cost: Decimal | None = None
    valid_from: datetime | None = None  # of the product version
    transaction_net: Decimal = ZERO
    refund: Decimal = ZERO  # eligible, whatever its date


@dataclass
class Order:
    system: str
    order_id: str
    customer_id: str | None
    location_id: str | None
    ordered_at: datetime
    ordered_at_local: datetime
    status: str | None
    is_booked: bool
    is_loyalty: bool
    currency: str
    exchange_rate: Decimal
    header_total: Decimal | None  # in the reporting currency
    transaction_header_total: Decimal | None = None
    sales_channel: str | None = None
    order_discount: Decimal = ZERO
    tax: Decimal = ZERO
    shipping: Decimal = ZERO
    tip: Decimal = ZERO
    has_conflicting_lines: bool = False
    lines: list[Line] = field(default_factory=list)
    sequence: int | None = None  # among the booked orders of its customer

    def converted(self, amount: Decimal) -> Decimal:
        """Transaction currency → reporting currency at the rate of the order date, rounded."""
        return stored(product(amount, self.exchange_rate))

    @property
    def order_date(self) -> date:
        return self.ordered_at_local.date()

    @property
    def day_part(self) -> str:
        return day_part(self.ordered_at_local.hour)

    @property
    def units(self) -> Decimal:
        return total([line.quantity for line in self.lines])

    @property
    def gross(self) -> Decimal:
        return total([line.gross for line in self.lines])

    @property
    def discount(self) -> Decimal:
        return total([line.discount for line in self.lines])

    @property
    def net(self) -> Decimal:
        return self.gross - self.discount

    @property
    def transaction_net(self) -> Decimal:
        return total([line.transaction_net for line in self.lines])

    @property
    def refund(self) -> Decimal:
        """Eligible refunds, whatever their dates."""
        return total([line.refund for line in self.lines])

    @property
    def lines_with_cost(self) -> list[Line]:
        return [line for line in self.lines if line.cost is not None]

    @property
    def costs(self) -> list[Decimal]:
        return [line.cost for line in self.lines if line.cost is not None]


@dataclass
class Return:
    system: str
    return_id: str
    order_id: str
    line_id: str
    returned_at: datetime
    return_date: date
    quantity: Decimal
    refund_amount: Decimal
    transaction_amount: Decimal
    is_eligible: bool = False
    eligible_amount: Decimal = ZERO
    reason: str | None = None
    order: Order | None = None
    line: Line | None = None


@dataclass
class Book:
    """Everything sold and sent back, and who is known.

    `orphan_lines` are store lines without a header; they are in no figure.
    """

    orders: list[Order]
    returns: list[Return]
    prices: PriceHistory
    registered: dict[tuple[str, str], Version]
    as_of: dict[str, date]
    orphan_lines: list[Version]
    locations: dict[tuple[str, str], Version] = field(default_factory=dict)
    newest_catalogue: set[str] = field(default_factory=set)
    asked_as_of: date | None = None
    rates: ExchangeRates = field(default_factory=ExchangeRates)

    @property
    def booked(self) -> list[Order]:
        return [order for order in self.orders if order.is_booked]

    @property
    def systems(self) -> list[str]:
        return sorted(self.as_of)


def build_book(delivered: Delivered, rates: ExchangeRates | None = None, as_of: date | None = None) -> Book:
    """Delivered versions → one book. `as_of` replaces the latest order date of each system."""
    rates = rates or ExchangeRates()
    prices = PriceHistory(delivered.of("store.products"))
    store_orders, orphans = _store_orders(delivered, prices, rates)
    orders = store_orders + _restaurant_orders(delivered, rates)
    orders.sort(key=lambda order: (order.system, order.ordered_at, order.order_id))
    _number_customer_orders(orders)
    returns = _returns(delivered, orders)
    systems = sorted({order.system for order in orders})
    latest = {
        system: max(order.order_date for order in orders if order.system == system) for system in systems
    }
    customers = {
        ("store", version.text("id")): version
        for version in latest_versions("store.customers", delivered.of("store.customers")).values()
    }
    locations = {
        (system, version.text("location_id")): version
        for system in ("store", "restaurant")
        for version in latest_versions(f"{system}.locations", delivered.of(f"{system}.locations")).values()
    }
    return Book(
        orders,
        returns,
        prices,
        customers,
        {system: as_of or latest[system] for system in systems},
        orphans,
        locations,
        {key for keys in delivered.newest_extract_keys.values() for key in keys},
        as_of,
        rates,
    )


def _store_orders(
    delivered: Delivered, prices: PriceHistory, rates: ExchangeRates
) -> tuple[list[Order], list[Version]]:
    lines_of: dict[str, list[Version]] = defaultdict(list)
    for version in latest_versions("store.order_items", delivered.of("store.order_items")).values():
        lines_of[version.text("order_id")].append(version)
    orders = []
    for version in latest_versions("store.orders", delivered.of("store.orders")).values():
        ordered_at = version.moment("created_at")
        local = local_time(ordered_at, version.timezone)
        currency = version.text_or_none("currency") or version.currency
        status = version.text("status")
        rate = rates.on(currency, local.date())
        assert status != UNMAPPED, f"order {version.text('id')} has a status that its feed does not map"
        assert rate is not None, f"no rate for {currency} on {local.date()}"
        order = Order(
            "store", version.text("id"), version.text_or_none("customer_id"),
            version.text_or_none("location_id"), ordered_at, local, status, status in BOOKED_STATUSES,
            bool(version.flag("is_loyalty")), currency, rate,
            None, version.number("total_amount"),
            "online", version.number_or_none("discount_amount") or ZERO,
            version.number_or_none("tax_amount") or ZERO, version.number_or_none("shipping_amount") or ZERO,
            version.number_or_none("tip_amount") or ZERO,
        )  # fmt: skip
        order.header_total = order.converted(version.number("total_amount"))
        delivered_lines = sorted(lines_of.pop(order.order_id, []), key=lambda line: line.text("line_id"))
        order.lines = _store_lines(order, delivered_lines, prices)
        orders.append(order)
    return orders, [line for lines in lines_of.values() for line in lines]


def _store_lines(order: Order, versions: list[Version], prices: PriceHistory) -> list[Line]:
    items = [stored(product(one.number("quantity"), one.number("unit_price"))) for one in versions]
    own_discounts = [one.number("discount_amount") for one in versions]
    # An order discount falls on what is left to pay of each line.
    shares = largest_remainder(
        order.order_discount,
        [item - discount for item, discount in zip(items, own_discounts, strict=True)],
    )
    lines = []
    for version, item, own, share in zip(versions, items, own_discounts, shares, strict=True):
        count = version.number("quantity")
        price = prices.at(version.text("product_id"), order.ordered_at)
        gross, discount = order.converted(item), order.converted(own + share)
        # The catalogue states no currency: its prices are in the reporting currency.
        list_price = price.list_price if price else None
        unit_cost = price.unit_cost if price else None
        lines.append(
            Line(
                "store", order.order_id, version.text("line_id"), version.text("product_id"),
                price.category if price else None, count, order.converted(version.number("unit_price")), gross,
                ZERO, gross, discount, gross - discount,
                None if list_price is None else stored(product(count, list_price)),
                None if unit_cost is None else stored(product(count, unit_cost)),
                price.valid_from if price else None, item - own - share,
            )
        )  # fmt: skip
    return lines


def item_name(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _restaurant_orders(delivered: Delivered, rates: ExchangeRates) -> list[Order]:
    lines_of: dict[str, list[Version]] = defaultdict(list)
    for version in latest_versions("restaurant.order_items", delivered.of("restaurant.order_items")).values():
        lines_of[version.text("order_id")].append(version)
    options = latest_options(delivered.of("restaurant.order_item_options"))
    orders = []
    for order_id, versions in lines_of.items():
        versions.sort(key=lambda one: (one.moment("creation_time_utc"), one.text("lineitem_id")))
        first = versions[0]
        ordered_at = first.moment("creation_time_utc")
        local = local_time(ordered_at, first.timezone)
        currency = first.text("currency")
        rate = rates.on(currency, local.date())
        assert rate is not None, f"no rate for {currency} on {local.date()}"
        order = Order(
            "restaurant", order_id, first.text_or_none("user_id"), first.text("restaurant_id"), ordered_at,
            local, None, True, any(one.flag("is_loyalty") for one in versions), currency, rate, None, None,
            first.text_or_none("app_name"), has_conflicting_lines=_disagree(versions),
        )  # fmt: skip
        order.lines = [
            _restaurant_line(order, one, options.get((order_id, one.text("lineitem_id")), []))
            for one in versions
        ]
        order.header_total, order.transaction_header_total = order.net, order.transaction_net
        orders.append(order)
    return orders


def _disagree(versions: list[Version]) -> bool:
    """Whether the lines of an order tell different headers."""
    header = ("restaurant_id", "user_id", "app_name", "currency", "creation_time_utc", "is_loyalty")
    return any(len({version.row[name] for version in versions}) > 1 for name in header)


def _restaurant_line(order: Order, version: Version, options: list[Version]) -> Line:
    price, count = version.number("item_price"), version.number("item_quantity")
    item = stored(price) if version.item_price_is_line_total else stored(product(price, count))
    amounts = [
        (
            one.number("option_price")
            if one.option_price_is_line_total
            else product(one.number("option_price"), one.number("option_quantity"))
        )
        for one in options
    ]
    prices = [one.number("option_price") for one in options]
    added = stored(total([amount for amount, price in zip(amounts, prices, strict=True) if price > 0]))
    taken = stored(total([-amount for amount, price in zip(amounts, prices, strict=True) if price < 0]))
    gross, discount, item_amount = (order.converted(one) for one in (item + added, taken, item))
    line = Line(
        "restaurant", order.order_id, version.text("lineitem_id"), item_name(version.text("item_name")),
        version.text_or_none("item_category"), count,
        None if version.item_price_is_line_total and count != 1 else order.converted(price), item_amount,
        gross - item_amount, gross, discount, gross - discount,
    )  # fmt: skip
    line.transaction_net = item + added - taken
    return line


def _number_customer_orders(orders: list[Order]) -> None:
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for order in orders:
        if order.is_booked and order.customer_id is not None:
            seen[order.system, order.customer_id] += 1
            order.sequence = seen[order.system, order.customer_id]


def _returns(delivered: Delivered, orders: list[Order]) -> list[Return]:
    """Returns in the order in which the cap of a line is used up: returned_at, id."""
    by_id = {order.order_id: order for order in orders if order.system == "store"}
    returns = []
    for version in latest_versions("store.returns", delivered.of("store.returns")).values():
        returned_at = version.moment("returned_at")
        order = by_id.get(version.text("order_id"))
        line = next(
            (one for one in (order.lines if order else []) if one.line_id == version.text("line_id")), None
        )
        rate = order.exchange_rate if order else Decimal(1)
        returns.append(
            Return(
                "store", version.text("id"), version.text("order_id"), version.text("line_id"), returned_at,
                local_time(returned_at, version.timezone).date(), version.number("quantity"),
                stored(product(version.number("refund_amount"), rate)), version.number("refund_amount"),
                reason=version.text_or_none("reason"), order=order, line=line,
            )
        )  # fmt: skip
    returns.sort(key=lambda one: (one.returned_at, one.return_id))
    for one in returns:
        if one.order is None or one.line is None or not one.order.is_booked:
            continue
        one.is_eligible = (one.return_date - one.order.order_date).days <= REFUND_WINDOW_DAYS
        if one.is_eligible:
            # A line whose discounts exceed its price has nothing left to give back.
            left = max(one.line.net - one.line.refund, ZERO)
            one.eligible_amount = min(one.refund_amount, left)
            one.line.refund += one.eligible_amount
    return returns
