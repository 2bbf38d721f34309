"""Files of a landing folder → accepted versions, with the account of every row.

Plain loops over `csv` rows: this is the slow and obvious way, on purpose.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from .contracts import CONTRACTS, NUMBER, BrokenRuleError, Column, Reading, Row, judge, read_number, tidy
from .entities import Delivered, Version
from .feed_files import Feed, FeedEntity

GZIP_MAGIC = b"\x1f\x8b"
Cells = dict[str, str | None]
ANY_NUMBER = Column("decimal")


@dataclass
class Account:
    """What became of the rows of one file for one entity: read = accepted + bad + repeated + excluded."""

    rows_read: int = 0
    accepted: int = 0
    quarantined: int = 0
    repeated: int = 0
    excluded: int = 0
    rejected: str | None = None


@dataclass
class Landed:
    """Everything accepted, and per (feed, file, entity) how its rows were accounted for."""

    delivered: Delivered = field(default_factory=Delivered)
    accounts: dict[tuple[str, str, str], Account] = field(default_factory=dict)
    duplicates: list[tuple[str, str]] = field(default_factory=list)

    def count(self, name: str) -> int:
        return sum(getattr(account, name) for account in self.accounts.values() if not account.rejected)


class RejectedFileError(ValueError):
    """The whole file stays out."""


@dataclass(frozen=True)
class Delivery:
    """One file of a feed. `sequence` is its number among the feed's deliveries."""

    feed: Feed
    name: str
    content: bytes
    arrived_at: datetime
    sequence: int

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_landing(feeds: list[Feed]) -> Landed:
    landed = Landed()
    for feed in feeds:
        seen: set[str] = set()
        for delivery in _deliveries(feed):
            if delivery.digest in seen:
                landed.duplicates.append((feed.name, delivery.name))
            else:
                seen.add(delivery.digest)
                _read_delivery(landed, delivery)
    return landed


def _deliveries(feed: Feed) -> list[Delivery]:
    paths = [path for path in feed.folder.glob(feed.glob) if path.is_file()]
    arrivals = {path: feed.delivered_at(path.name) or _seen_at(path) for path in paths}
    # Without declared times all files are first seen together: then the name decides.
    declared = feed.setting("delivery_time") is not None
    paths.sort(key=lambda path: (arrivals[path] if declared else datetime.min, path.name))  # noqa: DTZ901  (naive UTC, like every moment here)
    return [
        Delivery(feed, path.name, path.read_bytes(), arrivals[path], number)
        for number, path in enumerate(paths, start=1)
    ]


def _seen_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)


def _read_delivery(landed: Landed, delivery: Delivery) -> None:
    feed = delivery.feed
    for entity in feed.entities:
        account = Account()
        landed.accounts[feed.name, delivery.name, entity.entity] = account
        try:
            versions = _judge_rows(delivery, entity, list(_text_rows(delivery)), account)
        except RejectedFileError as error:
            account.rejected = str(error)
            continue
        for version in versions:
            landed.delivered.add(entity.entity, version)
        if entity.entity == "store.products" and feed.setting("delivery_mode") == "full_extract":
            # Deliveries come in their order: the last one written here is the newest.
            landed.delivered.newest_extract_keys[feed.name] = {one.text("product_id") for one in versions}


def _text_rows(delivery: Delivery) -> Iterator[tuple[int, Cells | None]]:
    """(ordinal, cells by folded header) of every data row; cells None where the row has another width."""
    feed = delivery.feed
    rows = (row for row in _split(feed, _decoded(delivery)) if any(cell.strip() for cell in row))
    has_header = feed.setting("header", True)
    names = next(rows) if has_header else list(feed.setting("column_names"))
    folded = [name.strip().lower() for name in names]
    if len(set(folded)) != len(folded):
        raise RejectedFileError("duplicate_header")
    ordinal = 0
    for row in rows:
        if has_header and [cell.strip().lower() for cell in row] == folded:
            continue
        ordinal += 1
        yield ordinal, dict(zip(folded, row, strict=True)) if len(row) == len(folded) else None


def _decoded(delivery: Delivery) -> str:
    encoding = delivery.feed.setting("encoding", "utf-8")
    try:
        content = delivery.content
        plain = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
        text = plain.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RejectedFileError(type(error).__name__) from error
    if not text.strip():
        raise RejectedFileError("empty")
    return text


def _split(feed: Feed, text: str) -> Iterator[list[str]]:
    kind = feed.setting("format", "csv")
    assert kind in {"csv", "whitespace"}, f"{feed.name}: {kind} is not read here"
    if kind == "whitespace":
        yield from (line.split() for line in text.splitlines())
    else:
        lines = io.StringIO(text, newline="")
        yield from csv.reader(
            lines, delimiter=feed.setting("delimiter", ","), quotechar=feed.setting("quote", '"')
        )


