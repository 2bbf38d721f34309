"""Loaders: rows, quarantine, counts and ledger entry of one delivery in one transaction of the warehouse.

What commits is checked before it commits: as many rows as the validation counted, the same exact totals of every
decimal column. Anything else rolls back and leaves the warehouse as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from ingestion.change_feed import ChangeFeed
from ingestion.contract import Contract, load_contracts, raw_column_types
from ingestion.engines.base import EntityOutcome, Statement
from ingestion.ledger import Ledger, LedgerEntry, naive_utc
from ingestion.ops_schema import (
    DRIFT_EVENTS,
    ERASURES,
    LOAD_ENTITY_COUNTS,
    OPS_TABLES,
    QUARANTINE,
    ensure_tables,
)
from ingestion.suppression import ERASED_ROW, ERASED_VALUE, Suppression, cut_columns
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Columns, Warehouse
from settings.crash_points import crash_point
from settings.errors import TillhouseError
from settings.home import Home

QUARANTINE_COLUMNS = tuple(name for name, _ in OPS_TABLES[QUARANTINE])
COUNT_COLUMNS = tuple(name for name, _ in OPS_TABLES[LOAD_ENTITY_COUNTS])
DRIFT_COLUMNS = tuple(name for name, _ in OPS_TABLES[DRIFT_EVENTS])
NO_STATEMENT = Statement("", {})


class ReconciliationError(TillhouseError):
    """What stands in the raw table is not what the validation counted; the transaction was rolled back."""


@dataclass(frozen=True)
class EntityLoad:
    """One entity of a delivery. The statements give its accepted rows in the contract's column order (`lost`, which
    the contract has no more, behind) and its quarantine rows in the order of `ops.quarantine`."""

    contract: Contract
    outcome: EntityOutcome
    accepted: Statement = NO_STATEMENT
    quarantined: Statement = NO_STATEMENT
    lost: Columns = ()


@dataclass(frozen=True)
class EntitiesTogether:
    """One entity of several deliveries; the statements give the rows of all, as those of an `EntityLoad` do."""

    contract: Contract
    accepted: Statement
    quarantined: Statement


@dataclass(frozen=True)
class BatchLoad:
    """A delivery to load.

    Attributes:
        entry: the ledger entry as it is to be.
        replaced: entries whose rows go in the same transaction, as they are to be.
        is_repeat: rows of this batch may be there already (reload).
    """

    entry: LedgerEntry
    entities: tuple[EntityLoad, ...]
    loaded_at: datetime
    replaced: tuple[LedgerEntry, ...] = ()
    is_repeat: bool = False


class Loader(Protocol):
    """Writes deliveries into one warehouse."""

    @property
    def ledger(self) -> Ledger: ...

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside commits together, or nothing does."""

    def lost_columns(self, contract: Contract) -> frozenset[str]:
        """Columns of the raw table that the contract had once and has no more."""

    def load(self, batch: BatchLoad) -> None:
        """Load one delivery inside the caller's transaction.

        Raises:
            ReconciliationError: when the rows that arrived are not the rows that were counted.
        """

    def load_together(self, batches: Sequence[BatchLoad], entities: Sequence[EntitiesTogether]) -> None:
        """Load deliveries of one feed inside the caller's transaction: none of them replaces or repeats another.

        Args:
            batches: with the outcomes of their entities; the statements are those of `entities`.

        Raises:
            ReconciliationError: when the rows that arrived of any of them are not the rows that were counted.
        """

    def withdraw(self, entry: LedgerEntry) -> None:
        """Remove every row of a delivery and write its entry, inside the caller's transaction."""

    def reject(self, entry: LedgerEntry, *, ingested_at: datetime) -> None:
        """Write the entry of a refused delivery and its line in the quarantine, inside the caller's transaction."""

    def erased(self) -> set[tuple[str, str]]:
        """System and token of every customer whom this warehouse has lost."""

    def subjects(self, contract: Contract) -> list[str]:
        """Ids of the customers whom rows of this raw table are about."""

    def customers_with(self, system: str, email_token: str) -> list[str]:
        """Ids of the customers with this address, whatever their newest version says."""

    def erase_rows(self, contract: Contract, pseudonyms: Mapping[str, str]) -> None:
        """Take customers out of raw rows and quarantine, inside the caller's transaction.

        Args:
            contract: of the raw table.
            pseudonyms: id → what takes its place.
        """

    def note_erased(self, customers: Sequence[Suppression], *, run_id: str) -> None:
        """Write that this warehouse has lost them, inside the caller's transaction."""

    def old_quarantine(self, before: datetime, expired: str) -> dict[str, int]:
        """Delivery → rows in quarantine that came in before then and have other cells than `expired`."""

    def cut_quarantine(self, batch_id: str, expired: str) -> None:
        """Put `expired` in place of the cells of a delivery's rows, inside the caller's transaction."""

    def close(self) -> None:
        """Let go of the warehouse."""


