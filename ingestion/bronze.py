"""Bronze: the checked parquet files, from which the raw tables can be replayed.

One folder per feed and batch, two files per entity: `store.orders.parquet` has all rows of the file in file
order (position + 1 is the row number), `store.orders.repeats.parquet` names the rows that repeat or
contradict an earlier row. Both are written beside their place, synced and renamed; the rows come last, so a
checked parquet that exists is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path

import duckdb
import pyarrow
from pyarrow import parquet

from ingestion.contract import LINEAGE_COLUMNS, LINEAGE_OF_ROWS, Contract, ContractColumn
from ingestion.engines.base import Lineage, Statement
from ingestion.rules import RULES
from settings.errors import DataRejectedError, NotFoundError
from settings.home import Home

METADATA_KEY = "tillhouse"
UNFINISHED_FOLDER = ".unfinished"
ARROW_TYPES = {"string": "varchar", "int64": "bigint", "bool": "boolean", "date32[day]": "date"}
SYNCED_AT_ONCE = 16  # threads that wait for the disk, not for a core
FILE_COLUMN = (
    "_file"  # of a parquet that holds the rows of several files, one after the other: the local path
)


@dataclass(frozen=True)
class CheckedMetadata:
    """What a checked parquet says about itself, in its footer.

    Attributes:
        entity, feed, batch_id, source_file, file_sha256, contract_version: of the batch.
        row_number_columns: columns whose value is the content hash and the row number.
        program: version of the layout of these files.
    """

    entity: str
    feed: str
    batch_id: str
    source_file: str
    file_sha256: str
    contract_version: str
    row_number_columns: tuple[str, ...] = ()
    program: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def checked_path(home: Home, feed: str, batch_id: str, entity: str) -> Path:
    """Where the checked parquet of one batch and entity is."""
    return home.bronze / feed / batch_id / f"{entity}.parquet"


def next_checked_path(checked: Path, entity: str) -> Path:
    """Where the rows of this checked parquet go when they are written anew.

    The record of the delivery names the one that counts, so the former stays whole until the record has changed.
    """
    tail = checked.name.removeprefix(f"{entity}.").removesuffix("parquet").rstrip(".")
    return checked.with_name(f"{entity}.{int(tail or 1) + 1}.parquet")


def keep_only(folder: Path, checked: Sequence[Path]) -> None:
    """Remove from a delivery's folder the parquet files that are not these or their lists of repeats."""
    kept = {*checked, *map(repeats_path, checked)}
    for path in folder.glob("*.parquet"):
        if path not in kept:
            path.unlink(missing_ok=True)


