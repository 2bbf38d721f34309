"""The ingestion service: what lies in the landing folders and is not in the ledger goes into the warehouse.

The order of things is what makes a crash harmless. New deliveries get their numbers and their `pending` entries
in one transaction before any work; a file's rows, quarantine, counts and final entry commit together; bronze is
complete on disk before that. So whatever breaks off leaves either a `pending` entry, which the next run takes up
under its number, or a delivery that is done.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import duckdb

from ingestion.bronze_store import open_bronze
from ingestion.engines import make_engine
from ingestion.erasure import erase_listed
from ingestion.feed import Feed
from ingestion.intake import Intake
from ingestion.landing import open_store
from ingestion.ledger import REPLACED, LedgerEntry
from ingestion.loader import open_loader
from ingestion.recheck import RowSelection
from ingestion.report import BatchResult, IngestionReport, summarise
from ingestion.results import result_of, tells_of_full_disk
from ingestion.retention import RetentionReport, apply_retention
from ingestion.session import Session, feed_fingerprint
from ingestion.suppression import add_suppressions
from ingestion.tokens import TokenKey, require_own_key
from ingestion.warehouses import require_token_key
from settings.errors import ConfigurationError, DataRejectedError, NotFoundError
from settings.home import Home
from settings.retention import Retention

WORK_FOLDER = "work"


@dataclass(frozen=True)
class ErasureReport:
    """How many customers were asked for, and the deliveries that were written anew."""

    customers: int
    batches: list[BatchResult]


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
        self._bronze = open_bronze(home)
        self._stores = {feed.name: open_store(feed, home) for feed in feeds}

    def ingest(self, run_id: str) -> IngestionReport:
        """Load every new file. What is wrong with one file stays with that file.

        Raises:
            ConfigurationError: when no feed's folder can be read.
            BusyError: when another process has the warehouse open.
        """
        with self._session(run_id) as session:
            return Intake(session, self._feeds, self._stores).run()

    def accept(self, batch_id: str, run_id: str) -> BatchResult:
        """Load a delivery that was rejected for its bad rows, or withdrawn, from its bronze copy.

        Raises:
            NotFoundError: when there is no such batch.
            ConfigurationError: when its feed is not among the feeds of this service.
            DataRejectedError: when there is nothing of it that could be loaded.
        """
        with self._session(run_id) as session:
            entry = session.loader.ledger.entry(batch_id)
            if entry.status == "loaded":
                return result_of(entry, (), message="it is loaded already")
            if entry.status == "duplicate":
                raise DataRejectedError(
                    f"batch {batch_id} repeats batch {entry.duplicate_of}",
                    remedy=f"use `tillhouse accept {entry.duplicate_of}`",
                    rule="duplicate",
                )
            if not entry.bronze_paths:
                raise DataRejectedError(
                    f"feed {entry.feed}, file {entry.object_name!r}: bronze holds no rows of it to accept: it was"
                    f" refused as a whole, or its time has run out ({entry.message})",
                    remedy="deliver a correct file, or correct the feed file and run again",
                    rule=entry.rule or "",
                )
            feed = self._require_feed(entry)
            stale = session.stale(feed, session.loader.ledger.entries(entry.feed), entry)
            if entry.batch_id in {other.batch_id for other in stale}:
                raise DataRejectedError(
                    f"feed {entry.feed}: a newer file named {entry.object_name!r} has replaced this one",
                    remedy="withdraw the newer batch first",
                    rule=REPLACED,
                )
            try:
                return session.load_from_bronze(entry, stale, action="accept", feed=feed)
            except Exception as error:
                # Bronze must not remember a loading that did not come about.
                session.rewrite_record(entry)
                if _tells_of_damage(error):
                    raise DataRejectedError(
                        f"the bronze copy of batch {batch_id} is damaged ({type(error).__name__})",
                        remedy=f"bring {session.bronze.shown(session.folder(entry))} back from a backup. A rejected"
                        " file that still lies in its landing folder is checked anew when its feed file has changed:"
                        " raise `quarantine_threshold` and run",
                        rule="bronze",
                    ) from None
                raise

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
                return result_of(entry, (), message="it was withdrawn before")
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
            if self._feed(entry.feed) is None:
                # Without the definition nobody can tell later whether it has changed since the loading.
                message = (
                    f"withdrawn by hand; the feed {entry.feed!r} is in none of the feed files named here, so it"
                    " stays out until `tillhouse accept`, whatever is corrected"
                )
                return result_of(withdrawn, (), message=message)
            return result_of(withdrawn, ())

    def reload(self, run_id: str, *, feed: str | None = None, batch_id: str | None = None) -> IngestionReport:
        """Replay loaded deliveries from bronze, in the order of their numbers, each in one transaction.

        Where the feed or a contract has changed since their rows were judged, those in quarantine are judged anew,
        and columns that a contract has gained are filled as far as bronze has them.

        Deliveries that bronze knows and the ledger does not (a lost warehouse) come back under their numbers;
        those that are not asked for stay pending.

        Raises:
            NotFoundError: when the feed or the batch is unknown.
            DataRejectedError: when the batch is not loaded.
        """
        with self._session(run_id) as session:
            damaged = session.restore_entries()
            ledger = session.loader.ledger
            if batch_id is not None:
                entries = [ledger.entry(batch_id)]
                if entries[0].status == "duplicate":
                    raise DataRejectedError(
                        f"batch {batch_id} repeats batch {entries[0].duplicate_of} and has no rows of its own",
                        remedy=f"use `tillhouse reload --batch {entries[0].duplicate_of}`",
                        rule="duplicate",
                    )
                if not session.can_be_replayed(entries[0]):
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
                entries = [entry for entry in known if session.can_be_replayed(entry)]
            results = [*damaged, *(session.replay(entry, self._feed(entry.feed)) for entry in entries)]
        return self._replayed(results)

    def release(self, batch_ids: Sequence[str], only: RowSelection, run_id: str) -> IngestionReport:
        """Judge the chosen rows in quarantine anew and load those that pass, each once. Other rows stay as they are.

        Args:
            batch_ids: loaded deliveries that have such rows.
            only: the rows.
            run_id: this call.

        Raises:
            NotFoundError: when a delivery is unknown.
            ConfigurationError: when its feed is not among the feeds of this service.
            DataRejectedError: when it is not loaded.
        """
        with self._session(run_id) as session:
            entries = [session.loader.ledger.entry(batch_id) for batch_id in batch_ids]
            for entry in entries:
                self._require_feed(entry)
                if entry.status != "loaded":
                    raise DataRejectedError(
                        f"batch {entry.batch_id} is {entry.status}, so none of its rows can come in alone",
                        remedy=f"`tillhouse accept {entry.batch_id}` loads it",
                        rule="not_loaded",
                    )
            entries.sort(key=lambda entry: (entry.feed, entry.order))
            results = [session.replay(entry, self._feed(entry.feed), only) for entry in entries]
        return self._replayed(results)

    def erase(
        self, system: str, customer_ids: Sequence[str], email_tokens: Sequence[str], run_id: str
    ) -> ErasureReport:
        """Erase customers: put them on the suppression list, and take them out of bronze and this warehouse.

        Their rows stay under a pseudonym, so that no figure changes. Called again, it finishes what was cut short.

        Args:
            system: "store" or "restaurant": whose ids these are.
            customer_ids: as the raw tables have them; one that no row is about is suppressed when it comes.
            email_tokens: of addresses; all customers of the system that have, or once had, one of them.
            run_id: this call.

        Raises:
            NotFoundError: when no customer has an address with this token; nothing was changed.
            ConfigurationError: when the suppression list cannot be used.
        """
        with self._session(run_id) as session:
            wanted = set(customer_ids)
            for token in email_tokens:
                found = session.loader.customers_with(system, token)
                if not found:
                    raise NotFoundError(
                        f"no customer of the {system} has an address with the token {token[:12]}…",
                        remedy="tokens are made with TILLHOUSE_TOKEN_KEY; who was erased has none any more",
                        rule="email_token",
                    )
                wanted.update(found)
            add_suppressions(session.bronze, system, wanted, TokenKey.from_environment())
            finished = session.finish_replays()
            return ErasureReport(len(wanted), [*finished, *erase_listed(session)])

    def retain(self, retention: Retention, run_id: str, *, dry_run: bool = False) -> RetentionReport:
        """Drop what is older than the retention settings allow, and never what a rebuild needs.

        Args:
            retention: the settings; where they keep everything, nothing is opened.
            run_id: this call.
            dry_run: count only.
        """
        if retention.keeps_everything:
            return RetentionReport()
        with self._session(run_id) as session:
            return apply_retention(session, retention, session.started_at, dry_run=dry_run)

    @staticmethod
    def _replayed(results: Sequence[BatchResult]) -> IngestionReport:
        return summarise(
            results,
            files_seen=len(results),
            files_duplicate=0,
            blocking=[result for result in results if result.status == "failed"],
        )

    def _feed(self, name: str) -> Feed | None:
        return next((feed for feed in self._feeds if feed.name == name), None)

    def _require_feed(self, entry: LedgerEntry) -> Feed:
        feed = self._feed(entry.feed)
        if feed is None:
            raise ConfigurationError(
                f"batch {entry.batch_id} belongs to the feed {entry.feed!r}, which is in none of the feed files",
                remedy="name the feed file with --feeds",
                rule="feed",
            )
        return feed

    def _fingerprint(self, name: str) -> str:
        feed = self._feed(name)
        return feed_fingerprint(feed) if feed else ""

    @contextmanager
    def _session(self, run_id: str) -> Iterator[Session]:
        require_token_key(self._target)
        if self._home.bronze_location:
            require_own_key(f"bronze in {self._home.bronze_location}")
        home = self._home.ensure()
        work = home.root / WORK_FOLDER
        # Left by a run that was killed; it may hold decompressed personal data.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        with (
            closing(make_engine(self._engine, home, work)) as engine,
            closing(open_loader(self._target, home)) as loader,
        ):
            session = Session(home, work, engine, loader, self._bronze, run_id)
            try:
                yield session
            finally:
                session.close()
                shutil.rmtree(work, ignore_errors=True)


def _tells_of_damage(error: Exception) -> bool:
    """Whether the error is what Arrow (a ValueError) or DuckDB say about a parquet file that is not whole."""
    if isinstance(error, duckdb.OutOfMemoryException) or tells_of_full_disk(error):
        return False
    return isinstance(error, (ValueError, duckdb.Error))
