"""A delivery is in the warehouse whole and reconciled, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from shop import Shop, orders

from ingestion import bronze, session
from ingestion.contract import load_contracts, raw_column_types
from ingestion.engines.base import EntityOutcome, Statement
from ingestion.loader import (
    QUARANTINE_COLUMNS,
    BatchLoad,
    EntityLoad,
    ReconciliationError,
    open_loader,
)
from settings.errors import BusyError, ConfigurationError


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop.at(tmp_path / "home")
    shop.deliver("one.csv", orders(range(3)))
    shop.run()
    return shop


def with_counts(monkeypatch: pytest.MonkeyPatch, **wrong: Any) -> None:
    """Let the validation count something else than what stands in the checked parquet."""
    real = session.Session.load

    def load(self: Any, entry: Any, entities: Any, *arguments: Any, **named: Any) -> None:
        falsified = tuple(replace(e, outcome=replace(e.outcome, **wrong)) for e in entities)
        real(self, entry, falsified, *arguments, **named)

    monkeypatch.setattr(session.Session, "load", load)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"rows_read": 6}, "rows read"),
        ({"rows_accepted": 3, "rows_duplicate": 1}, "rows accepted"),
        ({"rows_accepted": 4, "rows_quarantined": 2, "rows_read": 6}, "rows quarantined"),
        ({"control_totals": {"total_amount": Decimal("40.0001")}}, "total of total_amount"),
        ({"control_totals": {}}, "total of total_amount"),
    ],
)
def test_what_does_not_reconcile_rolls_back_and_costs_only_its_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], what: str
) -> None:
    before = shop.state(ledger=False)
    shop.deliver("two.csv", orders(range(10, 14), bad=[20]))
    with_counts(monkeypatch, **wrong)
    report = shop.run()
    (result,) = report.blocking
    assert (result.status, result.rule, result.object_name) == ("failed", "conservation", "two.csv")
    assert what in (result.message or "")
    assert shop.state(ledger=False) == before
    assert shop.statuses() == {"one.csv": ["loaded"], "two.csv": ["pending"]}
    monkeypatch.undo()
    assert shop.run().files_loaded == 1
    assert len(shop.ids()) == 7


def test_a_failure_inside_the_transaction_leaves_nothing_behind(shop: Shop) -> None:
    before = shop.state()
    loader = open_loader("duckdb", shop.home)

    def fail_after_withdrawing() -> None:
        with loader.transaction():
            (entry,) = loader.ledger.entries()
            loader.withdraw(replace(entry, status="withdrawn"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_after_withdrawing()
    loader.close()
    assert shop.state() == before


def test_totals_are_compared_exactly_also_over_many_decimals(shop: Shop) -> None:
    """A sum in floating point would not notice a ten-thousandth."""
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute("delete from raw.store_orders")
    loader = open_loader("duckdb", shop.home)
    contract = load_contracts()["store.orders"]
    (entry,) = loader.ledger.entries()
    columns = ", ".join(
        f"cast({'99999999999999.9999' if name == 'total_amount' else 'null'} as {kind}) as {name}"
        if not name.startswith("_")
        else f"cast({ {'_batch_id': '$b', '_load_sequence': '$s'}.get(name, 'null') } as {kind}) as {name}"
        for name, kind in raw_column_types(contract)
    )
    statement = Statement(f"select {columns} from range(3)", {"b": entry.batch_id, "s": entry.load_sequence})
    empty = Statement("select 1 where false", {})
    exact = Decimal("299999999999999.9997")

    def batch(total: Decimal) -> BatchLoad:
        outcome = EntityOutcome(3, 3, 0, 0, 0, 0, {"total_amount": total}, {}, None, None, (), Path("x"))
        return BatchLoad(
            entry, (EntityLoad(contract, outcome, statement, empty),), datetime.now(UTC), is_repeat=True
        )

    with pytest.raises(ReconciliationError, match="total of total_amount"), loader.transaction():
        loader.load(batch(exact + Decimal("0.0001")))
    with loader.transaction():
        loader.load(batch(exact))
    loader.close()
    assert shop.query("select sum(total_amount) from raw.store_orders") == [(exact,)]


def test_counts_of_a_delivery_stand_beside_its_rows(shop: Shop) -> None:
    (row,) = shop.query(
        "select entity, rows_read, rows_accepted, rows_quarantined, rows_duplicate, rows_excluded,"
        " control_totals->>'total_amount', null_counts->>'updated_at', min_event_at::varchar, max_event_at::varchar"
        " from ops.load_entity_counts"
    )
    assert row == (
        "store.orders", 3, 3, 0, 0, 0, "30.0000", "3",
        "2026-02-01 10:00:00", "2026-02-01 10:02:00",
    )  # fmt: skip


def test_the_warehouse_is_private_and_its_clock_is_utc(shop: Shop) -> None:
    assert shop.home.warehouse.stat().st_mode & 0o077 == 0
    (seconds,) = shop.query("select epoch(loaded_at) from ops.load_ledger where object_name = 'one.csv'")[0]
    assert abs(seconds - datetime.now(UTC).timestamp()) < 600


def test_unknown_targets_and_a_held_warehouse_are_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="no loader"):
        open_loader("oracle", shop.home)

    def held(*_: object, **__: object) -> None:
        raise duckdb.IOException("Could not set lock on file")

    monkeypatch.setattr(duckdb, "connect", held)
    with pytest.raises(BusyError):
        open_loader("duckdb", shop.home)


def test_quarantine_columns_agree_between_bronze_and_the_ledger_tables() -> None:
    assert QUARANTINE_COLUMNS == bronze.QUARANTINE_COLUMNS
