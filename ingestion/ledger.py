"""The ledger: which deliveries there were, their numbers, what became of them. It lives in the warehouse.

A delivery is (feed, content, object name). Its number within the feed (`load_sequence`) says which of two
deliveries is the later one; once given it stays, also through a crash, a withdrawal or a rebuild.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from ingestion.ops_schema import LOAD_ATTEMPTS, LOAD_LEDGER, OPS_TABLES, PRIMARY_KEYS, SEEN_OBJECTS
from ingestion.warehouses.base import Warehouse
from settings.errors import NotFoundError

Status = Literal["pending", "loaded", "rejected", "duplicate", "withdrawn"]
REPLACED = "replaced"  # rule of a delivery that a newer file of the same name has taken back


@dataclass(frozen=True)
class LedgerEntry:
    """One row of `ops.load_ledger`. Times are aware and in UTC here, naive in the table.

    `bronze_paths` maps entity → path below the bronze folder. `object_version` is what the store called this content
    of the object, where an equal version means equal content.
    """

    batch_id: str
    feed: str
    load_sequence: int | None
    object_name: str
    content_sha256: str
    size_bytes: int
    delivered_at: datetime | None
    modified_at: datetime
    first_seen_at: datetime
    status: Status
    rule: str | None = None
    message: str | None = None
    duplicate_of: str | None = None
    rows_read: int | None = None
    run_id: str | None = None
    engine: str | None = None
    contract_version: str | None = None
    loaded_at: datetime | None = None
    bronze_paths: dict[str, str] | None = None
    object_version: str | None = None

    @property
    def arrived_at(self) -> datetime:
        """Recorded arrival: the declared delivery time, else the modification time when first seen."""
        return self.delivered_at or self.modified_at

    @property
    def judged_arrival(self) -> datetime:
        """What dates in the future are measured by: the declared delivery time, else the later of the file's own
        time and the time first seen. A copied file may carry any time; both are recorded once, so every rerun and
        replay judges alike."""
        return self.delivered_at or max(self.modified_at, self.first_seen_at)

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Deliveries of a feed in this order; those without a number first."""
        return (
            -1 if self.load_sequence is None else self.load_sequence,
            self.first_seen_at,
            self.object_name,
        )

    @property
    def was_replaced(self) -> bool:
        return self.status == "withdrawn" and self.rule == REPLACED


COLUMNS = tuple(field.name for field in fields(LedgerEntry))
_TIMES = frozenset({"delivered_at", "modified_at", "first_seen_at", "loaded_at"})


