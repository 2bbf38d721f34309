"""The contract rules, judged again: text cells in, typed rows or the name of the broken rule out.

Rules and limits are those of the feed contracts; what a feed declares (formats, zones, value words) comes in as
`Reading`. The first broken rule of a row is enough here: the marts only need to know that the row is out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from .exact import product

Value = str | int | bool | Decimal | datetime | date | None
Row = dict[str, Value]

NUMBER = re.compile(r"[+-]?([0-9]{1,14}([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)")
TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?)(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WORDS = {"true": True, "t": True, "1": True, "yes": True, "y": True,
         "false": False, "f": False, "0": False, "no": False, "n": False}  # fmt: skip
NOTHING = {"", "null", "n/a", "na", "none", "nan"}
SENTINEL_DATES = {date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)}
# ISO 4217, as far as a sample could name them.
CURRENCIES = frozenset(
    [
        "AED",
        "ARS",
        "AUD",
        "BGN",
        "BRL",
        "CAD",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CZK",
        "DKK",
        "EGP",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "ISK",
        "JPY",
        "KRW",
        "MXN",
        "MYR",
        "NOK",
        "NZD",
        "PEN",
        "PHP",
        "PLN",
        "RON",
        "SAR",
        "SEK",
        "SGD",
        "THB",
        "TRY",
        "TWD",
        "UAH",
        "USD",
        "VND",
        "ZAR",
    ]
)
ORDER_STATUSES = frozenset({"created", "paid", "fulfilled", "delivered", "returned", "cancelled"})
PAYMENT_STATUSES = frozenset({"succeeded", "failed", "pending", "refunded"})
UNMAPPED = "unmapped"


class BrokenRuleError(ValueError):
    """A cell or a row that the contract does not admit; the message names the rule."""


@dataclass(frozen=True)
class Column:
    kind: str  # text, decimal, timestamp, plan (a timestamp that may lie ahead), date, boolean, …
    required: bool = False
    at_least: Decimal | None = None
    more_than: Decimal | None = None
    below: Decimal | None = None
    words: frozenset[str] = frozenset()
    default: Value = None


@dataclass(frozen=True)
class Contract:
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    row_rules: tuple[Callable[[Row], str | None], ...] = ()
    repeats_are_real: bool = False


@dataclass(frozen=True)
class Reading:
    """How one feed writes its cells."""

    naive_timezone: str = "UTC"
    timestamp_format: str | None = None
    date_format: str | None = None
    decimal_mark: str = "."
    arrived_at: datetime | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def quantity(*, required: bool = True, at_least: int | None = None, more_than: int | None = None) -> Column:
    return Column(
        "decimal", required, None if at_least is None else Decimal(at_least),
        None if more_than is None else Decimal(more_than), Decimal(10) ** 6,
    )  # fmt: skip


def money(*, required: bool = False, at_least: int | None = None, default: Value = None) -> Column:
    return Column(
        "decimal", required, None if at_least is None else Decimal(at_least), None, Decimal(10) ** 8,
        default=default,
    )  # fmt: skip


TEXT, TEXT_REQUIRED = Column("text"), Column("text", required=True)
MOMENT, MOMENT_REQUIRED = Column("timestamp"), Column("timestamp", required=True)
FLAG = Column("boolean")


def _discount_within_amount(row: Row) -> str | None:
    count, price, discount = row["quantity"], row["unit_price"], row["discount_amount"]
    assert isinstance(count, Decimal)
    assert isinstance(price, Decimal)
    assert isinstance(discount, Decimal)
    return "discount_above_amount" if discount > product(count, price) else None


def _paid_when_succeeded(row: Row) -> str | None:
    return "paid_at_missing" if row["status"] == "succeeded" and row["paid_at"] is None else None


CONTRACTS: dict[str, Contract] = {
    "store.orders": Contract(
        ("id",),
        {
            "id": TEXT_REQUIRED, "customer_id": TEXT, "total_amount": money(required=True),
            "currency": Column("currency"), "created_at": MOMENT_REQUIRED,
            "status": Column("status", required=True, words=ORDER_STATUSES), "updated_at": MOMENT,
            "location_id": TEXT, "is_loyalty": FLAG, "tax_amount": money(), "shipping_amount": money(),
            "discount_amount": money(at_least=0), "tip_amount": money(),
        },
    ),
    "store.order_items": Contract(
        ("order_id", "line_id"),
        {
            "order_id": TEXT_REQUIRED, "line_id": TEXT_REQUIRED, "product_id": TEXT_REQUIRED,
            "quantity": quantity(at_least=0), "unit_price": money(required=True, at_least=0),
            "discount_amount": money(at_least=0, default=Decimal(0)),
        },
        (_discount_within_amount,),
    ),
    "store.customers": Contract(
        ("id",),
        {
            "id": TEXT_REQUIRED, "email": TEXT, "region": TEXT, "signup_date": Column("date", required=True),
            "is_loyalty": FLAG, "updated_at": MOMENT,
        },
    ),
    "store.payments": Contract(
        ("id",),
        {
            "id": TEXT_REQUIRED, "order_id": TEXT_REQUIRED, "amount": money(required=True, at_least=0),
            "status": Column("status", required=True, words=PAYMENT_STATUSES), "method": TEXT,
            "created_at": MOMENT, "paid_at": MOMENT,
        },
        (_paid_when_succeeded,),
    ),
    "store.products": Contract(
        ("product_id", "effective_at"),
        {
            "product_id": TEXT_REQUIRED, "name": TEXT_REQUIRED, "category": TEXT,
            "price": money(required=True, at_least=0), "unit_cost": money(at_least=0),
            "effective_at": Column("plan", required=True),
        },
    ),
    "store.returns": Contract(
        ("id",),
        {
            "id": TEXT_REQUIRED, "order_id": TEXT_REQUIRED, "line_id": TEXT_REQUIRED,
            "quantity": quantity(more_than=0), "refund_amount": money(required=True, at_least=0),
            "returned_at": MOMENT_REQUIRED, "reason": TEXT,
        },
    ),
    "store.inventory": Contract(
        ("snapshot_date", "product_id"),
        {
            "snapshot_date": Column("date", required=True), "product_id": TEXT_REQUIRED,
            "on_hand": quantity(), "allocated": quantity(), "reorder_point": quantity(),
        },
    ),
    "restaurant.order_items": Contract(
        ("order_id", "lineitem_id"),
        {
            "app_name": TEXT, "restaurant_id": TEXT_REQUIRED, "creation_time_utc": MOMENT_REQUIRED,
            "order_id": TEXT_REQUIRED, "user_id": TEXT, "printed_card_number": TEXT,
            "is_loyalty": Column("boolean", required=True), "currency": Column("currency", required=True),
            "lineitem_id": TEXT_REQUIRED, "item_category": TEXT, "item_name": TEXT_REQUIRED,
            "item_price": money(required=True, at_least=0), "item_quantity": quantity(at_least=0),
        },
    ),
    "restaurant.order_item_options": Contract(
        ("order_id", "lineitem_id"),
        {
            "order_id": TEXT_REQUIRED, "lineitem_id": TEXT_REQUIRED, "option_group_name": TEXT,
            "option_name": TEXT, "option_price": money(required=True),
            "option_quantity": quantity(at_least=0),
        },
        repeats_are_real=True,
    ),
    "restaurant.date_dim": Contract(
        ("date_key",),
        {
            "date_key": Column("date", required=True), "year": Column("integer"), "month": Column("integer"),
            "week": Column("integer"), "day_of_week": TEXT, "is_weekend": FLAG, "is_holiday": FLAG,
            "holiday_name": TEXT,
        },
    ),
}  # fmt: skip
for _system in ("store", "restaurant"):
    CONTRACTS[f"{_system}.locations"] = Contract(
        ("location_id",),
        {
            "location_id": TEXT_REQUIRED, "name": TEXT, "region": TEXT, "timezone": TEXT,
            "opened_on": Column("date"),
        },
    )  # fmt: skip


def read_number(text: str, column: Column, decimal_mark: str = ".") -> Decimal:
    if decimal_mark != ".":
        text = text.replace(decimal_mark, ".")
    if not NUMBER.fullmatch(text):
        raise BrokenRuleError("not_a_number")
    number = Decimal(text)
    if column.at_least is not None and number < column.at_least:
        raise BrokenRuleError("too_small")
    if column.more_than is not None and number <= column.more_than:
        raise BrokenRuleError("too_small")
    if column.below is not None and abs(number) >= column.below:
        raise BrokenRuleError("too_large")
    return number


def naive_local_to_utc(local: datetime, zone: str) -> datetime:
    """Wall clock of `zone` to naive UTC; the earlier of two readings, BrokenRuleError where there is none."""
    utc = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    if utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local:
        raise BrokenRuleError("local_time_gap")
    return utc.replace(tzinfo=None)


def read_timestamp(text: str, reading: Reading) -> datetime:
    moment: datetime | None
    try:
        if reading.timestamp_format is not None:
            moment = datetime.strptime(text, reading.timestamp_format)  # noqa: DTZ007  (the text has no zone)
        else:
            moment = datetime.fromisoformat(text.replace(" ", "T")) if TIMESTAMP.fullmatch(text) else None
    except ValueError as error:
        raise BrokenRuleError("not_a_timestamp") from error
    if moment is None:
        raise BrokenRuleError("not_a_timestamp")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    else:
        moment = naive_local_to_utc(moment, reading.naive_timezone)
    if moment.date() in SENTINEL_DATES:
        raise BrokenRuleError("sentinel_date")
    return moment


def read_event_time(text: str, reading: Reading) -> datetime:
    """A moment that must have happened when the file arrived."""
    moment = read_timestamp(text, reading)
    if reading.arrived_at is not None and moment > reading.arrived_at + timedelta(hours=24):
        raise BrokenRuleError("future_date")
    return moment


def read_date(text: str, reading: Reading) -> date:
    day: date | None
    try:
        if reading.date_format is not None:
            day = datetime.strptime(text, reading.date_format).date()  # noqa: DTZ007  (the text has no zone)
        else:
            day = date.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError as error:
        raise BrokenRuleError("not_a_date") from error
    if day is None:
        raise BrokenRuleError("not_a_date")
    if day in SENTINEL_DATES:
        raise BrokenRuleError("sentinel_date")
    return day


def tidy(text: str | None) -> str | None:
    """Spaces at the edges cut, NFC, control characters out; None for an empty cell."""
    if text is None:
        return None
    text = unicodedata.normalize("NFC", text.strip(" "))
    text = "".join(character for character in text if unicodedata.category(character) != "Cc")
    return text or None


def read_cell(name: str, text: str | None, column: Column, reading: Reading) -> Value:
    if text is not None and "\0" in text:
        raise BrokenRuleError("nul_byte")
    cell = tidy(text)
    if cell is None or (column.kind != "text" and cell.lower() in NOTHING):
        if column.required:
            raise BrokenRuleError("required")
        return column.default
    if column.kind == "text":
        if column.required and name.endswith("id") and cell.lower() in {"null", "n/a"}:
            raise BrokenRuleError("required")
        return cell
    readers: dict[str, Callable[[str], Value]] = {
        "decimal": lambda cell: read_number(cell, column, reading.decimal_mark),
        "timestamp": lambda cell: read_event_time(cell, reading),
        "plan": lambda cell: read_timestamp(cell, reading),
        "date": lambda cell: read_date(cell, reading),
        "boolean": _read_flag,
        "integer": _read_integer,
        "currency": _read_currency,
        "status": lambda cell: _read_status(cell, column.words, reading.words.get(name, {})),
    }
    return readers[column.kind](cell)


def _read_flag(cell: str) -> bool:
    if cell.lower() not in WORDS:
        raise BrokenRuleError("not_a_boolean")
    return WORDS[cell.lower()]


def _read_integer(cell: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", cell):
        raise BrokenRuleError("not_an_integer")
    return int(cell)


def _read_currency(cell: str) -> str:
    if cell.upper() not in CURRENCIES:
        raise BrokenRuleError("unknown_currency")
    return cell.upper()


def _read_status(cell: str, words: frozenset[str], mapped: Mapping[str, str]) -> str:
    word = mapped.get(cell, cell)
    if word not in words:
        word = {key.lower(): value for key, value in mapped.items()}.get(cell.lower(), cell.lower())
    return word if word in words else UNMAPPED


def judge(entity: str, cells: Mapping[str, str | None], reading: Reading) -> Row:
    """One delivered row, typed by the contract of `entity`. Absent columns are null.

    Raises:
        BrokenRuleError: when the row belongs in quarantine.
    """
    contract = CONTRACTS[entity]
    row: Row = {
        name: read_cell(name, cells.get(name), column, reading) for name, column in contract.columns.items()
    }
    for rule in contract.row_rules:
        broken = rule(row)
        if broken:
            raise BrokenRuleError(broken)
    return row