def _judge_rows(
    delivery: Delivery, entity: FeedEntity, rows: list[tuple[int, Cells | None]], account: Account
) -> list[Version]:
    contract, feed = CONTRACTS[entity.entity], delivery.feed
    _check_headers(feed, entity, next((cells.keys() for _, cells in rows if cells is not None), None))
    totals = _sums_over_key(feed, entity, rows)
    reading = _reading(feed, entity, delivery.arrived_at)
    accepted: list[Version] = []
    contents: set[tuple[object, ...]] = set()
    for ordinal, raw in rows:
        account.rows_read += 1
        if raw is None:
            account.quarantined += 1
            continue
        cells = _contract_cells(delivery, entity, raw, ordinal)
        cells.update(totals(cells))
        if any(
            (tidy(cells.get(name, raw.get(name))) or "") in words for name, words in entity.exclude.items()
        ):
            account.excluded += 1
            continue
        try:
            row = judge(entity.entity, cells, reading)
        except BrokenRuleError:
            account.quarantined += 1
            continue
        content = tuple(row.values())
        if not contract.repeats_are_real and content in contents:
            account.repeated += 1
            continue
        contents.add(content)
        account.accepted += 1
        accepted.append(_version(feed, row, delivery.sequence, ordinal))
    _check_threshold(feed, account)
    return accepted


def _check_headers(feed: Feed, entity: FeedEntity, headers: Collection[str] | None) -> None:
    for name, column in CONTRACTS[entity.entity].columns.items():
        mapping = entity.columns.get(name, {"column": name})
        has_default = "default" in mapping or (column.kind == "currency" and feed.setting("currency"))
        if column.required and not has_default and headers is not None and not _is_there(mapping, headers):
            raise RejectedFileError(f"missing_column {name}")


def _is_there(mapping: Mapping[str, Any], headers: Collection[str]) -> bool:
    needed = [mapping["column"]] if "column" in mapping else list(mapping.get("compose", ()))
    return all(name.strip().lower() in headers for name in needed)


def _reading(feed: Feed, entity: FeedEntity, arrived_at: datetime) -> Reading:
    words = {name: mapping["map"] for name, mapping in entity.columns.items() if "map" in mapping}
    formats = {name: mapping for name, mapping in entity.columns.items() if "timestamp_format" in mapping}
    timestamp_format = next(
        (one["timestamp_format"] for one in formats.values()), feed.setting("timestamp_format")
    )
    return Reading(
        feed.setting("naive_timezone", "UTC"), timestamp_format, feed.setting("date_format"),
        feed.setting("decimal_mark", "."), arrived_at, words,
    )  # fmt: skip


def _check_threshold(feed: Feed, account: Account) -> None:
    limit = {"share": 0.01, "rows": 100, **feed.setting("quarantine_threshold", {})}
    if account.quarantined > limit["rows"] and account.quarantined > limit["share"] * account.rows_read:
        raise RejectedFileError("too_many_bad_rows")


def _contract_cells(delivery: Delivery, entity: FeedEntity, raw: Cells, ordinal: int) -> Cells:
    cells: Cells = {}
    for name, column in CONTRACTS[entity.entity].columns.items():
        mapping = entity.columns.get(name, {"column": name})
        cell = _mapped(mapping, raw, f"{delivery.digest[:16]}-{ordinal}")
        if tidy(cell) is None:
            of_feed = delivery.feed.setting("currency") if column.kind == "currency" else None
            cell = mapping.get("default", of_feed)
        cells[name] = cell
    return cells


def _mapped(mapping: Mapping[str, Any], raw: Cells, row_number_id: str) -> str | None:
    if "constant" in mapping:
        return str(mapping["constant"])
    if mapping.get("row_number"):
        return row_number_id
    if "compose" in mapping:
        parts = [(raw.get(name.strip().lower()) or "").strip(" ") for name in mapping["compose"]]
        return str(mapping.get("separator", " ")).join(parts) if all(parts) else None
    cell = raw.get(str(mapping.get("column", "")).strip().lower())
    if cell is not None and mapping.get("unit") == "cents" and NUMBER.fullmatch(cell.strip(" ")):
        return format(Decimal(cell.strip(" ")) / 100, "f")
    return cell


def _sums_over_key(
    feed: Feed, entity: FeedEntity, rows: list[tuple[int, Cells | None]]
) -> Callable[[Cells], Cells]:
    """Totals that the file does not state, from its lines: per key, the product of the named columns."""
    wanted = {name: one["sum_over_key"] for name, one in entity.columns.items() if one.get("sum_over_key")}
    key_sources = [entity.columns.get(name, {"column": name}) for name in CONTRACTS[entity.entity].key]
    sums: dict[tuple[str | None, ...], Decimal] = defaultdict(Decimal)
    for raw in [cells for _, cells in rows if cells is not None]:
        for name, columns in wanted.items():
            amount = Decimal(1)
            for column in columns:
                number = tidy(raw[column.strip().lower()]) or ""
                amount *= read_number(number, ANY_NUMBER, feed.setting("decimal_mark", "."))
            sums[name, *(tidy(_mapped(source, raw, "")) for source in key_sources)] += amount

    def totals(cells: Cells) -> Cells:
        key = [tidy(cells[name]) for name in CONTRACTS[entity.entity].key]
        return {name: format(sums[name, *key], "f") for name in wanted}

    return totals


def _version(feed: Feed, row: Row, sequence: int, ordinal: int) -> Version:
    return Version(
        row, sequence, ordinal, feed.name, feed.setting("business_timezone", "UTC"),
        feed.setting("currency", "USD"), feed.setting("delivery_mode") == "full_extract",
        feed.setting("item_price") == "line_total", feed.setting("option_price") == "line_total",
        feed.setting("options") == "append",
    )  # fmt: skip
