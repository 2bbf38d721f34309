"""What a case of the catalogue is: files for one feed, and everything that is to become of them.

A case is data alone. `running.py` delivers the cases to an engine and compares; `page.py` writes them down for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Disposition = Literal["ACCEPT", "NORM", "QROW", "QFILE", "RETRY", "FAIL"]

# (row number, rule, column)
BadRow = tuple[int, str, str | None]
ORDERS = ("id", "total_amount")
LINES = ("line_id", "quantity", "unit_price")


@dataclass(frozen=True)
class Case:
    """Files of one feed, read in one run.

    Attributes:
        number: of the catalogue.
        title: what is delivered, in words.
        disposition: what is to become of it, by the catalogue's word.
        files: name → content, in the order of delivery.
        entity: of the feed's only entity.
        settings: of the feed; `columns`, `exclude` and `only` are those of the entity.
        columns: of the raw table, which `accepted` shows.
        accepted: the accepted rows by file and row number; numbers without needless zeros, times as ISO 8601.
        quarantined: the refused rows, likewise.
        duplicates, excluded, conflicts: rows, over all files.
        rejected: the rule by which the last file was refused whole; nothing of it is loaded.
        notes: what was normalised, "column:note" → rows.
        drift: (kind, column) of every difference between the file's columns and the contract's that is asked for.
        warning: words of a warning that the run gives; empty where it is to give none.
        rescued: what `_rescued` holds, by row, where it is asked for.
        private: texts that stand in the files and must stand nowhere in what the run leaves.
        elsewhere: further tests of the same promise, as path::name.
    """

    number: int
    title: str
    disposition: Disposition
    files: Mapping[str, bytes]
    entity: str = "store.orders"
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ORDERS
    accepted: tuple[tuple[str | None, ...], ...] = ()
    quarantined: tuple[BadRow, ...] = ()
    duplicates: int = 0
    excluded: int = 0
    conflicts: int = 0
    rejected: str | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    drift: frozenset[tuple[str, str]] = frozenset()
    warning: str | None = None
    rescued: tuple[str | None, ...] | None = None
    private: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For the test's name: number and title."""
        return f"{self.number:02d} {self.title}"

    @property
    def rows_read(self) -> int:
        """Every row is somewhere."""
        return len(self.accepted) + len(self.quarantined) + self.duplicates + self.excluded

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules and notes that the case is about, each once, in order."""
        found = [self.rejected] if self.rejected else []
        found += [rule for _, rule, _ in self.quarantined]
        found += [note.partition(":")[2] or note for note in self.notes]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Covered:
    """A case that is held by tests of its own, because it takes several runs, a fault, or another part.

    Attributes:
        outcome: what becomes of it, in one sentence.
        rule: the rule that the error or the ledger names, if any.
        tests: where, as path::name.
    """

    number: int
    title: str
    disposition: Disposition
    outcome: str
    tests: tuple[str, ...]
    rule: str = ""


def lines(*rows: str, end: str = "\n") -> bytes:
    """A text file of these lines."""
    return "".join(row + end for row in rows).encode()
