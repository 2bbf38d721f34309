"""The embedded engine: DuckDB reads the file as text and runs the validation program in one scan."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import duckdb

from ingestion.bronze import (
    FILE_COLUMN,
    METADATA_KEY,
    CheckedMetadata,
    WrittenTogether,
    read_metadata,
    repeats_path,
    written_whole,
)
from ingestion.contract import Contract, ContractColumn
from ingestion.engines.base import CheckedTogether, EntityOutcome, ValidationRequest
from ingestion.engines.duckdb_together import as_one, split_rows
from ingestion.feed import Feed
from ingestion.recheck import (
    RowSelection,
    cells_of,
    gained_columns,
    only_gained,
    readable_again,
    rescued_of,
    sources_of,
)
from ingestion.tokens import TokenKey, warn_about_development_key
from ingestion.validation import (
    BOOKKEEPING_COLUMNS,
    Program,
    SourceColumns,
    build_program,
    json_pointer,
    sql_name,
    sql_text,
)
from settings.errors import DataRejectedError

logger = logging.getLogger(__name__)


SURPLUS_CELLS_KEPT = 16
# A value that cannot stand in the file: the pre-flight refuses or strips other control characters' rows.
NO_NULL_TEXT = "\x1a"
NO_DELIMITER = "\x1f"
SMALLEST_LINE_LIMIT = 2_097_152
BLOCK_BYTES = 33_554_432  # what a thread reads at a time

# What the engine raises about the content of a file. Anything else (disk full, a mistake of ours) is passed on.
DATA_ERRORS = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException)


@dataclass(frozen=True)
class _Former:
    """A checked parquet that is to be written anew: its rows as a relation, the file's columns, its own."""

    rows: str
    columns: tuple[str, ...]
    present: tuple[str, ...]


