"""Stock counts per product and day, and the products in alert at their latest count."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

from .book import Book
from .entities import Delivered, Version, latest_versions
from .exact import ZERO, each_day, ratio, total
from .revenue import NO_CATEGORY, MartRow

COVER_DAYS = 28


def units_by_product_day(book: Book) -> dict[tuple[str, date], Decimal]:
    units: dict[tuple[str, date], Decimal] = defaultdict(lambda: ZERO)
    for order in book.booked:
        if order.system == "store":
            for line in order.lines:
                units[line.product_id, order.order_date] += line.quantity
    return units


def days_of_cover(available: Decimal, units_sold: Decimal) -> float | None:
    """available × 28 / units of the last 28 days: None without sales, 0 with nothing available."""
    if units_sold == 0:
        return None
    return ratio(available * COVER_DAYS, units_sold) if available > 0 else 0.0


def _available(count: Version) -> Decimal:
    return count.number("on_hand") - count.number("allocated")


def is_alert(count: Version) -> bool:
    return _available(count) < count.number("reorder_point")


def inventory_daily(book: Book, delivered: Delivered) -> list[MartRow]:
    units = units_by_product_day(book)
    rows: list[MartRow] = []
    for count in latest_versions("store.inventory", delivered.of("store.inventory")).values():
        product_id, day, available = count.text("product_id"), count.day("snapshot_date"), _available(count)
        window = each_day(day - timedelta(days=COVER_DAYS - 1), day)
        sold = total([units[product_id, one] for one in window if (product_id, one) in units])
        rows.append(
            {
                "source_system": "store",
                "product_id": product_id,
                "snapshot_date": day,
                "on_hand": count.number("on_hand"),
                "allocated": count.number("allocated"),
                "available": available,
                "reorder_point": count.number("reorder_point"),
                "is_alert": is_alert(count),
                "is_stockout": available <= 0,
                "units_sold": units.get((product_id, day), ZERO),
                "units_sold_28_days": sold,
                "days_of_cover": days_of_cover(available, sold),
            }
        )
    return rows


def is_discontinued(book: Book, product_id: str) -> bool:
    return bool(book.newest_catalogue) and product_id not in book.newest_catalogue


def inventory_alerts(book: Book, delivered: Delivered) -> list[MartRow]:
    """One row per product in alert at its latest count.

    Stock is counted on days without an order too: only an as-of date that was asked for cuts the counts.
    """
    counts: dict[str, list[Version]] = defaultdict(list)
    for count in latest_versions("store.inventory", delivered.of("store.inventory")).values():
        if book.asked_as_of is None or count.day("snapshot_date") <= book.asked_as_of:
            counts[count.text("product_id")].append(count)
    daily = {(row["product_id"], row["snapshot_date"]): row for row in inventory_daily(book, delivered)}
    rows: list[MartRow] = []
    for product_id, history in counts.items():
        history.sort(key=lambda count: count.day("snapshot_date"), reverse=True)
        newest = history[0]
        if not is_alert(newest):
            continue
        quiet = next((place for place, count in enumerate(history) if not is_alert(count)), len(history))
        current = book.prices.current(product_id, book.as_of["store"])
        day = daily[product_id, newest.day("snapshot_date")]
        rows.append(
            {
                "source_system": "store",
                "product_id": product_id,
                "product_name": current.product_name if current else None,
                "category": (current.category or NO_CATEGORY) if current else None,
                "on_hand": newest.number("on_hand"),
                "allocated": newest.number("allocated"),
                "is_discontinued": is_discontinued(book, product_id) if current else None,
                "snapshot_date": newest.day("snapshot_date"),
                "available": _available(newest),
                "reorder_point": newest.number("reorder_point"),
                "is_stockout": day["is_stockout"],
                "days_in_alert": quiet,
                "days_of_cover": day["days_of_cover"],
                "suggested_order_quantity": newest.number("reorder_point") - _available(newest),
            }
        )
    return rows
