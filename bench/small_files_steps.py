"""The steps that measure very many small files, each called in a process of its own by `bench.measure`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.measure import run_named_step
from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from settings.home import Home

FEED = "small_orders"
ORDERS_OF_A_FILE = 3
HEADER = "id,customer_id,total_amount,currency,created_at,status,updated_at"
ARRIVED = datetime(2026, 3, 1, 6, tzinfo=UTC).timestamp()

Facts = dict[str, Any]


def step_write_files(home: Home, words: Mapping[str, Any]) -> Facts:
    """Write `files` files of their own orders each, and the feed that reads them."""
    folder = home.landing / FEED
    folder.mkdir(parents=True)
    for number in range(int(words["files"])):
        rows = [
            f"{number * ORDERS_OF_A_FILE + row},C{number % 997},10.00,USD,2026-02-01 10:00:00,paid,"
            for row in range(ORDERS_OF_A_FILE)
        ]
        path = folder / f"orders_{number:07d}.csv"
        path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        os.utime(path, (ARRIVED, ARRIVED))
    feed = {
        "name": FEED,
        "location": f"file://landing/{FEED}",
        "glob": "*.csv",
        "entities": [{"entity": "store.orders"}],
    }
    _feed_file(home).write_text(
        yaml.safe_dump({"company": "small", "defaults": {"currency": "USD"}, "feeds": [feed]}),
        encoding="utf-8",
    )
    return {"rows": 0}


def step_load(home: Home, words: Mapping[str, Any]) -> Facts:
    """Load what is new, and fail unless that is `files` files with all their rows."""
    service = IngestionService(home, load_feeds(_feed_file(home), home))
    report = service.ingest(f"small-{time.time_ns()}")
    expected = int(words["files"]) * ORDERS_OF_A_FILE
    if report.files_loaded != int(words["files"]) or report.rows_accepted != expected:
        raise RuntimeError(f"{words['files']} files with {expected} rows should load: {report.summary()}")
    return {"rows": report.rows_accepted}


STEPS: dict[str, Callable[[Home, Mapping[str, Any]], Facts]] = {
    "write_files": step_write_files,
    "load": step_load,
}


def _feed_file(home: Home) -> Path:
    return home.feeds / "small.yml"


if __name__ == "__main__":
    run_named_step(STEPS)
