"""The measurement of validation compares like with like: the statement by hand judges every row as the engine does."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from bench import validation_steps
from bench.measure import Measurement
from bench.validation import LABELS, measure_validation, validation_section
from bench.validation_steps import BY_HAND, DifferentRowsError
from settings.home import Home

LINES = 20_000


@pytest.mark.minutes
def test_a_measured_file_is_judged_alike_and_told(tmp_path: Path) -> None:
    told: list[Measurement] = []

    def tell(measurement: Measurement) -> Measurement:
        told.append(measurement)
        return measurement

    result = measure_validation(tmp_path, lines=LINES, repeats=1, tell=tell)

    assert [found.step for found in told] == [
        "write_lines", "preflight", "validate", "by_hand", "by_hand", "compare",
    ]  # fmt: skip
    assert all(found.rows == LINES for found in told if found.step != "by_hand")
    assert result["steps"]["validate"]["facts"]["quarantined"] > 0, "some rows must be bad"
    page = "\n".join(validation_section({"machine": {"cores": 2}, "validation": result}))
    assert all(label in page for label in LABELS.values())
    assert "validation ÷ one statement by hand" in page


@pytest.mark.minutes
def test_a_statement_that_judges_a_row_otherwise_stops_the_measurement(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    validation_steps.step_write_lines(home, {"lines": LINES})
    validation_steps.step_validate(home, {})
    validation_steps.step_by_hand(home, {"statement": BY_HAND})
    assert validation_steps.step_compare(home, {})["rows"] == LINES

    output = home.root / f"{BY_HAND}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table rows as select * from '{output}'")
        connection.execute("update rows set quantity = quantity + 1 where rowid = 7")
        connection.execute(f"copy rows to '{output}' (format parquet)")
    with pytest.raises(DifferentRowsError, match="row 8 "):
        validation_steps.step_compare(home, {})
