"""Dimensions and facts: one row per entity, with natural keys where the warehouse has hashes."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal

from .book import Book, Order, Return
from .customers import is_member, known_since
from .entities import Delivered, Version
from .exact import ratio, total
from .inventory import is_discontinued
from .payments import HOUR, MICROSECOND, payments
from .revenue import NO_CATEGORY, MartRow, first_booked_dates

COMPLETED = "completed"


def customers(book: Book) -> list[MartRow]:
    firsts = first_booked_dates(book)
    rows: list[MartRow] = []
    for (system, customer_id), since in known_since(book).items():
        registered = book.registered.get((system, customer_id))
        rows.append(
            {
                "source_system": system,
                "customer_id": customer_id,
                "has_email": registered is not None and registered.text_or_none("email") is not None,
                "region": registered.text_or_none("region") if registered else None,
                "is_loyalty_member": is_member(book, system, customer_id),
                "is_inferred": registered is None,
                "signup_date": registered.day("signup_date") if registered else None,
                "first_order_date": firsts.get((system, customer_id)),
                "known_since_date": since,
            }
        )
    return rows


def products(book: Book) -> list[MartRow]:
    """Store products only: one row per interval."""
    return [
        {
            "source_system": "store",
            "product_id": one.product_id,
            "product_name": one.product_name,
            "category": one.category or NO_CATEGORY,
            "list_price": one.list_price,
            "unit_cost": one.unit_cost,
            "is_current": one == book.prices.current(one.product_id, book.as_of["store"]),
            "is_discontinued": is_discontinued(book, one.product_id),
            "valid_from": one.valid_from,
            "valid_to": one.valid_to,
        }
        for one in book.prices.intervals()
    ]


def locations(book: Book) -> list[MartRow]:
    firsts: dict[tuple[str, str | None], date | None] = dict.fromkeys(book.locations)
    for order in book.orders:
        key = (order.system, order.location_id)
        known = firsts.get(key)
        if order.is_booked and (known is None or order.order_date < known):
            known = order.order_date
        firsts[key] = known
    rows: list[MartRow] = []
    for (system, location_id), first in firsts.items():
        listed = book.locations.get((system, location_id)) if location_id is not None else None
        name = listed.text_or_none("name") if listed else location_id
        rows.append(
            {
                "source_system": system,
                "location_id": location_id,
                "location_name": name or "No location",
                "region": listed.text_or_none("region") if listed else None,
                "timezone": listed.text_or_none("timezone") if listed else None,
                "is_inferred": listed is None,
                "opened_on": listed.day_or_none("opened_on") if listed else None,
                "first_order_date": first,
            }
        )
    return rows


def _returns_by_order(book: Book) -> dict[str, list[Return]]:
    found: dict[str, list[Return]] = defaultdict(list)
    for one in book.returns:
        found[one.order_id].append(one)
    return found


def orders(book: Book) -> list[MartRow]:
    firsts, returns = first_booked_dates(book), _returns_by_order(book)
    return [_order(order, returns.get(order.order_id, []), firsts) for order in book.orders]


def _order(order: Order, returns: list[Return], firsts: dict[tuple[str, str], date]) -> MartRow:
    if order.system != "store":
        returns = []
    header = order.header_total if order.header_total is not None else Decimal(0)
    return {
        "source_system": order.system,
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "location_id": order.location_id,
        "sales_channel": order.sales_channel,
        "status": order.status or COMPLETED,
        "day_part": order.day_part,
        "currency": order.currency,
        "exchange_rate": order.exchange_rate,
        "order_sequence": order.sequence,
        "lines": len(order.lines),
        "lines_with_cost": len(order.lines_with_cost),
        "units": order.units,
        "gross_amount": order.gross,
        "discount_amount": order.discount,
        "net_sales_amount": order.net,
        "refund_amount": order.refund,
        "net_sales_after_refunds_amount": order.net - order.refund,
        "cost_amount": total(order.costs),
        "net_sales_with_cost_amount": total([line.net for line in order.lines_with_cost]),
        "header_total_amount": header,
        "order_discount_amount": order.converted(order.order_discount),
        "tax_amount": order.converted(order.tax),
        "shipping_amount": order.converted(order.shipping),
        "tip_amount": order.converted(order.tip),
        "returns": len(returns),
        "returned_units": total([one.quantity for one in returns]),
        "transaction_net_sales_amount": order.transaction_net,
        "transaction_header_total_amount": order.transaction_header_total,
        "header_difference_amount": (
            (order.transaction_header_total or Decimal(0))
            - (order.transaction_net + order.tax + order.shipping + order.tip)
        ),
        "is_booked": order.is_booked,
        "is_loyalty": order.is_loyalty,
        "is_first_order": order.sequence == 1,
        "is_discounted": order.discount > 0,
        "has_return": bool(returns),
        "has_conflicting_lines": order.has_conflicting_lines,
        "ordered_at": order.ordered_at,
        "ordered_at_local": order.ordered_at_local,
        "order_date": order.order_date,
        "customer_first_order_date": (
            firsts[order.system, order.customer_id] if order.sequence and order.customer_id else None
        ),
    }


def order_items(book: Book) -> list[MartRow]:
    """Lines whose order is known; lines without a header have no figures to compare.

    A restaurant item is one version, valid from its first sale.
    """
    first_sold: dict[str, datetime] = {}
    for order in book.orders:
        for line in order.lines if order.system == "restaurant" else ():
            first = first_sold.get(line.product_id, order.ordered_at)
            first_sold[line.product_id] = min(first, order.ordered_at)
    return [
        {
            "source_system": line.system,
            "order_id": line.order_id,
            "line_id": line.line_id,
            "product_id": line.product_id,
            "version_from": first_sold[line.product_id] if line.system == "restaurant" else line.valid_from,
            "customer_id": order.customer_id,
            "location_id": order.location_id,
            "category": line.category or NO_CATEGORY,
            "day_part": order.day_part,
            "currency": order.currency,
            "exchange_rate": order.exchange_rate,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "item_amount": line.item_amount,
            "option_amount": line.option_amount,
            "gross_amount": line.gross,
            "discount_amount": line.discount,
            "net_sales_amount": line.net,
            "list_price_amount": line.list_price_amount,
            "markdown_amount": (
                None if line.list_price_amount is None else line.list_price_amount - line.item_amount
            ),
            "cost_amount": line.cost,
            "transaction_net_sales_amount": line.transaction_net,
            "is_booked": order.is_booked,
            "has_missing_header": False,
            "is_list_price_missing": line.list_price_amount is None,
            "ordered_at": order.ordered_at,
            "ordered_at_local": order.ordered_at_local,
            "order_date": order.order_date,
        }
        for order in book.orders
        for line in order.lines
    ]


def returns(book: Book) -> list[MartRow]:
    """Buyer, place, currency and day come from the order, product and category from the line, where they are known."""
    orphans = {(one.text("order_id"), one.text("line_id")): one for one in book.orphan_lines}
    return [_return(one, orphans.get((one.order_id, one.line_id))) for one in book.returns]


def _return(one: Return, orphan_line: Version | None) -> MartRow:
    line, order = one.line, one.order
    return {
        "source_system": one.system,
        "return_id": one.return_id,
        "order_id": one.order_id,
        "line_id": one.line_id,
        "product_id": line.product_id if line else orphan_line.text("product_id") if orphan_line else None,
        "customer_id": order.customer_id if order else None,
        "location_id": order.location_id if order else None,
        "category": (line.category if line else None) or (NO_CATEGORY if line or orphan_line else None),
        "reason": one.reason,
        "currency": order.currency if order else None,
        "exchange_rate": order.exchange_rate if order else None,
        "quantity": one.quantity,
        "refund_amount": one.refund_amount if order else None,
        "eligible_refund_amount": one.eligible_amount,
        "excess_refund_amount": one.refund_amount - one.eligible_amount if one.is_eligible else Decimal(0),
        "transaction_refund_amount": one.transaction_amount,
        "is_refund_eligible": one.is_eligible,
        "is_refund_capped": one.is_eligible and one.eligible_amount < one.refund_amount,
        "has_missing_order": line is None,
        "has_cost": line is not None and line.cost is not None,
        "returned_at": one.returned_at,
        "return_date": one.return_date,
        "order_date": order.order_date if order else None,
    }


def payment_facts(book: Book, delivered: Delivered) -> list[MartRow]:
    return [
        {
            "source_system": "store",
            "payment_id": one.payment_id,
            "order_id": one.order_id,
            "customer_id": one.order.customer_id if one.order else None,
            "location_id": one.order.location_id if one.order else None,
            "status": one.status,
            "method": one.method,
            "currency": one.currency,
            "exchange_rate": one.exchange_rate,
            "amount": one.amount,
            "transaction_amount": one.transaction_amount,
            "processing_hours": (
                None
                if one.processing_time is None
                else ratio(one.processing_time // MICROSECOND, HOUR // MICROSECOND)
            ),
            "is_succeeded": one.is_succeeded,
            "has_missing_order": one.order is None,
            "created_at": one.created_at,
            "paid_at": one.paid_at,
            "payment_date": one.payment_date,
            "order_date": one.order.order_date if one.order else None,
        }
        for one in payments(book, delivered)
    ]
