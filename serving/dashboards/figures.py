"""How figures read: numbers with their units, names of columns, and the difference to the period before."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from serving.dashboards.definitions import Card
from serving.marts import PublishedMart
from serving.semantic import Catalogue, Grain

NOTHING = "–"
WITHOUT_CENTS = 10_000
MOST_TIMES = 10
# D3's words, for axes, labels and tables alike.
D3_FORMATS = {
    "money": ",.2f",
    "count": ",d",
    "quantity": ",.0f",
    "share": ".1%",
    "ratio": ",.2f",
    "hours": ",.1f",
    "days": ",.1f",
    "number": ",.2f",
}
UNITS = {"money": "reporting currency", "hours": "hours", "days": "days"}
# Their sums over parts are the whole's figure; shares and averages have to be computed anew.
ADDITIVE = frozenset({"money", "quantity"})
_QUANTITIES = frozenset(
    {"on_hand", "allocated", "available", "reorder_point", "suggested_order_quantity", "quantity", "units",
     "returned_units", "units_sold", "units_sold_28_days"}
)  # fmt: skip
_FORMATS_OF_TYPES = {
    "integer": "count", "bigint": "count", "hugeint": "count", "date": "date", "boolean": "boolean",
}  # fmt: skip
_NAMES_IN_DIGITS = frozenset({"hour", "iso_weekday", "month_number", "r_score", "f_score", "m_score", "year"})


@dataclass(frozen=True)
class Column:
    """A column of an answer.

    Attributes:
        format: money, count, quantity, share, ratio, hours, days or number of a figure; text, date, moment, boolean,
            period or label (a number that names something) of what tells rows apart.
    """

    name: str
    label: str
    format: str

    @property
    def is_figure(self) -> bool:
        return self.format in D3_FORMATS

    @property
    def d3(self) -> str:
        """How the figure is written on axes and marks."""
        return D3_FORMATS.get(self.format, "")

    @property
    def title(self) -> str:
        """The label with its unit, for an axis."""
        unit = UNITS.get(self.format)
        return f"{self.label} ({unit})" if unit else self.label


def columns_of(
    card: Card, names: Sequence[str], catalogue: Catalogue, mart: PublishedMart | None
) -> tuple[Column, ...]:
    """The columns of a card's answer, with labels and units.

    Args:
        names: as the answer has them.
        mart: the one that the card reads, where it reads one.
    """
    if mart is not None:
        functions = {one.name: (one.function, one.column) for one in card.aggregate}
        return tuple(_mart_column(name, mart, functions.get(name)) for name in names)
    return tuple(_metric_column(name, catalogue) for name in names)


def columns_of_rows(mart: PublishedMart) -> tuple[Column, ...]:
    """All columns of a mart."""
    return tuple(_mart_column(name, mart, None) for name in mart.columns)


def written(value: Any, form: str) -> str:
    """A value as a reader sees it."""
    if value is None:
        return NOTHING
    if form not in D3_FORMATS:
        return str(value)
    # Python writes numbers by the same words as D3, but a decimal as no integer.
    is_whole = form == "count" or (form == "money" and abs(value) >= WITHOUT_CENTS)
    figure = f"{value:{',.0f' if is_whole else D3_FORMATS[form]}}"
    return f"{figure} {form[0]}" if form in {"hours", "days"} else figure


def difference(now: Any, before: Any, form: str) -> str | None:
    """How far a figure moved: in per cent, of a share in percentage points; None where it cannot be told."""
    if now is None or before is None:
        return None
    if form == "share":
        return f"{100 * (float(now) - float(before)):+.1f} points"
    if not before:
        return None
    times = float(now) / float(before)
    if times >= MOST_TIMES:
        return f"× {times:,.0f}"  # so many per cent tell nobody anything
    return f"{100 * (float(now) - float(before)) / abs(float(before)):+.1f} %"


def told(value: Any, column: Column, grain: Grain | None = None) -> str:
    """What tells rows apart, as words: `Mon` for a weekday, `Mar 2026` for a month."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column.name == "iso_weekday":
        return calendar.day_abbr[int(value) - 1]
    if isinstance(value, date) and not isinstance(value, datetime):
        by_month = grain is Grain.MONTH or column.name.endswith("_month")
        return f"{value:%b %Y}" if by_month else f"{value:%d %b %Y}"
    return str(value)


def plain(value: Any) -> Any:
    """A value as charts and tables take it: decimals as floats, for drawing alone."""
    return float(value) if isinstance(value, Decimal) else value


def _metric_column(name: str, catalogue: Catalogue) -> Column:
    if name in catalogue.metrics:
        metric = catalogue.metrics[name]
        return Column(name, metric.label, metric.format)
    if name in catalogue.dimensions:
        dimension = catalogue.dimensions[name]
        return Column(name, dimension.label, str(dimension.kind))
    return Column(name, name.capitalize(), "period")


def _mart_column(name: str, mart: PublishedMart, function: tuple[str, str] | None) -> Column:
    kind = mart.columns.get(function[1] if function else name, "")
    if function and function[0] == "count":
        kind = "bigint"
    label = name.replace("_", " ").capitalize().replace("Clv", "CLV").replace("Yoy", "Year-over-year")
    return Column(name, label, _format(name, kind))


def _format(name: str, kind: str) -> str:
    if name in _NAMES_IN_DIGITS:
        return "label"
    if kind.startswith(("decimal", "numeric", "double")):
        return _format_of_fraction(name, is_exact=not kind.startswith("double"))
    return "moment" if kind.startswith("timestamp") else _FORMATS_OF_TYPES.get(kind, "text")


def _format_of_fraction(name: str, *, is_exact: bool) -> str:
    if "hours" in name.split("_"):
        return "hours"
    if is_exact:
        return "quantity" if name in _QUANTITIES else "money"
    if name.endswith(("_rate", "_share")):
        return "share"
    return "days" if name == "days_of_cover" else "number"
