"""The ingestion service: what lies in the landing folders and is not in the ledger goes into the warehouse.

The order of things is what makes a crash harmless. New deliveries get their numbers and their `pending` entries
in one transaction before any work; a file's rows, quarantine, counts and final entry commit together; bronze is
complete on disk before that. So whatever breaks off leaves either a `pending` entry, which the next run takes up
under its number, or a delivery that is done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from ingestion.batch_record import RECORD_NAME, BatchRecord, EntityRecord, read_record, write_record
from ingestion.bronze import accepted_rows, checked_path, quarantine_rows
from ingestion.contract import load_contracts
from ingestion.engines import make_engine
from ingestion.engines.base import Engine, EntityOutcome, Lineage, ValidationRequest
from ingestion.feed import Feed
from ingestion.landing import LandingObject, LandingStore, Listing, ObjectNotReadyError, open_store
from ingestion.ledger import REPLACED, Arrival, LedgerEntry, make_batch_id, number_arrivals
from ingestion.loader import BatchLoad, EntityLoad, Loader, ReconciliationError, open_loader
from ingestion.preflight import ManifestFacts, content_digest, inspect_file, read_manifest
from ingestion.report import BatchResult, IngestionReport, ResultStatus, WaitingFile, summarise
from settings.errors import ConfigurationError, DataRejectedError, NotFoundError, TillhouseError
from settings.home import Home

logger = logging.getLogger(__name__)

WORK_FOLDER = "work"
MANIFEST_LIMIT_BYTES = 1 << 20
THRESHOLD_RULE = "quarantine_threshold"
# Changing these does not change what a file's rows become, so it is no reason to try a rejected file again.
SETTINGS_BESIDE_CONTENT = {"source_path", "location", "glob", "required", "allow_empty"}


class IngestionService:
    """Loads the deliveries of some feeds into one warehouse.

    The caller holds the writer's lock of the home folder. Each method opens the warehouse and lets go of it
    before it returns.

    Args:
        home: where bronze and the warehouse are.
        feeds: the feeds that `ingest` looks at.
        engine: name of the validation engine.
        target: name of the warehouse's target.

    Raises:
        ConfigurationError: for an unknown engine or target, or a location that cannot be read.
    """

    def __init__(
        self, home: Home, feeds: Sequence[Feed], *, engine: str = "duckdb", target: str = "duckdb"
    ) -> None:
        self._home = home
        self._feeds = tuple(feeds)
        self._engine = engine
        self._target = target
        self._stores = {feed.name: open_store(feed.location, home) for feed in feeds}

    def ingest(self, run_id: str) -> IngestionReport:
        """Load every new file. What is wrong with one file stays with that file.

        Raises:
            ConfigurationError: when no feed's folder can be read.
            BusyError: when another process has the warehouse open.
        """
        with self._session(run_id) as session:
            return _Ingestion(session, self._feeds, self._stores).run()

    def accept(self, batch_id: str, run_id: str) -> BatchResult:
        """Load a delivery that was rejected for its bad rows, or withdrawn, from its bronze copy.

        Raises:
            NotFoundError: when there is no such batch.
            DataRejectedError: when there is nothing of it that could be loaded.
        """
        with self._session(run_id) as session:
            entry = session.loader.ledger.entry(batch_id)
            if entry.status == "loaded":
                return _result(entry, (), message="it is loaded already")
            if entry.status == "duplicate":
                raise DataRejectedError(
                    f"batch {batch_id} repeats batch {entry.duplicate_of}",
                    remedy=f"use `tillhouse accept {entry.duplicate_of}`",
                    rule="duplicate",
                )
            if not entry.bronze_paths:
                raise DataRejectedError(
                    f"feed {entry.feed}, file {entry.object_name!r}: the file as a whole was refused"
                    f" ({entry.message}), so there are no rows to accept",
                    remedy="deliver a correct file, or correct the feed file and run again",
                    rule=entry.rule or "",
                )
            stale = session.stale(self._feed(entry.feed), session.loader.ledger.entries(entry.feed), entry)
            if entry.batch_id in {other.batch_id for other in stale}:
                raise DataRejectedError(
                    f"feed {entry.feed}: a newer file named {entry.object_name!r} has replaced this one",
                    remedy="withdraw the newer batch first",
                    rule=REPLACED,
                )
            return session.load_from_bronze(
                entry, stale, action="accept", fingerprint=self._fingerprint(entry.feed)
            )

    def withdraw(self, batch_id: str, run_id: str) -> BatchResult:
        """Take a delivery back: its rows and quarantine go, its number and its bronze copy stay.

        The next run does not load it again, unless the feed's mapping has changed between its loading and now.

        Raises:
            NotFoundError: when there is no such batch.
            DataRejectedError: when the batch only repeats another one.
        """
        with self._session(run_id) as session:
            entry = session.loader.ledger.entry(batch_id)
            if entry.status == "duplicate":
                raise DataRejectedError(
                    f"batch {batch_id} repeats batch {entry.duplicate_of} and has no rows of its own",
                    remedy=f"use `tillhouse withdraw {entry.duplicate_of}`",
                    rule="duplicate",
                )
            if entry.status == "withdrawn":
                return _result(entry, (), message="it was withdrawn before")
            withdrawn = replace(
                entry,
                status="withdrawn",
                rule="withdrawn",
                message="withdrawn by hand",
                run_id=run_id,
                loaded_at=None,
            )
            with session.loader.transaction():
                session.loader.withdraw(withdrawn)
                session.record_attempt(withdrawn, "withdraw", self._fingerprint(entry.feed))
            session.rewrite_record(withdrawn)
            return _result(withdrawn, ())

    def reload(self, run_id: str, *, feed: str | None = None, batch_id: str | None = None) -> IngestionReport:
        """Replay loaded deliveries from bronze, in the order of their numbers, each in one transaction.

        Deliveries that bronze knows and the ledger does not (a lost warehouse) come back under their numbers.

        Raises:
            NotFoundError: when the feed or the batch is unknown.
            DataRejectedError: when the batch is not loaded.
        """
        with self._session(run_id) as session:
            session.restore_entries()
            ledger = session.loader.ledger
            if batch_id is not None:
                entries = [ledger.entry(batch_id)]
                if entries[0].status != "loaded":
                    raise DataRejectedError(
                        f"batch {batch_id} is {entries[0].status}, so there is nothing to replay",
                        remedy=f"`tillhouse accept {batch_id}` loads it",
                        rule="not_loaded",
                    )
            else:
                known = ledger.entries(feed)
                if feed is not None and not known:
                    raise NotFoundError(
                        f"no delivery of a feed {feed!r} was ever seen",
                        remedy="`tillhouse status` lists the feeds that have delivered",
                        rule="feed",
                    )
                entries = [entry for entry in known if entry.status == "loaded"]
            results = [session.replay(entry) for entry in entries]
        return summarise(
            results,
            files_seen=len(entries),
            files_duplicate=0,
            blocking=[result for result in results if result.status == "failed"],
        )

    def _feed(self, name: str) -> Feed | None:
        return next((feed for feed in self._feeds if feed.name == name), None)

    def _fingerprint(self, name: str) -> str:
        feed = self._feed(name)
        return feed_fingerprint(feed) if feed else ""

    @contextmanager
    def _session(self, run_id: str) -> Iterator[_Session]:
        home = self._home.ensure()
        work = home.root / WORK_FOLDER
        # Left by a run that was killed; it may hold decompressed personal data.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        loader = open_loader(self._target, home)
        try:
            yield _Session(home, work, make_engine(self._engine, home), loader, run_id)
        finally:
            loader.close()
            shutil.rmtree(work, ignore_errors=True)


def feed_fingerprint(feed: Feed) -> str:
    """A hash over all that decides what a file's rows become: mapping, formats, contracts."""
    contracts = load_contracts()
    content = {
        "feed": feed.model_dump(mode="json", exclude=SETTINGS_BESIDE_CONTENT),
        "contracts": [contracts[entity.entity].version for entity in feed.entities],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]


