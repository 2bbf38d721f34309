"""Many small files of one feed at a time: one run of the program, one sync of bronze, one transaction.

A file by itself costs some dozens of statements, each planned anew, four syncs and a commit, whatever its size. What
one file is worth stays its own: bronze has its folder, the ledger its entry, and where anything is wrong with one of
them nothing of the portion is loaded: its halves are tried, and what is left is taken file by file, which tells whose
fault it was.

The promise about crashes is the same: bronze is whole on disk before the transaction, and the transaction has the
rows, the quarantine and the entries of all files of the portion, or none.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ingestion.batch_record import BatchRecord, EntityRecord, record_path, record_text
from ingestion.bronze import RowsTogether, WrittenTogether
from ingestion.checking import (
    checked_entry,
    inspect_candidate,
    is_over_threshold,
    request_of,
    with_file_notes,
)
from ingestion.contract import load_contracts
from ingestion.discovery import Candidate
from ingestion.engines.base import CheckedTogether, EngineForManyFiles, ValidationRequest
from ingestion.feed import Feed
from ingestion.file_facts import FileFacts
from ingestion.landing import ObjectNotReadyError, OpenedObject
from ingestion.ledger import LedgerEntry
from ingestion.loader import BatchLoad, EntitiesTogether, EntityLoad, ReconciliationError
from ingestion.report import BatchResult
from ingestion.results import result_of
from ingestion.session import Session, feed_fingerprint
from ingestion.warehouses.base import StatementError
from settings.crash_points import crash_point
from settings.errors import DataRejectedError

logger = logging.getLogger(__name__)

SMALL_BYTES = 256 << 10
FEWEST_FILES = 4
MOST_FILES = 512
MOST_BYTES = 16 << 20  # of a portion; its rows are held in memory while they are parted


@dataclass(frozen=True)
class Loaded:
    """A file that was loaded."""

    entry: LedgerEntry
    entities: tuple[EntityRecord, ...]
    result: BatchResult


@dataclass(frozen=True)
class Portion:
    """Candidates in their order: of one feed and small, or to be taken by themselves."""

    candidates: tuple[Candidate, ...]
    together: bool


def portions(session: Session, candidates: Sequence[Candidate]) -> Iterator[Portion]:
    """Cut a run's candidates into portions."""
    held: list[Candidate] = []
    kind: Feed | None = None
    size = 0
    for candidate in candidates:
        own = candidate.feed if _can_go_together(session, candidate) else None
        is_full = own is not None and (len(held) >= MOST_FILES or size + candidate.size > MOST_BYTES)
        if held and (own is not kind or is_full):
            yield Portion(tuple(held), kind is not None and len(held) >= FEWEST_FILES)
            held, size = [], 0
        held.append(candidate)
        kind = own
        size += candidate.size
    if held:
        yield Portion(tuple(held), kind is not None and len(held) >= FEWEST_FILES)


def _can_go_together(session: Session, candidate: Candidate) -> bool:
    """Whether nothing of the feed's settings makes a file depend on the others, or its rows on their places."""
    feed = candidate.feed
    makes_ids = any(
        mapping.row_number or mapping.number_within or mapping.sum_over_key
        for entity in feed.entities
        for mapping in entity.columns.values()
    )
    return (
        candidate.size <= SMALL_BYTES
        and session.bronze.is_local
        and isinstance(session.engine, EngineForManyFiles)
        and feed.format == "csv"
        and feed.header
        and feed.same_name != "replace"
        and feed.drift != "freeze"
        and not makes_ids
        and not any(session.loader.lost_columns(load_contracts()[entity.entity]) for entity in feed.entities)
    )


def take_together(session: Session, candidates: Sequence[Candidate]) -> tuple[list[Loaded], list[Candidate]]:
    """Check and load small files of one feed.

    Returns:
        what was loaded, and the candidates that are to be taken by themselves.
    """
    work = Path(tempfile.mkdtemp(dir=session.work))
    loaded: list[Loaded] = []
    left: list[Candidate] = []
    try:
        with ExitStack() as stack:
            alike: dict[object, list[_Inspected]] = {}
            for candidate in candidates:
                found = _inspected(candidate, stack, work)
                if found is None:
                    left.append(candidate)
                else:
                    alike.setdefault(found.likeness, []).append(found)
            for files in alike.values():
                taken, rest = _take_halves(session, files, work)
                loaded.extend(taken)
                left.extend(file.candidate for file in rest)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return loaded, left


@dataclass(frozen=True)
class _Inspected:
    candidate: Candidate
    opened: OpenedObject
    facts: FileFacts

    @property
    def likeness(self) -> object:
        """What files must agree in to be read as one."""
        return self.facts.header, self.facts.delimiter_max, self.candidate.entry.judged_arrival


