"""What stands in a drawn file, by Python's own readers: which rows it has, and what each cell means.

Nothing of ingestion is used here. Where Python cannot tell (two readings are possible) it says so, and only the
conservation of rows is held.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from pyarrow import parquet

from ingestion.contract import ContractColumn

from .drawing import CURRENCY, FuzzedFeed

csv.field_size_limit(1 << 24)
Row = Sequence[str | None]


class UnreadableError(Exception):
    """Python's readers do not agree with themselves about what the rows are."""


@dataclass(frozen=True)
class Reading:
    """Header and data rows; cells beyond the header and rows with too few stay as they are."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read_content(feed: FuzzedFeed, content: bytes) -> Reading:
    """The rows of a file.

    Raises:
        UnreadableError: when they cannot be told.
    """
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        if feed.format == "parquet":
            table = parquet.read_table(io.BytesIO(content))
            columns = [table.column(place).to_pylist() for place in range(table.num_columns)]
            return Reading(tuple(table.column_names), tuple(zip(*columns, strict=True)) if columns else ())
        text = _decoded(feed, content)
    except (OSError, EOFError, zlib.error, UnicodeError, ValueError) as error:
        raise UnreadableError from error
    if feed.format == "jsonl":
        return _json_lines(text)
    return _delimited(feed, text)


def _decoded(feed: FuzzedFeed, content: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode(feed.encoding)


def _json_lines(text: str) -> Reading:
    objects: list[dict[str, Any] | None] = []
    for line in re.split(r"\r\n|\n|\r", text):
        if not line.strip(" "):
            continue
        try:
            found = json.loads(line, object_pairs_hook=_each_once)
        except ValueError:
            found = None
        objects.append(found if isinstance(found, dict) else None)
    names = tuple(dict.fromkeys(name for found in objects if found for name in found))
    rows = [
        () if found is None else tuple(_json_text(found.get(name)) for name in names) for found in objects
    ]
    return Reading(names, tuple(rows))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _json_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _delimited(feed: FuzzedFeed, text: str) -> Reading:
    try:
        # A blank before a quote is no part of the cell; files with several are refused, and cells are trimmed later.
        lines = io.StringIO(text, newline="")
        rows = list(csv.reader(lines, delimiter=feed.delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise UnreadableError from error
    rows = [row for row in rows if row]
    if not rows:
        raise UnreadableError
    return Reading(tuple(name.strip() for name in rows[0]), tuple(tuple(row) for row in rows[1:]))


# ---------------------------------------------------------------------- cells

UNKNOWN = object()  # what the cell becomes is not to be told from outside: a token, a masked text
TRUE, FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


def expected_value(feed: FuzzedFeed, column: ContractColumn, cell: str | None) -> object:
    """The value that an accepted row must have for this cell; UNKNOWN where privacy changes it.

    Raises:
        ValueError: when the cell is no such value, so that no row with it may be accepted.
    """
    text = _tidy(cell)
    if column.pii != "none":
        return UNKNOWN
    if not text:
        default = CURRENCY if column.default_setting == "currency" else column.default
        if column.required and default is None:
            raise ValueError("required")
        text = default or ""
        if not text:
            return None
    if column.type == "text":
        return _text(column, text)
    readers = {"decimal": _decimal, "integer": _integer, "boolean": _boolean, "date": _date}
    return readers[column.type](feed, text) if column.type in readers else _timestamp(feed, text)


def _tidy(cell: str | None) -> str:
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "", cell or "").strip(" ")
    return unicodedata.normalize("NFC", text)


def _text(column: ContractColumn, text: str) -> object:
    if re.search(r"(\d[ -]?){13,}", text) or "@" in text:
        return UNKNOWN
    if column.is_identifier or column.name.endswith("_id") or column.name == "id":
        shown = (
            "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc"})
            .replace("\xa0", " ")
            .strip(" ")
        )
        if shown.upper() in {"NULL", "N/A", "NA", "NONE", "NAN", "#N/A", r"\N", ""}:
            if column.required:
                raise ValueError("blank word")
            return None
        return shown
    if column.allowed:
        return text if text in column.allowed else "unmapped"
    if column.vocabulary:
        if not re.fullmatch("[A-Za-z]{3}", text):
            raise ValueError("currency")
        return text.upper()
    return text


def _decimal(feed: FuzzedFeed, text: str) -> Decimal:
    if not re.fullmatch(r"[-+0-9.,]+", text, re.ASCII):
        raise ValueError("number")
    if feed.decimal_mark == ",":
        if "." in text:
            raise ValueError("number")
        text = text.replace(",", ".")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("number") from error
    if value != value.quantize(Decimal("0.0001")):
        raise ValueError("precision")
    return value


def _integer(_: FuzzedFeed, text: str) -> int:
    value = Decimal(text)
    if value != int(value):
        raise ValueError("integer")
    return int(value)


def _boolean(_: FuzzedFeed, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError("boolean")
    return text.lower() in TRUE


SENTINELS = {date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)}


def _date(_: FuzzedFeed, text: str) -> date | None:
    day = datetime.fromisoformat(text)
    if (day.hour, day.minute, day.second, day.microsecond) != (0, 0, 0, 0) or day.tzinfo is not None:
        raise ValueError("date")
    return None if day.date() in SENTINELS else day.date()


def _timestamp(feed: FuzzedFeed, text: str) -> datetime | None:
    if ":" not in text:
        raise ValueError("a day is no moment unless the feed's format says so")
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.date() in SENTINELS:
        return None
    if moment.tzinfo is None:
        zoned = moment.replace(tzinfo=ZoneInfo(feed.zone), fold=0)
        if zoned.astimezone(UTC).astimezone(ZoneInfo(feed.zone)).replace(tzinfo=None) != moment:
            raise ValueError("this local time was skipped")
        moment = zoned
    return moment.astimezone(UTC).replace(tzinfo=None)
