"""How values and tables look as text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from cli.rendering import cell, counted, plain, read_date, show_table
from settings.errors import UsageError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (Decimal("1234.5"), "1,234.50"),
        (Decimal("-0.005"), "-0.00"),
        (32.64, "32.6"),
        (date(2026, 5, 1), "2026-05-01"),
        (datetime(2026, 5, 1, 10, 0, 0, 123456, tzinfo=UTC), "2026-05-01 10:00:00"),
        ("zwölf Brötchen 🥐", "zwölf Brötchen 🥐"),
        ("a\tb\r\nc\x00d\x9b\u202e", r"a\tb\r\nc\x00d\x9b\u202e"),
    ],
)
def test_a_value_is_one_line_of_plain_text(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_numbers_that_name_a_row_are_written_as_the_next_command_wants_them() -> None:
    assert cell(14667, "row_number") == "14667"
    assert cell(14667, "rows_read") == "14,667"


def test_sentences_keep_their_line_ends_and_no_other_control_code() -> None:
    assert plain("one\n  two\x1b[31m\x07") == "one\n  two\\x1b[31m\\x07"


def test_figures_stand_right_and_words_left_and_no_line_ends_in_blanks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("flour [white]", 1_000, None), ("salt", 5, "a")]
    show_table("Stock", ("item_name", "on_hand", "note"), rows, empty="none", headings={"on_hand": "kg"})
    assert capsys.readouterr().out == (
        "Stock\n"
        "  item name         kg  note\n"
        "  flour [white]  1,000\n"
        "  salt               5  a\n"
    )  # fmt: skip


def test_no_rows_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Stock", ("item",), [], empty="the shelf is empty")
    assert capsys.readouterr().out == "the shelf is empty\n"


def test_one_is_singular() -> None:
    assert (counted(1, "file"), counted(0, "file"), counted(2000, "row")) == (
        "1 file",
        "0 files",
        "2,000 rows",
    )


def test_dates_are_iso_or_refused() -> None:
    assert read_date("--as-of", "") is None
    assert read_date("--as-of", "2024-02-29") == date(2024, 2, 29)
    with pytest.raises(UsageError, match="--as-of '2023-02-29' is no date"):
        read_date("--as-of", "2023-02-29")
