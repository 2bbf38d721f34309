"""Results as files and texts for other programs: CSV, JSON, parquet. Figures stay exact."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from serving.semantic.client import QueryResult

# A spreadsheet runs a cell that begins so; a text that does gets an apostrophe before it.
_FORMULA_START = re.compile(r"[=+\-@\t\r]")


def as_csv(result: QueryResult) -> str:
    """A result as `csv_text` writes it."""
    return csv_text(result.columns, result.rows)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated, with a line of names; no cell is a formula to a spreadsheet. Null is empty."""
    text = io.StringIO()
    writer = csv.writer(
        text
    )  # lines end as RFC 4180 has it: a cell with either of the two characters is quoted
    writer.writerow(columns)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def as_json(result: QueryResult) -> str:
    """An object with the publication and one object a row. Decimals are texts, so that no reader rounds them."""
    stamp = result.publication
    return json.dumps(
        {
            "published_at": stamp.published_at.isoformat(),
            "run_id": stamp.run_id,
            "columns": list(result.columns),
            "rows": [
                {column: json_value(value) for column, value in record.items()} for record in result.records()
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def as_parquet(result: QueryResult) -> bytes:
    """A parquet file; decimals keep their digits, dates and booleans their types."""
    columns = [_array([row[position] for row in result.rows]) for position in range(len(result.columns))]
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(columns, names=list(result.columns)), sink)
    return sink.getvalue()


def json_value(value: Any) -> Any:
    """A value of a result as JSON has it."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date | datetime) else value


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str) and _FORMULA_START.match(value):
        return f"'{value}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | datetime) else value


def _array(values: Sequence[Any]) -> pa.Array:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, Decimal) for value in known):
        places = max(max(0, -int(value.as_tuple().exponent)) for value in known)
        return pa.array(values, pa.decimal128(38, places))
    return pa.array(values)
