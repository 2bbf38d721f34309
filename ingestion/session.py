"""What one call of the service works with, and the one way in which a delivery gets from bronze to the warehouse."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from ingestion.batch_record import BatchRecord, EntityRecord
from ingestion.bronze import (
    accepted_rows,
    checked_columns,
    next_checked_path,
    note_finished,
    note_unfinished,
    quarantine_rows,
    unfinished,
)
from ingestion.bronze_store import FolderBronze
from ingestion.contract import Contract, load_contracts
from ingestion.engines.base import Engine, EntityOutcome, ValidationRequest
from ingestion.feed import Feed
from ingestion.file_facts import FileFacts
from ingestion.ledger import REPLACED, LedgerEntry
from ingestion.loader import BatchLoad, EntityLoad, Loader, ReconciliationError
from ingestion.recheck import ALL_ROWS, RowSelection
from ingestion.report import BatchResult
from ingestion.results import failed_result, result_of, told
from ingestion.suppression import Suppressor
from ingestion.warehouses.base import StatementError
from settings.crash_points import crash_point
from settings.errors import DataRejectedError, NotFoundError
from settings.home import Home

# Changing these does not change what a file's rows become, so it is no reason to try a rejected file again.
SETTINGS_BESIDE_CONTENT = {"source_path", "location", "table", "glob", "required", "allow_empty"}


@dataclass
class Session:
    """One engine and one loader, open for the length of a call."""

    home: Home
    work: Path
    engine: Engine
    loader: Loader
    bronze: FolderBronze
    run_id: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def suppressor(self) -> Suppressor:
        """Who asked to be forgotten."""
        return Suppressor(self.home, self.bronze)

    def without_erased(self, request: ValidationRequest, outcome: EntityOutcome) -> EntityRecord:
        """What was checked of an entity, without what is personal of customers who were erased."""
        contract = request.contract
        suppressed = self.suppressor.suppress(contract, outcome, outcome.checked_path)
        return EntityRecord(contract.entity, request.lineage, suppressed or outcome)

    def close(self) -> None:
        """Give back what the session itself holds."""
        if "suppressor" in self.__dict__:
            self.suppressor.close()

    def folder(self, entry: LedgerEntry) -> Path:
        """Where bronze keeps this delivery. Made of the feed's name and the batch id, never of the file's name."""
        return self.home.bronze / entry.feed / entry.batch_id

    def record_attempt(self, entry: LedgerEntry, action: str, fingerprint: str) -> None:
        self.loader.ledger.record_attempt(
            entry,
            run_id=self.run_id,
            action=action,
            attempted_at=datetime.now(UTC),
            fingerprint=fingerprint,
        )

    def rewrite_record(self, entry: LedgerEntry) -> None:
        """Let bronze know the delivery's new state; a delivery without bronze has none to keep."""
        folder = self.folder(entry)
        if self.bronze.has_record(folder):
            self.bronze.note(folder, replace(self.bronze.read_record(folder), entry=entry))

    def mend_records(self) -> None:
        """Tell bronze of deliveries that were taken back by a run that was killed before it could.

        A rebuild from bronze would bring their rows back.
        """
        for entry in self.loader.ledger.entries(status="withdrawn"):
            try:
                is_known = self.bronze.recall(self.folder(entry)).entry.status == entry.status
            except DataRejectedError:
                continue  # there is no record, or a damaged one, which a reload reports
            if not is_known:
                self.rewrite_record(entry)

    def columns_of(self, entry: LedgerEntry) -> tuple[str, ...]:
        """Columns of a delivery's file as bronze remembers them; empty where it does not."""
        try:
            entities = self.bronze.recall(self.folder(entry)).entities
        except DataRejectedError:
            return ()
        return entities[0].outcome.columns if entities else ()

    def stale(
        self, feed: Feed | None, entries: Sequence[LedgerEntry], incoming: LedgerEntry | None
    ) -> list[LedgerEntry]:
        """Deliveries of a `replace` feed whose content no name stands for any more.

        A content stays as long as one of the names that delivered it has not delivered anything else since.

        Args:
            entries: all of the feed.
            incoming: the delivery that is about to be loaded; it is stale itself when its name has moved on.
        """
        if feed is None or feed.same_name != "replace":
            return []
        current: dict[str, str] = {}
        for entry in sorted(entries, key=lambda entry: (entry.first_seen_at, entry.load_sequence or 0)):
            is_incoming = incoming is not None and entry.batch_id == incoming.batch_id
            if is_incoming or entry.status in {"loaded", "duplicate", "withdrawn"}:
                current[entry.object_name] = entry.content_sha256
        held = set(current.values())
        return [
            entry
            for entry in entries
            if entry.content_sha256 not in held
            and (entry.status == "loaded" or (incoming is not None and entry.batch_id == incoming.batch_id))
        ]

    def _entity_load(self, contract: Contract, entity: EntityRecord) -> EntityLoad:
        checked = entity.outcome.checked_path
        kept = self.loader.lost_columns(contract)
        present = checked_columns(checked) if kept else {}
        lost = [(name, kind) for name, kind in present.items() if name in kept]
        return EntityLoad(
            contract=contract,
            outcome=entity.outcome,
            accepted=accepted_rows(contract, checked, entity.lineage, [name for name, _ in lost]),
            quarantined=quarantine_rows(contract, checked, entity.lineage),
            lost=tuple(lost),
        )

    def load(
        self,
        entry: LedgerEntry,
        entities: Sequence[EntityRecord],
        stale: Sequence[LedgerEntry],
        *,
        action: str,
        fingerprint: str,
    ) -> None:
        """Commit a validated delivery; stale ones go in the same transaction."""
        contracts = load_contracts()
        batch = BatchLoad(
            entry=entry,
            entities=tuple(self._entity_load(contracts[entity.entity], entity) for entity in entities),
            loaded_at=entry.loaded_at or datetime.now(UTC),
            replaced=tuple(replaced_by(former, entry) for former in stale),
            is_repeat=action != "load",
        )
        with self.loader.transaction():
            self.loader.load(batch)
            crash_point("load_uncommitted")
            self.record_attempt(entry, action, fingerprint)
            for former in batch.replaced:
                self.record_attempt(former, "replace", fingerprint)
        for former in batch.replaced:
            crash_point("replacement_committed")
            self.rewrite_record(former)
        crash_point("file_loaded")

    def load_from_bronze(
        self,
        entry: LedgerEntry,
        stale: Sequence[LedgerEntry],
        *,
        action: str,
        feed: Feed | None = None,
        only: RowSelection = ALL_ROWS,
    ) -> BatchResult:
        """Load what bronze holds of a delivery.

        Args:
            entry: the delivery.
            stale: deliveries that go in the same transaction.
            action: as the attempt is recorded.
            feed: the feed as it is today: rows in quarantine that an earlier definition, or an earlier contract,
                has turned away are judged by it. None to load all rows as they are.
            only: the rows in quarantine that may be judged anew.
        """
        started = time.perf_counter()
        folder = self.folder(entry)
        former = self.bronze.read_record(folder)
        try:
            self.bronze.fetch(folder, former)
            result = self._load_fetched(former, entry, stale, action=action, feed=feed, only=only)
        finally:
            self.bronze.release(folder)
        return replace(result, seconds=time.perf_counter() - started)

    def _load_fetched(
        self,
        former: BatchRecord,
        entry: LedgerEntry,
        stale: Sequence[LedgerEntry],
        *,
        action: str,
        feed: Feed | None,
        only: RowSelection,
    ) -> BatchResult:
        """`load_from_bronze`, once the files that the record names lie here."""
        folder = self.folder(entry)
        record, message = self._judged_again(former, feed, only)
        is_changed = record.entities != former.entities
        loaded = replace(
            entry,
            status="loaded",
            rule=None,
            message=None,
            run_id=self.run_id,
            rows_read=rows_of_file([entity.outcome for entity in record.entities]),
            loaded_at=datetime.now(UTC),
            # A run that broke off has left these out of the ledger; a withdrawal finds the rows by them.
            engine=entry.engine or record.entry.engine,
            # What bronze says now counts: its files may have been written anew since the loading.
            contract_version=record.entry.contract_version or entry.contract_version,
            bronze_paths=record.entry.bronze_paths or entry.bronze_paths,
        )
        if is_changed:
            note_unfinished(self.home, entry.batch_id)
            self.bronze.keep(folder, replace(record, entry=loaded))
        else:
            self.bronze.note(folder, replace(record, entry=loaded))
        fingerprint = feed_fingerprint(feed) if feed is not None and action != "reload" else ""
        self.load(loaded, record.entities, stale, action=action, fingerprint=fingerprint)
        if is_changed:
            self.settle(entry)
        outcomes = [entity.outcome for entity in record.entities]
        result = result_of(loaded, outcomes, message=message)
        bad_before = sum(entity.outcome.rows_quarantined for entity in former.entities)
        return replace(result, rows_released=bad_before - result.rows_quarantined)

    def _judged_again(
        self, record: BatchRecord, feed: Feed | None, only: RowSelection
    ) -> tuple[BatchRecord, str | None]:
        """The record after rows in quarantine were judged by the feed and the contracts of today, and why not."""
        if feed is None or not record.entities:
            return record, None
        fingerprint = feed_fingerprint(feed)
        if record.fingerprint == fingerprint and not only.is_narrow:
            return record, None
        entities: list[EntityRecord] = []
        reasons: list[str] = []
        for entity in record.entities:
            judged = entity
            try:
                judged = self._entity_judged_again(record.entry, entity, feed, only)
            except DataRejectedError as error:
                reasons.append(told(error))
            entities.append(judged)
        whole = not only.is_narrow and not reasons
        if tuple(entities) != record.entities:
            versions = sorted({entity.lineage.contract_version for entity in entities})
            paths = {
                entity.entity: str(entity.outcome.checked_path.relative_to(self.home.bronze))
                for entity in entities
            }
            entry = replace(record.entry, contract_version=",".join(versions), bronze_paths=paths)
            record = replace(record, entry=entry, entities=tuple(entities))
        record = replace(record, fingerprint=fingerprint if whole else record.fingerprint)
        message = f"its rows in quarantine stay there: {'; '.join(reasons)}" if reasons else None
        return record, message

    def _entity_judged_again(
        self, entry: LedgerEntry, entity: EntityRecord, feed: Feed, only: RowSelection
    ) -> EntityRecord:
        """One entity of a delivery under the definitions of today; itself where no row is looked at.

        Raises:
            DataRejectedError: when its rows cannot be judged without the file.
        """
        feed_entity = next((item for item in feed.entities if item.entity == entity.entity), None)
        contract = load_contracts()[entity.entity]
        former = entity.outcome.checked_path
        present = checked_columns(former)
        gained = any(column.output_name not in present for column in contract.columns)
        if feed_entity is None or not (entity.outcome.rows_quarantined or gained):
            return entity
        lineage = replace(entity.lineage, contract_version=contract.version)
        facts = FileFacts(
            path=former,
            object_name=lineage.source_file,
            content_sha256=lineage.file_sha256,
            size_bytes=entry.size_bytes,
            modified_at=entry.modified_at,
            delivered_at=entry.delivered_at,
        )
        checked = next_checked_path(former, entity.entity)
        request = ValidationRequest(facts, feed, feed_entity, contract, lineage, checked)
        # Bronze is parquet, whichever engine wrote it, and the rows in quarantine are few.
        from ingestion.engines.duckdb import DuckDBEngine

        with closing(DuckDBEngine(self.work / "recheck")) as judge:
            outcome = judge.recheck(request, former, entity.outcome.columns, only)
        return entity if outcome is None else replace(entity, lineage=lineage, outcome=outcome)

    def finish_replays(self) -> list[BatchResult]:
        """Load deliveries whose bronze was written anew by a run that was killed before it could load them."""
        waiting = set(unfinished(self.home))
        if not waiting:
            return []
        results: list[BatchResult] = []
        for entry in self.loader.ledger.entries():
            if entry.batch_id not in waiting:
                continue
            if entry.status == "loaded":
                results.append(self.replay(entry))
                if results[-1].status == "failed":
                    continue
            self.settle(entry)
        return results

    def settle(self, entry: LedgerEntry) -> None:
        """Bronze and warehouse say the same of a delivery: forget what stood there before."""
        folder = self.folder(entry)
        record = self.bronze.read_record(folder)
        self.bronze.keep_only(folder, [entity.outcome.checked_path for entity in record.entities])
        note_finished(self.home, entry.batch_id)

    def replay(
        self,
        entry: LedgerEntry,
        feed: Feed | None = None,
        only: RowSelection = ALL_ROWS,
        *,
        stale: Sequence[LedgerEntry] = (),
        action: str = "reload",
    ) -> BatchResult:
        """Load a delivery from bronze; a damaged copy costs only this delivery, which stays as it is.

        Args: as `load_from_bronze` takes them.
        """
        try:
            return self.load_from_bronze(entry, stale, action=action, feed=feed, only=only)
        except (DataRejectedError, NotFoundError, ReconciliationError) as error:
            return result_of(entry, (), status="failed", rule=error.rule, message=told(error))
        except (
            duckdb.Error,
            StatementError,
            ValueError,
        ) as error:  # a damaged parquet is a ValueError to Arrow
            return failed_result(entry, error, "reading its bronze copy")

    def restore_entries(self) -> list[BatchResult]:
        """Give the ledger back what only bronze remembers. Returns the deliveries whose record is damaged.

        What was loaded is pending until it is replayed: a ledger that says `loaded` of rows that are not there
        would keep every later run from loading them.
        """
        ledger = self.loader.ledger
        known = {entry.batch_id for entry in ledger.entries()}
        restored, damaged = list[LedgerEntry](), list[BatchResult]()
        for folder in self.bronze.folders():
            if folder.name in known:
                continue
            try:
                entry = self.bronze.read_record(folder).entry
            except DataRejectedError as error:
                message = told(error)
                damaged.append(
                    BatchResult(folder.name, folder.parent.name, "", "failed", error.rule, message)
                )
                continue
            is_loaded = entry.status == "loaded"
            restored.append(replace(entry, status="pending", loaded_at=None) if is_loaded else entry)
        if restored:
            with self.loader.transaction():
                ledger.insert(restored)
        return damaged

    def can_be_replayed(self, entry: LedgerEntry) -> bool:
        """Whether a reload loads this delivery: it is loaded, or was and bronze alone knows."""
        if entry.status == "loaded":
            return True
        try:
            return (
                entry.status == "pending"
                and self.bronze.read_record(self.folder(entry)).entry.status == "loaded"
            )
        except DataRejectedError:
            return False  # bronze has no record of it, or a damaged one


def feed_fingerprint(feed: Feed) -> str:
    """A hash over all that decides what a file's rows become: mapping, formats, contracts."""
    contracts = load_contracts()
    content = {
        "feed": feed.model_dump(mode="json", exclude=SETTINGS_BESIDE_CONTENT),
        "contracts": [contracts[entity.entity].version for entity in feed.entities],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def rows_of_file(outcomes: Sequence[EntityOutcome]) -> int:
    """Data rows of a file; each of its entities reads all of them."""
    return max((outcome.rows_read for outcome in outcomes), default=0)


def replaced_by(former: LedgerEntry, newer: LedgerEntry) -> LedgerEntry:
    """The entry of a delivery that a newer file of the same name takes back."""
    return replace(
        former,
        status="withdrawn",
        rule=REPLACED,
        message=f"replaced by batch {newer.batch_id}",
        loaded_at=None,
    )