def naive_utc(moment: datetime) -> datetime:
    """The same moment as the warehouse stores it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def make_batch_id(feed: str, content_sha256: str, object_name: str, occurrence: int = 0) -> str:
    """An id that a second try gives again.

    Args:
        occurrence: how often this file of this feed was delivered and replaced before.
    """
    identity = json.dumps([feed, content_sha256, object_name, occurrence])
    return f"{feed}-{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


@dataclass(frozen=True)
class Arrival:
    """A delivery that has no number yet."""

    object_name: str
    first_seen_at: datetime
    delivered_at: datetime | None


def number_arrivals(known: Iterable[LedgerEntry], arrivals: Sequence[Arrival]) -> list[int]:
    """Sequence numbers of new deliveries of one feed, in the order given.

    With a delivery time: its epoch seconds × 1000 + how many of the feed already carry that time, given out in
    the order (delivery time, first seen, name). Without: the highest so far + 1, in the order (first seen,
    name). A file that was delivered late sorts where it belongs, whenever it comes.

    Args:
        known: every ledger entry of the feed.
    """
    taken = {entry.load_sequence for entry in known if entry.load_sequence is not None}
    of_second = Counter(number // 1000 for number in taken)
    numbers = [0] * len(arrivals)
    earliest = datetime.min.replace(tzinfo=UTC)
    order = sorted(
        range(len(arrivals)),
        key=lambda index: (
            arrivals[index].delivered_at or earliest,
            arrivals[index].first_seen_at,
            arrivals[index].object_name,
        ),
    )
    highest = max(taken, default=0)
    for index in order:
        delivered_at = arrivals[index].delivered_at
        if delivered_at is None:
            highest += 1
            number = highest
        else:
            second = int(delivered_at.timestamp())
            number = second * 1000 + of_second[second]
            while number in taken:
                number += 1
        taken.add(number)
        of_second[number // 1000] += 1
        numbers[index] = number
    return numbers


class Ledger:
    """Reads and writes of `ops.load_ledger` and `ops.load_attempts`.

    It opens no transaction of its own: who calls decides what commits together.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def entries(self, feed: str | None = None, *, status: str | None = None) -> list[LedgerEntry]:
        """All deliveries, of one feed or of all, in any state or in one, in the order (feed, number)."""
        asked = {name: value for name, value in {"feed": feed, "status": status}.items() if value is not None}
        where = f"where {' and '.join(f'{name} = ?' for name in asked)}" if asked else ""
        found = self._warehouse.query(
            f"select {', '.join(COLUMNS)} from {LOAD_LEDGER} {where}", list(asked.values())
        )
        return sorted((_entry(row) for row in found.rows), key=lambda entry: (entry.feed, entry.order))

    def last_seen_at(self) -> datetime | None:
        """When the newest delivery was seen first; None where there is none. Aware, UTC."""
        ((newest,),) = self._warehouse.query(f"select max(first_seen_at) from {LOAD_LEDGER}").rows
        return newest.replace(tzinfo=UTC) if newest is not None else None

    def entry(self, batch_id: str) -> LedgerEntry:
        """The delivery with this id.

        Raises:
            NotFoundError: when there is none.
        """
        found = self._warehouse.query(
            f"select {', '.join(COLUMNS)} from {LOAD_LEDGER} where batch_id = ?", [batch_id]
        )
        if not found.rows:
            raise NotFoundError(
                f"there is no batch {batch_id!r} in the ledger",
                remedy="`tillhouse status` lists the batches of every feed",
                rule="batch_id",
            )
        return _entry(found.rows[0])

    def insert(self, entries: Sequence[LedgerEntry]) -> None:
        """Add deliveries."""
        self._warehouse.insert_rows(LOAD_LEDGER, COLUMNS, [_row(entry) for entry in entries])

    def update(self, entry: LedgerEntry) -> None:
        """Write every column of a delivery that is there."""
        self.update_all([entry])

    def update_all(self, entries: Sequence[LedgerEntry]) -> None:
        """Write every column of deliveries that are there."""
        changed = COLUMNS[1:]
        # By `update`: a ledger that dbt has made, before any file came, has no key that a conflict could be found by.
        self._warehouse.execute_many(
            f"update {LOAD_LEDGER} set {', '.join(f'{name} = ?' for name in changed)} where batch_id = ?",
            [[*_row(entry)[1:], entry.batch_id] for entry in entries],
        )

    def record_attempts(
        self,
        entries: Sequence[LedgerEntry],
        *,
        run_id: str,
        action: str,
        attempted_at: datetime,
        fingerprint: str,
    ) -> None:
        """Note a try at each of some deliveries of one feed."""
        self._warehouse.insert_rows(
            LOAD_ATTEMPTS,
            [name for name, _ in OPS_TABLES[LOAD_ATTEMPTS]],
            [
                [entry.batch_id, run_id, naive_utc(attempted_at), action, entry.status, fingerprint]
                for entry in entries
            ],
        )

    def known_objects(self, feed: str) -> dict[str, tuple[str, str]]:
        """Name of an object as it is kept → its version when it was last read, and the digest of its content."""
        found = self._warehouse.query(
            f"select object_name, object_version, content_sha256 from {SEEN_OBJECTS} where feed = ?", [feed]
        )
        return {name: (version, digest) for name, version, digest in found.rows}

    def know_objects(self, feed: str, objects: Mapping[str, tuple[str, str]]) -> None:
        """Remember versions and digests of objects, as `known_objects` gives them."""
        self._warehouse.put_rows(
            SEEN_OBJECTS,
            PRIMARY_KEYS[SEEN_OBJECTS],
            [name for name, _ in OPS_TABLES[SEEN_OBJECTS]],
            [[feed, name, version, digest] for name, (version, digest) in objects.items()],
        )

    def record_attempt(
        self, entry: LedgerEntry, *, run_id: str, action: str, attempted_at: datetime, fingerprint: str
    ) -> None:
        """Note a try at a delivery and what came of it."""
        self._warehouse.execute(
            f"insert into {LOAD_ATTEMPTS} values (?, ?, ?, ?, ?, ?)",
            [entry.batch_id, run_id, naive_utc(attempted_at), action, entry.status, fingerprint],
        )

    def delete(self, batch_id: str) -> None:
        """Forget a delivery on which no work was done."""
        self._warehouse.execute(f"delete from {LOAD_LEDGER} where batch_id = ?", [batch_id])

    def to_try_again(self, feed: str, fingerprint: str) -> set[str]:
        """Deliveries that a corrected feed file may turn out differently.

        They were rejected under another definition of the feed (or under one that a lost warehouse took with
        it), or withdrawn when the definition was no longer the one that they were loaded under.

        Args:
            fingerprint: of the feed's definition now.
        """
        last = "(array_agg(feed_fingerprint order by attempted_at desc) filter (where {}))[1]"
        tried = last.format("action in ('load', 'accept')")
        withdrawn = last.format("action = 'withdraw'")
        found = self._warehouse.query(
            "select ledger.batch_id, ledger.status,"
            f" {tried}, {withdrawn}"
            f" from {LOAD_LEDGER} as ledger left join {LOAD_ATTEMPTS} as attempts"
            " on ledger.batch_id = attempts.batch_id"
            " where ledger.feed = ? and (ledger.status = 'rejected'"
            " or (ledger.status = 'withdrawn' and ledger.rule = 'withdrawn'))"
            " group by ledger.batch_id, ledger.status",
            [feed],
        )
        return {
            batch_id
            for batch_id, status, tried, withdrawn in found.rows
            if (status == "rejected" and tried != fingerprint)
            or (status == "withdrawn" and tried is not None and withdrawn not in (tried, "", None))
        }


def _row(entry: LedgerEntry) -> list[object]:
    values: list[object] = []
    for name in COLUMNS:
        value = getattr(entry, name)
        if name in _TIMES and value is not None:
            value = naive_utc(value)
        elif name == "bronze_paths" and value is not None:
            value = json.dumps(value, sort_keys=True)
        values.append(value)
    return values


def _entry(row: Sequence[Any]) -> LedgerEntry:
    values = dict(zip(COLUMNS, row, strict=True))
    for name in _TIMES:
        if values[name] is not None:
            values[name] = values[name].replace(tzinfo=UTC)
    if values["bronze_paths"] is not None:
        values["bronze_paths"] = json.loads(values["bronze_paths"])
    return LedgerEntry(**values)