@dataclass
class _Session:
    """One engine and one loader, open for the length of a call."""

    home: Home
    work: Path
    engine: Engine
    loader: Loader
    run_id: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

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
        if (folder / RECORD_NAME).exists():
            write_record(folder, replace(read_record(folder), entry=entry))

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
            entities=tuple(
                EntityLoad(
                    contract=contracts[entity.entity],
                    outcome=entity.outcome,
                    accepted=accepted_rows(
                        contracts[entity.entity], entity.outcome.checked_path, entity.lineage
                    ),
                    quarantined=quarantine_rows(
                        contracts[entity.entity], entity.outcome.checked_path, entity.lineage
                    ),
                )
                for entity in entities
            ),
            loaded_at=entry.loaded_at or datetime.now(UTC),
            replaced=tuple(replaced_by(former, entry) for former in stale),
            is_repeat=action != "load",
        )
        with self.loader.transaction():
            self.loader.load(batch)
            self.record_attempt(entry, action, fingerprint)
            for former in batch.replaced:
                self.record_attempt(former, "replace", fingerprint)
        for former in batch.replaced:
            self.rewrite_record(former)

    def load_from_bronze(
        self, entry: LedgerEntry, stale: Sequence[LedgerEntry], *, action: str, fingerprint: str
    ) -> BatchResult:
        """Load what bronze holds of a delivery."""
        started = time.perf_counter()
        folder = self.folder(entry)
        record = read_record(folder)
        loaded = replace(
            entry,
            status="loaded",
            rule=None,
            message=None,
            run_id=self.run_id,
            rows_read=rows_of_file([entity.outcome for entity in record.entities]),
            loaded_at=datetime.now(UTC),
        )
        write_record(folder, replace(record, entry=loaded))
        self.load(loaded, record.entities, stale, action=action, fingerprint=fingerprint)
        return _result(
            loaded,
            [entity.outcome for entity in record.entities],
            seconds=time.perf_counter() - started,
        )

    def replay(self, entry: LedgerEntry) -> BatchResult:
        """Load a delivery again; a damaged bronze copy costs only this delivery, which stays as it is."""
        try:
            return self.load_from_bronze(entry, (), action="reload", fingerprint="")
        except (DataRejectedError, NotFoundError, ReconciliationError) as error:
            return _result(entry, (), status="failed", rule=error.rule, message=_told(error))
        except (duckdb.Error, ValueError) as error:  # a damaged parquet is a ValueError to Arrow
            return _failed(entry, error, "reading its bronze copy")

    def restore_entries(self) -> None:
        """Give the ledger back what only bronze remembers."""
        ledger = self.loader.ledger
        known = {entry.batch_id for entry in ledger.entries()}
        lost = [
            read_record(path.parent).entry
            for path in sorted(self.home.bronze.glob(f"*/*/{RECORD_NAME}"))
            if path.parent.name not in known
        ]
        if lost:
            with self.loader.transaction():
                ledger.insert(lost)


