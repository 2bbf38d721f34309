"""How figures read: by what a reader should see, since the tests in the browser use the same function."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from serving.dashboards.figures import difference, written


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "money", "–"), (Decimal("9999.99"), "money", "9,999.99"), (Decimal("10000"), "money", "10,000"),
        (Decimal("-12345.6"), "money", "-12,346"), (0.1234, "share", "12.3%"), (0.0, "share", "0.0%"),
        (1234567, "count", "1,234,567"), (Decimal(12), "count", "12"), (Decimal("1234.4"), "quantity", "1,234"),
        (62.2345, "ratio", "62.23"), (1.5, "hours", "1.5 h"), (Decimal("1.25"), "days", "1.2 d"), (2, "number", "2.00"),
        (date(2026, 3, 1), "date", "2026-03-01"), ("Web store", "text", "Web store"), (7, "label", "7"),
    ],
)  # fmt: skip
def test_a_figure_reads_with_its_unit_and_as_many_digits_as_matter(value: Any, form: str, text: str) -> None:
    assert written(value, form) == text


@pytest.mark.parametrize(
    ("now", "before", "form", "text"),
    [
        (110, 100, "count", "+10.0 %"), (90, 100, "count", "-10.0 %"), (-50, -100, "money", "+50.0 %"),
        (0.042, 0.05, "share", "-0.8 points"), (999, 100, "count", "+899.0 %"), (1000, 100, "count", "× 10"),
        (5, 0, "count", None), (5, None, "count", None), (None, 5, "count", None), (0.1, 0.0, "share", "+10.0 points"),
    ],
)  # fmt: skip
def test_a_difference_is_told_where_it_can_be(now: Any, before: Any, form: str, text: str | None) -> None:
    assert difference(now, before, form) == text
