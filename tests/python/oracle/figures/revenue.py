"""Revenue bridge per day, and sales per day, week and month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date

from .book import Book, Line, Order, Return
from .exact import ZERO, month_start, ratio, total, week_start

MartRow = dict[str, object]
NO_CATEGORY = "unknown"


def first_booked_dates(book: Book) -> dict[tuple[str, str], date]:
    firsts: dict[tuple[str, str], date] = {}
    for order in book.booked:
        if order.customer_id is not None:
            key = (order.system, order.customer_id)
            firsts[key] = min(firsts.get(key, order.order_date), order.order_date)
    return firsts


def revenue_daily(book: Book) -> list[MartRow]:
    """One row per day, source system and location with a placed order or an eligible refund."""
    placed: dict[tuple[str, str | None, date], list[Order]] = defaultdict(list)
    refunds: dict[tuple[str, str | None, date], list[Return]] = defaultdict(list)
    sent_back: dict[tuple[str, str], list[Return]] = defaultdict(list)
    for order in book.orders:
        placed[order.system, order.location_id, order.order_date].append(order)
    for one in book.returns:
        sent_back[one.system, one.order_id].append(one)
        if one.order is not None and one.eligible_amount:
            refunds[one.system, one.order.location_id, one.return_date].append(one)
    firsts = first_booked_dates(book)
    rows: list[MartRow] = []
    for key in sorted(placed.keys() | refunds.keys(), key=str):
        system, location_id, day = key
        orders = placed.get(key, [])
        booked = [order for order in orders if order.is_booked]
        customers = {order.customer_id for order in booked if order.customer_id is not None}
        gross, discounts = total([one.gross for one in booked]), total([one.discount for one in booked])
        refunded = total([one.eligible_amount for one in refunds.get(key, [])])
        lines = [line for one in booked for line in one.lines]
        with_cost = [line for line in lines if line.cost is not None]
        returns = {
            one.order_id: sent_back[system, one.order_id]
            for one in booked
            if (system, one.order_id) in sent_back
        }
        new = {customer for customer in customers if firsts[system, customer] == day}
        rows.append(
            {
                "revenue_date": day,
                "source_system": system,
                "location_id": location_id,
                "total_order_amount": total([one.header_total or ZERO for one in orders]),
                "orders_placed": len(orders),
                "orders": len(booked),
                "returned_orders": len(returns),
                "units": total([one.units for one in booked]),
                "returned_units": total([one.quantity for found in returns.values() for one in found]),
                "lines": len(lines),
                "lines_with_cost": len(with_cost),
                "gross_revenue": gross,
                "discounts": discounts,
                "net_sales": gross - discounts,
                "refunds": refunded,
                "net_revenue": gross - discounts - refunded,
                "cost": total([cost for one in booked for cost in one.costs]),
                "net_sales_with_cost": total([line.net for line in with_cost]),
                "refunds_with_cost": total(
                    [
                        one.eligible_amount
                        for one in refunds.get(key, [])
                        if one.line is not None and one.line.cost is not None
                    ]
                ),
                "customers": len(customers),
                "new_customers": len(new),
                "repeat_customers": len(customers) - len(new),
                "average_order_value": ratio(gross - discounts, len(booked)),
            }
        )
    return rows


def _sales(book: Book, bucket_name: str, bucket: Callable[[date], date]) -> list[MartRow]:
    lines: dict[tuple[date, str, str | None, str, str], list[tuple[Order, Line]]] = defaultdict(list)
    for order in book.booked:
        for line in order.lines:
            key = (
                bucket(order.order_date),
                order.system,
                order.location_id,
                line.category or NO_CATEGORY,
                order.day_part,
            )
            lines[key].append((order, line))
    rows: list[MartRow] = []
    for (start, system, location_id, category, part), sold in lines.items():
        gross, discounts = total([line.gross for _, line in sold]), total([line.discount for _, line in sold])
        rows.append(
            {
                bucket_name: start,
                "source_system": system,
                "location_id": location_id,
                "category": category,
                "day_part": part,
                "orders": len({order.order_id for order, _ in sold}),
                "units": total([line.quantity for _, line in sold]),
                "gross_revenue": gross,
                "discounts": discounts,
                "net_sales": gross - discounts,
            }
        )
    return rows


def sales_daily(book: Book) -> list[MartRow]:
    return _sales(book, "sales_date", lambda day: day)


def sales_weekly(book: Book) -> list[MartRow]:
    return _sales(book, "week_start", week_start)


def sales_monthly(book: Book) -> list[MartRow]:
    return _sales(book, "month_start", month_start)