@dataclass(frozen=True)
class _Candidate:
    """A delivery to work on. `former` is its entry before this run, when it has been tried before."""

    feed: Feed
    store: LandingStore
    item: LandingObject
    entry: LedgerEntry
    manifest: ManifestFacts | None
    former: LedgerEntry | None = None


class _Ingestion:
    """One call of `ingest`."""

    def __init__(self, session: _Session, feeds: Sequence[Feed], stores: dict[str, LandingStore]) -> None:
        self._session = session
        self._ledger = session.loader.ledger
        self._feeds = feeds
        self._stores = stores
        self._files_seen = 0
        self._files_duplicate = 0
        self._results: list[BatchResult] = []
        self._waiting: list[WaitingFile] = []
        self._warnings: list[str] = []
        self._unreadable: dict[str, ConfigurationError] = {}
        known = [entry.first_seen_at for entry in self._ledger.entries()]
        # A clock that was set back must not make a new delivery look older than one that is known.
        self._seen_at = max([session.started_at, *known])

    def run(self) -> IngestionReport:
        candidates = self._discover_all()
        for feed in self._feeds:
            of_feed = [candidate for candidate in candidates if candidate.feed is feed]
            for candidate in sorted(of_feed, key=lambda candidate: candidate.entry.order):
                self._results.append(self._take(candidate))
            self._withdraw_stale(feed)
        return summarise(
            [result for result in self._results if result.status != "waiting"],
            files_seen=self._files_seen,
            files_duplicate=self._files_duplicate,
            blocking=[*self._failed(), *self._incomplete_feeds()],
            waiting=self._waiting,
            warnings=self._warnings,
        )

    # ------------------------------------------------------------------ finding

    def _discover_all(self) -> list[_Candidate]:
        """Look through every feed, and write what is new to the ledger in one transaction."""
        found = [
            _Discovery(self._session, feed, self._stores[feed.name], self._seen_at) for feed in self._feeds
        ]
        for discovery in found:
            try:
                discovery.run()
            except ConfigurationError as error:
                self._unreadable[discovery.feed.name] = error
                self._warnings.append(f"feed {discovery.feed.name}: {error}")
                logger.warning("feed %s: %s", discovery.feed.name, error)
        if self._feeds and len(self._unreadable) == len(self._feeds):
            raise next(iter(self._unreadable.values()))
        with self._session.loader.transaction():
            for discovery in found:
                discovery.write()
        for discovery in found:
            self._files_seen += discovery.files_seen
            self._files_duplicate += discovery.files_known
            self._waiting.extend(discovery.waiting)
            self._results.extend(discovery.results)
        return [candidate for discovery in found for candidate in discovery.candidates]

    # ------------------------------------------------------------------ one file

    def _take(self, candidate: _Candidate) -> BatchResult:
        """Check and load one file, or say why not. Only faults of the machine leave this method as errors."""
        started = time.perf_counter()
        entry, feed = candidate.entry, candidate.feed
        try:
            entities = self._check(candidate)
            result = self._load_or_reject(candidate, entities)
        except ObjectNotReadyError as error:
            self._put_off(candidate, error.reason)
            result = _result(entry, (), status="waiting")
        except DataRejectedError as error:
            result = self._reject(candidate, error.rule, _told(error))
        except ReconciliationError as error:
            result = _result(entry, (), status="failed", rule=error.rule, message=_told(error))
        except duckdb.Error as error:
            result = _failed(entry, error, "loading it")
        logger.info("feed %s, file %r: %s", feed.name, entry.object_name, result.status)
        return replace(result, seconds=time.perf_counter() - started)

    def _check(self, candidate: _Candidate) -> tuple[EntityRecord, ...]:
        """Pre-flight and validation: after this, bronze holds the whole file."""
        session, entry, feed = self._session, candidate.entry, candidate.feed
        contracts = load_contracts()
        # The arrival that was recorded first counts, whatever has touched the file since.
        item = replace(candidate.item, modified_at=entry.modified_at)
        work = Path(tempfile.mkdtemp(dir=session.work))
        try:
            with candidate.store.open(candidate.item, work) as opened:
                facts = inspect_file(
                    opened.stream,
                    opened.path,
                    feed,
                    replace(item, name=entry.object_name),
                    work=work,
                    delivered_at=entry.delivered_at,
                    manifest=candidate.manifest,
                )
                if facts.content_sha256 != entry.content_sha256:
                    raise ObjectNotReadyError(entry.object_name, "changed between two readings")
                records = []
                for feed_entity in feed.entities:
                    contract = contracts[feed_entity.entity]
                    lineage = Lineage(
                        feed=feed.name,
                        business_timezone=feed.business_timezone,
                        batch_id=entry.batch_id,
                        load_sequence=entry.load_sequence or 0,
                        source_file=entry.object_name,
                        file_sha256=entry.content_sha256,
                        ingested_at=session.started_at,
                        contract_version=contract.version,
                        delivery_mode=feed.delivery_mode,
                        arrived_at=entry.arrived_at,
                        run_id=session.run_id,
                    )
                    path = checked_path(session.home, feed.name, entry.batch_id, contract.entity)
                    outcome = session.engine.validate(
                        ValidationRequest(facts, feed, feed_entity, contract, lineage, path)
                    )
                    records.append(EntityRecord(contract.entity, lineage, outcome))
                opened.check_unchanged()
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return tuple(records)

    def _load_or_reject(self, candidate: _Candidate, entities: tuple[EntityRecord, ...]) -> BatchResult:
        session, feed = self._session, candidate.feed
        outcomes = [entity.outcome for entity in entities]
        contracts = load_contracts()
        checked = replace(
            candidate.entry,
            rows_read=rows_of_file(outcomes),
            run_id=session.run_id,
            engine=session.engine.name,
            contract_version=",".join(sorted({contracts[entity.entity].version for entity in entities})),
            bronze_paths={
                entity.entity: str(entity.outcome.checked_path.relative_to(session.home.bronze))
                for entity in entities
            },
        )
        over = [entity for entity in entities if is_over_threshold(feed, entity.outcome)]
        if over:
            message = "; ".join(self._threshold_message(feed, entity) for entity in over)
            rejected = replace(checked, status="rejected", rule=THRESHOLD_RULE, message=message)
            write_record(session.folder(rejected), BatchRecord(rejected, entities))
            return self._reject(replace(candidate, entry=checked), THRESHOLD_RULE, message, outcomes)
        loaded = replace(checked, status="loaded", rule=None, message=None, loaded_at=datetime.now(UTC))
        stale = session.stale(feed, self._ledger.entries(feed.name), loaded)
        write_record(session.folder(loaded), BatchRecord(loaded, entities))
        session.load(
            loaded,
            entities,
            [former for former in stale if former.batch_id != loaded.batch_id],
            action="load",
            fingerprint=feed_fingerprint(feed),
        )
        self._warn_of(feed, loaded, entities)
        return _result(loaded, outcomes)

    def _warn_of(self, feed: Feed, entry: LedgerEntry, entities: Sequence[EntityRecord]) -> None:
        where = f"feed {feed.name}, file {entry.object_name!r}"
        for entity in entities:
            outcome = entity.outcome
            if not outcome.rows_read and not feed.allow_empty:
                self._warnings.append(f"{where}: {entity.entity} has no rows")
            if outcome.rows_conflicting:
                self._warnings.append(
                    f"{where}: {outcome.rows_conflicting} rows of {entity.entity} contradict an earlier row of the"
                    " file with the same key; the later row wins"
                )
            if outcome.notes.get("unmapped_word"):
                self._warnings.append(
                    f"{where}: {outcome.notes['unmapped_word']} rows of {entity.entity} hold a word that the feed does"
                    " not map; the audit fails until it does"
                )

    def _threshold_message(self, feed: Feed, entity: EntityRecord) -> str:
        outcome, threshold = entity.outcome, feed.quarantine_threshold
        statement = quarantine_rows(load_contracts()[entity.entity], outcome.checked_path, entity.lineage)
        with duckdb.connect() as connection:
            rules = connection.execute(
                f"select rule, column_name, count(*) from ({statement.sql})"
                " group by all order by count(*) desc, rule, column_name limit 3",
                dict(statement.parameters),
            ).fetchall()
        most = ", ".join(f"{column or 'row'}: {rule} ({count})" for rule, column, count in rules)
        return (
            f"{outcome.rows_quarantined} of {outcome.rows_read} rows of {entity.entity} are bad, more than"
            f" {threshold.share:.2%} and {threshold.rows} rows; most often {most}. What to do: correct the feed file"
            f" and run again, or take the file as it is with `tillhouse accept {entity.lineage.batch_id}`"
        )

    def _reject(
        self, candidate: _Candidate, rule: str, message: str, outcomes: Sequence[EntityOutcome] = ()
    ) -> BatchResult:
        session = self._session
        rejected = replace(
            candidate.entry,
            status="rejected",
            rule=rule,
            message=message,
            run_id=session.run_id,
            loaded_at=None,
        )
        with session.loader.transaction():
            session.loader.reject(rejected, ingested_at=session.started_at)
            session.record_attempt(rejected, "load", feed_fingerprint(candidate.feed))
        if not rejected.bronze_paths:
            shutil.rmtree(session.folder(rejected), ignore_errors=True)
        logger.warning(
            "feed %s, file %r: rejected [%s]: %s", rejected.feed, rejected.object_name, rule, message
        )
        return _result(rejected, outcomes)

    def _put_off(self, candidate: _Candidate, reason: str) -> None:
        """Leave a file that is not ready, as if it had not been seen; what it was before stays true."""
        self._waiting.append(WaitingFile(candidate.feed.name, candidate.entry.object_name, reason))
        with self._session.loader.transaction():
            if candidate.former is None:
                self._ledger.delete(candidate.entry.batch_id)
            else:
                self._ledger.update(candidate.former)

    def _withdraw_stale(self, feed: Feed) -> None:
        """Take back what no name of a `replace` feed stands for, where nothing new was loaded in its place."""
        session = self._session
        entries = self._ledger.entries(feed.name)
        for former in session.stale(feed, entries, None):
            newest = max(
                (entry for entry in entries if entry.object_name == former.object_name),
                key=lambda entry: entry.first_seen_at,
            )
            withdrawn = replaced_by(former, newest)
            with session.loader.transaction():
                session.loader.withdraw(withdrawn)
                session.record_attempt(withdrawn, "replace", feed_fingerprint(feed))
            session.rewrite_record(withdrawn)

    # ------------------------------------------------------------------ completeness

    def _failed(self) -> list[BatchResult]:
        return [result for result in self._results if result.status == "failed"]

    def _incomplete_feeds(self) -> list[BatchResult]:
        newest_days: dict[str, date] = {}
        entries = {feed.name: self._ledger.entries(feed.name) for feed in self._feeds}
        for feed in self._feeds:
            days = [day for entry in entries[feed.name] if (day := delivery_date(feed, entry))]
            if days:
                newest_days[feed.company] = max([*days, newest_days.get(feed.company, date.min)])
        blocking = []
        for feed in self._feeds:
            if feed.required:
                result = incomplete(feed, entries[feed.name], newest_days.get(feed.company))
                if result:
                    blocking.append(result)
        return blocking