def open_loader(target: str, home: Home) -> Loader:
    """The loader of a target. Close it again.

    Raises:
        ConfigurationError: for a target that has no loader, or where a contract has changed a column's type.
        BusyError: when another process has the embedded warehouse open.
        UnavailableError: when the server cannot be reached.
    """
    warehouse = open_warehouse(target, home)
    try:
        return WarehouseLoader(warehouse)
    except BaseException:
        warehouse.close()
        raise


class WarehouseLoader:
    """Loads into any warehouse; closes it in the end."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._lost = ensure_tables(warehouse, load_contracts().values())
        self._ledger = Ledger(warehouse)
        self._changes = ChangeFeed(warehouse)

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def transaction(self) -> AbstractContextManager[None]:
        """See `Loader.transaction`."""
        return self._warehouse.transaction()

    def lost_columns(self, contract: Contract) -> frozenset[str]:
        """See `Loader.lost_columns`."""
        return self._lost.get(contract.raw_table, frozenset())

    def load(self, batch: BatchLoad) -> None:
        """See `Loader.load`."""
        for former in batch.replaced:
            self.withdraw(former)
        if batch.replaced:
            crash_point("former_withdrawn")
        entry = batch.entry
        contracts = [entity.contract for entity in batch.entities]
        if batch.is_repeat and self._has_rows(entry):
            self._delete_rows(entry, contracts)
        self._changes.prepare(contracts)
        for entity in batch.entities:
            self._insert_entity(entry, entity)
        self._changes.name_rows(entry, contracts)
        crash_point("rows_inserted")
        self._insert_counts(entry, batch.entities)
        self._insert_drift(entry, batch.entities, batch.loaded_at)
        self._release_file_row(entry)
        self._ledger.update(entry)

    def load_together(self, batches: Sequence[BatchLoad], entities: Sequence[EntitiesTogether]) -> None:
        """See `Loader.load_together`."""
        entries = [batch.entry for batch in batches]
        self._changes.prepare([together.contract for together in entities])
        for together in entities:
            contract = together.contract
            loads = [
                (batch.entry, entity)
                for batch in batches
                for entity in batch.entities
                if entity.contract.entity == contract.entity
            ]
            inserted = self._warehouse.insert(
                contract.raw_table, raw_column_types(contract), together.accepted
            )
            quarantined = sum(entity.outcome.rows_quarantined for _, entity in loads)
            if quarantined:
                found = self._warehouse.insert(QUARANTINE, OPS_TABLES[QUARANTINE], together.quarantined).rows
                if found != quarantined:
                    raise self._mismatch(
                        *loads[0], "rows quarantined with those beside it", quarantined, found
                    )
            self._check_totals(contract, loads, inserted.where)
            self._changes.name_rows_together(entries, contract)
        self._warehouse.insert_rows(
            LOAD_ENTITY_COUNTS,
            COUNT_COLUMNS,
            [_counts(batch.entry, entity) for batch in batches for entity in batch.entities],
        )
        self._warehouse.insert_rows(
            DRIFT_EVENTS,
            DRIFT_COLUMNS,
            [row for batch in batches for row in _drift(batch.entry, batch.entities, batch.loaded_at)],
        )
        known = ", ".join(_quoted_text(entry.batch_id) for entry in entries)
        self._warehouse.execute(
            f"update {QUARANTINE} set status = 'released'"
            f" where batch_id in ({known}) and row_number is null and status = 'open'"
        )
        self._ledger.update_all(entries)

    def withdraw(self, entry: LedgerEntry) -> None:
        """See `Loader.withdraw`."""
        contracts = load_contracts()
        names = list(entry.bronze_paths or {})
        self._delete_rows(entry, [contracts[name] for name in names if name in contracts])
        self._warehouse.execute(f"delete from {QUARANTINE} where batch_id = ?", [entry.batch_id])
        self._ledger.update(entry)

    def reject(self, entry: LedgerEntry, *, ingested_at: datetime) -> None:
        """See `Loader.reject`."""
        self._warehouse.execute(
            f"delete from {QUARANTINE} where batch_id = ? and row_number is null", [entry.batch_id]
        )
        values: dict[str, object] = {
            "batch_id": entry.batch_id,
            "feed": entry.feed,
            "source_file": entry.object_name,
            "file_sha256": entry.content_sha256,
            "rule": entry.rule,
            "message": entry.message,
            "_ingested_at": naive_utc(ingested_at),
            "run_id": entry.run_id,
            "status": "open",
        }
        self._warehouse.execute(
            f"insert into {QUARANTINE} ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
            list(values.values()),
        )
        self._ledger.update(entry)

    def erased(self) -> set[tuple[str, str]]:
        """See `Loader.erased`."""
        found = self._warehouse.query(f"select system, customer_token from {ERASURES}")
        return {(str(system), str(token)) for system, token in found.rows}

    def subjects(self, contract: Contract) -> list[str]:
        """See `Loader.subjects`."""
        if contract.subject is None:
            return []
        name = contract.subject.output_name
        found = self._warehouse.query(
            f'select distinct "{name}" from {contract.raw_table} where "{name}" is not null'
        )
        return [str(row[0]) for row in found.rows]

    def customers_with(self, system: str, email_token: str) -> list[str]:
        """See `Loader.customers_with`."""
        found: set[str] = set()
        for contract in load_contracts().values():
            if contract.system != system or contract.subject is None:
                continue
            name = contract.subject.output_name
            for column in contract.columns:
                if column.pii == "hash":
                    rows = self._warehouse.query(
                        f'select distinct "{name}" from {contract.raw_table} where "{column.output_name}" = ?',
                        [email_token],
                    ).rows
                    found.update(str(row[0]) for row in rows if row[0] is not None)
        return sorted(found)

    def erase_rows(self, contract: Contract, pseudonyms: Mapping[str, str]) -> None:
        """See `Loader.erase_rows`."""
        if contract.subject is None:
            return
        table, name = contract.raw_table, contract.subject.output_name
        cut = "".join(f', "{column.output_name}" = null' for column in cut_columns(contract))
        for customer_id, stands_for in pseudonyms.items():
            batches = self._warehouse.query(
                f'select distinct _batch_id from {table} where "{name}" = ?', [customer_id]
            ).rows
            entries = [self._ledger.entry(str(batch_id)) for (batch_id,) in batches]
            for entry in entries:
                self._changes.name_rows(entry, [contract])
            self._warehouse.execute(
                f'update {table} set "{name}" = ?{cut}, _rescued = null where "{name}" = ?',
                [stands_for, customer_id],
            )
            self._warehouse.execute(
                f"update {QUARANTINE} set raw_row = ?, raw_value = ? where entity = ? and strpos(raw_row, ?) > 0",
                [ERASED_ROW, ERASED_VALUE, contract.entity, json.dumps(customer_id, ensure_ascii=False)],
            )
            for entry in entries:
                # A changed time of loading tells the next run that there is something to build.
                self._ledger.update(replace(entry, loaded_at=datetime.now(UTC)))

    def note_erased(self, customers: Sequence[Suppression], *, run_id: str) -> None:
        """See `Loader.note_erased`."""
        now = naive_utc(datetime.now(UTC))
        self._warehouse.execute_many(
            f"insert into {ERASURES} values (?, ?, ?, ?, ?)",
            [[item.system, item.token, naive_utc(item.requested_at), now, run_id] for item in customers],
        )

    def old_quarantine(self, before: datetime, expired: str) -> dict[str, int]:
        """See `Loader.old_quarantine`."""
        found = self._warehouse.query(
            f"select batch_id, count(*) from {QUARANTINE} where _ingested_at < ? and row_number is not null"
            " and raw_row is distinct from cast(? as varchar) group by batch_id",
            [naive_utc(before), expired],
        )
        return {str(batch_id): int(rows) for batch_id, rows in found.rows}

    def cut_quarantine(self, batch_id: str, expired: str) -> None:
        """See `Loader.cut_quarantine`."""
        self._warehouse.execute(
            f"update {QUARANTINE} set raw_row = ?, raw_value = null where batch_id = ? and row_number is not null",
            [expired, batch_id],
        )

    def close(self) -> None:
        """See `Loader.close`."""
        self._warehouse.close()

    def _has_rows(self, entry: LedgerEntry) -> bool:
        """Whether rows of this delivery are here: their counts came in the same transaction."""
        found = self._warehouse.query(
            f"select exists (select 1 from {LOAD_ENTITY_COUNTS} where batch_id = ?)", [entry.batch_id]
        )
        return bool(found.rows[0][0])

    def _delete_rows(self, entry: LedgerEntry, contracts: Sequence[Contract]) -> None:
        self._warehouse.index_deliveries([contract.raw_table for contract in contracts])
        self._changes.name_rows(entry, contracts)
        for contract in contracts:
            # The number lets the scan skip the blocks of other deliveries.
            self._warehouse.execute(
                f"delete from {contract.raw_table} where _load_sequence = ? and _batch_id = ?",
                [entry.load_sequence, entry.batch_id],
            )
        self._warehouse.execute(f"delete from {LOAD_ENTITY_COUNTS} where batch_id = ?", [entry.batch_id])
        self._warehouse.execute(f"delete from {DRIFT_EVENTS} where batch_id = ?", [entry.batch_id])
        self._warehouse.execute(
            f"delete from {QUARANTINE} where batch_id = ? and row_number is not null", [entry.batch_id]
        )

    def _insert_entity(self, entry: LedgerEntry, entity: EntityLoad) -> None:
        contract, outcome = entity.contract, entity.outcome
        columns: Columns = [*raw_column_types(contract), *entity.lost]
        inserted = self._warehouse.insert(contract.raw_table, columns, entity.accepted)
        quarantined = 0
        if outcome.rows_quarantined:
            quarantined = self._warehouse.insert(QUARANTINE, OPS_TABLES[QUARANTINE], entity.quarantined).rows
        for what, expected, found in (
            ("rows accepted", outcome.rows_accepted, inserted.rows),
            ("rows quarantined", outcome.rows_quarantined, quarantined),
        ):
            if expected != found:
                raise self._mismatch(entry, entity, what, expected, found)
        self._check_totals(contract, [(entry, entity)], inserted.where)

    def _check_totals(
        self, contract: Contract, loads: Sequence[tuple[LedgerEntry, EntityLoad]], inserted: str | None
    ) -> None:
        """Sum what stands in the raw table for deliveries and compare with what the validation counted and summed.

        Args:
            loads: just inserted; their numbers lie beside each other.
            inserted: the condition that leads to their rows, where there is one.
        """
        columns = contract.decimal_columns
        found = self._totals(contract, loads, inserted)
        for entry, entity in loads:
            outcome = entity.outcome
            added_up = (
                outcome.rows_accepted
                + outcome.rows_quarantined
                + outcome.rows_duplicate
                + outcome.rows_excluded
            )
            if outcome.rows_read != added_up:
                raise self._mismatch(entry, entity, "rows read", outcome.rows_read, added_up)
            count, *totals = found.get(entry.batch_id, (0, *(Decimal(0) for _ in columns)))
            if count != outcome.rows_accepted:
                raise self._mismatch(entry, entity, "rows in the table", outcome.rows_accepted, count)
            for name, total in zip(columns, totals, strict=True):
                expected = outcome.control_totals.get(name, Decimal(0))
                if Decimal(total) != expected:
                    raise self._mismatch(entry, entity, f"total of {name}", expected, total)

    def _totals(
        self, contract: Contract, loads: Sequence[tuple[LedgerEntry, EntityLoad]], inserted: str | None
    ) -> dict[str, tuple[Any, ...]]:
        """Batch id → count and totals of its rows in the raw table."""
        expected = {entry.batch_id: entity.outcome.rows_accepted for entry, entity in loads}
        of_batches = f"_batch_id in ({', '.join(map(_quoted_text, expected))})"
        if inserted is not None:
            found = self._sums(contract, list(expected), f"{inserted} and {of_batches}")
            if all(found.get(batch_id, (0,))[0] == count for batch_id, count in expected.items()):
                return found
        # The numbers let the scan skip the blocks of other deliveries.
        numbers = [entry.load_sequence or 0 for entry, _ in loads]
        by_number = f"_load_sequence between {min(numbers)} and {max(numbers)}"
        return self._sums(contract, list(expected), f"{by_number} and {of_batches}")

    def _sums(self, contract: Contract, batch_ids: Sequence[str], where: str) -> dict[str, tuple[Any, ...]]:
        """Batch id → count and totals of the rows that meet a condition, which only rows of these batches do."""
        sums = "".join(f', coalesce(sum("{name}"), 0)' for name in contract.decimal_columns)
        found = f"count(*){sums} from {contract.raw_table} where {where}"
        if len(batch_ids) == 1:
            # Grouping the rows of one large file would take as long as adding them up.
            return {batch_ids[0]: self._warehouse.query(f"select {found}").rows[0]}
        rows = self._warehouse.query(f"select _batch_id, {found} group by _batch_id").rows
        return {str(batch_id): tuple(totals) for batch_id, *totals in rows}

    def _mismatch(
        self, entry: LedgerEntry, entity: EntityLoad, what: str, expected: object, found: object
    ) -> ReconciliationError:
        return ReconciliationError(
            f"feed {entry.feed}, file {entry.object_name!r}, {entity.contract.entity}: {what} should be"
            f" {expected}, found {found}; nothing of the file was loaded",
            remedy="run again; if it comes back, report it with the file",
            rule="conservation",
        )

    def _insert_counts(self, entry: LedgerEntry, entities: Sequence[EntityLoad]) -> None:
        self._warehouse.insert_rows(
            LOAD_ENTITY_COUNTS, COUNT_COLUMNS, [_counts(entry, entity) for entity in entities]
        )

    def _insert_drift(self, entry: LedgerEntry, entities: Sequence[EntityLoad], seen_at: datetime) -> None:
        self._warehouse.insert_rows(DRIFT_EVENTS, DRIFT_COLUMNS, _drift(entry, entities, seen_at))

    def _release_file_row(self, entry: LedgerEntry) -> None:
        self._warehouse.execute(
            f"update {QUARANTINE} set status = 'released'"
            " where batch_id = ? and row_number is null and status = 'open'",
            [entry.batch_id],
        )


def _counts(entry: LedgerEntry, entity: EntityLoad) -> list[object]:
    outcome = entity.outcome
    return [
        entry.batch_id,
        entry.feed,
        entity.contract.entity,
        outcome.rows_read,
        outcome.rows_accepted,
        outcome.rows_quarantined,
        outcome.rows_duplicate,
        outcome.rows_excluded,
        outcome.rows_conflicting,
        _exact(outcome.control_totals),
        json.dumps(dict(outcome.null_counts)),
        outcome.min_event_at,
        outcome.max_event_at,
    ]


def _drift(entry: LedgerEntry, entities: Sequence[EntityLoad], seen_at: datetime) -> list[list[object]]:
    return [
        [
            entry.batch_id, entry.feed, entity.contract.entity,
            event.kind, event.column_name, event.detail, naive_utc(seen_at),
        ]
        for entity in entities
        for event in entity.outcome.drift
    ]  # fmt: skip


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _exact(totals: Mapping[str, Decimal]) -> str:
    return json.dumps({name: f"{total:f}" for name, total in totals.items()})