def _inspected(candidate: Candidate, stack: ExitStack, work: Path) -> _Inspected | None:
    """The file after its pre-flight; None where it must be taken by itself."""
    try:
        opened = stack.enter_context(candidate.store.open(candidate.item, work))
        facts = inspect_candidate(candidate, opened, work)
    except (ObjectNotReadyError, DataRejectedError):
        return None
    if facts.has_quoted_newline or facts.has_carriage_return or not facts.data_lines:
        return None
    return _Inspected(candidate, opened, facts)


def _take_halves(
    session: Session, files: Sequence[_Inspected], work: Path
) -> tuple[list[Loaded], list[_Inspected]]:
    """Take files together, and where one of them spoils it each half, so that it spoils it for few."""
    # Who was erased is taken out of each file's bronze before it is loaded.
    if len(files) < FEWEST_FILES or session.suppressor.listed:
        return [], list(files)
    done = _take_alike(session, files, work)
    if done is not None:
        return done, []
    middle = len(files) // 2
    first, left_of_first = _take_halves(session, files[:middle], work)
    second, left_of_second = _take_halves(session, files[middle:], work)
    return [*first, *second], [*left_of_first, *left_of_second]


def _take_alike(session: Session, files: Sequence[_Inspected], work: Path) -> list[Loaded] | None:
    """Validate, write to bronze and load; None where something was wrong with one of them."""
    started = time.perf_counter()
    engine, feed = session.engine, files[0].candidate.feed
    if not isinstance(engine, EngineForManyFiles):
        return None
    fingerprint = feed_fingerprint(feed)
    checked: list[tuple[list[ValidationRequest], CheckedTogether]] = []
    try:
        with WrittenTogether() as written:
            for number, feed_entity in enumerate(feed.entities):
                requests = [request_of(session, file.candidate, file.facts, feed_entity) for file in files]
                rows = work / f"together_{number}.parquet"
                checked.append((requests, engine.validate_together(requests, rows, written)))
            if any(
                is_over_threshold(feed, outcome) for _, together in checked for outcome in together.outcomes
            ):
                return None
            for file in files:
                file.opened.check_unchanged()
            batches = _batches(session, files, checked)
            for batch, records in batches:
                record = BatchRecord(batch.entry, records, feed.company, fingerprint)
                written.path(record_path(session.folder(batch.entry))).write_text(
                    record_text(record), encoding="utf-8"
                )
            written.finish()
        crash_point("record_written")
        with session.loader.transaction():
            session.loader.load_together([batch for batch, _ in batches], _rows(checked))
            session.loader.ledger.record_attempts(
                [batch.entry for batch, _ in batches],
                run_id=session.run_id,
                action="load",
                attempted_at=datetime.now(UTC),
                fingerprint=fingerprint,
            )
            crash_point("load_uncommitted")
        crash_point("file_loaded")
    except (
        ObjectNotReadyError,
        DataRejectedError,
        ReconciliationError,
        duckdb.Error,
        StatementError,
    ) as error:
        logger.info(
            "feed %s: %d files are taken one by one (%s)", feed.name, len(files), type(error).__name__
        )
        return None
    seconds = (time.perf_counter() - started) / len(files)
    return [
        Loaded(
            batch.entry,
            records,
            replace(result_of(batch.entry, [record.outcome for record in records]), seconds=seconds),
        )
        for batch, records in batches
    ]


def _batches(
    session: Session,
    files: Sequence[_Inspected],
    checked: Sequence[tuple[Sequence[ValidationRequest], CheckedTogether]],
) -> list[tuple[BatchLoad, tuple[EntityRecord, ...]]]:
    now = datetime.now(UTC)
    contracts = load_contracts()
    batches = []
    for index, file in enumerate(files):
        records = tuple(
            EntityRecord(
                requests[index].contract.entity,
                requests[index].lineage,
                with_file_notes(requests[index], together.outcomes[index]),
            )
            for requests, together in checked
        )
        entry = replace(
            checked_entry(session, file.candidate, records),
            status="loaded",
            rule=None,
            message=None,
            loaded_at=now,
        )
        loads = tuple(EntityLoad(contracts[record.entity], record.outcome) for record in records)
        batches.append((BatchLoad(entry, loads, loaded_at=now), records))
    return batches


def _rows(
    checked: Sequence[tuple[Sequence[ValidationRequest], CheckedTogether]],
) -> list[EntitiesTogether]:
    found = []
    for requests, together in checked:
        contract = requests[0].contract
        files = [
            (request.facts.path, before, request.lineage)
            for request, before in zip(requests, together.rows_before, strict=True)
        ]
        rows = RowsTogether.described(contract, together.rows, together.repeats, files)
        found.append(EntitiesTogether(contract, rows.accepted_rows(contract), rows.quarantine_rows()))
    return found
