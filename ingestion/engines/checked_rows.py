"""What every engine's checked rows go through: the footer, values across rows, repeats, counts.

An engine writes the rows of the validation program to one parquet file in the order of the source file. All that
looks across rows comes after that and reads this file, so it is done here, once for all engines, by the embedded
DuckDB: sums over a key, numbers within a group, repeated rows, the figures of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import duckdb

from ingestion.bronze import METADATA_KEY, CheckedMetadata, repeats_path, written_whole
from ingestion.contract import Contract
from ingestion.engines.base import EntityOutcome, ValidationRequest
from ingestion.engines.repeated_keys import repeated_hashes
from ingestion.tokens import TokenKey, warn_about_development_key
from ingestion.validation import Program, sql_name, sql_text
from settings.errors import DataRejectedError

RowsWriter = Callable[[Path, CheckedMetadata], None]
# Of values of a column in a row group that are written by number: more of them are ids, and to learn that after three
# times as many, as by default, costs a twentieth of a validation.
DICTIONARY_VALUES = 8_192
NO_TOTAL = Decimal("0.0000")  # as the sum of a column's values is written


def write_checked(
    connection: duckdb.DuckDBPyConnection,
    request: ValidationRequest,
    program: Program,
    write_rows: RowsWriter,
) -> EntityOutcome:
    """Write the checked parquet and the list of repeats beside it, and count.

    Args:
        connection: a DuckDB that works over the written file.
        write_rows: writes the rows of the program to the path, in file order, with the footer.

    Raises:
        DataRejectedError: when rows are missing.
    """
    facts = request.facts
    metadata = CheckedMetadata(
        entity=request.contract.entity,
        feed=request.feed.name,
        batch_id=request.lineage.batch_id,
        source_file=facts.object_name,
        file_sha256=facts.content_sha256,
        contract_version=request.contract.version,
        row_number_columns=program.row_number_columns,
    )
    checked = request.checked_path
    with written_whole(checked) as rows_file:
        write_rows(rows_file, metadata)
        if program.sums or program.numbers:
            _fill_across_rows(connection, request.contract, program, rows_file, metadata)
        with written_whole(repeats_path(checked)) as repeats_file:
            write_repeats(connection, request, program, rows_file, repeats_file)
            outcome = count_rows(connection, request, program, rows_file, repeats_file)
    _expect_all_lines(request, outcome)
    return outcome


def warn_about_key(given: TokenKey | None, contract: Contract, outcome: EntityOutcome) -> None:
    """Tokens with the development key are worth a warning only where one was made."""
    if given is not None:
        return
    hashed = [c.output_name for c in contract.columns if c.pii == "hash"]
    made = any(outcome.null_counts[name] < outcome.rows_accepted for name in hashed)
    if made or any(note.endswith(("email_masked", "card_number_masked")) for note in outcome.notes):
        warn_about_development_key()


def copy_rows(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    metadata: CheckedMetadata,
    parameters: Mapping[str, object],
) -> None:
    """Write the rows of a query, in its order, to a parquet file with our footer."""
    footer = f"{{{METADATA_KEY}: {sql_text(metadata.to_json())}}}"
    connection.execute(
        f"copy ({query}) to {sql_text(str(target))} (format parquet, compression snappy, kv_metadata {footer},"
        f" dictionary_size_limit {DICTIONARY_VALUES})",
        dict(parameters),
    )


def _fill_across_rows(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    program: Program,
    rows_file: Path,
    metadata: CheckedMetadata,
) -> None:
    """Fill in what several rows decide: sums over the key, numbers within a group. The order of the rows stays."""
    accepted = "_rule is null and not _excluded"
    rows = f"read_parquet({sql_text(str(rows_file))}, file_row_number = true)"
    filled, joined = [], ""
    for name, within in program.numbers.items():
        group = ", ".join(f"rows.{sql_name(column)}" for column in within)
        number = f"row_number() over (partition by {group} order by rows.file_row_number)"
        filled.append(f"concat_ws('-', {group}, {number}) as {sql_name(name)}")
    if program.sums:
        key = [sql_name(contract.column(name).output_name) for name in contract.key]
        totals = ", ".join(
            f"cast(sum({sql_name(c)}) as decimal(18,4)) as {sql_name(c)}" for c in program.sums
        )
        filled += [
            f"case when rows._rule is null and not rows._excluded then totals.{sql_name(c)} end as {sql_name(c)}"
            for c in program.sums
        ]
        joined = (
            f" left join (select {', '.join(key)}, {totals} from {rows} where {accepted} group by {', '.join(key)}) "
            f"as totals on {' and '.join(f'rows.{name} = totals.{name}' for name in key)}"
        )
    finished = rows_file.with_name(rows_file.name + ".filled")
    try:
        copy_rows(
            connection,
            f"select rows.* exclude (file_row_number) replace ({', '.join(filled)}) from {rows} as rows{joined} "
            "order by rows.file_row_number",
            finished,
            metadata,
            {},
        )
        finished.replace(rows_file)
    finally:
        finished.unlink(missing_ok=True)


def write_repeats(
    connection: duckdb.DuckDBPyConnection,
    request: ValidationRequest,
    program: Program,
    rows_file: Path,
    repeats_file: Path,
) -> None:
    """Write the list of repeated rows, empty where there are none."""
    query = repeats_query(connection, request, program, rows_file)
    query = query or "select cast(null as bigint) as row_number, cast(null as varchar) as kind where false"
    connection.execute(f"copy ({query}) to {sql_text(str(repeats_file))} (format parquet)")


def repeats_query(
    connection: duckdb.DuckDBPyConnection,
    request: ValidationRequest,
    program: Program,
    rows_file: Path,
    *,
    within: str = "",
) -> str:
    """Marks the rows that say again (`duplicate`) or contradict (`conflict`) what an earlier row said.

    Compared are rows of one key and one `latest_by`, each with the row before it in the file. Only keys that
    occur more than once are looked at: their hashes are found first, from the key columns alone.

    Args:
        within: a column that repeated rows must agree in besides.

    Returns:
        a select of `row_number` and `kind`; empty where no key occurs twice.
    """
    contract = request.contract
    key = [sql_name(contract.column(name).output_name) for name in contract.key]
    rows = f"read_parquet({sql_text(str(rows_file))}, file_row_number = true)"
    accepted = "_rule is null and not _excluded"
    made = {sql_name(name) for name in (*program.row_number_columns, *program.numbers)}
    if not key or set(key) & made:
        return ""
    if within:
        key.append(sql_name(within))
    hashed = f"hash({', '.join(key)})"
    (count,) = connection.execute(f"select count(*) from {rows}").fetchone() or (0,)
    found = repeated_hashes(connection, hashed, f"{rows} where {accepted}", rows=int(count))
    if not found.num_rows:
        return ""
    connection.register("found_hashes", found)
    connection.execute("create or replace temp table repeated_keys as select key_hash from found_hashes")
    connection.unregister("found_hashes")
    content = [sql_name(column.output_name) for column in contract.columns]
    if len(request.feed.entities) == 1:
        # With two entities in one file the same header stands on lines that differ elsewhere.
        content.append("_rescued")
    # Length before text: no two different rows can give one string.
    parts = ", ".join(
        f"coalesce(concat(strlen(cast({name} as varchar)), ':', cast({name} as varchar)), '-')"
        for name in content
    )
    latest = [sql_name(contract.column(contract.latest_by).output_name)] if contract.latest_by else []
    partition = ", ".join(key + latest)
    return (
        "select cast(file_row_number + 1 as bigint) as row_number, "
        "case when content = content_before then 'duplicate' else 'conflict' end as kind from ("
        "select file_row_number, content, lag(content) over "
        f"(partition by {partition} order by file_row_number) as content_before from ("
        f"select file_row_number, {partition}, md5(concat({parts})) as content from {rows} "
        f"where {accepted} and {hashed} in (select key_hash from repeated_keys))) "
        "where content_before is not null order by row_number"
    )


def count_rows(
    connection: duckdb.DuckDBPyConnection,
    request: ValidationRequest,
    program: Program,
    rows_file: Path,
    repeats_file: Path,
) -> EntityOutcome:
    """The figures of the file, from the checked parquet as it stands."""
    contract = request.contract
    repeats = f"read_parquet({sql_text(str(repeats_file))})"
    counted = connection.execute(
        f"select count(*) filter (kind = 'duplicate'), count(*) filter (kind = 'conflict') from {repeats}"
    ).fetchone()
    duplicates, conflicts = (int(counted[0]), int(counted[1])) if counted else (0, 0)
    rows = f"read_parquet({sql_text(str(rows_file))}, file_row_number = true)"
    names = [column.output_name for column in contract.columns]
    made = set(program.row_number_columns)
    expressions = ["count(*)"]
    expressions += ["0" if n in made else f"count(*) - count({sql_name(n)})" for n in names]
    expressions += [f"coalesce(sum({sql_name(n)}), 0)" for n in contract.decimal_columns]
    figures = ", ".join(expressions)
    event = sql_name(contract.column(contract.event_at).output_name) if contract.event_at else "null"
    by_kind = {
        (is_bad, is_excluded): found
        for is_bad, is_excluded, *found in connection.execute(
            f"select _rule is not null, _excluded, {figures}, "
            f"cast(min({event}) as timestamp), cast(max({event}) as timestamp) from {rows} group by all"
        ).fetchall()
    }
    nothing = [0] * (1 + len(names)) + [NO_TOTAL] * len(contract.decimal_columns) + [None, None]
    *accepted, min_event_at, max_event_at = by_kind.get((False, False), nothing)
    if duplicates:
        # Each says what an accepted row has said before it, so the first and the last moment stay.
        less = connection.execute(
            f"select {figures} from {rows} where file_row_number + 1 in "
            f"(select row_number from {repeats} where kind = 'duplicate')"
        ).fetchone()
        accepted = [figure - duplicate for figure, duplicate in zip(accepted, less or (), strict=True)]
    notes = connection.execute(
        f"select note, count(*) from (select unnest(string_split(_notes, ' ')) as note from {rows} "
        "where _notes is not null) group by note order by note"
    ).fetchall()
    return EntityOutcome(
        rows_read=sum(int(found[0]) for found in by_kind.values()),
        rows_accepted=int(accepted[0]),
        rows_quarantined=sum(int(found[0]) for (is_bad, _), found in by_kind.items() if is_bad),
        rows_duplicate=duplicates,
        rows_excluded=sum(int(found[0]) for (_, is_excluded), found in by_kind.items() if is_excluded),
        rows_conflicting=conflicts,
        control_totals={
            n: Decimal(v) for n, v in zip(contract.decimal_columns, accepted[1 + len(names) :], strict=True)
        },
        null_counts={n: int(v) for n, v in zip(names, accepted[1:], strict=False)},
        min_event_at=min_event_at,
        max_event_at=max_event_at,
        drift=program.drift,
        columns=program.columns,
        checked_path=request.checked_path,
        notes={str(note): int(rows_with) for note, rows_with in notes},
    )


def _expect_all_lines(request: ValidationRequest, outcome: EntityOutcome) -> None:
    """Where no line end can be inside a cell, the engine's rows are the file's lines."""
    expected = request.facts.data_lines
    comparable = request.feed.format in {"csv", "whitespace", "jsonl"}
    if expected is None or not comparable or request.facts.has_quoted_newline:
        return
    if outcome.rows_read != expected:
        repeats_path(request.checked_path).unlink(missing_ok=True)
        request.checked_path.unlink(missing_ok=True)
        raise DataRejectedError(
            f"{request.feed.where}: {request.facts.object_name!r} has {expected} data lines, but "
            f"{outcome.rows_read} rows were read",
            remedy='look for a quote that is never closed, or set `quote: ""` where quotes mean nothing',
            rule="row_count_mismatch",
        )
