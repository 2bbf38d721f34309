"""Taking in what is new: every file checked, then loaded or rejected, its troubles kept to itself."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import zip_longest
from pathlib import Path

import duckdb

from ingestion.batch_record import BatchRecord, EntityRecord
from ingestion.bronze import quarantine_rows
from ingestion.checking import (
    checked_entry,
    inspect_candidate,
    is_over_threshold,
    request_of,
    with_file_notes,
)
from ingestion.columns import changed_columns, likely_renames
from ingestion.companies import shared_tables
from ingestion.completeness import delivery_dates, incomplete
from ingestion.contract import load_contracts
from ingestion.discovery import Candidate, Discovery
from ingestion.engines.base import EntityOutcome
from ingestion.erasure import erase_listed
from ingestion.feed import Feed
from ingestion.landing import LandingStore, ObjectNotReadyError
from ingestion.ledger import LedgerEntry
from ingestion.loader import ReconciliationError
from ingestion.report import BatchResult, IngestionReport, WaitingFile, summarise
from ingestion.results import failed_result, missing_result, result_of, told
from ingestion.session import Session, feed_fingerprint, replaced_by
from ingestion.small_files import portions, take_together
from ingestion.warehouses.base import StatementError
from settings.crash_points import crash_point
from settings.errors import ConfigurationError, DataRejectedError

logger = logging.getLogger(__name__)

THRESHOLD_RULE = "quarantine_threshold"
FROZEN_RULE = "frozen_columns"
SMALL_FILE_BYTES = 4 << 20

Checked = tuple[EntityRecord, ...]


class Intake:
    """One call of `ingest`."""

    def __init__(self, session: Session, feeds: Sequence[Feed], stores: dict[str, LandingStore]) -> None:
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
        # A clock that was set back must not make a new delivery look older than one that is known.
        self._seen_at = max(session.started_at, self._ledger.last_seen_at() or session.started_at)

    def run(self) -> IngestionReport:
        self._session.mend_records()
        self._results.extend(self._session.finish_replays())
        self._results.extend(erase_listed(self._session))
        found = self._discover_all()
        crash_point("deliveries_numbered")
        candidates = [
            candidate
            for feed in self._feeds
            for candidate in sorted(
                (candidate for candidate in found if candidate.feed is feed),
                key=lambda candidate: candidate.entry.order,
            )
        ]
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="check") as beside:
            for portion in portions(self._session, candidates):
                alone: Sequence[Candidate] = portion.candidates
                before = len(self._results)
                if portion.together:
                    alone = self._take_together(portion.candidates)
                for candidate, checking in self._checked_ahead(alone, beside):
                    self._results.append(self._take(candidate, checking))
                # Told in the order of the deliveries, whichever way each was taken.
                places = {candidate.entry.batch_id: n for n, candidate in enumerate(portion.candidates)}
                self._results[before:] = sorted(
                    self._results[before:], key=lambda result: places.get(result.batch_id, len(places))
                )
        for feed in self._feeds:
            self._withdraw_stale(feed)
        for text in shared_tables(self._session, self._feeds, self._loaded_feeds()):
            self._warn(text)
        return summarise(
            [result for result in self._results if result.status != "waiting"],
            files_seen=self._files_seen,
            files_duplicate=self._files_duplicate,
            blocking=[*self._failed(), *self._incomplete_feeds()],
            waiting=self._waiting,
            warnings=self._warnings,
        )

    # ------------------------------------------------------------------ finding

    def _discover_all(self) -> list[Candidate]:
        """Look through every feed, and write what is new to the ledger in one transaction."""
        found = [
            Discovery(self._session, feed, self._stores[feed.name], self._seen_at) for feed in self._feeds
        ]
        for discovery in found:
            try:
                discovery.look()
                self._take_up(discovery)
                discovery.compare()
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

    def _take_up(self, discovery: Discovery) -> None:
        """Load from bronze what a killed run had checked and not loaded, where the file has gone or changed since.

        Its number stands, and a later file of its name is to find what it would have found without the crash.
        """
        feed = discovery.feed
        interrupted = sorted(discovery.interrupted(), key=lambda entry: entry.order)
        for entry in interrupted:
            stale = self._session.stale(feed, self._ledger.entries(feed.name), entry)
            former = [other for other in stale if other.batch_id != entry.batch_id]
            self._results.append(self._session.replay(entry, feed, stale=former, action="load"))
        if interrupted:
            discovery.ask_ledger()

    # ------------------------------------------------------------------ one file

    def _checked_ahead(
        self, candidates: Sequence[Candidate], beside: ThreadPoolExecutor
    ) -> Iterator[tuple[Candidate, Future[Checked] | None]]:
        """Every candidate in its order, small ones with their check done.

        While a small file is loaded the engine checks the next one: most of a small file's time is the planning
        of statements, which takes one core. Large files use all cores and much memory, so they come one at a
        time, in the caller's thread.
        """
        ahead: Future[Checked] | None = None
        for candidate, following in zip_longest(candidates, candidates[1:]):
            checking = ahead
            if checking is None and candidate.size <= SMALL_FILE_BYTES:
                checking = beside.submit(self._check, candidate)
            ahead = None
            if checking is not None:
                wait([checking])
                if following is not None and following.size <= SMALL_FILE_BYTES:
                    ahead = beside.submit(self._check, following)
            yield candidate, checking

    def _take_together(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Check and load small files at once. Returns those that are to be taken by themselves."""
        loaded, left = take_together(self._session, candidates)
        for found in loaded:
            self._warn_of(candidates[0].feed, found.entry, found.entities)
            self._results.append(found.result)
        if loaded:
            logger.info("feed %s: %d small files loaded", candidates[0].feed.name, len(loaded))
        return left

    def _take(self, candidate: Candidate, checking: Future[Checked] | None) -> BatchResult:
        """Check and load one file, or say why not. Only faults of the machine leave this method as errors.

        Args:
            checking: the check of this file where it was done already.
        """
        started = time.perf_counter()
        entry, feed = candidate.entry, candidate.feed
        try:
            entities = self._check(candidate) if checking is None else checking.result()
            result = self._load_or_reject(candidate, entities)
        except ObjectNotReadyError as error:
            self._put_off(candidate, error.reason)
            result = result_of(entry, (), status="waiting")
        except DataRejectedError as error:
            result = self._reject(candidate, error.rule, told(error))
        except ReconciliationError as error:
            result = result_of(entry, (), status="failed", rule=error.rule, message=told(error))
        except (duckdb.Error, StatementError) as error:
            result = failed_result(entry, error, "loading it")
        finally:
            self._session.bronze.release(self._session.folder(entry))
        logger.info(
            "feed %s, file %r: %s", feed.name, entry.object_name, result.status, extra={"batch": result}
        )
        return replace(result, seconds=time.perf_counter() - started)

    def _check(self, candidate: Candidate) -> Checked:
        """Pre-flight and validation: after this, bronze holds the whole file."""
        session, feed = self._session, candidate.feed
        work = Path(tempfile.mkdtemp(dir=session.work))
        try:
            with candidate.store.open(candidate.item, work) as opened:
                facts = inspect_candidate(candidate, opened, work)
                records = []
                for feed_entity in feed.entities:
                    request = request_of(session, candidate, facts, feed_entity)
                    outcome = with_file_notes(request, session.engine.validate(request))
                    records.append(session.without_erased(request, outcome))
                opened.check_unchanged()
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return tuple(records)

    def _load_or_reject(self, candidate: Candidate, entities: Checked) -> BatchResult:
        session, feed = self._session, candidate.feed
        outcomes = [entity.outcome for entity in entities]
        checked = checked_entry(session, candidate, entities)
        changed = self._frozen_message(feed, checked.batch_id, outcomes) if feed.drift == "freeze" else ""
        if changed:
            rejected = replace(checked, status="rejected", rule=FROZEN_RULE, message=changed)
            session.bronze.keep(
                session.folder(rejected),
                BatchRecord(rejected, entities, feed.company, feed_fingerprint(feed)),
            )
            return self._reject(replace(candidate, entry=checked), FROZEN_RULE, changed, outcomes)
        over = [entity for entity in entities if is_over_threshold(feed, entity.outcome)]
        if over:
            message = "; ".join(self._threshold_message(feed, entity) for entity in over)
            rejected = replace(checked, status="rejected", rule=THRESHOLD_RULE, message=message)
            session.bronze.keep(
                session.folder(rejected),
                BatchRecord(rejected, entities, feed.company, feed_fingerprint(feed)),
            )
            return self._reject(replace(candidate, entry=checked), THRESHOLD_RULE, message, outcomes)
        loaded = replace(checked, status="loaded", rule=None, message=None, loaded_at=datetime.now(UTC))
        replaces = feed.same_name == "replace"
        stale = session.stale(feed, self._ledger.entries(feed.name), loaded) if replaces else []
        crash_point("file_checked")
        session.bronze.keep(
            session.folder(loaded), BatchRecord(loaded, entities, feed.company, feed_fingerprint(feed))
        )
        crash_point("record_written")
        session.load(
            loaded,
            entities,
            [former for former in stale if former.batch_id != loaded.batch_id],
            action="load",
            fingerprint=feed_fingerprint(feed),
        )
        self._warn_of(feed, loaded, entities)
        return result_of(loaded, outcomes)

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        logger.warning("%s", text)

    def _warn_of(self, feed: Feed, entry: LedgerEntry, entities: Sequence[EntityRecord]) -> None:
        where = f"feed {feed.name}, file {entry.object_name!r}"
        for feed_entity in feed.entities:
            for column, absent, like in likely_renames(feed, feed_entity, entities[0].outcome.columns):
                self._warn(
                    f"{where}: {feed_entity.entity} found no column {absent!r}, but {like!r}, which nothing reads: if"
                    f" the sender renamed it, map it in the feed file (`{column}: {like}`), withdraw the batch"
                    f' {entry.batch_id} and run again; if not, `{column}: {{constant: ""}}` says so'
                )
        for entity in entities:
            outcome = entity.outcome
            if not outcome.rows_read and not feed.allow_empty:
                self._warnings.append(f"{where}: {entity.entity} has no rows")
            if outcome.rows_conflicting:
                self._warnings.append(
                    f"{where}: {outcome.rows_conflicting} rows of {entity.entity} contradict an earlier row of the"
                    " file with the same key; the later row wins"
                )
            if unmapped := noted(outcome, "unmapped_word"):
                self._warnings.append(
                    f"{where}: {unmapped} rows of {entity.entity} hold a word that the feed does not map; the audit"
                    " fails until it does"
                )
            if garbled := noted(outcome, "double_encoded"):
                self._warnings.append(
                    f"{where}: {garbled} of {outcome.rows_read} rows of {entity.entity} hold text that was encoded"
                    " twice on its way ('Ã©' for 'é'); it is kept as it came: ask the sender"
                )

    def _frozen_message(self, feed: Feed, batch_id: str, outcomes: Sequence[EntityOutcome]) -> str:
        """How the columns differ from those of the feed's last loaded delivery, empty when they do not."""
        loaded = [entry for entry in self._ledger.entries(feed.name) if entry.status == "loaded"]
        if not loaded:
            return ""  # the first delivery sets the columns
        former = self._session.columns_of(max(loaded, key=lambda entry: entry.order))
        if not former:
            return ""
        added, missing = changed_columns(feed, former, outcomes[0].columns)
        changes = [f"{name!r} is new" for name in added] + [f"{name!r} is missing" for name in missing]
        if not changes:
            return ""
        return (
            f"the feed is frozen and its columns changed: {', '.join(changes)}. What to do: name the columns in the"
            f" feed file and run again, or take the file as it is with `tillhouse accept {batch_id}`: later files are"
            " then compared with it"
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
        self, candidate: Candidate, rule: str, message: str, outcomes: Sequence[EntityOutcome] = ()
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
            session.bronze.forget(session.folder(rejected))
        logger.warning(
            "feed %s, file %r: rejected [%s]: %s", rejected.feed, rejected.object_name, rule, message
        )
        return result_of(rejected, outcomes)

    def _put_off(self, candidate: Candidate, reason: str) -> None:
        """Leave a file that is not ready, as if it had not been seen; what it was before stays true."""
        self._waiting.append(WaitingFile(candidate.feed.name, candidate.entry.object_name, reason))
        with self._session.loader.transaction():
            if candidate.former is None:
                self._ledger.delete(candidate.entry.batch_id)
            else:
                self._ledger.update(candidate.former)

    def _withdraw_stale(self, feed: Feed) -> None:
        """Take back what no name of a `replace` feed stands for, where nothing new was loaded in its place."""
        if feed.same_name != "replace":
            return
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

    def _loaded_feeds(self) -> set[str]:
        return {result.feed for result in self._results if result.status == "loaded"}

    def _failed(self) -> list[BatchResult]:
        return [result for result in self._results if result.status == "failed"]

    def _incomplete_feeds(self) -> list[BatchResult]:
        if not any(feed.required for feed in self._feeds):
            return []
        newest_days: dict[str, date] = {}
        entries = {feed.name: self._ledger.entries(feed.name) for feed in self._feeds}
        for feed in self._feeds:
            days = delivery_dates(feed, entries[feed.name])
            if days:
                newest_days[feed.company] = max([*days, newest_days.get(feed.company, date.min)])
        blocking = []
        for feed in self._feeds:
            if feed.required:
                unreadable = self._unreadable.get(feed.name)
                result = (
                    missing_result(feed, unreadable.problem)
                    if unreadable
                    else incomplete(feed, entries[feed.name], newest_days.get(feed.company))
                )
                if result:
                    blocking.append(result)
        return blocking


def noted(outcome: EntityOutcome, note: str) -> int:
    """How many values the validation noted so, over all columns."""
    return sum(count for name, count in outcome.notes.items() if name.rpartition(":")[2] == note)
