"""Taking the customers of the suppression list out of bronze and of one warehouse.

The list is durable before anything else happens, and `ops.erasures` is written last. Whatever breaks off in between
leaves customers that are listed and not noted, and the next call, or the next run, begins again with them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from ingestion.batch_record import BatchRecord, EntityRecord
from ingestion.bronze import next_checked_path, note_unfinished
from ingestion.contract import load_contracts
from ingestion.ledger import LedgerEntry
from ingestion.report import BatchResult
from ingestion.results import failed_result, told
from ingestion.session import Session
from settings.errors import DataRejectedError, NotFoundError


def erase_listed(session: Session) -> list[BatchResult]:
    """Erase who is on the list and not yet erased in this warehouse. Returns the deliveries that changed.

    A delivery that could not be rewritten is among them as `failed`; its customers stay due.
    """
    listed = session.suppressor.listed
    erased = session.loader.erased() if listed else set[tuple[str, str]]()
    due = [item for item in listed if (item.system, item.token) not in erased]
    if not due:
        return []
    results = _rewrite_bronze(session)
    is_whole = not any(result.status == "failed" for result in results)
    with session.loader.transaction():
        for contract in load_contracts().values():
            if contract.subject is not None:
                # What bronze no longer holds, or another warehouse has taken from it before this one.
                left = session.suppressor.names(contract, session.loader.subjects(contract))
                session.loader.erase_rows(contract, left)
        if is_whole:
            session.loader.note_erased(due, run_id=session.run_id)
    return results


def _rewrite_bronze(session: Session) -> list[BatchResult]:
    entries = {entry.batch_id: entry for entry in session.loader.ledger.entries()}
    results: list[BatchResult] = []
    for folder in session.bronze.folders():
        entry = entries.get(folder.name)
        try:
            changed = _suppressed(session, folder)
        except (DataRejectedError, NotFoundError) as error:
            results.append(
                BatchResult(folder.name, folder.parent.name, "", "failed", error.rule, told(error))
            )
            continue
        except (ValueError, duckdb.Error) as error:  # a damaged parquet is a ValueError to Arrow
            if entry is None:
                raise
            results.append(failed_result(entry, error, "reading its bronze copy"))
            continue
        finally:
            session.bronze.release(folder)
        if changed is None:
            continue
        if entry is None or entry.status != "loaded":
            _keep_up(session, entry, changed)
            continue
        results.append(session.replay(entry))
        if results[-1].status == "loaded":
            session.settle(entry)
    return results


def _suppressed(session: Session, folder: Path) -> BatchRecord | None:
    """Write a delivery's parquet files and record anew; None, with nothing done, where nobody was in them."""
    record = session.bronze.read_record(folder)
    session.bronze.fetch(folder, record)
    contracts = load_contracts()
    entities: list[EntityRecord] = []
    for entity in record.entities:
        target = next_checked_path(entity.outcome.checked_path, entity.entity)
        outcome = session.suppressor.suppress(contracts[entity.entity], entity.outcome, target)
        entities.append(entity if outcome is None else replace(entity, outcome=outcome))
    if tuple(entities) == record.entities:
        return None
    paths = {
        entity.entity: str(entity.outcome.checked_path.relative_to(session.home.bronze))
        for entity in entities
    }
    changed = replace(record, entities=tuple(entities), entry=replace(record.entry, bronze_paths=paths))
    note_unfinished(session.home, folder.name)
    session.bronze.keep(folder, changed)
    return changed


def _keep_up(session: Session, entry: LedgerEntry | None, record: BatchRecord) -> None:
    """A delivery that is not loaded has no rows in the warehouse, but the ledger knows its files."""
    if entry is not None:
        with session.loader.transaction():
            session.loader.ledger.update(replace(entry, bronze_paths=record.entry.bronze_paths))
    session.settle(record.entry)
