"""Figures per location: performance, ranking, peak periods."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

from .book import Book, Order
from .exact import change_rate, each_day, ratio, total
from .revenue import MartRow

RECENT_DAYS = 28
PEAK_PERIOD_DAYS = 91


def location_performance(book: Book) -> list[MartRow]:
    """One row per location with a booked order; ranks and shares within the source system."""
    by_location: dict[tuple[str, str], list[Order]] = defaultdict(list)
    for order in book.booked:
        if order.location_id is not None and order.order_date <= book.as_of[order.system]:
            by_location[order.system, order.location_id].append(order)
    revenue = {key: total([order.net for order in orders]) for key, orders in by_location.items()}
    rows: list[MartRow] = []
    for (system, location_id), orders in by_location.items():
        own = revenue[system, location_id]
        peers = [amount for key, amount in revenue.items() if key[0] == system]
        days = {order.order_date for order in orders}
        first, last = min(days), max(days)
        listed = book.locations.get((system, location_id))
        as_of = book.as_of[system]
        recent = _net_sales(orders, as_of - timedelta(days=RECENT_DAYS - 1), as_of)
        before = _net_sales(
            orders, as_of - timedelta(days=2 * RECENT_DAYS - 1), as_of - timedelta(days=RECENT_DAYS)
        )
        rows.append(
            {
                "source_system": system,
                "location_id": location_id,
                "location_name": (listed.text_or_none("name") if listed else None) or location_id,
                "region": listed.text_or_none("region") if listed else None,
                "total_revenue": own,
                "orders": len(orders),
                "average_order_value": ratio(own, len(orders)),
                "first_trading_date": first,
                "last_trading_date": last,
                "trading_days": len(days),
                "calendar_days": (last - first).days + 1,
                "as_of_date": as_of,
                "orders_per_trading_day": ratio(len(orders), len(days)),
                "orders_per_week": ratio(len(orders) * 7, (last - first).days + 1),
                "revenue_rank": 1 + sum(amount > own for amount in peers),
                "revenue_share": ratio(own, total(peers)),
                "revenue_last_28_days": recent,
                "revenue_previous_28_days": before,
                "revenue_change_rate": change_rate(recent, before),
            }
        )
    return rows


def _net_sales(orders: list[Order], first: date, last: date) -> Decimal:
    return total([order.net for order in orders if first <= order.order_date <= last])


def peak_periods(book: Book) -> list[MartRow]:
    """One row per location, ISO weekday and local hour with an order in the last 91 days."""
    slots: dict[tuple[str, str | None, int, int], list[Order]] = defaultdict(list)
    weekdays: dict[tuple[str, int], int] = defaultdict(int)
    for system, as_of in book.as_of.items():
        for day in each_day(as_of - timedelta(days=PEAK_PERIOD_DAYS - 1), as_of):
            weekdays[system, day.isoweekday()] += 1
    for order in book.booked:
        as_of = book.as_of[order.system]
        if as_of - timedelta(days=PEAK_PERIOD_DAYS - 1) <= order.order_date <= as_of:
            slot = (
                order.system, order.location_id, order.order_date.isoweekday(), order.ordered_at_local.hour,
            )  # fmt: skip
            slots[slot].append(order)
    rows: list[MartRow] = []
    for (system, location_id, weekday, hour), orders in slots.items():
        # Every slot of a location is divided by its own weekday count; 13 each, as 91 is 13 weeks.
        busier = sum(
            len(others) > len(orders) for key, others in slots.items() if key[:2] == (system, location_id)
        )
        days = weekdays[system, weekday]
        rows.append(
            {
                "source_system": system,
                "location_id": location_id,
                "iso_weekday": weekday,
                "hour": hour,
                "as_of_date": book.as_of[system],
                "orders": len(orders),
                "net_sales": total([order.net for order in orders]),
                "days_in_window": days,
                "average_orders": ratio(len(orders), days),
                "average_net_sales": ratio(total([order.net for order in orders]), days),
                "peak_rank": 1 + busier,
            }
        )
    return rows
