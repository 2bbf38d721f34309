"""Publishing as a consumer of the change feed: what each model has changed since it was last published."""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.warehouses.base import Warehouse

CONSUMER = "publish"


def newest_sequences(schema: str = "state") -> str:
    """A select of the newest number of every source, those included that have been pruned."""
    return (
        "select source, max(sequence) as sequence from ("
        f"select source, sequence from {schema}.changed"
        f" union all select source, sequence from {schema}.watermark) as numbers group by source"
    )


def taken_sequences(schema: str = "state") -> str:
    """A select of how far publishing has taken each source."""
    return f"select source, sequence from {schema}.watermark where consumer = '{CONSUMER}'"


def advance(warehouse: Warehouse, marks: Mapping[str, int]) -> None:
    """Note that publishing has taken these sources so far. To be called inside a transaction."""
    for source, sequence in sorted(marks.items()):
        warehouse.execute("delete from state.watermark where consumer = ? and source = ?", [CONSUMER, source])
        warehouse.execute(
            "insert into state.watermark (consumer, source, sequence) values (?, ?, ?)",
            [CONSUMER, source, sequence],
        )
