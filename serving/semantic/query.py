"""What may be asked of the metrics: a structure of names and typed values, and no SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

Value = str | bool | int | Decimal | date


class Grain(StrEnum):
    """Length of the periods that a result has a row for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Operator(StrEnum):
    """How a filter compares a dimension with its values."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "in"
    NOT_IN = "not in"
    IS_NULL = "is null"
    IS_NOT_NULL = "is not null"


@dataclass(frozen=True)
class Filter:
    """One condition on a dimension, or on a period's first day when `dimension` names a grain.

    Attributes:
        values: one for a comparison, one or more for `in` and `not in`, none for the null tests. Texts are read as the
            dimension's type: dates as YYYY-MM-DD, booleans as true or false.
    """

    dimension: str
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Ordering:
    """Sort by one column of the result: a metric, a dimension, or the grain. Nulls come last."""

    column: str
    descending: bool = False


@dataclass(frozen=True)
class MetricQuery:
    """A question: these metrics, by these dimensions and periods, of what the filters leave.

    Attributes:
        metrics: names of the catalogue, at least one.
        group_by: names of dimensions.
        grain: one row a period; None for all time together.
        filters: all of them hold.
        order_by: empty sorts by grain and dimensions.
        limit: most rows, with `offset` rows left out before them.
    """

    metrics: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    grain: Grain | None = None
    filters: tuple[Filter, ...] = ()
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0
