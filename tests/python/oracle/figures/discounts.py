"""Discounted against full-price orders, and before against after the first discount of a product."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

from .book import Book, Line, Order, Return
from .exact import change_rate, month_start, ratio, total
from .revenue import MartRow

DISCOUNT_WINDOW_DAYS = 28


def is_discounted(order: Order) -> bool:
    return order.discount > 0


def discount_effectiveness(book: Book) -> list[MartRow]:
    """One row per month, location and whether the order was discounted.

    Orders are dated by the order, refunds (which lower the margin of lines with a
    cost) by the return: a row can hold refunds alone.
    """
    groups: dict[tuple[str, str | None, date, bool], list[Order]] = defaultdict(list)
    refunds: dict[tuple[str, str | None, date, bool], list[Return]] = defaultdict(list)
    for order in book.booked:
        key = (order.system, order.location_id, month_start(order.order_date), is_discounted(order))
        groups[key].append(order)
    for one in book.returns:
        if (
            one.order is not None
            and one.line is not None
            and one.line.cost is not None
            and one.eligible_amount
        ):
            key = (one.system, one.order.location_id, month_start(one.return_date), is_discounted(one.order))
            refunds[key].append(one)
    rows: list[MartRow] = []
    for key in sorted(groups.keys() | refunds.keys(), key=str):
        system, location_id, month, discounted = key
        orders = groups.get(key, [])
        gross, discounts = total([one.gross for one in orders]), total([one.discount for one in orders])
        lines = [line for order in orders for line in order.lines]
        with_cost = [line for line in lines if line.cost is not None]
        refunded = [one.eligible_amount for one in refunds.get(key, [])]
        margin = total([line.net - line.cost for line in with_cost if line.cost is not None])
        rows.append(
            {
                "source_system": system,
                "location_id": location_id,
                "month_start": month,
                "is_discounted": discounted,
                "orders": len(orders),
                "gross_revenue": gross,
                "discounts": discounts,
                "net_sales": gross - discounts,
                "average_order_value": ratio(gross - discounts, len(orders)),
                "units_per_order": ratio(total([order.units for order in orders]), len(orders)),
                "gross_margin": margin - total(refunded) if with_cost or refunded else None,
                "lines_with_cost_share": ratio(len(with_cost), len(lines)),
                "discount_rate": ratio(discounts, gross),
            }
        )
    return rows


def discount_before_after(book: Book) -> list[MartRow]:
    """One row per product or item that was ever sold at a discount."""
    sold: dict[tuple[str, str], list[tuple[Order, Line]]] = defaultdict(list)
    for order in book.booked:
        for line in order.lines:
            sold[line.system, line.product_id].append((order, line))
    rows: list[MartRow] = []
    for (system, product_id), sales in sold.items():
        discounted = [order.order_date for order, line in sales if line.discount > 0]
        if not discounted or min(discounted) > book.as_of[system]:
            continue
        first_discount = min(discounted)
        first_sale = min(order.order_date for order, _ in sales)
        window = timedelta(days=DISCOUNT_WINDOW_DAYS)
        before = _between(sales, first_discount - window, first_discount - timedelta(days=1))
        after = _between(sales, first_discount, first_discount + window - timedelta(days=1))
        orders_before = len({order.order_id for order, _ in before})
        orders_after = len({order.order_id for order, _ in after})
        net_before = total([line.net for _, line in before])
        net_after = total([line.net for _, line in after])
        observed = (
            first_sale <= first_discount - window
            and first_discount + window - timedelta(days=1) <= book.as_of[system]
        )
        rows.append(
            {
                "source_system": system,
                "product_id": product_id,
                "first_discount_date": first_discount,
                "first_sale_date": first_sale,
                "as_of_date": book.as_of[system],
                "orders_before": orders_before,
                "orders_after": orders_after,
                "net_sales_before": net_before,
                "net_sales_after": net_after,
                "orders_change_rate": change_rate(orders_after, orders_before) if observed else None,
                "net_sales_change_rate": change_rate(net_after, net_before) if observed else None,
                "is_fully_observed": observed,
            }
        )
    return rows


def _between(sales: list[tuple[Order, Line]], first: date, last: date) -> list[tuple[Order, Line]]:
    return [(order, line) for order, line in sales if first <= order.order_date <= last]