class _Discovery:
    """What one feed's folder holds, compared with the ledger."""

    def __init__(self, session: _Session, feed: Feed, store: LandingStore, seen_at: datetime) -> None:
        self._session = session
        self._ledger = session.loader.ledger
        self.feed = feed
        self._store = store
        self._seen_at = seen_at
        self._known = self._ledger.entries(feed.name)
        self._retry = self._ledger.to_try_again(feed.name, feed_fingerprint(feed))
        self._new: list[LedgerEntry] = []
        self._changed: list[LedgerEntry] = []
        self._rejected: list[LedgerEntry] = []
        self.candidates: list[_Candidate] = []
        self.files_seen = 0
        self.files_known = 0
        self.waiting: list[WaitingFile] = []
        self.results: list[BatchResult] = []

    def run(self) -> None:
        """Compare; nothing is written yet."""
        listing = self._list()
        self.waiting.extend(WaitingFile(self.feed.name, item.name, item.reason) for item in listing.skipped)
        manifest = self.feed.manifest
        items = [
            item for item in listing.objects if manifest is None or not item.name.endswith(manifest.suffix)
        ]
        self.files_seen = len(items)
        contents: list[tuple[LandingObject, str]] = []
        for item in items:
            try:
                contents.append((item, self._digest(item)))
            except ObjectNotReadyError as error:
                self.waiting.append(WaitingFile(self.feed.name, item.name, error.reason))
        present = {(item.name, digest) for item, digest in contents}
        arrivals: list[_Candidate] = []
        for item, digest in contents:
            self._place(item, digest, present, arrivals)
        self._number(arrivals)
        self._report_lost(present)

    def write(self) -> None:
        """Write new and changed entries, inside the caller's transaction."""
        self._ledger.insert(self._new)
        for entry in self._changed:
            self._ledger.update(entry)
        for entry in self._rejected:
            self._session.loader.reject(entry, ingested_at=self._session.started_at)
            self._session.record_attempt(entry, "load", feed_fingerprint(self.feed))

    def _list(self) -> Listing:
        folder = self.feed.local_folder()
        if folder is not None and not folder.exists() and folder.is_relative_to(self._session.home.root):
            return Listing((), ())  # a folder of ours that nothing was put into yet
        return self._store.list_objects(self.feed.glob)

    def _digest(self, item: LandingObject) -> str:
        with self._store.open(item, self._session.work) as opened:
            digest = content_digest(opened.stream)
            opened.check_unchanged()
        return digest

    def _place(
        self, item: LandingObject, digest: str, present: set[tuple[str, str]], arrivals: list[_Candidate]
    ) -> None:
        """Decide what one file is: known, known under another name, to be tried again, or new."""
        same = [entry for entry in [*self._known, *self._new] if entry.content_sha256 == digest]
        active = [entry for entry in same if entry.status != "duplicate" and not entry.was_replaced]
        main = active[-1] if active else None
        if main is None:
            self._add_new(item, digest, same, arrivals)
        elif main.object_name == item.name and main.batch_id in self._retry:
            self._try_again(item, main, arrivals)
        elif main.status == "pending" and main in self._known:
            # A crashed run left it. Under its own name if that is still there, else under this one.
            if main.object_name == item.name or (
                (main.object_name, digest) not in present
                and not any(candidate.entry.batch_id == main.batch_id for candidate in arrivals)
            ):
                self._try_again(item, main, arrivals)
        else:
            self.files_known += 1
            self._note_name(item, digest, same, main)

    def _note_name(
        self, item: LandingObject, digest: str, same: Sequence[LedgerEntry], main: LedgerEntry
    ) -> None:
        """Record a known content once per new name; in `replace` feeds also when a name comes back to it."""
        named = [entry for entry in same if entry.object_name == item.name]
        if named and (self.feed.same_name != "replace" or self._is_newest(item.name, digest)):
            return
        entry = LedgerEntry(
            batch_id=make_batch_id(self.feed.name, digest, item.name, len(named)),
            feed=self.feed.name,
            load_sequence=None,
            object_name=item.name,
            content_sha256=digest,
            size_bytes=item.size_bytes,
            delivered_at=None,
            modified_at=item.modified_at,
            first_seen_at=self._seen_at,
            status="duplicate",
            message=f"the same content as {main.object_name!r}, batch {main.batch_id}",
            duplicate_of=main.batch_id,
            run_id=self._session.run_id,
        )
        self._new.append(entry)
        self.results.append(_result(entry, ()))

    def _is_newest(self, name: str, digest: str) -> bool:
        of_name = [
            entry
            for entry in self._known
            if entry.object_name == name and entry.status not in {"rejected", "pending"}
        ]
        newest = max(of_name, key=lambda entry: (entry.first_seen_at, entry.load_sequence or 0), default=None)
        return newest is None or newest.content_sha256 == digest

    def _add_new(
        self, item: LandingObject, digest: str, same: Sequence[LedgerEntry], arrivals: list[_Candidate]
    ) -> None:
        occurrence = sum(1 for entry in same if entry.object_name == item.name)
        entry = LedgerEntry(
            batch_id=make_batch_id(self.feed.name, digest, item.name, occurrence),
            feed=self.feed.name,
            load_sequence=None,
            object_name=item.name,
            content_sha256=digest,
            size_bytes=item.size_bytes,
            delivered_at=None,
            modified_at=item.modified_at,
            first_seen_at=self._seen_at,
            status="pending",
            run_id=self._session.run_id,
        )
        arrived = self._with_arrival(item, entry)
        if arrived is None:
            return
        entry, manifest = arrived
        self._new.append(entry)
        if entry.status == "rejected":
            self._rejected.append(entry)
            self.results.append(_result(entry, ()))
        else:
            arrivals.append(_Candidate(self.feed, self._store, item, entry, manifest))

    def _try_again(self, item: LandingObject, former: LedgerEntry, arrivals: list[_Candidate]) -> None:
        entry = replace(
            former,
            status="pending",
            rule=None,
            message=None,
            run_id=self._session.run_id,
            rows_read=None,
            loaded_at=None,
        )
        arrived = self._with_arrival(item, entry)
        if arrived is None:
            return
        entry, manifest = arrived
        if entry.status == "rejected":
            self._rejected.append(entry)
            self.results.append(_result(entry, ()))
        else:
            arrivals.append(_Candidate(self.feed, self._store, item, entry, manifest, former))

    def _with_arrival(
        self, item: LandingObject, entry: LedgerEntry
    ) -> tuple[LedgerEntry, ManifestFacts | None] | None:
        """The entry with its declared delivery time, or rejected; None when its manifest has not come yet."""
        try:
            manifest = None
            if self.feed.manifest is not None:
                name = entry.object_name if entry.object_name == item.name else item.name
                content = self._store.read_companion(name + self.feed.manifest.suffix, MANIFEST_LIMIT_BYTES)
                if content is None:
                    self.waiting.append(
                        WaitingFile(self.feed.name, item.name, "its manifest has not arrived")
                    )
                    return None
                manifest = read_manifest(content, self.feed.manifest)
            delivered_at = self.feed.delivered_at(entry.object_name)
        except DataRejectedError as error:
            return replace(entry, status="rejected", rule=error.rule, message=_told(error)), None
        if delivered_at is None and manifest is not None:
            delivered_at = manifest.delivered_at
        # A number that was given stays; so does the time that it was made of.
        if entry.load_sequence is None:
            entry = replace(entry, delivered_at=delivered_at)
        return entry, manifest

    def _number(self, arrivals: list[_Candidate]) -> None:
        unnumbered = [candidate for candidate in arrivals if candidate.entry.load_sequence is None]
        numbers = number_arrivals(
            [*self._known, *self._new],
            [
                Arrival(
                    candidate.entry.object_name, candidate.entry.first_seen_at, candidate.entry.delivered_at
                )
                for candidate in unnumbered
            ],
        )
        given = {
            candidate.entry.batch_id: number for candidate, number in zip(unnumbered, numbers, strict=True)
        }
        for candidate in arrivals:
            number = given.get(candidate.entry.batch_id, candidate.entry.load_sequence)
            self.candidates.append(replace(candidate, entry=replace(candidate.entry, load_sequence=number)))
        numbered = {candidate.entry.batch_id: candidate.entry for candidate in self.candidates}
        self._new = [numbered.get(entry.batch_id, entry) for entry in self._new]
        self._changed = [candidate.entry for candidate in self.candidates if candidate.former is not None]

    def _report_lost(self, present: set[tuple[str, str]]) -> None:
        """A crashed run's file that is gone cannot be taken up; nobody should have to find that out alone."""
        contents = {digest for _, digest in present}
        for entry in self._known:
            if entry.status == "pending" and entry.content_sha256 not in contents:
                self.waiting.append(
                    WaitingFile(
                        self.feed.name,
                        entry.object_name,
                        f"a run that broke off left batch {entry.batch_id}, and its file is gone: deliver it again, or"
                        f" `tillhouse withdraw {entry.batch_id}`",
                    )
                )


