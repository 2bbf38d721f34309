"""The change feed: which keys a delivery touched, for models that compute only what changed.

`state.changed` gets one row for each key whose rows a load inserts or a withdrawal removes, in the loader's own
transaction. Consumers remember in `state.watermark` how far they have taken each source. While nobody has a
watermark nothing was built yet, so there is nobody to tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.contract import Contract
from ingestion.ledger import LedgerEntry
from ingestion.ops_schema import CHANGED, WATERMARK
from ingestion.warehouses.base import Warehouse


class ChangeFeed:
    """Names the keys of one delivery's rows, inside the caller's transaction."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @property
    def has_consumers(self) -> bool:
        return bool(self._warehouse.query(f"select exists (select 1 from {WATERMARK})").rows[0][0])

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Before rows come: see that naming their keys need not read those of all other deliveries."""
        tables = [contract.raw_table for contract in contracts if contract.change_key]
        if tables and self.has_consumers:
            self._warehouse.index_deliveries(tables)

    def name_rows(self, entry: LedgerEntry, contracts: Sequence[Contract]) -> None:
        """Name every key that has a row of this delivery now: after they came, or before they go."""
        listed = [contract for contract in contracts if contract.change_key]
        if not listed or not self.has_consumers:
            return
        for contract in listed:
            self._name([entry], contract)

    def name_rows_together(self, entries: Sequence[LedgerEntry], contract: Contract) -> None:
        """As `name_rows`, of deliveries whose numbers lie beside each other: their keys get one sequence."""
        if contract.change_key and self.has_consumers:
            self._name(entries, contract)

    def _name(self, entries: Sequence[LedgerEntry], contract: Contract) -> None:
        if contract.change_key is None:
            return
        key, day = contract.change_key.key, contract.change_key.day
        numbers = [entry.load_sequence or 0 for entry in entries]
        marks = ", ".join("?" for _ in entries)
        named_day = f'"{day}"' if day else "null"
        # The number beside the batch id lets the scan skip the blocks of other deliveries.
        self._warehouse.execute(
            f"insert into {CHANGED} (source, sequence, source_system, key, day)"
            " select distinct cast(? as varchar), cast(? as bigint), cast(? as varchar),"
            f' "{key}", cast({named_day} as date)'
            f" from {contract.raw_table} where _load_sequence between ? and ? and _batch_id in ({marks})",
            [
                contract.raw_table, self._next_sequence(contract.raw_table), contract.system,
                min(numbers), max(numbers), *(entry.batch_id for entry in entries),
            ],
        )  # fmt: skip

    def _next_sequence(self, source: str) -> int:
        found = self._warehouse.query(
            f"select coalesce(max(sequence), 0) + 1 from (select sequence from {CHANGED} where source = ?"
            f" union all select sequence from {WATERMARK} where source = ?) as known",
            [source, source],
        )
        return int(found.rows[0][0])
