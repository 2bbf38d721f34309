"""Finding what is new: one feed's folder, compared with the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ingestion.batch_record import BatchRecord
from ingestion.feed import Feed
from ingestion.landing import LandingObject, LandingStore, Listing, ObjectNotReadyError, PolledStore
from ingestion.ledger import Arrival, LedgerEntry, make_batch_id, number_arrivals
from ingestion.preflight import ManifestFacts, content_digest, read_manifest
from ingestion.report import BatchResult, WaitingFile
from ingestion.results import result_of, told
from ingestion.session import Session, feed_fingerprint
from settings.errors import DataRejectedError

MANIFEST_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Candidate:
    """A delivery to work on. `former` is its entry before this run, when it has been tried before."""

    feed: Feed
    store: LandingStore
    item: LandingObject
    entry: LedgerEntry
    manifest: ManifestFacts | None
    former: LedgerEntry | None = None

    @property
    def size(self) -> int:
        """Bytes as delivered."""
        return self.item.size_bytes


class Discovery:
    """What one feed's folder holds, compared with the ledger."""

    def __init__(self, session: Session, feed: Feed, store: LandingStore, seen_at: datetime) -> None:
        self._session = session
        self._ledger = session.loader.ledger
        self.feed = feed
        self._store = store
        self._seen_at = seen_at
        self.ask_ledger()
        self._seen_objects = self._ledger.known_objects(feed.name)
        self._read_objects: dict[str, tuple[str, str]] = {}
        self._taken_up: set[str] = set()
        self._retry = self._ledger.to_try_again(feed.name, feed_fingerprint(feed))
        # What is pending was not read to its end by anybody: it is read again.
        self._by_version = {
            (entry.object_name, entry.object_version): entry.content_sha256
            for entry in self._known
            if entry.object_version is not None and entry.status != "pending"
        }
        self._contents: list[tuple[LandingObject, str]] = []
        self._new: list[LedgerEntry] = []
        self._changed: list[LedgerEntry] = []
        self._renewed: list[LedgerEntry] = []
        self._rejected: list[LedgerEntry] = []
        self._forgotten: list[LedgerEntry] = []
        self.candidates: list[Candidate] = []
        self.files_seen = 0
        self.files_known = 0
        self.waiting: list[WaitingFile] = []
        self.results: list[BatchResult] = []

    def ask_ledger(self) -> None:
        """Learn what is known of the feed; again, when something of it was loaded since."""
        self._known = self._ledger.entries(self.feed.name)
        self._known_ids = {entry.batch_id for entry in self._known}
        self._of_content: dict[str, list[LedgerEntry]] = defaultdict(list)
        self._of_name: dict[str, list[LedgerEntry]] = defaultdict(list)
        for entry in self._known:
            self._of_content[entry.content_sha256].append(entry)
            self._of_name[entry.object_name].append(entry)

    def look(self) -> None:
        """List the folder and read what lies there; nothing is compared yet."""
        listing = self._list()
        self.waiting.extend(WaitingFile(self.feed.name, item.name, item.reason) for item in listing.skipped)
        manifest = self.feed.manifest
        items = [
            item for item in listing.objects if manifest is None or not item.name.endswith(manifest.suffix)
        ]
        self.files_seen = len(items)
        for item in items:
            try:
                self._contents.append((item, self._digest(item)))
            except ObjectNotReadyError as error:
                self.waiting.append(WaitingFile(self.feed.name, item.safe_name, error.reason))

    def interrupted(self) -> list[LedgerEntry]:
        """Deliveries whose load broke off when bronze had all of them, and whose content lies there no more."""
        if isinstance(self._store, PolledStore):
            return []  # their rows are in what is polled now
        contents = {digest for _, digest in self._contents}
        return [
            entry
            for entry in self._known
            if entry.status == "pending"
            and entry.content_sha256 not in contents
            and self._session.can_be_replayed(entry)
        ]

    def compare(self) -> None:
        """Compare with the ledger; nothing is written yet."""
        present = {(item.safe_name, digest) for item, digest in self._contents}
        arrivals: list[Candidate] = []
        for item, digest in self._contents:
            self._place(item, digest, present, arrivals)
        self._number(arrivals)
        self._report_lost(present)

    def write(self) -> None:
        """Write new and changed entries, inside the caller's transaction."""
        for entry in self._forgotten:
            self._ledger.delete(entry.batch_id)
            self._session.bronze.forget(self._session.folder(entry))
        for entry in self._new:
            if entry.status == "duplicate":
                # By its names a content is kept in `replace` feeds; a rebuild must know them all.
                record = BatchRecord(entry, (), self.feed.company)
                self._session.bronze.note(self._session.folder(entry), record)
        self._ledger.insert(self._new)
        self._ledger.know_objects(self.feed.name, self._read_objects)
        self._ledger.update_all([*self._renewed, *self._changed])
        for entry in self._rejected:
            self._session.loader.reject(entry, ingested_at=self._session.started_at)
            self._session.record_attempt(entry, "load", feed_fingerprint(self.feed))

    def _list(self) -> Listing:
        folder = self.feed.local_folder()
        if folder is not None and not folder.exists() and folder.is_relative_to(self._session.home.root):
            return Listing((), ())  # a folder of ours that nothing was put into yet
        if isinstance(self._store, PolledStore):
            self._store.poll(self._loaded_version(), self._session.work)
        return self._store.list_objects(self.feed.glob)

    def _loaded_version(self) -> str | None:
        """Up to where the feed has been taken in. What was taken back by hand counts, unless it is to come again."""
        done = [
            entry
            for entry in self._known
            if entry.status == "loaded" or (entry.status == "withdrawn" and entry.batch_id not in self._retry)
        ]
        return max(done, key=lambda entry: entry.order).object_version if done else None

    def _version(self, item: LandingObject) -> str | None:
        """What the ledger remembers of this content beside its hash."""
        return item.version if self._store.versions_tell_content else None

    def _digest(self, item: LandingObject) -> str:
        """The content's digest; what has the version that it had when it was read is not read again."""
        name = item.safe_name
        known = self._by_version.get((name, self._version(item) or ""))
        if known is not None:
            return known
        version, known = self._seen_objects.get(name, ("", ""))
        if version == item.version:
            return known
        with self._store.open(item, self._session.work) as opened:
            digest = content_digest(opened.stream)
            opened.check_unchanged()
        # What tells the content stands in the ledger; a folder's version is a fact about this very copy of the file.
        if item.is_settled and not self._store.versions_tell_content:
            self._read_objects[name] = (item.version, digest)
        return digest

    def _place(
        self, item: LandingObject, digest: str, present: set[tuple[str, str]], arrivals: list[Candidate]
    ) -> None:
        """Decide what one file is: known, known under another name, to be tried again, or new."""
        same = self._of_content[digest]
        active = [entry for entry in same if entry.status != "duplicate" and not entry.was_replaced]
        main = active[-1] if active else None
        if main is None:
            self._add_new(item, digest, same, arrivals)
        elif main.object_name == item.safe_name and main.batch_id in self._retry:
            self._try_again(item, main, arrivals)
        elif main.status == "pending" and main.batch_id in self._known_ids:
            # A crashed run left it. Under its own name if that is still there, else under this one.
            if main.object_name == item.safe_name or (
                (main.object_name, digest) not in present and main.batch_id not in self._taken_up
            ):
                self._try_again(item, main, arrivals)
        else:
            self.files_known += 1
            self._note_name(item, digest, same, main)

    def _note_name(
        self, item: LandingObject, digest: str, same: Sequence[LedgerEntry], main: LedgerEntry
    ) -> None:
        """Record a known content once per new name; in `replace` feeds also when a name comes back to it."""
        name = item.safe_name
        named = [entry for entry in same if entry.object_name == name]
        self._note_version(item, named)
        if named and (self.feed.same_name != "replace" or self._is_newest(name, digest)):
            return
        entry = LedgerEntry(
            batch_id=make_batch_id(self.feed.name, digest, name, len(named)),
            feed=self.feed.name,
            load_sequence=None,
            object_name=name,
            content_sha256=digest,
            size_bytes=item.size_bytes,
            delivered_at=self._stated_time(item),
            modified_at=item.modified_at,
            first_seen_at=self._seen_at,
            status="duplicate",
            message=f"the same content as {main.object_name!r}, batch {main.batch_id}",
            duplicate_of=main.batch_id,
            run_id=self._session.run_id,
            object_version=self._version(item),
        )
        self._add(entry)
        self.results.append(result_of(entry, ()))

    def _note_version(self, item: LandingObject, named: Sequence[LedgerEntry]) -> None:
        """Know the same content next time without reading it, when it was put there again."""
        version = self._version(item)
        if version is not None and named and all(entry.object_version != version for entry in named):
            self._renewed.append(replace(named[-1], object_version=version))

    def _add(self, entry: LedgerEntry) -> None:
        self._new.append(entry)
        self._of_content[entry.content_sha256].append(entry)

    def _stated_time(self, item: LandingObject) -> datetime | None:
        """The delivery time in the name of a file that is not loaded itself; it need not have one."""
        try:
            return self.feed.delivered_at(item.name)
        except DataRejectedError:
            return None

    def _is_newest(self, name: str, digest: str) -> bool:
        of_name = [
            entry for entry in self._of_name.get(name, ()) if entry.status not in {"rejected", "pending"}
        ]
        newest = max(of_name, key=lambda entry: (entry.first_seen_at, entry.load_sequence or 0), default=None)
        return newest is None or newest.content_sha256 == digest

    def _add_new(
        self, item: LandingObject, digest: str, same: Sequence[LedgerEntry], arrivals: list[Candidate]
    ) -> None:
        name = item.safe_name
        occurrence = sum(1 for entry in same if entry.object_name == name)
        entry = LedgerEntry(
            batch_id=make_batch_id(self.feed.name, digest, name, occurrence),
            feed=self.feed.name,
            load_sequence=None,
            object_name=name,
            content_sha256=digest,
            size_bytes=item.size_bytes,
            delivered_at=None,
            modified_at=item.modified_at,
            first_seen_at=self._seen_at,
            status="pending",
            run_id=self._session.run_id,
            object_version=self._version(item),
        )
        arrived = self._with_arrival(item, entry)
        if arrived is None:
            return
        entry, manifest = arrived
        self._add(entry)
        if entry.status == "rejected":
            self._rejected.append(entry)
            self.results.append(result_of(entry, ()))
        else:
            arrivals.append(Candidate(self.feed, self._store, item, entry, manifest))

    def _try_again(self, item: LandingObject, former: LedgerEntry, arrivals: list[Candidate]) -> None:
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
            self.results.append(result_of(entry, ()))
        else:
            self._taken_up.add(entry.batch_id)
            arrivals.append(Candidate(self.feed, self._store, item, entry, manifest, former))

    def _with_arrival(
        self, item: LandingObject, entry: LedgerEntry
    ) -> tuple[LedgerEntry, ManifestFacts | None] | None:
        """The entry with its declared delivery time, or rejected; None when its manifest has not come yet."""
        try:
            manifest = None
            if self.feed.manifest is not None:
                content = self._store.read_companion(
                    item.name + self.feed.manifest.suffix, MANIFEST_LIMIT_BYTES
                )
                if content is None:
                    self.waiting.append(
                        WaitingFile(self.feed.name, item.safe_name, "its manifest has not arrived")
                    )
                    return None
                manifest = read_manifest(content, self.feed.manifest)
            # Of a masked name the time may be gone; the file's own name is at hand unless it was renamed.
            is_own = entry.object_name == item.safe_name
            delivered_at = self.feed.delivered_at(item.name if is_own else entry.object_name)
        except DataRejectedError as error:
            return replace(entry, status="rejected", rule=error.rule, message=told(error)), None
        if delivered_at is None and manifest is not None:
            delivered_at = manifest.delivered_at
        # A number that was given stays; so does the time that it was made of.
        if entry.load_sequence is None:
            entry = replace(entry, delivered_at=delivered_at)
        return entry, manifest

    def _number(self, arrivals: list[Candidate]) -> None:
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
                if isinstance(self._store, PolledStore):
                    self._forgotten.append(entry)  # its rows are in what was polled now
                    continue
                can_be_replayed = self._session.can_be_replayed(entry)
                way_out = f"{'reload --batch' if can_be_replayed else 'withdraw'} {entry.batch_id}"
                self.waiting.append(
                    WaitingFile(
                        self.feed.name,
                        entry.object_name,
                        f"it was not loaded to its end and is gone: deliver it again, or `tillhouse {way_out}`",
                    )
                )
