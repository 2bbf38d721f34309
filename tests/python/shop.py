"""A small company for tests: a home folder, feed files, deliveries, the state of its warehouse."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml

from ingestion.contract import load_contracts
from ingestion.feed import load_feeds
from ingestion.report import IngestionReport
from ingestion.service import IngestionService
from settings.home import Home

# What two runs over the same files may differ in: when and by which run, never what.
RUN_COLUMNS = {"_ingested_at", "run_id", "first_seen_at", "loaded_at", "seen_at"}
HEADER = "id,customer_id,total_amount,currency,created_at,status,updated_at"
ARRIVED = datetime(2026, 3, 1, 6, tzinfo=UTC)


def order_line(number: int, *, amount: str = "10.00", status: str = "paid", updated: str = "") -> str:
    """One good order of 1 February 2026, unless told otherwise."""
    return f"{number:05d},C{number % 7},{amount},USD,2026-02-01 10:{number % 60:02d}:00,{status},{updated}"


def orders(numbers: Iterable[int], bad: Iterable[int] = (), **values: str) -> str:
    """An order file. The numbers in `bad` are rows whose amount is no number."""
    lines = [HEADER, *(order_line(number, **values) for number in numbers)]
    lines += [order_line(number, amount="ten") for number in bad]
    return "\n".join(lines) + "\n"


@dataclass
class Shop:
    """A home folder with one company in it, whose files an engine validates."""

    home: Home
    feeds: list[dict[str, Any]] = field(default_factory=list)
    engine: str = "duckdb"
    runs: int = 0

    @classmethod
    def at(cls, root: Path, **settings: Any) -> Shop:
        """A shop with a feed of orders."""
        shop = cls(Home(root).ensure())
        shop.add_feed("shop_orders", "store.orders", **settings)
        return shop

    def add_feed(self, name: str, *entities: str, **settings: Any) -> None:
        (self.home.landing / name).mkdir(exist_ok=True)
        listed = [{"entity": entity} for entity in entities]
        self.feeds.append(
            {
                "name": name,
                "location": f"file://landing/{name}",
                "glob": "*.csv",
                "entities": listed,
                **settings,
            }
        )

    def change(self, feed: int = 0, **settings: Any) -> None:
        """Edit a feed."""
        self.feeds[feed].update(settings)

    def service(self, target: str = "duckdb") -> IngestionService:
        path = self.home.feeds / "shop.yml"
        path.write_text(
            yaml.safe_dump({"company": "shop", "defaults": {"currency": "USD"}, "feeds": self.feeds}),
            encoding="utf-8",
        )
        return IngestionService(self.home, load_feeds(path, self.home), engine=self.engine, target=target)

    def deliver(self, name: str, content: str | bytes, feed: str = "shop_orders") -> Path:
        """Put a file into the landing folder, as arrived at `ARRIVED`."""
        path = self.home.landing / feed / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (ARRIVED.timestamp(), ARRIVED.timestamp()))
        return path

    def remove(self, name: str, feed: str = "shop_orders") -> None:
        (self.home.landing / feed / name).unlink()

    def run(self) -> IngestionReport:
        self.runs += 1
        return self.service().ingest(f"run-{self.runs}")

    def query(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.warehouse), read_only=True) as connection:
            return connection.execute(sql, parameters or []).fetchall()

    def ids(self) -> list[str]:
        """Ids of the orders in the raw table, as often as they are there."""
        return [row[0] for row in self.query("select id from raw.store_orders order by id, _load_sequence")]

    def statuses(self, feed: str = "shop_orders") -> dict[str, list[str]]:
        """Object name → states of its ledger entries."""
        found: dict[str, list[str]] = {}
        for name, status in self.query(
            "select object_name, status from ops.load_ledger where feed = ?"
            " order by first_seen_at, load_sequence nulls last, status",
            [feed],
        ):
            found.setdefault(name, []).append(status)
        return found

    def batch_of(self, name: str, status: str = "loaded") -> str:
        (row,) = self.query(
            "select batch_id from ops.load_ledger where object_name = ? and status = ?", [name, status]
        )
        return str(row[0])

    def state(self, *, ledger: bool = True) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the warehouse in a fixed order, without what names the run or its time."""
        tables = [contract.raw_table for contract in load_contracts().values()]
        tables += ["ops.load_entity_counts", "ops.quarantine", "ops.drift_events"]
        if ledger:
            tables.append("ops.load_ledger")
        found: dict[str, list[tuple[Any, ...]]] = {}
        with duckdb.connect(str(self.home.warehouse), read_only=True) as connection:
            for table in tables:
                columns = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
                kept = [f'"{name}"' for name in columns if name not in RUN_COLUMNS]
                found[table] = connection.execute(
                    f"select {', '.join(kept)} from {table} order by all"
                ).fetchall()
        return found
