"""A bakery with one feed of orders, and the command as its owner calls it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.main import main
from ingestion import operations
from ingestion.feed import load_feeds
from ingestion.report import IngestionReport
from ingestion.service import IngestionService
from settings.home import Home

FEED = "bakery_orders"
ARRIVED = datetime(2026, 3, 1, 6, tzinfo=UTC).timestamp()
HEADER = "id,customer_id,total_amount,currency,created_at,status"
FEED_FILE = """
company: bakery
feeds:
  - name: bakery_orders
    location: file://landing/bakery
    glob: "*.csv"
    quarantine_threshold: {share: 0.5, rows: 1}
    entities:
      - entity: store.orders
"""


@dataclass(frozen=True)
class Said:
    """How one call of the command ended and what it printed."""

    code: int
    out: str
    err: str

    def row(self, *words: str) -> str:
        """The one line of the output that holds all these words."""
        (found,) = [line for line in self.out.splitlines() if all(word in line for word in words)]
        return found


def call(capsys: pytest.CaptureFixture[str], *words: str) -> Said:
    """Call `tillhouse` with these words, in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(list(words))
    printed = capsys.readouterr()
    code = left.value.code
    assert isinstance(code, int)
    return Said(code, printed.out, printed.err)


def orders(*amounts: str, first: int = 1) -> str:
    """An order file with one row for each amount."""
    rows = [
        f"B{first + number:03d},C1,{amount},EUR,2026-02-01 10:{number:02d}:00,paid"
        for number, amount in enumerate(amounts)
    ]
    return "\n".join([HEADER, *rows]) + "\n"


@dataclass
class Bakery:
    """The bakery's home folder."""

    home: Home
    delivered: int = 0

    @classmethod
    def at(cls, root: Path) -> Bakery:
        bakery = cls(Home(root).ensure())
        (bakery.home.landing / "bakery").mkdir()
        (bakery.home.feeds / "bakery.yml").write_text(FEED_FILE, encoding="utf-8")
        return bakery

    def deliver(self, name: str, text: str) -> Path:
        path = self.home.landing / "bakery" / name
        path.write_text(text, encoding="utf-8")
        self.delivered += 1
        # A minute apart, so that their order is not left to the clock.
        os.utime(path, (ARRIVED + 60 * self.delivered,) * 2)
        return path

    def ingest(self, run_id: str = "run-1") -> IngestionReport:
        """Load what is new, as a run does, without building marts."""
        operations.start_run(self.home, run_id, target="duckdb")
        report = IngestionService(self.home, load_feeds(self.home.feeds, self.home)).ingest(run_id)
        operations.record_ingestion(self.home, run_id, report)
        operations.finish_run(self.home, run_id, status="succeeded")
        return report

    def batch(self, name: str) -> str:
        """The batch id of a file."""
        found = operations.ledger_entries(self.home, feed=FEED).records()
        (batch_id,) = [entry["batch_id"] for entry in found if entry["object_name"] == name]
        return str(batch_id)

    def rows(self) -> int:
        """Rows of loaded files."""
        return operations.rows_loaded(self.home)
