"""Many small files in one run of the program: most of a small file's time is the planning of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
from pyarrow import compute, parquet

from ingestion.bronze import FILE_COLUMN, METADATA_KEY, CheckedMetadata, WrittenTogether, repeats_path
from ingestion.contract import Contract
from ingestion.engines.base import CheckedTogether, EntityOutcome, ValidationRequest
from ingestion.validation import Program, sql_name, sql_text
from settings.errors import DataRejectedError

ACCEPTED = "_rule is null and not _excluded"


def as_one(requests: Sequence[ValidationRequest]) -> ValidationRequest:
    """A request for the first file with what is true of any of them: the facts only say what may be left out.

    The files have one header, as many delimiters on a line at most, and are measured by one arrival.
    """
    facts = [request.facts for request in requests]
    longest = [found.longest_line_bytes for found in facts]
    merged = replace(
        facts[0],
        has_quotes=any(found.has_quotes for found in facts),
        has_edge_spaces=any(found.has_edge_spaces for found in facts),
        has_nul=any(found.has_nul for found in facts),
        has_control_characters=any(found.has_control_characters for found in facts),
        has_tabs=any(found.has_tabs for found in facts),
        has_at_sign=any(found.has_at_sign for found in facts),
        is_ascii=all(found.is_ascii for found in facts),
        longest_line_bytes=None if None in longest else max(size for size in longest if size is not None),
    )
    return replace(requests[0], facts=merged, further_paths=tuple(found.path for found in facts[1:]))


def split_rows(
    connection: duckdb.DuckDBPyConnection,
    requests: Sequence[ValidationRequest],
    program: Program,
    rows_path: Path,
    written: WrittenTogether,
    *,
    repeats_sql: str,
) -> CheckedTogether:
    """Count the rows of each file in the checked rows of all, and write each file its own parquet.

    Args:
        repeats_sql: a select of `row_number` (in the rows of all) and `kind`; empty where no row repeats another.

    Raises:
        DataRejectedError: when a file has not the rows that its lines are.
    """
    contract = requests[0].contract
    repeats_file = None
    if repeats_sql:
        repeats_file = rows_path.with_name(f"{rows_path.stem}.repeats.parquet")
        connection.execute(f"copy ({repeats_sql}) to {sql_text(str(repeats_file))} (format parquet)")
    counted = _counted(connection, contract, rows_path, repeats_file)
    notes = _notes(connection, rows_path)
    repeats = parquet.read_table(repeats_file) if repeats_file else _no_repeats()
    numbers = repeats.column("row_number").to_pylist()
    rows = parquet.read_table(rows_path).drop_columns([FILE_COLUMN])
    outcomes, before = [], []
    nothing = _as_parquet(_no_repeats())
    for request in requests:
        path = str(request.facts.path)
        figures = counted.get(path, {"rows_read": 0, "first": 0, "last": -1})
        count, first = int(figures["rows_read"]), int(figures["first"])
        if count != request.facts.data_lines or figures["last"] - first + 1 != count:
            raise DataRejectedError(
                f"{request.feed.where}: {request.facts.object_name!r} has not as many rows as lines",
                rule="row_count_mismatch",
            )
        own = [index for index, number in enumerate(numbers) if first < number <= first + count]
        listed = repeats.take(pyarrow.array(own, "int64"))
        target = written.path(repeats_path(request.checked_path))
        if own:
            shifted = compute.subtract(listed.column("row_number"), first)
            parquet.write_table(listed.set_column(0, "row_number", shifted), target, store_schema=False)
        else:
            target.write_bytes(nothing)
        _write_rows(rows.slice(first, count), written.path(request.checked_path), _metadata(request))
        kinds = listed.column("kind").to_pylist()
        outcomes.append(_outcome(request, program, figures, kinds, notes.get(path, {})))
        before.append(first)
    return CheckedTogether(tuple(outcomes), rows_path, repeats_file, tuple(before))


def _metadata(request: ValidationRequest) -> CheckedMetadata:
    return CheckedMetadata(
        entity=request.contract.entity,
        feed=request.feed.name,
        batch_id=request.lineage.batch_id,
        source_file=request.facts.object_name,
        file_sha256=request.facts.content_sha256,
        contract_version=request.contract.version,
    )


def _write_rows(rows: pyarrow.Table, target: Path, metadata: CheckedMetadata) -> None:
    # Without the copy of the Arrow schema, which also leaves out what the schema says: so the footer is told apart.
    with parquet.ParquetWriter(
        target, rows.schema, compression="snappy", store_schema=False, store_decimal_as_integer=True
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({METADATA_KEY: metadata.to_json()})


def _no_repeats() -> pyarrow.Table:
    return pyarrow.table({"row_number": pyarrow.array([], "int64"), "kind": pyarrow.array([], "string")})


def _as_parquet(table: pyarrow.Table) -> bytes:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, store_schema=False)
    return bytes(sink.getvalue())


def _counted(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    rows_path: Path,
    repeats_file: Path | None,
) -> dict[str, dict[str, Any]]:
    """Figures by local path."""
    accepted = ACCEPTED
    if repeats_file is not None:
        repeats = f"read_parquet({sql_text(str(repeats_file))})"
        accepted += (
            f" and (file_row_number + 1) not in (select row_number from {repeats} where kind = 'duplicate')"
        )
    event = sql_name(contract.column(contract.event_at).output_name) if contract.event_at else "null"
    expressions = {
        "rows_read": "count(*)",
        "first": "min(file_row_number)",
        "last": "max(file_row_number)",
        "quarantined": "count(*) filter (_rule is not null)",
        "excluded": "count(*) filter (_excluded)",
        "accepted": "count(*) filter (is_accepted)",
        "min_event_at": f"cast(min({event}) filter (is_accepted) as timestamp)",
        "max_event_at": f"cast(max({event}) filter (is_accepted) as timestamp)",
    }
    for column in contract.columns:
        name = sql_name(column.output_name)
        expressions[f"null {column.output_name}"] = f"count(*) filter (is_accepted and {name} is null)"
    for output_name in contract.decimal_columns:
        expressions[f"sum {output_name}"] = f"coalesce(sum({sql_name(output_name)}) filter (is_accepted), 0)"
    listed = ", ".join(f"{expression} as {sql_name(name)}" for name, expression in expressions.items())
    found = connection.execute(
        f"select {FILE_COLUMN}, {listed} from (select *, coalesce({accepted}, false) as is_accepted"
        f" from read_parquet({sql_text(str(rows_path))}, file_row_number = true)) group by {FILE_COLUMN}"
    )
    return {str(row[0]): dict(zip(expressions, row[1:], strict=True)) for row in found.fetchall()}


def _notes(connection: duckdb.DuckDBPyConnection, rows_path: Path) -> dict[str, dict[str, int]]:
    found = connection.execute(
        f"select {FILE_COLUMN}, note, count(*) from (select {FILE_COLUMN}, unnest(string_split(_notes, ' ')) as note"
        f" from read_parquet({sql_text(str(rows_path))}) where _notes is not null) group by all order by note"
    ).fetchall()
    notes: dict[str, dict[str, int]] = {}
    for path, note, rows_with in found:
        notes.setdefault(str(path), {})[str(note)] = int(rows_with)
    return notes


def _outcome(
    request: ValidationRequest,
    program: Program,
    figures: Mapping[str, Any],
    kinds: Sequence[str],
    notes: Mapping[str, int],
) -> EntityOutcome:
    contract = request.contract
    return EntityOutcome(
        rows_read=int(figures["rows_read"]),
        rows_accepted=int(figures.get("accepted", 0)),
        rows_quarantined=int(figures.get("quarantined", 0)),
        rows_duplicate=kinds.count("duplicate"),
        rows_excluded=int(figures.get("excluded", 0)),
        rows_conflicting=kinds.count("conflict"),
        control_totals={name: Decimal(figures.get(f"sum {name}", 0)) for name in contract.decimal_columns},
        null_counts={
            column.output_name: int(figures.get(f"null {column.output_name}", 0))
            for column in contract.columns
        },
        min_event_at=figures.get("min_event_at"),
        max_event_at=figures.get("max_event_at"),
        drift=program.drift,
        columns=program.columns,
        checked_path=request.checked_path,
        notes=dict(notes),
    )
