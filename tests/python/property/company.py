"""A small company with one feed per entity: its words, its feed file, and what it starts with.

The sets of ids, days and amounts are so small that deliveries meet all the time: an order is corrected, moved to
another day or customer, returned before it is known. Times lie around midnight of three zones, so that a row's
business date depends on the zone of the feed that brought it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from .sequences import Action, Row, SameName

# Delivered long after everything that happened, so that no row is refused as lying in the future.
FIRST_DELIVERY = "20260401"
DELIVERIES = ("20260402", "20260403", "20260404")
RATES = {"EUR": [(date(2026, 1, 1), Decimal("1.1")), (date(2026, 3, 2), Decimal("1.2345"))]}

CUSTOMERS = ("ann", "ben", "cem", "")
ORDERS = ("o1", "o2", "o3", "o4")
LINES = ("1", "2")
PRODUCTS = ("mug", "tea", "pot")
LOCATIONS = ("north", "south", "")
MOMENTS = (
    "2026-03-01 12:00:00",
    "2026-03-01 23:30:00",
    "2026-03-02 03:30:00",
    "2026-02-10 12:00:00",
    "2026-03-20 08:00:00",
    "2025-03-01 12:00:00",
)
DAYS = ("2026-03-01", "2026-03-02", "2026-02-10", "2026-03-20")
AMOUNTS = ("10", "25.5", "3.3333", "0")
FLAGS = ("", "true", "false")

# feed → entity, key columns, and the words of each column. The first word is the plain one.
FEEDS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "orders": (
        "store.orders",
        {
            "id": ORDERS,
            "customer_id": CUSTOMERS,
            "total_amount": AMOUNTS,
            "currency": ("USD", "EUR", "GBP"),
            "created_at": MOMENTS,
            "status": ("paid", "created", "cancelled", "delivered", "returned"),
            "updated_at": ("", "2026-03-05 10:00:00", "2026-03-06 10:00:00"),
            "location_id": LOCATIONS,
            "is_loyalty": FLAGS,
            "discount_amount": ("", "1", "7.77"),
            "shipping_amount": ("", "4"),
        },
    ),
    "lines": (
        "store.order_items",
        {
            "order_id": (*ORDERS, "o9"),
            "line_id": LINES,
            "product_id": PRODUCTS,
            "quantity": ("1", "2", "3", "0"),
            "unit_price": ("10", "25.5", "3.3333"),
            "discount_amount": ("", "1", "3.33"),
        },
    ),
    "payments": (
        "store.payments",
        {
            "id": ("p1", "p2", "p3", "p4"),
            "order_id": (*ORDERS, "o9"),
            "amount": AMOUNTS,
            "status": ("succeeded", "failed", "pending", "refunded"),
            "method": ("card", "cash", ""),
            "created_at": ("2026-03-01 12:10:00", "2026-03-20 08:10:00", ""),
            "paid_at": ("2026-03-01 23:45:00", "2026-03-02 12:00:00", "2026-03-20 09:00:00"),
        },
    ),
    "returns": (
        "store.returns",
        {
            "id": ("r1", "r2", "r3"),
            "order_id": (*ORDERS, "o9"),
            "line_id": LINES,
            "quantity": ("1", "2"),
            "refund_amount": ("5", "8.25", "100"),
            "returned_at": ("2026-03-03 12:00:00", "2026-03-02 23:30:00", "2026-03-20 10:00:00", "2026-04-01 00:10:00"),
            "reason": ("", "broken"),
        },
    ),
    "counts": (
        "store.inventory",
        {
            "snapshot_date": DAYS,
            "product_id": PRODUCTS,
            "on_hand": ("20", "5", "0", "-1"),
            "allocated": ("0", "4"),
            "reorder_point": ("6", "0"),
        },
    ),
    "products": (
        "store.products",
        {
            "product_id": PRODUCTS,
            "name": ("Thing", "Better thing"),
            "category": ("cups", "tins", ""),
            "price": ("12", "30", "9.99"),
            "unit_cost": ("4", "5.5", ""),
            "effective_at": (
                "2025-01-01 00:00:00",
                "2026-03-01 12:00:00",
                "2026-03-01 20:00:00",
                "2026-03-10 00:00:00",
            ),
        },
    ),
    "customers": (
        "store.customers",
        {
            "id": CUSTOMERS[:3],
            "email": ("", "a@example.com"),
            "region": ("north", "south", ""),
            "signup_date": ("2025-01-15", "2026-02-20", ""),
            "is_loyalty": FLAGS,
            "updated_at": ("", "2026-03-05 10:00:00"),
        },
    ),
    "places": (
        "store.locations",
        {
            "location_id": LOCATIONS[:2],
            "name": ("Shop", "Stall"),
            "region": ("", "hills"),
            "timezone": ("", "America/New_York"),
            "opened_on": ("", "2025-06-01"),
        },
    ),
    "meals": (
        "restaurant.order_items",
        {
            "restaurant_id": ("diner", "grill"),
            "creation_time_utc": MOMENTS,
            "order_id": ORDERS,
            "user_id": CUSTOMERS,
            "is_loyalty": ("false", "true"),
            "currency": ("USD", "EUR"),
            "lineitem_id": LINES,
            "item_category": ("mains", "drinks", ""),
            "item_name": ("Soup", "Rice"),
            "item_price": AMOUNTS,
            "item_quantity": ("1", "2"),
        },
    ),
    "options": (
        "restaurant.order_item_options",
        {
            "order_id": (*ORDERS, "o9"),
            "lineitem_id": LINES,
            "option_name": ("cheese", "less"),
            "option_price": ("1.5", "-0.5", "0"),
            "option_quantity": ("1", "2"),
        },
    ),
    "holidays": (
        "restaurant.date_dim",
        {"date_key": DAYS, "is_holiday": ("true", "false"), "holiday_name": ("", "Feast")},
    ),
}  # fmt: skip
# Feeds of the same form with settings of their own.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "orders-abroad": ("orders", {"business_timezone": "America/New_York", "currency": "EUR"}),
    "options-added": ("options", {"options": "append"}),
    "catalogue": ("products", {"delivery_mode": "full_extract"}),
    "register": ("customers", {"delivery_mode": "full_extract"}),
}
ALL_FEEDS = (*FEEDS, *VARIANTS)
NAME = re.compile(r"^(?P<feed>[a-z-]+)_(?P<day>\d{8})(?P<more>-[a-z])?\.csv$")


def columns_of(feed: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of a feed's files, with the words that are drawn for each."""
    return FEEDS[VARIANTS[feed][0] if feed in VARIANTS else feed][1]


