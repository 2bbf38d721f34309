"""Runs cases: every case is a feed of one company, all of them are ingested in one run, and then once more."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from shop import RUN_COLUMNS, Shop

from ingestion.batch_record import RECORD_NAME, read_record
from ingestion.contract import LINEAGE_COLUMNS, load_contracts
from settings.home import Home

from .cases import Case

MAY_BE_EMPTY = {"_rescued"}
QUARANTINE_LINEAGE = (
    "batch_id", "feed", "entity", "source_file", "file_sha256", "row_number", "rule", "message", "raw_row",
    "_ingested_at", "run_id", "status",
)  # fmt: skip
COUNTS = (
    "rows_read", "rows_accepted", "rows_quarantined", "rows_duplicate", "rows_excluded", "rows_conflicting",
)  # fmt: skip
OPS_TABLES = ("ops.load_ledger", "ops.load_entity_counts", "ops.quarantine", "ops.drift_events")
ENTITY_SETTINGS = ("columns", "exclude", "only")

Record = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a run left of one case, without what names the run, its time or its engine."""

    deliveries: tuple[tuple[str, str, str | None], ...]  # file, status, rule
    accepted: tuple[Record, ...]
    quarantined: tuple[Record, ...]
    refusals: tuple[Record, ...]  # the lines of files that were refused whole
    counts: Mapping[str, int]
    control_totals: Mapping[str, Decimal]
    notes: Mapping[str, int]
    drift: frozenset[tuple[str, str]]
    warnings: tuple[str, ...]


