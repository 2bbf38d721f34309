"""The embedded engine: DuckDB reads the file as text and runs the validation program in one scan."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import duckdb

from ingestion.bronze import (
    FILE_COLUMN,
    CheckedMetadata,
    WrittenTogether,
    read_metadata,
    repeats_path,
    written_whole,
)
from ingestion.contract import Contract, ContractColumn
from ingestion.engines.base import CheckedTogether, EntityOutcome, ValidationRequest
from ingestion.engines.checked_rows import (
    RowsWriter,
    copy_rows,
    count_rows,
    repeats_query,
    warn_about_key,
    write_checked,
    write_repeats,
)
from ingestion.engines.duckdb_together import as_one, split_rows
from ingestion.engines.reading import (
    behind_quotes_sql,
    delimited_columns,
    refuse_names_with_nul,
    refuse_text_behind_quotes,
    shows_text_behind_quotes,
)
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
from ingestion.tokens import TokenKey
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

Result = TypeVar("Result")


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
        return _reading(request, self._validate)

    def write_text(self, request: ValidationRequest, target: Path) -> SourceColumns:
        """Write the file's cells as texts, `c0, c1, ...` in file order, for another engine to validate.

        Raises:
            DataRejectedError: when the file as a whole cannot be used; the text never quotes the data.
        """

        def write(asked: ValidationRequest) -> SourceColumns:
            source_sql, columns = self._source(self._connection, asked)
            self._connection.execute(f"copy ({source_sql}) to {sql_text(str(target))} (format parquet)")
            return columns

        return _reading(request, write)

    def join_parts(
        self, parts: Sequence[Path], helper: str, rows_file: Path, metadata: CheckedMetadata
    ) -> None:
        """Write the rows of parquet files, one file after the other, into one; without the column `helper`."""
        listed = ", ".join(sql_text(str(part)) for part in parts)
        query = f"select * exclude ({helper}) from read_parquet([{listed}])"
        copy_rows(self._connection, query, rows_file, metadata, {})

    def finish(self, request: ValidationRequest, program: Program, write_rows: RowsWriter) -> EntityOutcome:
        """What follows once `write_rows` has written the program's rows: repeats, counts, the final names."""
        outcome = write_checked(self._connection, request, program, write_rows)
        warn_about_key(self._token_key, request.contract, outcome)
        return outcome

    def _validate(self, request: ValidationRequest) -> EntityOutcome:
        source_sql, columns = self._source(self._connection, request)
        program = build_program(request, columns)
        query = f"with source as ({source_sql}) {program.sql}"
        parameters = self._token_parameters() if program.needs_token_key else {}

        def write_rows(rows_file: Path, metadata: CheckedMetadata) -> None:
            copy_rows(self._connection, query, rows_file, metadata, parameters)

        return self.finish(request, program, write_rows)

    def _token_parameters(self) -> dict[str, object]:
        key = self._token_key or TokenKey.from_environment()
        return {"inner_pad": key.inner_pad, "outer_pad": key.outer_pad}

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
            repeats = repeats_query(connection, request, program, rows_path, within=FILE_COLUMN)
            done = split_rows(connection, requests, program, rows_path, written, repeats_sql=repeats)
        except (*DATA_ERRORS, duckdb.NotImplementedException) as error:
            raise DataRejectedError(
                f"{request.feed.where}: {len(requests)} files cannot be read together ({type(error).__name__})",
                rule="unreadable_file",
            ) from None
        for outcome in done.outcomes:
            warn_about_key(self._token_key, request.contract, outcome)
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
                copy_rows(connection, query, rows_file, metadata, {})
                with written_whole(repeats_path(checked)) as repeats_file:
                    write_repeats(connection, request, program, rows_file, repeats_file)
                    return count_rows(connection, request, program, rows_file, repeats_file)

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
        columns = delimited_columns(request)
        cells = [f"c{i}" for i in range(len(columns.names))] + [f"x{i}" for i in range(columns.overflow)]
        sql = self._read_csv(
            request,
            cells,
            delimiter=request.feed.delimiter,
            quote=request.feed.quote,
            skip_header=request.feed.header,
        )
        if shows_text_behind_quotes(request):
            self._refuse_text_behind_quotes(connection, request)
        return sql, columns

    def _refuse_text_behind_quotes(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> None:
        lines = self._read_csv(request, ["line", "rest"], delimiter=NO_DELIMITER, quote="", skip_header=False)
        found = connection.execute(
            f"select count(*) from ({lines}) where "
            + behind_quotes_sql(request, sql_text, "regexp_matches({line}, {pattern})")
        ).fetchone()
        refuse_text_behind_quotes(request, int(found[0]) if found else 0)

    def _whitespace_source(self, request: ValidationRequest) -> tuple[str, SourceColumns]:
        columns = delimited_columns(request)
        names = columns.names
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
        return sql, columns

    def _jsonl_source(
        self, connection: duckdb.DuckDBPyConnection, request: ValidationRequest
    ) -> tuple[str, SourceColumns]:
        lines = self._read_csv(request, ["line", "rest"], delimiter=NO_DELIMITER, quote="", skip_header=False)
        lines = f"select line from ({lines}) where trim(line, ' ') <> ''"
        # Of a name that stands there twice one value would be lost: such a line is no row.
        each_once = "len(json_keys(line)) = len(list_distinct(json_keys(line)))"
        is_object = (
            f"case when json_valid(line) then case json_type(line) when 'OBJECT' then {each_once} else false end"
            " else false end"
        )
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
        refuse_names_with_nul(request, names)
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
        refuse_names_with_nul(request, names)
        cells = ", ".join(f"cast({sql_name(name)} as varchar) as c{i}" for i, name in enumerate(names))
        return f"select {cells} from read_parquet({file})", SourceColumns(names)


def _reading(request: ValidationRequest, work: Callable[[ValidationRequest], Result]) -> Result:
    """Do what reads the file; a second time, in one go, where the parallel reader gives up.

    Raises:
        DataRejectedError: when the reader cannot make anything of the file.
    """
    try:
        return _telling_kinds(request, work)
    except duckdb.NotImplementedException as error:
        # Where a block of the file begins inside a row, the parallel reader can lose its way and give up
        # (duckdb issue 24237); read in one go, the same file is sound.
        if not request.in_parallel or "Parallel CSV Reader" not in str(error):
            raise
    return _telling_kinds(replace(request, in_parallel=False), work)


def _telling_kinds(request: ValidationRequest, work: Callable[[ValidationRequest], Result]) -> Result:
    try:
        return work(request)
    except duckdb.Error as error:
        # What the parquet reader's own parts throw arrives as the plain class ("Out of buffer").
        if not isinstance(error, DATA_ERRORS) and type(error) is not duckdb.Error:
            raise
        # The engine's message may quote a row of the file, so only its kind is passed on.
        logger.debug("engine failed on %s: %s", request.facts.object_name, type(error).__name__)
        raise DataRejectedError(
            f"{request.feed.where}: {request.facts.object_name!r} cannot be read as {request.feed.format} "
            f"({type(error).__name__})",
            remedy="ask the sender for a correct file and deliver it again"
            if request.feed.format == "parquet"
            else "check delimiter, quote and format of the feed against the file's first lines",
            rule="unreadable_file",
        ) from None


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