def is_over_threshold(feed: Feed, outcome: EntityOutcome) -> bool:
    """Whether an entity's bad rows are more than the feed's number AND more than its share of all rows."""
    threshold = feed.quarantine_threshold
    bad = outcome.rows_quarantined
    # As decimals: 1 % of 10,100 rows is 101 rows exactly.
    return bad > threshold.rows and bad > Decimal(str(threshold.share)) * outcome.rows_read


def rows_of_file(outcomes: Sequence[EntityOutcome]) -> int:
    """Data rows of a file; each of its entities reads all of them."""
    return max((outcome.rows_read for outcome in outcomes), default=0)


def delivery_date(feed: Feed, entry: LedgerEntry) -> date | None:
    """The day that a declared delivery is for, in the business time zone; midnight belongs to the day it ends."""
    if entry.delivered_at is None or feed.delivery_time is None:
        return None
    moment = entry.delivered_at - timedelta(microseconds=1)
    return moment.astimezone(ZoneInfo(feed.business_timezone)).date()


def incomplete(feed: Feed, entries: Sequence[LedgerEntry], newest_day: date | None) -> BatchResult | None:
    """Why a required feed is not complete, None when it is.

    It is not when its newest delivery was rejected, when it never delivered, or, where the feed states
    delivery times, when it has nothing for the newest day that any feed of the company has delivered.

    Args:
        entries: all of the feed.
        newest_day: of all feeds of the company.
    """
    counted = [entry for entry in entries if entry.status in {"loaded", "rejected", "pending"}]
    loaded = [entry for entry in counted if entry.status == "loaded"]
    if counted:
        # A rejected file without a number (no delivery time in its name) is as new as the run that saw it.
        newest = max(counted, key=lambda entry: (entry.load_sequence is None, entry.order))
        if newest.status == "rejected":
            return _result(newest, ())
    if not loaded:
        return _missing(feed, "nothing was ever loaded")
    days = [day for entry in loaded if (day := delivery_date(feed, entry))]
    if feed.delivery_time is not None and newest_day is not None and max(days, default=date.min) < newest_day:
        return _missing(feed, f"other feeds of {feed.company} have delivered {newest_day}, this one has not")
    return None


