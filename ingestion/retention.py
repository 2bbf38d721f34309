"""Dropping what is older than the retention settings allow, and never what a rebuild needs.

Rows of loaded deliveries are the truth that raw tables are rebuilt from, so they stay, whatever their age. What goes
are the cells of old rows in quarantine (their place, rule and counts stay), and the rows of old deliveries that are
not loaded (their record stays, so that the ledger can be rebuilt and the file is still known).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb

from ingestion.batch_record import BatchRecord, EntityRecord
from ingestion.bronze import (
    checked_columns,
    connect_to_rewrite,
    next_checked_path,
    note_unfinished,
    rewrite_checked,
)
from ingestion.ledger import LedgerEntry
from ingestion.session import Session
from ingestion.validation import sql_name, sql_text
from settings.errors import DataRejectedError
from settings.retention import Retention

EXPIRED_ROW = '"[expired]"'  # JSON, as every row of the quarantine
UNUSED = ("rejected", "withdrawn")


@dataclass(frozen=True)
class RetentionReport:
    """What was dropped, or would be: rows in quarantine whose cells went, deliveries whose rows left bronze."""

    rows_cut: int = 0
    deliveries_dropped: int = 0


def apply_retention(
    session: Session, retention: Retention, now: datetime, *, dry_run: bool = False
) -> RetentionReport:
    """Drop what is older than the settings allow.

    Args:
        session: of the home and its warehouse.
        retention: the settings.
        now: aware, UTC.
        dry_run: count only.
    """
    report = RetentionReport()
    entries = session.loader.ledger.entries()
    if retention.unused_bronze_days is not None:
        before = now - timedelta(days=retention.unused_bronze_days)
        for entry, record in _unused(session, entries, before):
            report = replace(report, deliveries_dropped=report.deliveries_dropped + 1)
            if not dry_run:
                _drop(session, entry, record)
    if retention.quarantine_days is not None:
        before = now - timedelta(days=retention.quarantine_days)
        rows = session.loader.old_quarantine(before, EXPIRED_ROW)
        report = replace(report, rows_cut=sum(rows.values()))
        for entry in entries:
            if entry.batch_id in rows and not dry_run:
                _cut(session, entry)
    return report


def _unused(
    session: Session, entries: list[LedgerEntry], before: datetime
) -> Iterator[tuple[LedgerEntry, BatchRecord]]:
    for entry in entries:
        if entry.status in UNUSED and entry.bronze_paths and entry.first_seen_at < before:
            try:
                yield entry, session.bronze.read_record(session.folder(entry))
            except DataRejectedError:
                continue  # nothing that could be told apart from what is needed


def _drop(session: Session, entry: LedgerEntry, record: BatchRecord) -> None:
    """The record goes first: a delivery whose record names no file has none, whatever still lies there."""
    session.bronze.note(
        session.folder(entry),
        replace(record, entities=(), entry=replace(record.entry, bronze_paths=None)),
    )
    with session.loader.transaction():
        session.loader.ledger.update(replace(entry, bronze_paths=None))
    session.settle(entry)


def _cut(session: Session, entry: LedgerEntry) -> None:
    """Take the cells of a delivery's bad rows out of bronze, then out of the warehouse."""
    folder = session.folder(entry)
    try:
        record = session.bronze.read_record(folder)
    except DataRejectedError:
        record = None  # the warehouse alone holds them
    if record is not None and entry.status == "loaded":
        session.bronze.fetch(folder, record)
        with connect_to_rewrite(session.home) as connection:
            entities = tuple(_without_cells(connection, entity) for entity in record.entities)
        paths = {
            entity.entity: str(entity.outcome.checked_path.relative_to(session.home.bronze))
            for entity in entities
        }
        note_unfinished(session.home, entry.batch_id)
        record = replace(record, entities=entities, entry=replace(record.entry, bronze_paths=paths))
        session.bronze.keep(folder, record)
        session.bronze.release(folder)
        entry = replace(entry, bronze_paths=paths)
    with session.loader.transaction():
        session.loader.cut_quarantine(entry.batch_id, EXPIRED_ROW)
        session.loader.ledger.update(entry)
    if record is not None:
        session.settle(entry)


def _without_cells(connection: duckdb.DuckDBPyConnection, entity: EntityRecord) -> EntityRecord:
    if not entity.outcome.rows_quarantined:
        return entity
    checked = entity.outcome.checked_path
    replaced = {
        "_raw_row": f"case when _rule is not null then {sql_text(EXPIRED_ROW)} end",
        "_raw_value": "cast(null as varchar)",
    }
    columns = ", ".join(
        f"{replaced.get(name, sql_name(name))} as {sql_name(name)}" for name in checked_columns(checked)
    )
    target = next_checked_path(checked, entity.entity)
    rows = f"read_parquet({sql_text(str(checked))}, file_row_number = true)"
    rewrite_checked(connection, checked, target, f"select {columns} from {rows} order by file_row_number")
    return replace(entity, outcome=replace(entity.outcome, checked_path=target))
