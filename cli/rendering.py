"""Tables and figures as the terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from settings.errors import UsageError

NUMERIC = (int, float, Decimal)


def console() -> Console:
    """The terminal; plain text of a fixed width where the output is a file or a pipe."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=160, no_color=True)


def cell(value: Any) -> str:
    """One value as text: thousands separated, money to the cent, timestamps to the second, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print rows under column names; `empty` is said where there are none."""
    listed = [tuple(row) for row in rows]
    out = console()
    if not listed:
        out.print(empty)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for position, column in enumerate(columns):
        is_numeric = all(isinstance(row[position], NUMERIC) or row[position] is None for row in listed)
        table.add_column(column.replace("_", " "), justify="right" if is_numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_escaped(cell(value)) for value in row))
    out.print(table)


def _escaped(text: str) -> str:
    # Square brackets in data are no markup.
    return text.replace("[", r"\[")


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