def replaced_by(former: LedgerEntry, newer: LedgerEntry) -> LedgerEntry:
    """The entry of a delivery that a newer file of the same name takes back."""
    return replace(
        former,
        status="withdrawn",
        rule=REPLACED,
        message=f"replaced by batch {newer.batch_id}",
        loaded_at=None,
    )


def _missing(feed: Feed, message: str) -> BatchResult:
    return BatchResult(
        "", feed.name, "", "missing", "missing_delivery", f"{message}; deliver a file to {feed.location}"
    )


def _told(error: TillhouseError) -> str:
    return f"{error.problem}. What to do: {error.remedy}" if error.remedy else error.problem


def _failed(entry: LedgerEntry, error: Exception, doing: str) -> BatchResult:
    """A fault that nobody foresaw. Its text may quote the data, so only its kind is told."""
    kind = type(error).__name__
    logger.error("feed %s, file %r: %s failed with %s", entry.feed, entry.object_name, doing, kind)
    return _result(
        entry,
        (),
        status="failed",
        rule="internal_error",
        message=f"{doing} broke off ({kind}); nothing of it was loaded. What to do: run again",
    )


def _result(
    entry: LedgerEntry,
    outcomes: Sequence[EntityOutcome],
    *,
    status: ResultStatus | None = None,
    rule: str | None = None,
    message: str | None = None,
    seconds: float = 0.0,
) -> BatchResult:
    return BatchResult(
        batch_id=entry.batch_id,
        feed=entry.feed,
        object_name=entry.object_name,
        status=status or ("failed" if entry.status == "pending" else entry.status),
        rule=rule or entry.rule,
        message=message or entry.message,
        rows_read=sum(outcome.rows_read for outcome in outcomes),
        rows_accepted=sum(outcome.rows_accepted for outcome in outcomes),
        rows_quarantined=sum(outcome.rows_quarantined for outcome in outcomes),
        rows_duplicate=sum(outcome.rows_duplicate for outcome in outcomes),
        rows_excluded=sum(outcome.rows_excluded for outcome in outcomes),
        rows_conflicting=sum(outcome.rows_conflicting for outcome in outcomes),
        seconds=seconds,
    )
