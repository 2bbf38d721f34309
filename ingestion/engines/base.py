"""What an engine is: it reads one file as text, runs the validation program, writes one checked parquet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from ingestion.bronze import count_rows, read_metadata, repeats_path
from ingestion.contract import LINEAGE_COLUMNS, Contract
from ingestion.feed import Feed, FeedEntity
from ingestion.file_facts import FileFacts
from ingestion.rules import RULES


@dataclass(frozen=True)
class Lineage:
    """Where the rows of one batch come from: the same for every row of one file.

    `ingested_at` and `arrived_at` are aware UTC; they are stored naive, in UTC.
    """

    feed: str
    business_timezone: str
    batch_id: str
    load_sequence: int
    source_file: str
    file_sha256: str
    ingested_at: datetime
    contract_version: str
    delivery_mode: str
    arrived_at: datetime
    run_id: str


@dataclass(frozen=True)
class ValidationRequest:
    """One file, one entity of its feed. `checked_path` is where the checked parquet will be."""

    facts: FileFacts
    feed: Feed
    feed_entity: FeedEntity
    contract: Contract
    lineage: Lineage
    checked_path: Path


@dataclass(frozen=True)
class DriftEvent:
    """A difference between the file's columns and the contract's: `column_added`, `column_missing`."""

    kind: str
    column_name: str
    detail: str = ""


@dataclass(frozen=True)
class EntityOutcome:
    """What one file gave for one entity: rows_read = accepted + quarantined + duplicate + excluded.

    Attributes:
        rows_conflicting: accepted rows that contradict an earlier row of the file with the same key and the
            same `latest_by` (the later row wins).
        control_totals: raw column → exact sum over the accepted rows, of every decimal column.
        null_counts: raw column → accepted rows without a value.
        min_event_at, max_event_at: naive UTC, over the accepted rows.
        notes: what was normalised on the way in ("sentinel_date", "ambiguous_local_time", "unmapped_word",
            "card_number_masked", ...) → rows.
    """

    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    rows_duplicate: int
    rows_excluded: int
    rows_conflicting: int
    control_totals: Mapping[str, Decimal]
    null_counts: Mapping[str, int]
    min_event_at: datetime | None
    max_event_at: datetime | None
    drift: tuple[DriftEvent, ...]
    checked_path: Path
    notes: Mapping[str, int] = field(default_factory=dict)


class Engine(Protocol):
    """Runs the validation program."""

    name: str

    def validate(self, request: ValidationRequest) -> EntityOutcome:
        """Write the checked parquet (and the list of repeated rows beside it) and count.

        Raises:
            DataRejectedError: when the file as a whole cannot be used (missing column, frozen drift, ...).
        """
        ...


@dataclass(frozen=True)
class Statement:
    """SQL in DuckDB's dialect and its named parameters: `connection.execute(sql, parameters)`."""

    sql: str
    parameters: Mapping[str, object]


# Columns of `ops.quarantine` that `quarantined_rows` gives, in its order.
QUARANTINE_COLUMNS: tuple[str, ...] = (
    "batch_id", "feed", "entity", "source_file", "file_sha256", "row_number", "rule", "column_name",
    "raw_value", "raw_row", "other_rules", "message", "_ingested_at", "run_id", "status",
)  # fmt: skip


def accepted_rows(contract: Contract, checked: Path, lineage: Lineage) -> Statement:
    """The accepted rows of a checked parquet, every column of the raw table in its order.

    Exact duplicates within the file are left out; of rows that contradict each other all are there.
    `insert into raw.x <sql>` with these parameters loads a batch.

    Raises:
        NotFoundError: when the bronze files are missing.
    """
    metadata = read_metadata(checked)
    made = {
        column: f"concat($id_prefix, '-', cast(checked.file_row_number + 1 as varchar)) as {_quoted(column)}"
        for column in metadata.row_number_columns
    }
    own = [
        made.get(column.output_name, f"checked.{_quoted(column.output_name)}") for column in contract.columns
    ]
    parameters = lineage_parameters(lineage)
    if made:
        parameters["id_prefix"] = metadata.file_sha256[:12]
    special = {"_row_number": "checked.file_row_number + 1", "_rescued": "checked._rescued"}
    trail = [
        f"cast({special.get(name, f'${name.lstrip(chr(95))}')} as {kind}) as {name}"
        for name, kind in LINEAGE_COLUMNS
    ]
    parameters["checked"] = str(checked)
    sql = (
        f"select {', '.join([*own, *trail])} from read_parquet($checked, file_row_number = true) as checked "
        "where checked._rule is null and not checked._excluded"
    )
    if count_rows(repeats_path(checked)):
        parameters["repeats"] = str(repeats_path(checked))
        sql += (
            " and not exists (select 1 from read_parquet($repeats) as repeats "
            "where repeats.row_number = checked.file_row_number + 1 and repeats.kind = 'duplicate')"
        )
    return Statement(sql, parameters)


def quarantined_rows(contract: Contract, checked: Path, lineage: Lineage) -> Statement:
    """The quarantined rows of a checked parquet, in `QUARANTINE_COLUMNS`.

    Raises:
        NotFoundError: when the bronze files are missing.
    """
    read_metadata(checked)
    sentences = " ".join(f"when '{rule}' then '{_escaped(text)}'" for rule, text in RULES.items())
    sql = (
        "select cast($batch_id as varchar) as batch_id, cast($feed as varchar) as feed, "
        "cast($entity as varchar) as entity, cast($source_file as varchar) as source_file, "
        "cast($file_sha256 as varchar) as file_sha256, "
        "cast(checked.file_row_number + 1 as bigint) as row_number, checked._rule as rule, "
        "checked._column as column_name, checked._raw_value as raw_value, checked._raw_row as raw_row, "
        "checked._other_rules as other_rules, "
        f"concat_ws(': ', checked._column, case checked._rule {sentences} end) as message, "
        "cast($ingested_at as timestamp) as _ingested_at, cast($run_id as varchar) as run_id, "
        "'open' as status "
        "from read_parquet($checked, file_row_number = true) as checked where checked._rule is not null"
    )
    wanted = ("batch_id", "feed", "source_file", "file_sha256", "ingested_at")
    parameters = {name: value for name, value in lineage_parameters(lineage).items() if name in wanted}
    parameters |= {"entity": contract.entity, "checked": str(checked), "run_id": lineage.run_id}
    return Statement(sql, parameters)


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