def note_unfinished(home: Home, batch_id: str) -> None:
    """Note that bronze is about to say something else of a delivery than the warehouse."""
    folder = home.bronze / UNFINISHED_FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(folder / batch_id, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _sync(folder)


def note_finished(home: Home, batch_id: str) -> None:
    """The warehouse says of a delivery what bronze says."""
    (home.bronze / UNFINISHED_FOLDER / batch_id).unlink(missing_ok=True)


def unfinished(home: Home) -> list[str]:
    """Deliveries whose bronze was written anew, and may not have been loaded since."""
    folder = home.bronze / UNFINISHED_FOLDER
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def repeats_path(checked: Path) -> Path:
    """The list of repeated rows that belongs to a checked parquet."""
    return checked.with_name(f"{checked.stem}.repeats.parquet")


def read_metadata(checked: Path) -> CheckedMetadata:
    """What the footer of a checked parquet says.

    Raises:
        NotFoundError: when the file or the list of repeats beside it is missing, or is not one of ours.
    """
    if not checked.is_file() or not repeats_path(checked).is_file():
        raise NotFoundError(
            f"bronze file {checked.name} of {checked.parent} is missing or incomplete",
            remedy="deliver the source file again: its batch is then checked anew",
            rule="bronze",
        )
    stored: Mapping[bytes, bytes] = parquet.read_metadata(checked).metadata or {}
    if METADATA_KEY.encode() not in stored:
        raise NotFoundError(f"{checked} was not written by tillhouse", rule="bronze")
    fields = json.loads(stored[METADATA_KEY.encode()])
    fields["row_number_columns"] = tuple(fields["row_number_columns"])
    return CheckedMetadata(**fields)


def count_rows(path: Path) -> int:
    """Rows of a parquet file, from its footer."""
    return int(parquet.read_metadata(path).num_rows)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name to write to; on success the file is synced and renamed to `path`, else removed.

    The folder is made private to the user, so that a file being written is too.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.chmod(0o600)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


class WrittenTogether:
    """Many files that become visible together: all written, then all synced, then all renamed.

    One sync after the other waits for the disk each time; many at once share its journal's commits. A context: what
    was not finished is removed.
    """

    def __init__(self) -> None:
        self._temporaries: dict[Path, Path] = {}

    def __enter__(self) -> WrittenTogether:
        return self

    def __exit__(self, *_: object) -> None:
        for temporary in self._temporaries.values():
            temporary.unlink(missing_ok=True)

    def path(self, final: Path) -> Path:
        """The name to write to for the file that is to be `final`. Its folder is made, private to the user."""
        final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        self._temporaries[final] = temporary
        return temporary

    def finish(self) -> None:
        """Sync and rename, in the order in which the names were asked for."""
        for temporary in self._temporaries.values():
            temporary.chmod(0o600)
        folders = {final.parent for final in self._temporaries}
        with ThreadPoolExecutor(SYNCED_AT_ONCE, thread_name_prefix="sync") as pool:
            list(pool.map(_sync, self._temporaries.values()))
            for final, temporary in self._temporaries.items():
                temporary.replace(final)
            list(pool.map(_sync, folders | {folder.parent for folder in folders}))
        self._temporaries.clear()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect_to_rewrite(home: Home) -> duckdb.DuckDBPyConnection:
    """A connection of its own, which spills what does not fit into memory to a private folder of the home."""
    scratch = home.root / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return duckdb.connect(config={"memory_limit": "2GiB", "temp_directory": str(scratch)})


def rewrite_checked(connection: duckdb.DuckDBPyConnection, checked: Path, target: Path, query: str) -> None:
    """Write what a query gives as a checked parquet, with the footer and the list of repeats of `checked`.

    Args:
        query: every row of `checked` in its place; `target` may be `checked` itself.
    """
    footer = read_metadata(checked).to_json().replace("'", "''")
    with written_whole(target) as rows:
        connection.execute(
            f"copy ({query}) to '{_escaped(str(rows))}' (format parquet, compression snappy,"
            f" kv_metadata {{{METADATA_KEY}: '{footer}'}})"
        )
        if target != checked:
            with written_whole(repeats_path(target)) as repeats:
                shutil.copyfile(repeats_path(checked), repeats)


# Columns of `ops.quarantine` that `quarantine_rows` gives, in its order.
QUARANTINE_COLUMNS: tuple[str, ...] = (
    "batch_id", "feed", "entity", "source_file", "file_sha256", "row_number", "rule", "column_name",
    "raw_value", "raw_row", "other_rules", "message", "_ingested_at", "run_id", "status",
)  # fmt: skip


def checked_columns(checked: Path) -> dict[str, str]:
    """Name and DuckDB type of every column of a checked parquet, as its footer says.

    Raises:
        NotFoundError: when the bronze files are missing.
    """
    read_metadata(checked)
    return {field.name: _duckdb_type(field.type) for field in parquet.read_schema(checked)}


def _duckdb_type(kind: pyarrow.DataType) -> str:
    if pyarrow.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pyarrow.types.is_timestamp(kind):
        return "timestamp"
    return ARROW_TYPES.get(str(kind), str(kind))


def accepted_rows(contract: Contract, checked: Path, lineage: Lineage, lost: Sequence[str] = ()) -> Statement:
    """The accepted rows of a checked parquet, every column of the raw table in its order.

    A column that the contract has gained since the file was checked is null; columns that it has lost (`lost`)
    come last.

    Exact duplicates within the file are left out; of rows that contradict each other all are there.
    `insert into raw.x <sql>` with these parameters loads a batch.

    Raises:
        NotFoundError: when the bronze files are missing.
    """
    metadata = read_metadata(checked)
    parameters = lineage_parameters(lineage)
    if metadata.row_number_columns:
        parameters["id_prefix"] = metadata.file_sha256[:12]
    values = {name: f"${name}" for name in parameters}
    present = checked_columns(checked)
    made = {
        name: f"concat({values['id_prefix']}, '-', cast({ROW_NUMBER} as varchar)) as {_quoted(name)}"
        for name in metadata.row_number_columns
    }
    own = [
        made.get(column.output_name, _value_of(contract, column, present.get(column.output_name)))
        for column in contract.columns
    ]
    columns = [*own, *_lineage_columns(values, ROW_NUMBER), *(f"checked.{_quoted(name)}" for name in lost)]
    parameters["checked"] = str(checked)
    sql = (
        f"select {', '.join(columns)} from read_parquet($checked, file_row_number = true) as checked "
        f"where {ACCEPTED}"
    )
    if count_rows(repeats_path(checked)):
        parameters["repeats"] = str(repeats_path(checked))
        sql += f" and {NO_DUPLICATE}"
    return Statement(sql, parameters, {f"_{name}": name for name in LINEAGE_NAMES})


def _value_of(contract: Contract, column: ContractColumn, kind: str | None) -> str:
    """A column of a checked parquet, which has it with this type, or lacks it.

    Raises:
        DataRejectedError: when the contract gives it another type by now.
    """
    if kind is None:
        return f"cast(null as {column.duckdb_type}) as {_quoted(column.output_name)}"
    if kind != column.duckdb_type:
        raise DataRejectedError(
            f"{contract.entity}: bronze holds {column.output_name!r} as {kind}, and the contract says"
            f" {column.duckdb_type}",
            remedy="a column keeps its type: give the contract a column of another name (`output_name`) beside it,"
            " or withdraw the delivery and run, so that its file is read anew",
            rule="contract_type",
        )
    return f"checked.{_quoted(column.output_name)}"


def quarantine_rows(contract: Contract, checked: Path, lineage: Lineage) -> Statement:
    """The quarantined rows of a checked parquet, in `QUARANTINE_COLUMNS`.

    Raises:
        NotFoundError: when the bronze files are missing.
    """
    read_metadata(checked)
    parameters = _quarantine_parameters(contract, lineage)
    values = {name: f"${name}" for name in parameters}
    columns = _quarantine_columns(values, ROW_NUMBER)
    parameters["checked"] = str(checked)
    return Statement(
        f"select {columns} from read_parquet($checked, file_row_number = true) as checked "
        "where checked._rule is not null",
        parameters,
    )


@dataclass(frozen=True)
class RowsTogether:
    """Checked rows of several files in one parquet, while they are being loaded; bronze has each file's own.

    Attributes:
        checked: rows in the order of the files, with `FILE_COLUMN`.
        repeats: like the list of repeats, by the number of the row in `checked`; None where there are none.
        lineage: parquet with one row per file: `file`, `rows_before`, and what the statements say of a batch.
    """

    checked: Path
    repeats: Path | None
    lineage: Path

    @classmethod
    def described(
        cls,
        contract: Contract,
        checked: Path,
        repeats: Path | None,
        files: Sequence[tuple[Path, int, Lineage]],
    ) -> RowsTogether:
        """Write the lineage of (local path, number of rows before, lineage) beside the checked rows."""
        described = [
            {"file": str(path), "rows_before": rows_before}
            | lineage_parameters(lineage)
            | _quarantine_parameters(contract, lineage)
            for path, rows_before, lineage in files
        ]
        target = checked.with_name(f"{checked.stem}.lineage.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(described), target)
        return cls(checked, repeats, target)

    def accepted_rows(self, contract: Contract) -> Statement:
        """As `accepted_rows`, of all the files."""
        values = {name: f"lineage.{name}" for name in LINEAGE_NAMES}
        own = [f"checked.{_quoted(column.output_name)}" for column in contract.columns]
        columns = ", ".join([*own, *_lineage_columns(values, self._number)])
        sql = f"select {columns} from {self._joined} where {ACCEPTED}"
        parameters: dict[str, object] = self._parameters
        if self.repeats is not None:
            sql += f" and {NO_DUPLICATE}"
            parameters["repeats"] = str(self.repeats)
        return Statement(sql, parameters)

    def quarantine_rows(self) -> Statement:
        """As `quarantine_rows`, of all the files."""
        values = {name: f"lineage.{name}" for name in QUARANTINE_LINEAGE}
        columns = _quarantine_columns(values, self._number)
        return Statement(
            f"select {columns} from {self._joined} where checked._rule is not null", self._parameters
        )

    _number = "checked.file_row_number - lineage.rows_before + 1"
    _joined = (
        "read_parquet($checked, file_row_number = true) as checked "
        f"join read_parquet($lineage) as lineage on checked.{FILE_COLUMN} = lineage.file"
    )

    @property
    def _parameters(self) -> dict[str, object]:
        return {"checked": str(self.checked), "lineage": str(self.lineage)}


ROW_NUMBER = "checked.file_row_number + 1"
ACCEPTED = "checked._rule is null and not checked._excluded"
# Where the subquery names the row, DuckDB collects the whole file before it hands out the first row.
NO_DUPLICATE = (
    "checked.file_row_number not in "
    "(select repeats.row_number - 1 from read_parquet($repeats) as repeats where repeats.kind = 'duplicate')"
)
LINEAGE_NAMES = tuple(name.lstrip("_") for name, _ in LINEAGE_COLUMNS if name not in LINEAGE_OF_ROWS)
QUARANTINE_LINEAGE = (
    "batch_id", "feed", "source_file", "file_sha256", "ingested_at", "entity", "run_id", "arrival",
)  # fmt: skip


def _lineage_columns(values: Mapping[str, str], number: str) -> list[str]:
    """Expressions for the lineage columns of a raw table.

    Args:
        values: expression for each of the constants of a batch.
        number: expression for the number of the row in its file.
    """
    special = {"_row_number": number, "_rescued": "checked._rescued"}
    return [
        f"cast({special.get(name) or values[name.lstrip('_')]} as {kind}) as {name}"
        for name, kind in LINEAGE_COLUMNS
    ]


def _quarantine_columns(values: Mapping[str, str], number: str) -> str:
    sentences = " ".join(f"when '{rule}' then '{_escaped(text)}'" for rule, text in RULES.items())
    return (
        f"cast({values['batch_id']} as varchar) as batch_id, cast({values['feed']} as varchar) as feed, "
        f"cast({values['entity']} as varchar) as entity, cast({values['source_file']} as varchar) as source_file, "
        f"cast({values['file_sha256']} as varchar) as file_sha256, "
        f"cast({number} as bigint) as row_number, checked._rule as rule, "
        "checked._column as column_name, checked._raw_value as raw_value, checked._raw_row as raw_row, "
        "checked._other_rules as other_rules, "
        f"concat_ws(': ', checked._column, concat(case checked._rule {sentences} end, "
        f"case when checked._rule = 'future_date' then cast({values['arrival']} as varchar) end)) as message, "
        f"cast({values['ingested_at']} as timestamp) as _ingested_at, cast({values['run_id']} as varchar) as run_id, "
        "'open' as status"
    )


def _quarantine_parameters(contract: Contract, lineage: Lineage) -> dict[str, object]:
    arrival = (lineage.judged_arrival or lineage.arrived_at).astimezone(UTC)
    known = lineage_parameters(lineage) | {
        "entity": contract.entity,
        "run_id": lineage.run_id,
        "arrival": f" (arrival on record: {arrival:%Y-%m-%d %H:%M} UTC)",
    }
    return {name: known[name] for name in QUARANTINE_LINEAGE}


def lineage_parameters(lineage: Lineage) -> dict[str, object]:
    """Named parameters of the constant lineage columns; timestamps naive, in UTC."""
    return {
        "feed": lineage.feed,
        "business_timezone": lineage.business_timezone,
        "batch_id": lineage.batch_id,
        "load_sequence": lineage.load_sequence,
        "source_file": lineage.source_file,
        "file_sha256": lineage.file_sha256,
        "ingested_at": lineage.ingested_at.astimezone(UTC).replace(tzinfo=None),
        "contract_version": lineage.contract_version,
        "delivery_mode": lineage.delivery_mode,
        "arrived_at": lineage.arrived_at.astimezone(UTC).replace(tzinfo=None),
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    return text.replace("'", "''")
