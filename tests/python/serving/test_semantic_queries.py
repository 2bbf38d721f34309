"""Queries in words, structures and SQL: what is allowed, what is refused, and that values stay out of SQL."""

from __future__ import annotations

import pytest

from serving.semantic import Filter, Grain, MetricQuery, Operator, Ordering
from serving.semantic.words import read_filter, read_query
from settings.errors import UsageError


def test_words_and_structure_say_the_same() -> None:
    read = read_query(
        ["net_revenue,orders", "refunds"],
        by="month,location",
        filters=["location in A,B", "month >= 2026-01-01", "loyalty = true"],
        order="-net_revenue,location",
        limit=7,
        offset=14,
    )
    assert read == MetricQuery(
        metrics=("net_revenue", "orders", "refunds"),
        group_by=("location",),
        grain=Grain.MONTH,
        filters=(
            Filter("location", Operator.IN, ("A", "B")),
            Filter("month", Operator.GREATER_OR_EQUAL, ("2026-01-01",)),
            Filter("loyalty", Operator.EQUAL, ("true",)),
        ),
        order_by=(Ordering("net_revenue", descending=True), Ordering("location")),
        limit=7,
        offset=14,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("category in Books", Filter("category", Operator.IN, ("Books",))),
        (
            'category NOT  IN "Coffee, Tea" , "a ""b"""',
            Filter("category", Operator.NOT_IN, ("Coffee, Tea", 'a "b"')),
        ),
        ("region is null", Filter("region", Operator.IS_NULL)),
        ("region IS NOT NULL", Filter("region", Operator.IS_NOT_NULL)),
        ("category!=is null", Filter("category", Operator.NOT_EQUAL, ("is null",))),
        ("day<2026-01-01", Filter("day", Operator.LESS, ("2026-01-01",))),
        ("category = in", Filter("category", Operator.EQUAL, ("in",))),
        ("category = '; drop table x --", Filter("category", Operator.EQUAL, ("'; drop table x --",))),
    ],
)
def test_a_filter_is_read(text: str, expected: Filter) -> None:
    assert read_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "category", "category in", "category =", "= A", "category into A", "category = A,B", "region is null X",
        "category like A", "1=1) or (1=1", "Dimension('a') = b", "a.b = c", "day >", "category is nullx",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_the_form_of_one(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as refused:
        read_filter(text)
    assert "location in A,B" in refused.value.remedy


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ({"metrics": ["net_revenue"], "by": "month,week"}, "one_grain"),
        ({"metrics": ["net revenue"]}, "name"),
        ({"metrics": ["orders"], "by": "system; drop table x"}, "name"),
        ({"metrics": ["orders"], "order": "--orders"}, "name"),
    ],
)
def test_words_that_are_no_query_are_refused(words: dict[str, object], rule: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_query(**words)  # type: ignore[arg-type]  # the cases name different arguments
    assert refused.value.rule == rule
