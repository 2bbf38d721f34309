"""What an engine is: it reads one file as text, runs the validation program, writes one checked parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ingestion.contract import Contract
from ingestion.feed import Feed, FeedEntity
from ingestion.file_facts import FileFacts

if TYPE_CHECKING:
    from ingestion.bronze import WrittenTogether


@dataclass(frozen=True)
class Lineage:
    """Where the rows of one batch come from: the same for every row of one file.

    `ingested_at` and `arrived_at` are aware UTC; they are stored naive, in UTC. `judged_arrival` is what dates in
    the future are measured by, `arrived_at` without it.
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
    judged_arrival: datetime | None = None


@dataclass(frozen=True)
class ValidationRequest:
    """One file, one entity of its feed. `checked_path` is where the checked parquet will be.

    `in_parallel`: an engine may read parts of the file side by side. `further_paths`: files that are read after the
    first as if they were one with it, each row with its file in `bronze.FILE_COLUMN`.
    """

    facts: FileFacts
    feed: Feed
    feed_entity: FeedEntity
    contract: Contract
    lineage: Lineage
    checked_path: Path
    in_parallel: bool = True
    further_paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CheckedTogether:
    """Several files of one feed, validated in one go.

    Attributes:
        outcomes: one a request, in their order.
        rows: the checked rows of all files, with `bronze.RowsTogether` for reading them.
        repeats: their repeats; None where there are none.
        rows_before: rows of the files before each of them.
    """

    outcomes: tuple[EntityOutcome, ...]
    rows: Path
    repeats: Path | None
    rows_before: tuple[int, ...]


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
        columns: the file's columns, by the names that people may see.
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
    columns: tuple[str, ...] = ()


class Engine(Protocol):
    """Runs the validation program over one file."""

    name: str

    def validate(self, request: ValidationRequest) -> EntityOutcome:
        """Write the checked parquet (and the list of repeated rows beside it) and count.

        Raises:
            DataRejectedError: when the file as a whole cannot be used (missing column, frozen drift, ...).
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds. It is not used again."""
        ...


@runtime_checkable
class EngineForManyFiles(Protocol):
    """An engine that can also run the program once over many small files that have one header."""

    def validate_together(
        self, requests: Sequence[ValidationRequest], rows_path: Path, written: WrittenTogether
    ) -> CheckedTogether:
        """Write each file's checked parquet and repeats to names of `written`, all rows to `rows_path`, and count.

        The outcome of a file is what `validate` gives for it alone.

        Raises:
            DataRejectedError: when one of the files cannot be used; which one only `validate` tells.
        """
        ...


@dataclass(frozen=True)
class Statement:
    """SQL in DuckDB's dialect and its named parameters: `connection.execute(sql, parameters)`.

    Attributes:
        constants: columns that the SQL fills with one and the same parameter in every row → that parameter's name.
    """

    sql: str
    parameters: Mapping[str, object]
    constants: Mapping[str, str] = field(default_factory=dict)
