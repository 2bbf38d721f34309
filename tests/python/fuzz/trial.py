"""Files of some seeds through the whole of ingestion, and what may be said of each afterwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml

from ingestion.feed import load_feeds
from ingestion.rules import FILE_RULES
from ingestion.service import IngestionService
from settings.home import Home

from .drawing import CURRENCY, FEEDS, DrawnFile, FuzzedFeed, draw_file
from .reading import UNKNOWN, Reading, Row, UnreadableError, expected_value, read_content

ARRIVED = datetime(2026, 3, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Complaint:
    """Something that must not be, and how anyone sees it again."""

    file: DrawnFile
    text: str

    def __str__(self) -> str:
        made = ", ".join(self.file.steps) or "unchanged"
        return (
            f"{self.text}\n  feed {self.file.feed.name}, {made}"
            f"\n  again: python -m tests.python.fuzz.soak --files 1 --seed {self.file.seed} --keep ."
        )


def run_seeds(seeds: Iterable[int], folder: Path, *, engine: str = "duckdb") -> list[Complaint]:
    """Deliver the files of these seeds to a fresh warehouse in one run, and look at what became of each.

    Args:
        folder: is made, and stays for who wants to look.
        engine: that reads them.
    """
    return run_files([draw_file(seed) for seed in seeds], folder, engine=engine)


def run_files(files: Sequence[DrawnFile], folder: Path, *, engine: str = "duckdb") -> list[Complaint]:
    """As `run_seeds`, of files that are there already."""
    home = Home(folder).ensure()
    for file in files:
        path = home.landing / file.feed.name / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        os.utime(path, (ARRIVED.timestamp(), ARRIVED.timestamp()))
    deliver_to(home, engine=engine)
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        return [complaint for file in files for complaint in _complaints(connection, file)]


def deliver_to(home: Home, *, engine: str = "duckdb") -> None:
    """One run over everything that lies in the landing folders of the fuzzed company."""
    path = home.feeds / "fuzzed.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.safe_dump(
            {
                "company": "fuzzed",
                "defaults": {"currency": CURRENCY},
                "feeds": [feed.definition() for feed in FEEDS],
            }
        ),
        encoding="utf-8",
    )
    for feed in FEEDS:
        (home.landing / feed.name).mkdir(parents=True, exist_ok=True)
    IngestionService(home, load_feeds(path, home), engine=engine).ingest("fuzzed")


def differences(files: Sequence[DrawnFile], folder: Path, engines: Sequence[str]) -> list[str]:
    """Deliver the files in one run with each engine: what differs in what became of them, and of every row.

    Each engine's complaints are told too. An empty list says that all is well.
    """
    told: list[str] = []
    states = {}
    for engine in engines:
        told += [f"{engine}: {complaint}" for complaint in run_files(files, folder / engine, engine=engine)]
        states[engine] = _state(Home(folder / engine))
    first = states[engines[0]]
    for engine in engines[1:]:
        for table, rows in first.items():
            lost, more = rows - states[engine][table], states[engine][table] - rows
            told += [f"{engine}: {table} lacks {row}" for row in lost]
            told += [f"{engine}: {table} has beside {engines[0]} {row}" for row in more]
    return told


def _state(home: Home) -> dict[str, Counter[tuple[str, ...]]]:
    """How often each row stands in what a run wrote, without what names the run, its time or its engine."""
    without = {"_ingested_at", "run_id", "first_seen_at", "loaded_at", "seen_at", "engine", "attempted_at"}
    tables = {
        *(feed.contract.raw_table for feed in FEEDS),
        *("ops.quarantine", "ops.load_entity_counts", "ops.drift_events", "ops.load_ledger"),
    }
    found = {}
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        for table in sorted(tables):
            columns = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
            kept = ", ".join(f'"{name}"::varchar' for name in columns if name not in without)
            found[table] = Counter(connection.execute(f"select {kept} from {table}").fetchall())
    return found


# ---------------------------------------------------------------------- one file


def _complaints(connection: duckdb.DuckDBPyConnection, file: DrawnFile) -> list[Complaint]:
    entries = connection.execute(
        "select batch_id, status, rule, rows_read from ops.load_ledger where feed = ? and object_name = ?",
        [file.feed.name, file.name],
    ).fetchall()
    if len(entries) != 1:
        return [Complaint(file, f"the ledger has {len(entries)} entries for it")]
    batch_id, status, rule, rows_read = entries[0]
    if status == "duplicate":
        return []
    if status == "rejected":
        known = rule in FILE_RULES
        return (
            [] if known else [Complaint(file, f"it was rejected by {rule!r}, which is no rule about files")]
        )
    if status != "loaded":
        return [Complaint(file, f"it was neither loaded nor rejected: {status}")]
    return [Complaint(file, text) for text in _faults_of_loaded(connection, file, batch_id, rows_read)]


def _faults_of_loaded(
    connection: duckdb.DuckDBPyConnection, file: DrawnFile, batch_id: str, rows_read: int
) -> list[str]:
    counts = connection.execute(
        "select rows_read, rows_accepted, rows_quarantined, rows_duplicate, rows_excluded"
        " from ops.load_entity_counts where batch_id = ?",
        [batch_id],
    ).fetchall()
    faults = [f"{read} rows were read, {parts} told of" for read, *parts in counts if read != sum(parts)]
    cursor = connection.execute(
        f"select * from {file.feed.contract.raw_table} where _batch_id = ? order by _row_number", [batch_id]
    )
    names = [column[0] for column in cursor.description or ()]
    accepted = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    quarantined = connection.execute(
        "select row_number, rule from ops.quarantine where batch_id = ? and row_number is not null",
        [batch_id],
    ).fetchall()
    if len(accepted) != counts[0][1] or len(quarantined) != counts[0][2]:
        faults.append(
            f"{len(accepted)} accepted and {len(quarantined)} bad rows are there, counted: {counts[0]}"
        )
    try:
        reading = read_content(file.feed, file.content)
    except UnreadableError:
        return faults
    if len(reading.rows) != rows_read:
        faults.append(f"it has {len(reading.rows)} rows by Python's reader, {rows_read} were read")
        return faults
    for row in accepted:
        faults.extend(_faults_of_row(file.feed, reading, row))
    for number, rule in quarantined:
        if not _may_be_bad(file.feed, reading, reading.rows[number - 1]):
            faults.append(f"row {number} is in quarantine ({rule}), though every cell of it is good")
    return faults[:5]


def _faults_of_row(feed: FuzzedFeed, reading: Reading, row: Mapping[str, Any]) -> list[str]:
    number = row["_row_number"]
    cells = _cells(reading, reading.rows[number - 1])
    if cells is None:
        return [f"row {number} was accepted with {len(reading.rows[number - 1])} cells"]
    faults = []
    for column in feed.columns:
        found = row[column.output_name]
        try:
            expected = expected_value(feed, column, cells.get(column.name))
        except ValueError as error:
            faults.append(f"row {number}: {column.name} was accepted as {found!r}, though: {error}")
            continue
        if expected is not UNKNOWN and expected != found:
            faults.append(f"row {number}: {column.name} is {found!r}, expected {expected!r}")
    return faults


def _cells(reading: Reading, row: Row) -> dict[str, str | None] | None:
    """Cells by folded name; None where the row has too few or too many."""
    if len(row) != len(reading.header):
        return None
    return {name.strip().casefold(): cell for name, cell in zip(reading.header, row, strict=True)}


def _may_be_bad(feed: FuzzedFeed, reading: Reading, row: Row) -> bool:
    """Whether anything about the row could be a reason to turn it away: what no rule forbids is a good row."""
    cells = _cells(reading, row)
    if cells is None or any(cell and ("\0" in cell or len(cell.encode()) > 65_535) for cell in row):
        return True
    for column in feed.columns:
        cell = cells.get(column.name)
        try:
            value = expected_value(feed, column, cell)
        except ValueError:
            return True
        if value is UNKNOWN:
            if column.required and not (cell or "").strip():
                return True
            continue
        has_bounds = column.minimum is not None or column.maximum is not None or column.at_most_product_of
        if value is None and (column.required or column.required_when):
            return True
        if value is not None and (has_bounds or column.not_after_arrival or column.vocabulary):
            bounds = (column.minimum, column.maximum)
            if isinstance(value, date) or column.vocabulary or column.at_most_product_of or any(
                (bound is not None and (value < bound if place == 0 else value >= bound)) or value == bound
                for place, bound in enumerate(bounds)
            ):  # fmt: skip
                return True
    return False
