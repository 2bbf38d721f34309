"""Reads the generated files as anybody would: csv, Decimal, and the rules written out once more.

Nothing here comes from the generator, so what agrees with its truth file was counted twice.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, str]
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
KEYS = {
    "store_orders": ("order_number",),
    "store_order_items": ("order_number", "line_number"),
    "store_customers": ("customer_number",),
    "store_payments": ("transaction_id",),
    "store_products": ("sku", "effective_from"),
    "store_returns": ("rma_number",),
    "store_inventory": ("count_date", "sku"),
    "store_locations": ("location_id",),
    "restaurant_order_items": ("ORDER_ID", "LINEITEM_ID"),
    "restaurant_order_item_options": (),
    "restaurant_date_dim": ("DATE_KEY",),
    "restaurant_locations": ("LOCATION_ID",),
}


@dataclass
class ReadFile:
    """One file taken apart: `good` rows in order, and how many of the others there are."""

    feed: str
    path: Path
    delivery_day: date
    rows: int = 0
    good: list[Row] = field(default_factory=list)
    bad_rules: Counter[str] = field(default_factory=Counter)
    exact_duplicates: int = 0
    excluded: int = 0


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


def read_file(path: Path) -> ReadFile:
    feed = path.parent.name
    stamp = re.search(r"_(\d{8})", path.name)
    assert stamp, path
    found = ReadFile(feed, path, datetime.strptime(stamp.group(1), "%Y%m%d").date())  # noqa: DTZ007  (the text has no zone)
    delimiter = ";" if feed == "store_products" else ","
    header, *lines = csv.reader(text_of(path).splitlines(), delimiter=delimiter)
    seen: set[tuple[str, ...]] = set()
    for cells in lines:
        found.rows += 1
        rule = shape_rule(cells, header) or value_rule(feed, dict(zip(header, cells, strict=True)), found)
        if rule:
            found.bad_rules[rule] += 1
            continue
        row = dict(zip(header, cells, strict=True))
        if row.get("APP_NAME") == "DEVELOPMENT":
            found.excluded += 1
        elif KEYS[feed] and tuple(cells) in seen:
            found.exact_duplicates += 1
        else:
            seen.add(tuple(cells))
            found.good.append(row)
    return found


def shape_rule(cells: list[str], header: list[str]) -> str | None:
    if len(cells) == len(header):
        return None
    return "short_row" if len(cells) < len(header) else "long_row"


def value_rule(feed: str, row: Row, file: ReadFile) -> str | None:
    """The rule that a row breaks, None for a good one. Each broken row has one broken cell."""
    for column, value in row.items():
        rule = cell_rule(feed, column.lower(), value, file)
        if rule:
            return rule
    if "rma_number" in row and Decimal(row["quantity"]) == 0:
        return "out_of_range"  # a return of nothing; a line of nothing is a line
    if row.get("result") == "settled" and not row["settled_at"]:
        return "missing_value"
    if row.get("line_discount") and Decimal(row["line_discount"]) > Decimal(row["quantity"]) * Decimal(
        row["unit_price"]
    ):
        return "discount_exceeds_amount"
    return None


REQUIRED = {
    "order_number", "placed_at", "state", "grand_total", "line_number", "sku", "quantity", "unit_price",
    "registered_on", "transaction_id", "amount_cents", "result", "list_price", "effective_from", "rma_number",
    "refund", "returned_at", "count_date", "on_hand", "allocated", "reorder_point", "restaurant_id",
    "creation_time", "order_id", "is_loyalty", "lineitem_id", "item_name", "item_price", "item_quantity",
    "option_price", "option_quantity", "date_key", "location_id", "name",
}  # fmt: skip
NUMBERS = {
    "grand_total", "sales_tax", "shipping", "order_discount", "tip", "quantity", "unit_price", "line_discount",
    "amount_cents", "list_price", "unit_cost", "refund", "on_hand", "allocated", "reorder_point", "item_price",
    "item_quantity", "option_price", "option_quantity",
}  # fmt: skip
MAY_BE_NEGATIVE = {"grand_total", "option_price", "tip", "on_hand"}
TIMES = {
    "placed_at", "last_modified", "requested_at", "settled_at", "effective_from", "returned_at", "creation_time"
}  # fmt: skip
DATES = {
    "registered_on": "%Y-%m-%d",
    "count_date": "%m/%d/%Y",
    "date_key": "%d-%m-%Y",
}
WORDS = {
    "is_loyalty": {"True", "False"},
    "club_member": {"yes", "no"},
    "club_order": {"true", "false"},
}


def cell_rule(feed: str, column: str, value: str, file: ReadFile) -> str | None:
    required = column in REQUIRED or (column == "customer_number" and feed == "store_customers")
    if not value or value in {"NULL", "N/A"}:
        return "missing_value" if required else None
    if column in NUMBERS:
        return number_rule(column, value.replace(",", ".") if feed == "store_products" else value)
    if column in TIMES:
        return time_rule(column, value, file)
    if column in DATES:
        try:
            datetime.strptime(value, DATES[column])  # noqa: DTZ007  (the text has no zone)
        except ValueError:
            return "not_a_date"
    if column == "currency_code" and value not in {"USD", "EUR", "GBP"}:
        return "unknown_currency"
    return "not_a_boolean" if column in WORDS and value not in WORDS[column] else None


def number_rule(column: str, value: str) -> str | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return "not_a_number"
    if not number.is_finite():
        return "not_finite"
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -4:
        return "too_many_decimals"
    if number < 0 and column not in MAY_BE_NEGATIVE:
        return "out_of_range"
    return None


def time_rule(column: str, value: str, file: ReadFile) -> str | None:
    try:
        moment = datetime.strptime(value, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  (the text has no zone)
    except ValueError:
        return "not_a_timestamp"
    if column == "creation_time":
        there = moment.replace(tzinfo=CHICAGO)
        back = there.astimezone(UTC).astimezone(CHICAGO).replace(tzinfo=None)
        if back != moment:
            return "nonexistent_local_time"
    elif moment.date() > file.delivery_day + timedelta(days=2):
        return "future_date"
    return None


@dataclass
class Sample:
    """All files below a landing folder."""

    landing: Path
    truth: dict[str, Any]

    @cached_property
    def files(self) -> dict[str, list[ReadFile]]:
        found: dict[str, list[ReadFile]] = defaultdict(list)
        repeated = {entry["name"] for entry in self.truth["repeated_files"]}
        for path in sorted(self.landing.glob("*/*.csv*")):
            if path.name not in repeated:
                found[path.parent.name].append(read_file(path))
        return found

    def rows(self, feed: str) -> Iterator[Row]:
        """Good rows of a feed in the order of delivery."""
        for file in self.files[feed]:
            yield from file.good

    @cached_property
    def orders(self) -> dict[str, Row]:
        """The newest version of each shop order."""
        newest: dict[str, Row] = {}
        for row in self.rows("store_orders"):
            former = newest.get(row["order_number"])
            if former is None or row["last_modified"] >= former["last_modified"]:
                newest[row["order_number"]] = row
        return newest

    def latest(self, feed: str) -> dict[tuple[str, ...], Row]:
        """The last delivered row of each key."""
        return {tuple(row[column] for column in KEYS[feed]): row for row in self.rows(feed)}

    @cached_property
    def lines(self) -> dict[str, list[Row]]:
        """Lines of each shop order, as delivered last."""
        found: dict[str, list[Row]] = defaultdict(list)
        for (order, _), row in self.latest("store_order_items").items():
            found[order].append(row)
        return found

    @cached_property
    def restaurant_orders(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for (order, _), row in self.latest("restaurant_order_items").items():
            found[order].append(row)
        return found


def moment(text: str) -> datetime:
    """A UTC time of the shop."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def business_day(text: str) -> date:
    """The business day of a UTC time of the shop."""
    return moment(text).astimezone(NEW_YORK).date()


def amount(row: Row) -> Decimal:
    return Decimal(row["quantity"]) * Decimal(row["unit_price"])


def net(row: Row) -> Decimal:
    return amount(row) - Decimal(row["line_discount"] or 0)
