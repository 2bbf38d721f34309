"""A query in the words of the command line and of query strings, read into its structure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from serving.semantic.query import Filter, Grain, MetricQuery, Operator, Ordering
from settings.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9_]*")
GRAINS = frozenset(Grain)
# Longest first, so that `<=` is not read as `<` and `not in` not as a name.
_OPERATORS = "|".join(
    re.escape(operator).replace(r"\ ", r"\s+") for operator in sorted(Operator, key=len, reverse=True)
)
_FILTER = re.compile(
    rf"\s*(?P<dimension>[a-z][a-z0-9_]*)\s*(?P<operator>{_OPERATORS})(?P<values>.*)",
    re.DOTALL | re.IGNORECASE,
)
_WORDS = frozenset({Operator.IN, Operator.NOT_IN, Operator.IS_NULL, Operator.IS_NOT_NULL})


def read_query(
    metrics: Sequence[str],
    *,
    by: str = "",
    filters: Sequence[str] = (),
    order: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> MetricQuery:
    """The query that these words say.

    Args:
        metrics: names; one word may hold several with commas between.
        by: dimensions and at most one grain, with commas between: `month,location`.
        filters: conditions such as `location in A,B`, `month >= 2026-01-01`, `loyalty = true`.
        order: columns with commas between; a minus before one sorts it downwards.

    Raises:
        UsageError: when words cannot be read. Whether the names exist is for the client to say.
    """
    names = [name for word in metrics for name in _names(word, "metrics")]
    groups = _names(by, "--by")
    grains = [Grain(name) for name in groups if name in GRAINS]
    if len(grains) > 1:
        raise UsageError(
            f"--by names {' and '.join(grains)}", remedy="name one length of period", rule="one_grain"
        )
    return MetricQuery(
        metrics=tuple(names),
        group_by=tuple(name for name in groups if name not in GRAINS),
        grain=grains[0] if grains else None,
        filters=tuple(read_filter(text) for text in filters),
        order_by=tuple(_ordering(word) for word in _split(order)),
        limit=limit,
        offset=offset,
    )


def read_filter(text: str) -> Filter:
    """One condition.

    Values stand as they are; one with a comma or edge spaces goes in double quotes.

    Raises:
        UsageError: when it cannot be read.
    """
    found = _FILTER.fullmatch(text)
    if found is None:
        raise _unreadable(text)
    operator = Operator(re.sub(r"\s+", " ", found["operator"].lower()))
    rest = found["values"]
    if operator in _WORDS and rest and not rest[0].isspace():
        raise _unreadable(text)  # `location into X`
    values = tuple(_split(rest))
    takes_none = operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}
    takes_many = operator in {Operator.IN, Operator.NOT_IN}
    if (takes_none and values) or (not takes_none and not values) or (len(values) > 1 and not takes_many):
        raise _unreadable(text)
    return Filter(found["dimension"].lower(), operator, values)


def _unreadable(text: str) -> UsageError:
    return UsageError(
        f"the filter {text!r} cannot be read",
        remedy="write DIMENSION OPERATOR VALUES: `location in A,B`, `month >= 2026-01-01`, `segment is not null`; "
        f"operators are {', '.join(Operator)}",
        rule="filter",
    )


def _ordering(word: str) -> Ordering:
    name = word.removeprefix("-")
    (column,) = _names(name, "--order") or [""]
    return Ordering(column, descending=word.startswith("-"))


def _names(text: str, where: str) -> list[str]:
    names = [word.lower() for word in _split(text)]
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} in {where} is no name",
                remedy="`tillhouse metrics` lists the names",
                rule="name",
            )
    return names


def _split(text: str) -> list[str]:
    if not text.strip():
        return []
    rows = list(csv.reader([text.strip()], skipinitialspace=True))
    return [word.strip() for row in rows for word in row]
