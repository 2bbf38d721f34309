"""Tables and figures as plain text, the same on a terminal, in a pipe and in a file.

A row is always one line and no cell is cut or folded, so that an id can be copied, searched and counted. Where a
terminal is narrower than a table, it wraps the line itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from settings.errors import UsageError

NUMERIC = (int, float, Decimal)
# Integers that name something: they are copied into the next command, so they get no thousands marks.
NAMES_IN_DIGITS = frozenset({"row_number", "load_sequence"})


def say(text: str) -> None:
    """Print text as it stands; line ends stay, other control characters are shown and not obeyed."""
    print(plain(text))


def plain(text: str) -> str:
    """The text with control characters written as escapes, since files from outside reach the terminal here."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def counted(number: int, noun: str) -> str:
    """ "1 file", "2,000 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def cell(value: Any, column: str = "") -> str:
    """One value on one line.

    Integers get thousands marks (except those that name a row or a batch), money shows cents, seconds one
    decimal, timestamps no fractions; null is empty.
    """
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int) and column not in NAMES_IN_DIGITS:
        text = f"{value:,}"
    elif isinstance(value, Decimal):
        text = f"{value:,.2f}"
    elif isinstance(value, float):
        text = f"{value:,.1f}"
    elif isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H:%M:%S}"
    else:
        text = "" if value is None else str(value)
    return plain(text).replace("\n", "\\n")


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    empty: str,
    headings: Mapping[str, str] | None = None,
    texts: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """Print rows under a title and column names; `empty` is said where there are none.

    `headings` replaces names of columns that would be hard to read, `texts` the way in which a column's values that
    are not null are written.
    """
    listed = [tuple(row) for row in rows]
    if not listed:
        say(empty)
        return
    names = [(headings or {}).get(column, column.replace("_", " ")) for column in columns]
    is_numeric = [
        all(isinstance(row[position], NUMERIC) or row[position] is None for row in listed)
        for position in range(len(columns))
    ]
    written = texts or {}
    cells = [
        [
            plain(written[column](value)) if column in written and value is not None else cell(value, column)
            for column, value in zip(columns, row, strict=True)
        ]
        for row in listed
    ]
    widths = [max(len(row[position]) for row in [names, *cells]) for position in range(len(names))]
    print(title)
    for row in [names, *cells]:
        parts = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_numeric, strict=True)
        )
        print("  " + "  ".join(parts).rstrip())


def read_date(option: str, text: str) -> date | None:
    """A date that a user wrote; None for nothing.

    Raises:
        UsageError: when it is no date.
    """
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  (a calendar date has no zone)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no date", remedy="write it as YYYY-MM-DD", rule="date"
        ) from error
