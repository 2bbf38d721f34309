"""Files drawn from a seed: a feed's valid file, and what went wrong with it on its way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow
from pyarrow import parquet

from ingestion.contract import Contract, ContractColumn, load_contracts

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
ZONE, CURRENCY = "America/New_York", "USD"
WORDS = (
    "soup",
    "tea, green",
    'the "best"',
    "Crème brûlée",
    "naïve",
    "a b",
    "x",
    "日本",
    "O'Brien",
    "-1",
    "=1+1",
)
STATUS_WORDS = {"store.orders": ("created", "paid", "delivered"), "store.payments": ("failed", "pending")}


@dataclass(frozen=True)
class FuzzedFeed:
    """A feed of the fuzzed company: its settings in a feed file, and how a valid file of it is written.

    Attributes:
        entity: the contract; each file has all its columns under their own names.
        settings: beside name, location and entities.
    """

    name: str
    entity: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    compressed: bool = False
    line_end: str = "\n"

    @property
    def format(self) -> str:
        return str(self.settings.get("format", "csv"))

    @property
    def delimiter(self) -> str:
        return str(self.settings.get("delimiter", ","))

    @property
    def encoding(self) -> str:
        return str(self.settings.get("encoding", "utf-8"))

    @property
    def decimal_mark(self) -> str:
        return str(self.settings.get("decimal_mark", "."))

    @property
    def zone(self) -> str:
        return str(self.settings.get("naive_timezone", "UTC"))

    @property
    def contract(self) -> Contract:
        return load_contracts()[self.entity]

    @property
    def columns(self) -> list[ContractColumn]:
        return [column for column in self.contract.columns if column.source == "file"]

    def definition(self) -> dict[str, Any]:
        """As a feed file says it."""
        return {
            "name": self.name,
            "location": f"file://landing/{self.name}",
            "glob": "*",
            "allow_empty": True,
            # Fuzzing wants to see rows, so no share of bad ones refuses a file.
            "quarantine_threshold": {"share": 1.0, "rows": 10**6},
            "entities": [{"entity": self.entity}],
            **self.settings,
        }


FEEDS = (
    FuzzedFeed("plain_orders", "store.orders"),
    FuzzedFeed("zipped_lines", "store.order_items", compressed=True),
    FuzzedFeed("semicolon_payments", "store.payments", {"delimiter": ";", "decimal_mark": ","}),
    FuzzedFeed("western_customers", "store.customers", {"encoding": "cp1252"}, line_end="\r\n"),
    FuzzedFeed("local_returns", "store.returns", {"naive_timezone": ZONE}),
    FuzzedFeed("tabbed_meals", "restaurant.order_items", {"delimiter": "\t"}),
    FuzzedFeed("options", "restaurant.order_item_options", {"options": "append"}, line_end="\r\n"),
    FuzzedFeed("json_products", "store.products", {"format": "jsonl"}),
    FuzzedFeed("parquet_stock", "store.inventory", {"format": "parquet"}),
)


@dataclass(frozen=True)
class DrawnFile:
    """A file to deliver. `steps` are the names of the mutations that made it."""

    seed: int
    feed: FuzzedFeed
    content: bytes
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"f{self.seed:08d}.dat"


def draw_file(seed: int) -> DrawnFile:
    """The file of this seed: the same on every machine and in every year."""
    drawn = random.Random(f"tillhouse fuzz {seed}")  # noqa: S311  (to be repeatable, not to be secret)
    feed = FEEDS[seed % len(FEEDS)]
    header, rows = _rows(feed, drawn)
    steps: list[str] = []
    for _ in range(drawn.choice((0, 1, 1, 1, 2))):
        mutate: Callable[..., None] = drawn.choice(TABLE_MUTATIONS)
        mutate(drawn, header, rows)
        steps.append(mutate.__name__)
    content = _written(feed, header, rows)
    if feed.format != "parquet":
        for _ in range(drawn.choice((0, 0, 1, 1, 2))):
            change: Callable[..., bytes] = drawn.choice(BYTE_MUTATIONS)
            content = change(drawn, content)
            steps.append(change.__name__)
    if feed.compressed:
        content = gzip.compress(content, mtime=0)
    for _ in range(drawn.choice((0, 0, 0, 0, 1))):
        change = drawn.choice(CONTAINER_MUTATIONS)
        content = change(drawn, content)
        steps.append(change.__name__)
    return DrawnFile(seed, feed, content, tuple(steps))


# ---------------------------------------------------------------------- valid rows


def _rows(feed: FuzzedFeed, drawn: random.Random) -> tuple[list[str], list[list[str]]]:
    header = [column.name for column in feed.columns]
    rows = [
        [_cell(feed, column, number, drawn) for column in feed.columns]
        for number in range(drawn.choice((0, 1, 2, 5, 12, 30)))
    ]
    return header, rows


def _cell(feed: FuzzedFeed, column: ContractColumn, number: int, drawn: random.Random) -> str:
    if not column.required and column.required_when is None and drawn.random() < 0.2:
        return ""
    moment = FIRST_DAY + timedelta(seconds=drawn.randrange(40 * 86_400))
    clock = drawn.choice(("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M"))
    amount = Decimal(drawn.randrange(1, 50_000)) / drawn.choice((1, 100, 10_000))
    by_type = {
        "decimal": f"{Decimal(0) if column.at_most_product_of else amount:f}".replace(".", feed.decimal_mark),
        "integer": str(drawn.randrange(1, 60)),
        "boolean": drawn.choice(("true", "FALSE", "yes", "n", "1", "0")),
        "date": moment.date().isoformat(),
        "timestamp": moment.strftime(clock),
    }
    return by_type.get(column.type) or _word(feed, column, number, drawn)


def _word(feed: FuzzedFeed, column: ContractColumn, number: int, drawn: random.Random) -> str:
    word = drawn.choice(WORDS).encode(feed.encoding, "ignore").decode(feed.encoding)
    if column.name == "status":
        word = drawn.choice(STATUS_WORDS[feed.entity])
    elif column.vocabulary == "iso_4217":
        word = drawn.choice(("USD", "eur", "GBP"))
    elif column.pii != "none":
        word = f"person{number}@example.org" if column.pii == "hash" else "4111111111111111"
    elif column.is_identifier or column.name in feed.contract.key:
        word = f"{column.name[0].upper()}{number:03d}"
    return word


def _written(feed: FuzzedFeed, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    if feed.format == "parquet":
        columns = {
            name: [row[place] if place < len(row) else None for row in rows]
            for place, name in enumerate(header)
        }
        sink = io.BytesIO()
        parquet.write_table(pyarrow.table({k: pyarrow.array(v, "string") for k, v in columns.items()}), sink)
        return sink.getvalue()
    text = io.StringIO()
    if feed.format == "jsonl":
        for row in rows:
            text.write(json.dumps(dict(zip(header, row, strict=False)), ensure_ascii=False) + "\n")
    else:
        writer = csv.writer(text, delimiter=feed.delimiter, lineterminator=feed.line_end)
        writer.writerow(header)
        writer.writerows(rows)
    return text.getvalue().encode(feed.encoding, "replace")


# ---------------------------------------------------------------------- what goes wrong with rows

NASTY_CELLS = (
    "", " ", "NULL", "n/a", "NaN", "Infinity", "-inf", "1e400", "1e5", "1E-2", "0", "-1", "-0", "+5", "1.23456", ".5",
    "5.", "1,5", "1.234,50", "1,234.50", "£10", "(10.00)", "1_000", "١٢", "99999999999999999999", "0x10", "12:30",
    "2026-02-30", "2024-02-29", "0001-01-01", "9999-12-31", "1970-01-01 00:00:00", "2026-01-05T10:00:00Z",
    "2026-01-05 10:00:00+05:30", "2026-01-05 24:00:00", "2026-03-08 02:30:00", "2025-11-02 01:30:00", "01/02/2026",
    "2126-01-01 00:00:00", "2126-01-01", "today", "4111 1111 1111 1111", "378282246310005", "me@example.org",
    "=cmd|' /C calc'!A0", "'); drop table raw.store_orders; --", "{{ env_var('HOME') }}", "<script>", "a\nb", "a\r\nb",
    'say "hi"', '"', "  padded  ", "tab\there", "zero\u200bwidth", "\u202egnp.exe", "e\u0301", "\ufeffx", "é", "ß",
    "true", "maybe", "x" * 70_000, "\x01", "EUR", "ZZZ", "unmapped", "paid", "Succeeded", "succeeded",
)  # fmt: skip


def nasty_cell(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    for _ in range(drawn.choice((1, 1, 3))):
        if rows and header:
            row = drawn.choice(rows)
            if row:
                row[drawn.randrange(len(row))] = drawn.choice(NASTY_CELLS)


def missing_cell(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    if rows:
        row = drawn.choice(rows)
        del row[drawn.randrange(len(row) + 1) :]


def further_cells(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    if rows:
        drawn.choice(rows).extend(drawn.choice(NASTY_CELLS) for _ in range(drawn.choice((1, 2, 20))))


def repeated_row(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    if rows:
        rows.insert(drawn.randrange(len(rows) + 1), list(drawn.choice(rows)))


def changed_repetition(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    if rows:
        row = list(drawn.choice(rows))
        if row:
            row[-1] = drawn.choice(NASTY_CELLS)
        rows.append(row)


def repeated_header(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    rows.insert(drawn.randrange(len(rows) + 1), list(header))


def reordered_columns(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    order = list(range(len(header)))
    drawn.shuffle(order)
    header[:] = [header[place] for place in order]
    for row in rows:
        if len(row) == len(order):
            row[:] = [row[place] for place in order]


def spelled_header(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    place = drawn.randrange(len(header)) if header else 0
    header[place : place + 1] = [
        drawn.choice((str.upper, str.title, " {} ".format, "{}_".format))(header[place])
    ]


def twice_in_header(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    header[drawn.randrange(len(header))] = header[0]


def nameless_column(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    header[drawn.randrange(len(header))] = ""


def dropped_column(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    place = drawn.randrange(len(header))
    if len(header) > 1:
        del header[place]
        for row in rows:
            del row[place : place + 1]


def further_column(drawn: random.Random, header: list[str], rows: list[list[str]]) -> None:
    header.append(drawn.choice(("note", "e-mail of a person", "4111111111111111")))
    for row in rows:
        row.append(drawn.choice(NASTY_CELLS))


TABLE_MUTATIONS = (
    nasty_cell, nasty_cell, nasty_cell, missing_cell, further_cells, repeated_row, changed_repetition, repeated_header,
    reordered_columns, spelled_header, twice_in_header, nameless_column, dropped_column, further_column,
)  # fmt: skip


# ---------------------------------------------------------------------- what goes wrong with bytes


def flipped_byte(drawn: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    place = drawn.randrange(len(content))
    return content[:place] + bytes([drawn.randrange(256)]) + content[place + 1 :]


def inserted_bytes(drawn: random.Random, content: bytes) -> bytes:
    place = drawn.randrange(len(content) + 1)
    odd = (b"\0", b"\xff", b"\xc3", b'"', b'""', b"\r", b"\n", b"\r\n", b"\n\n\n", b",", b";", b"\t", b" ", b"\x1a",
           b"\x1f", b"\xef\xbb\xbf", b"\\", b"'", b"\xe2\x80\xa8", b"\x85", b"\x0c", b"@", b'"\n"')  # fmt: skip
    return content[:place] + drawn.choice(odd) + content[place:]


def deleted_bytes(drawn: random.Random, content: bytes) -> bytes:
    place = drawn.randrange(len(content) + 1)
    return content[:place] + content[place + drawn.choice((1, 1, 2, 40)) :]


def repeated_bytes(drawn: random.Random, content: bytes) -> bytes:
    place, size = drawn.randrange(len(content) + 1), drawn.choice((1, 7, 100))
    return content[: place + size] + content[place:]


def cut_off(drawn: random.Random, content: bytes) -> bytes:
    return content[: drawn.randrange(len(content) + 1)]


def other_line_ends(drawn: random.Random, content: bytes) -> bytes:
    plain = content.replace(b"\r\n", b"\n")
    return plain.replace(b"\n", drawn.choice((b"\r\n", b"\r", b"\n\r\n", b" \n")))


def mixed_line_ends(drawn: random.Random, content: bytes) -> bytes:
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    return b"".join(line + drawn.choice((b"\n", b"\r\n")) for line in lines)


def lost_line_end(drawn: random.Random, content: bytes) -> bytes:
    return content.rstrip(b"\r\n")


def dropped_line(drawn: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[drawn.randrange(len(lines))]
    return b"".join(lines)


def swapped_lines(drawn: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    drawn.shuffle(lines)
    return b"".join(lines)


def with_mark(drawn: random.Random, content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content


def as_utf_16(drawn: random.Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(drawn.choice(("utf-16", "utf-16-le")))


BYTE_MUTATIONS = (
    flipped_byte, flipped_byte, inserted_bytes, inserted_bytes, inserted_bytes, deleted_bytes, repeated_bytes, cut_off,
    other_line_ends, mixed_line_ends, lost_line_end, dropped_line, swapped_lines, with_mark, as_utf_16,
)  # fmt: skip


# ---------------------------------------------------------------------- what goes wrong with containers


def zipped(drawn: random.Random, content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def in_two_members(drawn: random.Random, content: bytes) -> bytes:
    place = drawn.randrange(len(content) + 1)
    return gzip.compress(content[:place], mtime=0) + gzip.compress(content[place:], mtime=0)


def padded(drawn: random.Random, content: bytes) -> bytes:
    return content + b"\0" * drawn.choice((1, 512))


def foreign(drawn: random.Random, content: bytes) -> bytes:
    heads = (
        b"PK\x03\x04",
        b"%PDF",
        b"<html>",
        b"<?xml",
        b"-----BEGIN PGP",
        b"PAR1",
        b"BZh",
        b"\xd0\xcf\x11\xe0",
    )
    return drawn.choice(heads) + content


def nothing(drawn: random.Random, content: bytes) -> bytes:
    return b""


CONTAINER_MUTATIONS = (
    zipped, in_two_members, padded, foreign, nothing, cut_off, flipped_byte, deleted_bytes, inserted_bytes,
)  # fmt: skip
