"""Large published tables as parquet files of some days each.

A part holds the rows of consecutive days and is never written again: when one of its days changes, new parts
take its place. Parts are cut by rows and not by months, so that a day costs the same in a large company as its rows
do, and a small table is one file.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

# Rewriting a part of this size takes half a CPU second (43 columns); half of it doubles the files, and a query over
# all of them opens each. A part may grow by a quarter before it is cut, lest late rows split it into crumbs.
FULL_ROWS = 250_000
GROWTH = 5 / 4


@dataclass(frozen=True)
class Part:
    """One parquet file, by its path below the folder of published files.

    Attributes:
        first_day, last_day: of its rows; both None for rows without a day, or of a table without days.
        size: of the file, in bytes.
        sequence: how far the table's changes had been taken when it was written.
    """

    file: str
    first_day: date | None
    last_day: date | None
    rows: int
    size: int
    sequence: int


@dataclass(frozen=True)
class DayRange:
    """Days from `first` until before `until`; None is open. `is_undated` stands for the rows without a day."""

    first: date | None = None
    until: date | None = None
    is_undated: bool = False

    def condition(self, column: str) -> str:
        """The rows of these days, as SQL."""
        if self.is_undated:
            return f'"{column}" is null'
        bounds = [f"\"{column}\" >= date '{self.first}'"] if self.first else []
        bounds += [f"\"{column}\" < date '{self.until}'"] if self.until else []
        return " and ".join(bounds or [f'"{column}" is not null'])


EVERYTHING = (DayRange(), DayRange(is_undated=True))


def ranges_to_write(
    parts: Sequence[Part], changed_days: Collection[date | None], taken: int
) -> tuple[DayRange, ...]:
    """The days whose rows must be written anew.

    Args:
        parts: what is published of the table.
        changed_days: days that changed since `taken`; None for rows without a day.
        taken: the consumer's mark in the warehouse. Parts written beyond it come from a publication that the
            warehouse does not know of: one that was cut short, or one of a warehouse that has been replaced.
    """
    dated = _dated(parts)
    days = sorted(day for day in changed_days if day is not None)
    if not dated:
        ranges = [DayRange()] if days else []
    else:
        starts = [part.first_day for part in dated]
        stale = {max(bisect_right(starts, day) - 1, 0) for day in days}  # type: ignore[type-var]
        stale |= {number for number, part in enumerate(dated) if part.sequence > taken}
        ranges = [
            DayRange(
                first=None if first == 0 else starts[first],
                until=None if last + 1 == len(dated) else starts[last + 1],
            )
            for first, last in _runs(sorted(stale))
        ]
    undated = [part for part in parts if part.first_day is None]
    if None in changed_days or any(part.sequence > taken for part in undated):
        ranges.append(DayRange(is_undated=True))
    return tuple(ranges)


def parts_outside(parts: Sequence[Part], ranges: Collection[DayRange]) -> list[Part]:
    """The parts that stay when these days are written anew."""
    return [part for part in parts if not any(_holds(days, part) for days in ranges)]


def cut(counts: Sequence[tuple[date, int]], full_rows: int) -> Iterator[tuple[date, date]]:
    """First and last day of each part for these days and their rows, in order of days."""
    if sum(rows for _, rows in counts) <= full_rows * GROWTH:
        full_rows = max(sum(rows for _, rows in counts), 1)
    first: date | None = None
    last: date | None = None
    held = 0
    for day, rows in counts:
        if first is not None and last is not None and held + rows > full_rows:
            yield first, last
            first, held = None, 0
        first, last, held = first or day, day, held + rows
    if first is not None and last is not None:
        yield first, last


@dataclass(frozen=True)
class PartWriter:
    """Writes the parts of one table.

    Attributes:
        connection: has the warehouse attached.
        folder: of the published files.
        source: the table, as the connection names it.
        place: below the folder, for this table's files.
        name: of the publication, so that no file's name comes twice.
    """

    connection: duckdb.DuckDBPyConnection
    folder: Path
    source: str
    place: str
    name: str
    full_rows: int = FULL_ROWS

    def write_whole(self, sequence: int = 0) -> Part:
        """The table as one part."""
        return self._write("true", "whole", None, None, sequence)

    def write_days(self, column: str, days: DayRange, sequence: int) -> list[Part]:
        """The rows of these days as parts; none where there are no rows."""
        counts = self.connection.execute(
            f'select "{column}", count(*) from {self.source} where {days.condition(column)} group by 1 order by 1'
        ).fetchall()
        if days.is_undated:
            return [self._write(days.condition(column), "undated", None, None, sequence)] if counts else []
        return [
            self._write(
                f"\"{column}\" between date '{first}' and date '{last}'", f"{first}", first, last, sequence
            )
            for first, last in cut(counts, self.full_rows)
        ]

    def _write(
        self, condition: str, label: str, first: date | None, last: date | None, sequence: int
    ) -> Part:
        file = f"{self.place}/{label}-{self.name}.parquet"
        path = self.folder / file
        for folder in (self.folder, path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        # At its first level zstd writes as fast as snappy and makes files of two thirds the size, as fast to read.
        written = self.connection.execute(
            f"copy (select * from {self.source} where {condition}) to '{quoted(path)}'"
            " (format parquet, compression zstd, compression_level 1)"
        ).fetchone()
        path.chmod(0o600)
        sync(path)
        return Part(file, first, last, written[0] if written else 0, path.stat().st_size, sequence)


def quoted(path: Path) -> str:
    """The path inside an SQL text."""
    return str(path).replace("'", "''")


def as_pattern(path: Path) -> str:
    """The path inside an SQL text where a pattern is expected: it matches this file alone."""
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in quoted(path))


def sync(path: Path) -> None:
    """Wait until the file, or the folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dated(parts: Sequence[Part]) -> list[Part]:
    return sorted((part for part in parts if part.first_day), key=lambda part: part.first_day or date.min)


def _holds(days: DayRange, part: Part) -> bool:
    if days.is_undated or part.first_day is None:
        return days.is_undated and part.first_day is None
    return (days.first is None or part.first_day >= days.first) and (
        days.until is None or part.first_day < days.until
    )


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers: neighbours are written together and cut afresh."""
    start = previous = None
    for number in numbers:
        if start is None or previous is None:
            start = number
        elif number != previous + 1:
            yield start, previous
            start = number
        previous = number
    if start is not None and previous is not None:
        yield start, previous