class DuckDBEngine:
    """Runs the validation program in a private in-memory DuckDB.

    Args:
        scratch: folder for spilling, made when needed, private to the user; None to spill nothing.
        threads: None for one per core.
        memory_limit: of DuckDB, beyond which it spills to `scratch`.
        token_key: of e-mail tokens; None for the environment's.
    """

    name = "duckdb"

    def __init__(
        self,
        scratch: Path | None = None,
        *,
        threads: int | None = None,
        memory_limit: str = "2GiB",
        token_key: TokenKey | None = None,
    ) -> None:
        self._token_key = token_key
        self._scratch = scratch
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads or os.cpu_count() or 1,
                "memory_limit": memory_limit,
                "temp_directory": str(scratch) if scratch is not None else "",
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._connection.execute("set timezone = 'UTC'")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def validate(self, request: ValidationRequest) -> EntityOutcome:
        """Write the checked parquet and the list of repeats beside it, and count.

        Raises:
            DataRejectedError: when the file as a whole cannot be used; the text never quotes the data.
        """
        try:
            return self._validate(request)
        except duckdb.NotImplementedException as error:
            # Where a block of the file begins inside a row, the parallel reader can lose its way and give up
            # (duckdb issue 24237); read in one go, the same file is sound.
            if not request.in_parallel or "Parallel CSV Reader" not in str(error):
                raise
        return self._validate(replace(request, in_parallel=False))

    def _validate(self, request: ValidationRequest) -> EntityOutcome:
        try:
            source_sql, columns = self._source(self._connection, request)
            program = build_program(request, columns)
            return self._run(self._connection, request, source_sql, program)
        except DATA_ERRORS as error:
            # The engine's message may quote a row of the file, so only its kind is passed on.
            logger.debug("engine failed on %s: %s", request.facts.object_name, type(error).__name__)
            raise DataRejectedError(
                f"{request.feed.where}: {request.facts.object_name!r} cannot be read as {request.feed.format} "
                f"({type(error).__name__})",
                remedy="check delimiter, quote and format of the feed against the file's first lines",
                rule="unreadable_file",
            ) from None

    def validate_together(
        self, requests: Sequence[ValidationRequest], rows_path: Path, written: WrittenTogether
    ) -> CheckedTogether:
        """See `EngineForManyFiles.validate_together`."""
        connection, request = self._connection, as_one(requests)
        try:
            source_sql, columns = self._csv_source(connection, request)
            program = build_program(request, replace(columns, passed=(FILE_COLUMN,)))
            parameters = self._token_parameters() if program.needs_token_key else {}
            connection.execute(
                f"copy (with source as ({source_sql}) {program.sql}) to {sql_text(str(rows_path))} (format parquet)",
                parameters,
            )
            repeats = _repeats_query(connection, request, program, rows_path, within=FILE_COLUMN)
            done = split_rows(connection, requests, program, rows_path, written, repeats_sql=repeats)
        except (*DATA_ERRORS, duckdb.NotImplementedException) as error:
            raise DataRejectedError(
                f"{request.feed.where}: {len(requests)} files cannot be read together ({type(error).__name__})",
                rule="unreadable_file",
            ) from None
        for outcome in done.outcomes:
            self._warn_about_key(request.contract, outcome)
        return done

    def recheck(
        self, request: ValidationRequest, former: Path, columns: tuple[str, ...], only: RowSelection
    ) -> EntityOutcome | None:
        """Judge rows in quarantine anew, and fill columns that the contract has gained, from a checked parquet.

        Writes a new checked parquet with its list of repeats, and counts it. The rows keep their places, and those
        that are not judged anew what they were.

        Args:
            request: as for `validate`, with the contract and the feed of today; of its facts nothing is read but
                the names.
            former: the checked parquet as it is.
            columns: the file's columns as bronze names them.
            only: which of the rows in quarantine are meant.

        Returns:
            None, with nothing written, where no row would be looked at.

        Raises:
            DataRejectedError: when these rows cannot be judged without the file itself.
        """
        connection = self._connection
        program = build_program(request, SourceColumns(columns))
        metadata = read_metadata(former)
        if program.sums or program.numbers or program.row_number_columns != metadata.row_number_columns:
            raise DataRejectedError(
                f"{request.feed.where}: rows of {request.contract.entity} depend on each other, or on their place in"
                " the file, so none can be judged alone",
                remedy=f"`tillhouse withdraw {request.lineage.batch_id}` and run: the file is then read anew",
                rule="recheck",
            )
        rows = f"read_parquet({sql_text(str(former))}, file_row_number = true)"
        present = [str(row[0]) for row in connection.execute(f"describe select * from {rows}").fetchall()]
        before = _Former(rows, columns, tuple(present))
        if self._scratch is not None:
            self._scratch.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            work = Path(folder)
            judged = self._judge_again(request, program, before, only, work / "judged.parquet")
            gained = gained_columns(request.contract, present)
            filled = self._fill_gained(request, before, gained, work / "filled.parquet")
            if judged is None and filled is None:
                return None
            unread = self._unread_names(rows, sources_of(request.feed_entity, gained, columns))
            query = _merged(request.contract, before, gained, unread, judged=judged, filled=filled)
            checked = request.checked_path
            metadata = replace(metadata, contract_version=request.contract.version)
            with written_whole(checked) as rows_file:
                _copy(connection, query, rows_file, metadata, {})
                with written_whole(repeats_path(checked)) as repeats_file:
                    _write_repeats(connection, request, program, rows_file, repeats_file)
                    return _count(connection, request, program, rows_file, repeats_file)

    def _judge_again(
        self,
        request: ValidationRequest,
        program: Program,
        former: _Former,
        only: RowSelection,
        target: Path,
    ) -> Path | None:
        """The program's verdict on the chosen rows, each beside its place in the file; None where there are none."""
        narrowed, parameters = only.condition()
        readable = readable_again(request, former.columns)
        chosen = f"select file_row_number as place, _raw_row from {former.rows} where {readable}"
        query = f"select {cells_of('_raw_row', former.columns)} from chosen"
        return self._run_over(f"{chosen} and {narrowed}", parameters, query, program, target)

    def _fill_gained(
        self,
        request: ValidationRequest,
        former: _Former,
        gained: Sequence[ContractColumn],
        target: Path,
    ) -> Path | None:
        """Values of the contract's new columns for accepted rows; None where nothing says what they are."""
        if not gained:
            return None
        entity = request.feed_entity.model_copy(update={"exclude": {}, "only": {}})
        sources = sources_of(entity, gained, former.columns)
        has_constant = any(
            column.source == "feed_setting"
            or column.default is not None
            or (column.default_setting is not None and request.feed.currency is not None)
            or entity.mapping(column.name).constant is not None
            or entity.mapping(column.name).default is not None
            for column in gained
        )
        contract = only_gained(request.contract, gained)
        program = build_program(
            replace(request, contract=contract, feed_entity=entity), SourceColumns(former.columns)
        )
        held = " or ".join(f"(_rescued ->> {sql_text(json_pointer(name))}) is not null" for name in sources)
        condition = "true" if has_constant else held or "false"
        query = f"select {cells_of('_rescued', former.columns)} from chosen"
        chosen = f"select file_row_number as place, _rescued from {former.rows} where _rule is null and ({condition})"
        return self._run_over(chosen, {}, query, program, target)

    def _unread_names(self, rows: str, read: Sequence[str]) -> list[str]:
        """Columns of the file that stand in `_rescued`, without those that are read by now."""
        found = self._connection.execute(
            f"select json_keys(_rescued) from {rows} where _rescued is not null limit 1"
        ).fetchone()
        return [str(name) for name in found[0] if name not in read] if found else []

    def _run_over(
        self, chosen: str, parameters: Mapping[str, object], cells: str, program: Program, target: Path
    ) -> Path | None:
        connection = self._connection
        connection.execute(
            f"create or replace temp table chosen as {chosen} order by place", dict(parameters)
        )
        counted = connection.execute("select count(*) from chosen").fetchone()
        if not counted or not counted[0]:
            return None
        values = target.with_suffix(".values")
        tokens = self._token_parameters() if program.needs_token_key else {}
        connection.execute(
            f"copy (with source as ({cells}) {program.sql}) to {sql_text(str(values))} (format parquet)",
            tokens,
        )
        # Neither side has a key: the program keeps the order of its rows.
        connection.execute(
            "copy (select places.place, given.* exclude (file_row_number) from"
            " (select place, row_number() over (order by place) - 1 as position from chosen) as places"
            f" join read_parquet({sql_text(str(values))}, file_row_number = true) as given"
            f" on places.position = given.file_row_number) to {sql_text(str(target))} (format parquet)"
        )
        connection.execute("drop table chosen")
        return target

    # ------------------------------------------------------------------ reading

    def _source(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> tuple[str, SourceColumns]:
        """A select that gives `c0, c1, ...` (and `x0, ...`) in file order, and what they are."""
        kind = request.feed.format
        if kind == "csv":
            return self._csv_source(connection, request)
        if kind == "whitespace":
            return self._whitespace_source(request)
        if kind == "jsonl":
            return self._jsonl_source(connection, request)
        return self._parquet_source(connection, request)

    @staticmethod
    def _names(request: ValidationRequest) -> tuple[str, ...]:
        if not request.feed.header:
            return request.feed.column_names
        if not request.facts.header:
            raise DataRejectedError(
                f"{request.feed.where}: {request.facts.object_name!r} has no header line",
                remedy="say `header: false` and list `column_names` if the files have none",
                rule="missing_header",
            )
        return request.facts.header

    @staticmethod
    def _read_csv(
        request: ValidationRequest, columns: list[str], *, delimiter: str, quote: str, skip_header: bool
    ) -> str:
        facts = request.facts
        longest = facts.longest_line_bytes
        limit = SMALLEST_LINE_LIMIT if longest is None else max(SMALLEST_LINE_LIMIT, 2 * longest)
        block = BLOCK_BYTES if not request.further_paths else 0  # each file takes a buffer
        parallel = request.in_parallel and not facts.has_quoted_newline and not facts.has_carriage_return
        options = {
            "auto_detect": "false",
            "header": "true" if skip_header else "false",
            "columns": "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in columns) + "}",
            "delim": sql_text(delimiter),
            "quote": sql_text(quote),
            "escape": sql_text(quote),
            "nullstr": sql_text(NO_NULL_TEXT),
            "null_padding": "true",
            "strict_mode": "false",
            "parallel": "true" if parallel else "false",
            "max_line_size": str(limit),
            "buffer_size": str(max(block, 2 * limit)),
            "compression": "'none'",
        }
        if request.further_paths:
            options["filename"] = sql_text(FILE_COLUMN)
        listed = ", ".join(f"{key} = {value}" for key, value in options.items())
        paths = ", ".join(sql_text(str(path)) for path in (facts.path, *request.further_paths))
        return f"select * from read_csv([{paths}], {listed})"

    def _csv_source(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> tuple[str, SourceColumns]:
        names = self._names(request)
        surplus = request.facts.delimiter_max + 1 - len(names)
        overflow = min(max(surplus, 1), SURPLUS_CELLS_KEPT)
        columns = [f"c{i}" for i in range(len(names))] + [f"x{i}" for i in range(overflow)]
        sql = self._read_csv(
            request,
            columns,
            delimiter=request.feed.delimiter,
            quote=request.feed.quote,
            skip_header=request.feed.header,
        )
        faults = ((f"c{len(names) - 1} is null", "short_row"), ("x0 is not null", "long_row"))
        self._refuse_text_behind_quotes(connection, request)
        return sql, SourceColumns(names, overflow, faults, header_repeats=True)

    def _refuse_text_behind_quotes(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> None:
        """The reader drops what stands between a closing quote and the next delimiter, without a word.

        Where every line is a row this can be seen line by line; lines without quotes cost nearly nothing.
        """
        quote, delimiter = request.feed.quote, request.feed.delimiter
        if not quote or not request.facts.has_quotes or request.facts.has_quoted_newline:
            return
        mark, border = re.escape(quote), re.escape(delimiter)
        behind = f"([^{mark}{border[:2]} ]| +[^{border[:2]} ])"  # blanks alone are no loss
        behind = f"(^|{border}){mark}([^{mark}]|{mark}{mark})*{mark}{behind}"
        lines = self._read_csv(request, ["line", "rest"], delimiter=NO_DELIMITER, quote="", skip_header=False)
        found = connection.execute(
            f"select count(*) from ({lines}) where contains(line, {sql_text(quote)}) "
            f"and regexp_matches(line, {sql_text(behind)})"
        ).fetchone()
        if found and found[0]:
            raise DataRejectedError(
                f"{request.feed.where}: on {found[0]} lines of {request.facts.object_name!r} text stands between "
                "a closing quote and the next delimiter",
                remedy='ask the sender to double quotes inside of quoted cells, or set `quote: ""` where quotes '
                "mean nothing",
                rule="text_after_quote",
            )

    def _whitespace_source(self, request: ValidationRequest) -> tuple[str, SourceColumns]:
        names = self._names(request)
        lines = self._read_csv(
            request, ["line", "rest"], delimiter=NO_DELIMITER, quote="", skip_header=request.feed.header
        )
        # Runs of blanks and tabs part the cells; the line is trimmed first, so no cell is empty.
        text = "trim(regexp_replace(line, '[ \\t\\r]+', ' ', 'g'), ' ')"
        surplus = (
            f"case when len(cells) > {len(names)} then array_to_string(cells[{len(names) + 1}:], ' ') end"
        )
        cells = ", ".join(f"cells[{i + 1}] as c{i}" for i in range(len(names)))
        sql = (
            f"select {cells}, {surplus} as x0 from (select string_split(spaced, ' ') as cells "
            f"from (select {text} as spaced from ({lines})) where spaced <> '')"
        )
        faults = ((f"c{len(names) - 1} is null", "short_row"), ("x0 is not null", "long_row"))
        return sql, SourceColumns(names, 1, faults, header_repeats=True)

    def _jsonl_source(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> tuple[str, SourceColumns]:
        lines = self._read_csv(request, ["line", "rest"], delimiter=NO_DELIMITER, quote="", skip_header=False)
        lines = f"select line from ({lines}) where trim(line, ' ') <> ''"
        is_object = "case when json_valid(line) then json_type(line) = 'OBJECT' else false end"
        found = connection.execute(
            f"select key, min(place) from (select unnest(names) as key, "
            f"generate_subscripts(names, 1) as place "
            f"from (select case when {is_object} then json_keys(line) end as names from ({lines}))) "
            "group by key order by min(place), key"
        ).fetchall()
        names = tuple(str(key) for key, _ in found)
        if not names:
            raise DataRejectedError(
                f"{request.feed.where}: no line of {request.facts.object_name!r} is a JSON object",
                remedy="the format `jsonl` wants one object on each line",
                rule="not_json_lines",
            )
        inner = _inner_members(request.feed, names)
        cells = ", ".join(
            f"case when whole then line ->> {sql_text(pointer)} end as c{i}"
            for i, pointer in enumerate([*map(json_pointer, names), *inner.values()])
        )
        sql = f"select {cells}, not whole as x0 from (select line, {is_object} as whole from ({lines}))"
        return sql, SourceColumns((*names, *inner), 0, (("x0", "malformed_row"),))

    @staticmethod
    def _parquet_source(
        connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> tuple[str, SourceColumns]:
        file = sql_text(str(request.facts.path))
        described = connection.execute(f"describe select * from read_parquet({file})").fetchall()
        names = tuple(str(row[0]) for row in described)
        cells = ", ".join(f"cast({sql_name(name)} as varchar) as c{i}" for i, name in enumerate(names))
        return f"select {cells} from read_parquet({file})", SourceColumns(names)

    # ------------------------------------------------------------------ writing and counting

    def _run(
        self,
        connection: duckdb.DuckDBPyConnection,
        request: ValidationRequest,
        source_sql: str,
        program: Program,
    ) -> EntityOutcome:
        contract, facts = request.contract, request.facts
        metadata = CheckedMetadata(
            entity=contract.entity,
            feed=request.feed.name,
            batch_id=request.lineage.batch_id,
            source_file=facts.object_name,
            file_sha256=facts.content_sha256,
            contract_version=contract.version,
            row_number_columns=program.row_number_columns,
        )
        parameters = self._token_parameters() if program.needs_token_key else {}
        checked = request.checked_path
        with written_whole(checked) as rows_file:
            query = f"with source as ({source_sql}) {program.sql}"
            _copy(connection, query, rows_file, metadata, parameters)
            if program.sums or program.numbers:
                _fill_across_rows(connection, contract, program, rows_file, metadata)
            with written_whole(repeats_path(checked)) as repeats_file:
                _write_repeats(connection, request, program, rows_file, repeats_file)
                outcome = _count(connection, request, program, rows_file, repeats_file)
        self._expect_all_lines(request, outcome)
        self._warn_about_key(contract, outcome)
        return outcome

    def _token_parameters(self) -> dict[str, object]:
        key = self._token_key or TokenKey.from_environment()
        return {"inner_pad": key.inner_pad, "outer_pad": key.outer_pad}

    def _warn_about_key(self, contract: Contract, outcome: EntityOutcome) -> None:
        """Tokens with the development key are worth a warning only where one was made."""
        if self._token_key is not None:
            return
        hashed = [c.output_name for c in contract.columns if c.pii == "hash"]
        made = any(outcome.null_counts[name] < outcome.rows_accepted for name in hashed)
        if made or any(note.endswith(("email_masked", "card_number_masked")) for note in outcome.notes):
            warn_about_development_key()

    @staticmethod
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


def _inner_members(feed: Feed, names: Sequence[str]) -> dict[str, str]:
    """Members of objects in the line that the feed reads ("customer.id") → their JSON pointers."""
    known = {name.strip().casefold() for name in names}
    wanted: dict[str, str] = {}
    for entity in feed.entities:
        sources = [s for name, mapping in entity.columns.items() for s in mapping.source_columns(name)]
        for source in (*sources, *entity.exclude, *entity.only):
            outer, dot, rest = source.partition(".")
            if dot and rest and source.strip().casefold() not in known and outer in names:
                wanted[source] = "".join(json_pointer(part) for part in source.split("."))
    return wanted


def _copy(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    metadata: CheckedMetadata,
    parameters: Mapping[str, object],
) -> None:
    footer = f"{{{METADATA_KEY}: {sql_text(metadata.to_json())}}}"
    connection.execute(
        f"copy ({query}) to {sql_text(str(target))} (format parquet, compression snappy, kv_metadata {footer})",
        dict(parameters),
    )


def _merged(
    contract: Contract,
    former: _Former,
    gained: Sequence[ContractColumn],
    unread: Sequence[str],
    *,
    judged: Path | None,
    filled: Path | None,
) -> str:
    """The rows of a checked parquet in their order, with what was judged and filled in its place."""
    given = {"judged": judged, "filled": filled}
    joins = "".join(
        f" left join read_parquet({sql_text(str(path))}) as {name} on rows.file_row_number = {name}.place"
        for name, path in given.items()
        if path is not None
    )
    private = {column.output_name for column in contract.columns if column.pii != "none"}
    filled_names = {column.output_name for column in gained} if filled is not None else set[str]()
    columns: list[str] = []
    for column in contract.columns:
        name = sql_name(column.output_name)
        if column.output_name in former.present:
            value = f"rows.{name}"
        elif column.output_name in filled_names:
            # A value that its rule would turn away stays out; the row was let in without it.
            value = f"case when filled._rule is null then filled.{name} end"
        else:
            value = "null"
        if judged is not None and column.output_name not in private:
            value = f"case when judged.place is not null then judged.{name} else {value} end"
        columns.append(f"cast({value} as {column.duckdb_type}) as {name}")
    known = {column.output_name for column in contract.columns}
    bookkeeping = [name for name, _ in BOOKKEEPING_COLUMNS]
    # What the contract has lost stays as far as it is there.
    lost = [name for name in former.present if name not in {*known, *bookkeeping, "file_row_number"}]
    columns += [f"rows.{sql_name(name)}" for name in lost]
    for name in bookkeeping:
        value = f"rows.{name}"
        if name == "_rescued" and filled is not None:
            rest = rescued_of(value, unread)
            # A value that could not be taken stays where it is.
            value = (
                f"case when filled.place is not null and filled._rule is null then {rest} else {value} end"
            )
        if judged is not None:
            value = f"case when judged.place is not null then judged.{name} else {value} end"
        columns.append(f"{value} as {name}")
    return f"select {', '.join(columns)} from {former.rows} as rows{joins} order by rows.file_row_number"


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
        _copy(
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


def _write_repeats(
    connection: duckdb.DuckDBPyConnection,
    request: ValidationRequest,
    program: Program,
    rows_file: Path,
    repeats_file: Path,
) -> None:
    query = _repeats_query(connection, request, program, rows_file)
    query = query or "select cast(null as bigint) as row_number, cast(null as varchar) as kind where false"
    connection.execute(f"copy ({query}) to {sql_text(str(repeats_file))} (format parquet)")


def _repeats_query(
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
    connection.execute(
        f"create or replace temp table repeated_keys as select {hashed} as key_hash from {rows} "
        f"where {accepted} group by key_hash having count(*) > 1"
    )
    some = connection.execute("select count(*) from repeated_keys").fetchone()
    if not some or not some[0]:
        return ""
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


def _count(
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
    without = (
        f" and (file_row_number + 1) not in (select row_number from {repeats} where kind = 'duplicate')"
        if duplicates
        else ""
    )
    rows = f"read_parquet({sql_text(str(rows_file))}, file_row_number = true)"
    names = [column.output_name for column in contract.columns]
    made = set(program.row_number_columns)
    expressions = ["count(*)"]
    expressions += ["0" if n in made else f"count(*) - count({sql_name(n)})" for n in names]
    expressions += [f"coalesce(sum({sql_name(n)}), 0)" for n in contract.decimal_columns]
    event = sql_name(contract.column(contract.event_at).output_name) if contract.event_at else "null"
    expressions += [f"cast(min({event}) as timestamp)", f"cast(max({event}) as timestamp)"]
    accepted = connection.execute(
        f"select {', '.join(expressions)} from {rows} where _rule is null and not _excluded{without}"
    ).fetchone()
    totals = connection.execute(
        f"select count(*), count(*) filter (_rule is not null), count(*) filter (_excluded) from {rows}"
    ).fetchone()
    notes = connection.execute(
        f"select note, count(*) from (select unnest(string_split(_notes, ' ')) as note from {rows} "
        "where _notes is not null) group by note order by note"
    ).fetchall()
    if accepted is None or totals is None:  # an aggregate always has a row
        raise DataRejectedError("the checked file cannot be counted", rule="unreadable_file")
    sums = accepted[1 + len(names) :]
    return EntityOutcome(
        rows_read=int(totals[0]),
        rows_accepted=int(accepted[0]),
        rows_quarantined=int(totals[1]),
        rows_duplicate=duplicates,
        rows_excluded=int(totals[2]),
        rows_conflicting=conflicts,
        control_totals={n: Decimal(v) for n, v in zip(contract.decimal_columns, sums, strict=False)},
        null_counts={n: int(v) for n, v in zip(names, accepted[1:], strict=False)},
        min_event_at=accepted[-2],
        max_event_at=accepted[-1],
        drift=program.drift,
        columns=program.columns,
        checked_path=request.checked_path,
        notes={str(note): int(rows_with) for note, rows_with in notes},
    )
