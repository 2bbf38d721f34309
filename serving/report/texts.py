"""How figures and changes read on the page: as on the dashboards, and what only the report has."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from serving.dashboards.figures import NOTHING, difference


def change(value: Any, before: Any, form: str) -> str:
    """From one figure to the next: relative for amounts, in percentage points for shares; a dash where unknown."""
    return difference(value, before, form) or NOTHING


def money(value: Decimal | Fraction | float, *, is_signed: bool = False) -> str:
    """An amount of the reporting currency, to cents."""
    return _signed(float(value), 2) if is_signed else f"{float(value):,.2f}"


def day(value: date) -> str:
    """ "Sat 31 Oct 2026"."""
    return f"{value:%a} {value.day} {value:%b %Y}"


def moment(value: datetime) -> str:
    """A UTC timestamp to the minute."""
    return f"{value:%Y-%m-%d %H:%M} UTC"


def hours(value: float) -> str:
    """A time behind, in the unit that reads best."""
    return f"{value:,.1f} h" if value < 48 else f"{value / 24:,.1f} days"


def cell(value: Any) -> str:
    """A cell of a mart."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def _signed(value: float, places: int) -> str:
    # Rounded first, so that a change of nearly nothing has no sign.
    rounded = round(value, places)
    return f"{rounded:+,.{places}f}" if rounded else f"{0:.{places}f}"
