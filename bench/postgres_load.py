"""How fast deliveries get into Postgres: our loader against plain ADBC ingestion of the same rows.

Both read the same bronze file with the same statement, write the same columns of the same types, and commit. The
loader also reconciles counts and totals, writes counts and ledger, and keeps the index by delivery.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
from adbc_driver_postgresql import dbapi

from ingestion.batch_record import read_record
from ingestion.bronze import accepted_rows
from ingestion.contract import load_contracts, raw_column_types
from ingestion.engines.base import Statement
from ingestion.ledger import LedgerEntry
from ingestion.loader import open_loader
from ingestion.service import IngestionService
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Columns
from ingestion.warehouses.postgres import ROWS_PER_BATCH, connection_text
from settings.errors import NotFoundError
from settings.home import Home
from settings.profile import read_target

PLAIN_SCHEMA = "plain_load"


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
    """Load the largest bronze file of an entity into the target `postgres`, plainly and with the loader.

    Plainly before and after the loader, and the better counts; the delivery stays loaded, the plain copies go.

    Args:
        home: whose bronze holds deliveries of the entity. The caller holds the writer's lock.
        entity: "store.order_items".

    Raises:
        NotFoundError: when bronze has no such file.
    """
    files = list(home.bronze.glob(f"*/*/{entity}.parquet"))
    if not files:
        raise NotFoundError(
            f"bronze holds no delivery of {entity}",
            remedy="ingest one into the target `duckdb` first",
            rule="bronze",
        )
    checked = max(files, key=lambda path: path.stat().st_size)
    record = read_record(checked.parent)
    lineage = next(part.lineage for part in record.entities if part.entity == entity)
    contract = load_contracts()[entity]
    with closing(open_loader("postgres", home)):
        pass  # makes the tables, so that neither way pays for it
    statement = accepted_rows(contract, checked, lineage)
    columns = raw_column_types(contract)
    rows, before = _load_plainly(home, statement, columns)
    loader_seconds = _load(home, record.entry)
    _, after = _load_plainly(home, statement, columns)
    return LoadFigures(rows, rows / loader_seconds, rows / min(before, after))


def _load_plainly(home: Home, statement: Statement, columns: Columns) -> tuple[int, float]:
    """Rows and seconds of an ingestion into a table of its own, from the bronze file to the commit."""
    with closing(open_warehouse("postgres", home)) as warehouse:
        warehouse.execute(f"create schema if not exists {PLAIN_SCHEMA}")
        names = ", ".join(f'"{name}" {warehouse.column_type(kind)}' for name, kind in columns)
        warehouse.execute(f"create table {PLAIN_SCHEMA}.rows ({names})")
    started = time.perf_counter()
    with duckdb.connect() as source, dbapi.connect(connection_text(read_target("postgres"))) as plain:
        reader = source.execute(statement.sql, dict(statement.parameters)).to_arrow_reader(ROWS_PER_BATCH)
        with plain.cursor() as cursor:
            rows = int(cursor.adbc_ingest("rows", reader, mode="append", db_schema_name=PLAIN_SCHEMA))
        plain.commit()
    seconds = time.perf_counter() - started
    with closing(open_warehouse("postgres", home)) as warehouse:
        warehouse.execute(f"drop schema {PLAIN_SCHEMA} cascade")
    return rows, seconds


def _load(home: Home, entry: LedgerEntry) -> float:
    """Seconds that the whole call takes for one delivery: connecting, loading, statistics for the planner."""
    run_id = f"bench-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    started = time.perf_counter()
    report = IngestionService(home, (), target="postgres").reload(run_id, batch_id=entry.batch_id)
    seconds = time.perf_counter() - started
    if report.files_loaded != 1:
        raise RuntimeError(f"the delivery was not loaded: {report.summary()}")
    return seconds