class Ran:
    """All cases after one run and a second one over the same files.

    Args:
        root: an empty folder.
        engine: the only thing in which two of these may differ.
    """

    def __init__(self, root: Path, cases: Sequence[Case], engine: str = "duckdb") -> None:
        self._shop = Shop(Home(root).ensure(), engine=engine)
        self._feeds: dict[str, str] = {}
        numbers: Counter[int] = Counter()
        for case in cases:
            numbers[case.number] += 1
            feed = f"case_{case.number:02d}_{numbers[case.number]}"
            self._feeds[case.name] = feed
            self._deliver(case, feed)
        with _logged() as log:
            self.report = self._shop.run()
            self._tables = _tables(self._shop.home)
            self._first = {case.name: self._found(case) for case in cases}
            self._state = self._shop.state()
            self.second_report = self._shop.run()
        self._state_after_rerun = self._shop.state()
        self._log = "\n".join(log)

    def _deliver(self, case: Case, feed: str) -> None:
        entity = {name: case.settings[name] for name in ENTITY_SETTINGS if name in case.settings}
        settings = {name: value for name, value in case.settings.items() if name not in ENTITY_SETTINGS}
        self._shop.add_feed(feed, case.entity, **{"glob": "*", **settings})
        self._shop.feeds[-1]["entities"][0].update(entity)
        for name, content in case.files.items():
            self._shop.deliver(name, content, feed=feed)

    def found(self, case: Case) -> Found:
        """What the first run left of a case."""
        return self._first[case.name]

    def check(self, case: Case) -> None:
        """Hold what is there to what the case expects, and to the invariants that hold for every case.

        Raises:
            AssertionError: where it differs.
        """
        found = self.found(case)
        refused = [rule for _, status, rule in found.deliveries if status == "rejected"]
        assert refused == ([case.rejected] if case.rejected else []), found.refusals
        assert len(found.deliveries) == len(_data_files(case))
        assert [_shown_row(row, case.columns) for row in found.accepted] == list(case.accepted)
        assert [
            (row["row_number"], row["rule"], row["column_name"]) for row in found.quarantined
        ] == list(case.quarantined)  # fmt: skip
        assert found.notes == case.notes
        assert case.drift <= found.drift
        if case.rescued is not None:
            assert tuple(row["_rescued"] for row in found.accepted) == case.rescued
        if case.warning == "":
            assert not found.warnings
        elif case.warning is not None:
            assert any(case.warning in text for text in found.warnings), found.warnings
        self._check_counts(case, found)
        self._check_lineage(case)
        self._check_private(case)

    def check_rerun(self) -> None:
        """A rerun changes nothing, and says so.

        Raises:
            AssertionError: where a table differs.
        """
        assert self._state_after_rerun == self._state
        assert self.second_report.batches == []

    # ------------------------------------------------------------------ invariants

    def _check_counts(self, case: Case, found: Found) -> None:
        """I1: every row is somewhere, and the sums agree with the rows to the last digit."""
        expected = (
            case.rows_read,
            len(case.accepted),
            len(case.quarantined),
            case.duplicates,
            case.excluded,
            case.conflicts,
        )
        assert tuple(found.counts[name] for name in COUNTS) == expected
        contract = load_contracts()[case.entity]
        for column in contract.decimal_columns:
            total = sum((row[column] for row in found.accepted if row[column] is not None), Decimal(0))
            assert found.control_totals.get(column, Decimal(0)) == total, column

    def _check_lineage(self, case: Case) -> None:
        """I4: every row says where it comes from."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in case.files.items()}
        accepted, quarantined = self._with_run(case)
        places = []
        for row in accepted:
            empty = [name for name, _ in LINEAGE_COLUMNS if name not in MAY_BE_EMPTY and row[name] is None]
            assert not empty
            assert digests[row["_source_file"]] == row["_file_sha256"]
            places.append((row["_batch_id"], row["_row_number"]))
        for row in quarantined:
            assert not [name for name in QUARANTINE_LINEAGE if row[name] is None]
            assert digests[row["source_file"]] == row["file_sha256"]
            places.append((row["batch_id"], row["row_number"]))
        assert len(set(places)) == len(places), "two rows claim one place in the file"
        assert all(1 <= number <= case.rows_read for _, number in places)

    def _check_private(self, case: Case) -> None:
        """I5: what is private stands in no table, no file, no log and no report."""
        if not case.private:
            return
        feed = self._feeds[case.name]
        left = [self._log, repr(self.report), repr(self._state)]
        for path in (self._shop.home.bronze / feed).rglob("*.parquet"):
            left.append(repr(duckdb.sql(f"from read_parquet('{path}')").fetchall()))
        for path in self._shop.home.root.rglob("*"):
            if path.is_file() and not path.is_relative_to(self._shop.home.landing):
                left.append(path.read_bytes().decode("utf-8", "replace"))
        for word in case.private:
            assert not [text for text in left if word in text], f"{word!r} was kept"

    # ------------------------------------------------------------------ reading what is there

    def _found(self, case: Case) -> Found:
        feed = self._feeds[case.name]
        accepted, quarantined = self._with_run(case)
        counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        totals: dict[str, Decimal] = {}
        for record in self._of_feed("ops.load_entity_counts", feed):
            counts.update({name: record[name] for name in COUNTS})
            for column, total in json.loads(record["control_totals"]).items():
                totals[column] = totals.get(column, Decimal(0)) + Decimal(total)
        return Found(
            deliveries=tuple(
                (row["object_name"], row["status"], row["rule"])
                for row in self._of_feed("ops.load_ledger", feed)
            ),
            accepted=tuple(_without_run(row) for row in accepted),
            quarantined=tuple(_without_run(row) for row in quarantined),
            refusals=tuple(
                _without_run(row)
                for row in self._of_feed("ops.quarantine", feed)
                if row["row_number"] is None
            ),
            counts=counts,
            control_totals=totals,
            notes=self._notes(feed),
            drift=frozenset(
                (row["kind"], row["column_name"]) for row in self._of_feed("ops.drift_events", feed)
            ),
            warnings=tuple(text for text in self.report.warnings if f"feed {feed}," in text),
        )

    def _with_run(self, case: Case) -> tuple[list[Record], list[Record]]:
        """Accepted and quarantined rows as they stand, in the order of files and rows."""
        feed = self._feeds[case.name]
        number = {row["batch_id"]: row["load_sequence"] for row in self._of_feed("ops.load_ledger", feed)}
        accepted = self._of_feed(load_contracts()[case.entity].raw_table, feed)
        quarantined = [row for row in self._of_feed("ops.quarantine", feed) if row["row_number"] is not None]
        return (
            sorted(accepted, key=lambda row: (row["_load_sequence"], row["_row_number"])),
            sorted(quarantined, key=lambda row: (number[row["batch_id"]], row["row_number"])),
        )

    def _notes(self, feed: str) -> Mapping[str, int]:
        notes: Counter[str] = Counter()
        for path in sorted((self._shop.home.bronze / feed).glob(f"*/{RECORD_NAME}")):
            for entity in read_record(path.parent).entities:
                notes.update(entity.outcome.notes)
        return dict(notes)

    def _of_feed(self, table: str, feed: str) -> list[Record]:
        return self._tables[table].get(feed, [])


def _tables(home: Home) -> dict[str, dict[str, list[Record]]]:
    """Table → feed → rows: each table is read once, however many cases there are."""
    found: dict[str, dict[str, list[Record]]] = {}
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        for table in (*OPS_TABLES, *(contract.raw_table for contract in load_contracts().values())):
            rows = connection.execute(f"select * from {table} order by all")
            names = [column[0] for column in rows.description]
            by_feed = found.setdefault(table, {})
            for row in rows.fetchall():
                record = dict(zip(names, row, strict=True))
                by_feed.setdefault(record.get("feed") or record["_feed"], []).append(record)
    return found


def _data_files(case: Case) -> list[str]:
    manifest = case.settings.get("manifest")
    return [name for name in case.files if not (manifest and name.endswith(manifest["suffix"]))]


def _without_run(record: Record) -> Record:
    return {name: value for name, value in record.items() if name not in RUN_COLUMNS}


def _shown_row(row: Record, columns: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(_shown(row[name]) for name in columns)


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Everything that is logged meanwhile, down to the debug level."""
    said: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    root, handler = logging.getLogger(), Keeping()
    former = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(handler)
        root.setLevel(former)