def feed_of(file: str) -> str:
    """The feed that a file belongs to, by its name."""
    found = NAME.match(file)
    if not found:
        raise ValueError(f"{file!r} is no file name of this company: <feed>_<day>.csv, <feed>_<day>-b.csv")
    return found["feed"]


def feed_file(same_name: SameName) -> dict[str, Any]:
    """The company's feed file."""
    feeds = []
    for name in ALL_FEEDS:
        base, settings = VARIANTS.get(name, (name, {}))
        # Of products, and of what is said once and for all, a file never takes the place of another.
        replaces = base not in {"products"} and same_name == "replace"
        feeds.append(
            {
                "name": name.replace("-", "_"),
                "location": f"file://landing/{name}",
                "glob": "*.csv",
                "delivery_time": {"pattern": r"_(\d{8})", "format": "%Y%m%d"},
                "same_name": "replace" if replaces else "new_delivery",
                "allow_empty": True,
                "entities": [{"entity": FEEDS[base][0]}],
                **_zone(base),
                **settings,
            }
        )
    return {"company": "small", "defaults": {"currency": "USD"}, "feeds": feeds}


def _zone(base: str) -> dict[str, str]:
    is_restaurant = FEEDS[base][0].startswith("restaurant")
    return {"business_timezone": "America/Los_Angeles" if is_restaurant else "Europe/Berlin"}


def as_csv(file: str, rows: tuple[Row, ...]) -> str:
    """The content of a delivered file. What a row does not say has the plain word of its column."""
    columns = columns_of(feed_of(file))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        unknown = set(row) - set(columns)
        if unknown:
            raise ValueError(f"{file}: {sorted(unknown)} are no columns of this feed: {list(columns)}")
        writer.writerow({name: row.get(name, words[0]) for name, words in columns.items()})
    return out.getvalue()


def _first(feed: str, *rows: Row) -> Action:
    return Action("deliver", f"{feed}_{FIRST_DELIVERY}.csv", rows)


# What `small_company` has delivered and built before the first run of a sequence.
SMALL_COMPANY: tuple[Action, ...] = (
    _first(
        "orders",
        {"id": "o1", "customer_id": "ann"},
        {"id": "o2", "customer_id": "ann", "created_at": "2026-03-20 08:00:00", "total_amount": "25.5"},
        {"id": "o3", "customer_id": "ben", "currency": "EUR", "is_loyalty": "true"},
        {"id": "o4", "customer_id": "cem", "created_at": "2026-02-10 12:00:00", "status": "created"},
    ),
    _first(
        "lines",
        {"order_id": "o1", "line_id": "1"},
        {"order_id": "o1", "line_id": "2", "product_id": "tea", "discount_amount": "1"},
        {"order_id": "o2", "line_id": "1", "unit_price": "25.5"},
        {"order_id": "o3", "line_id": "1", "product_id": "tea", "quantity": "2"},
        {"order_id": "o4", "line_id": "1", "product_id": "pot"},
    ),
    _first(
        "payments",
        {"id": "p1", "order_id": "o1"},
        {"id": "p2", "order_id": "o2", "amount": "25.5", "paid_at": "2026-03-20 09:00:00"},
        {"id": "p3", "order_id": "o3", "status": "failed"},
    ),
    _first("returns", {"id": "r1", "order_id": "o1"}),
    _first(
        "counts",
        {"snapshot_date": "2026-03-01", "product_id": "mug"},
        {"snapshot_date": "2026-03-02", "product_id": "mug", "on_hand": "5"},
        {"snapshot_date": "2026-03-01", "product_id": "tea", "on_hand": "0"},
    ),
    _first(
        "products",
        {"product_id": "mug"},
        {"product_id": "tea", "category": "tins", "price": "30"},
        {"product_id": "mug", "effective_at": "2026-03-10 00:00:00", "price": "30"},
    ),
    _first("customers", {"id": "ann", "is_loyalty": "true"}, {"id": "ben"}),
    _first("places", {"location_id": "north"}),
    _first(
        "meals",
        {"order_id": "o1", "lineitem_id": "1", "user_id": "ann"},
        {"order_id": "o1", "lineitem_id": "2", "user_id": "ann", "item_name": "Rice", "item_price": "3.3333"},
        {"order_id": "o2", "lineitem_id": "1", "user_id": "ben", "creation_time_utc": "2026-03-20 08:00:00"},
        {"order_id": "o3", "lineitem_id": "1", "user_id": "", "restaurant_id": "grill", "currency": "EUR"},
    ),
    _first("options", {"order_id": "o1", "lineitem_id": "1"}, {"order_id": "o2", "lineitem_id": "1"}),
)
