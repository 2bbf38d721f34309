"""How fast deliveries get into Postgres: our loader against plain ADBC ingestion of the same rows.

Both read the same bronze files, fill the same columns of the same types, and commit after each file. Plain ingestion
sends every column; the loader tells the server once what is equal in all rows of a file. It also reconciles counts and
totals, writes quarantine, counts and ledger, and gathers statistics for the planner.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from adbc_driver_postgresql import dbapi

from ingestion.batch_record import read_record
from ingestion.bronze import accepted_rows
from ingestion.contract import load_contracts, raw_column_types
from ingestion.engines.base import Statement
from ingestion.loader import open_loader
from ingestion.service import IngestionService
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Columns
from ingestion.warehouses.postgres import ROWS_PER_BATCH, connection_text, open_source
from settings.errors import NotFoundError
from settings.home import Home
from settings.profile import read_target

PLAIN_SCHEMA = "plain_load"
KEPT_SCHEMAS = ("raw", "ops", "state")
ROUNDS = 5


@dataclass(frozen=True)
class LoadFigures:
    """Rows that were loaded and rows per second in both ways."""

    rows: int
    loader_rows_per_second: float
    plain_rows_per_second: float

    @property
    def share_of_plain(self) -> float:
        return self.loader_rows_per_second / self.plain_rows_per_second


def measure_postgres_load(home: Home, entity: str) -> LoadFigures:
    """Load the deliveries of an entity by one feed into the target `postgres`, plainly and with the loader in turn.

    Each way is taken `ROUNDS` times, and its median counts. The database is the measurement's own: what tillhouse keeps
    in it is dropped between two rounds. The deliveries of the last round stay loaded.

    Args:
        home: whose bronze holds deliveries of the entity; of several feeds the one with most bytes is taken. The
            caller holds the writer's lock.
        entity: "store.order_items".

    Raises:
        NotFoundError: when bronze has no such file.
    """
    files = _largest_feed(home, entity)
    if not files:
        raise NotFoundError(
            f"bronze holds no delivery of {entity}",
            remedy="ingest one into the target `duckdb` first",
            rule="bronze",
        )
    contract = load_contracts()[entity]
    records = [read_record(checked.parent) for checked in files]
    statements = [
        accepted_rows(contract, checked, part.lineage)
        for checked, record in zip(files, records, strict=True)
        for part in record.entities
        if part.entity == entity
    ]
    _make_tables(home)
    columns = raw_column_types(contract)
    plain_seconds, loader_seconds = [], []
    for turn in range(ROUNDS):
        if turn:
            _forget_deliveries(home)
        rows, seconds = _load_plainly(home, statements, columns)
        plain_seconds.append(seconds)
        loader_seconds.append(_load(home, records[0].entry.feed, len(files)))
    return LoadFigures(rows, rows / median(loader_seconds), rows / median(plain_seconds))


def _largest_feed(home: Home, entity: str) -> list[Path]:
    """The checked files of the feed that has delivered most of an entity."""
    by_feed: dict[str, list[Path]] = {}
    for checked in sorted(home.bronze.glob(f"*/*/{entity}.parquet")):
        by_feed.setdefault(checked.parts[-3], []).append(checked)
    return max(by_feed.values(), key=lambda files: sum(file.stat().st_size for file in files), default=[])


def _make_tables(home: Home) -> None:
    """So that no load pays for it."""
    with closing(open_loader("postgres", home)):
        pass


def _forget_deliveries(home: Home) -> None:
    with closing(open_warehouse("postgres", home)) as warehouse:
        for schema in KEPT_SCHEMAS:
            warehouse.execute(f"drop schema {schema} cascade")
    _make_tables(home)


def _load_plainly(home: Home, statements: Sequence[Statement], columns: Columns) -> tuple[int, float]:
    """Rows and seconds of an ingestion into a table of its own, from the bronze files to the last commit."""
    with closing(open_warehouse("postgres", home)) as warehouse:
        warehouse.execute(f"create schema if not exists {PLAIN_SCHEMA}")
        names = ", ".join(f'"{name}" {warehouse.column_type(kind)}' for name, kind in columns)
        warehouse.execute(f"create table {PLAIN_SCHEMA}.rows ({names})")
    rows = 0
    started = time.perf_counter()
    with open_source() as source, dbapi.connect(connection_text(read_target("postgres"))) as plain:
        for statement in statements:
            reader = source.execute(statement.sql, dict(statement.parameters)).to_arrow_reader(ROWS_PER_BATCH)
            with plain.cursor() as cursor:
                rows += int(cursor.adbc_ingest("rows", reader, mode="append", db_schema_name=PLAIN_SCHEMA))
            plain.commit()
    seconds = time.perf_counter() - started
    with closing(open_warehouse("postgres", home)) as warehouse:
        warehouse.execute(f"drop schema {PLAIN_SCHEMA} cascade")
    return rows, seconds


def _load(home: Home, feed: str, deliveries: int) -> float:
    """Seconds that the whole call takes for a feed: connecting, loading, statistics for the planner."""
    run_id = f"bench-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    started = time.perf_counter()
    report = IngestionService(home, (), target="postgres").reload(run_id, feed=feed)
    seconds = time.perf_counter() - started
    if report.files_loaded != deliveries:
        raise RuntimeError(f"not all of {deliveries} deliveries were loaded: {report.summary()}")
    return seconds
