"""A contract that gains or loses columns keeps every row; one that changes a type is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from shop import Shop

from ingestion import contract as contract_module
from ingestion.contract import CONTRACTS_FOLDER, load_contracts
from ingestion.warehouses import open_warehouse
from settings.errors import ConfigurationError
from settings.home import Home

Change = Callable[[dict[str, object]], None]
HEADER = "id,customer_id,total_amount,currency,created_at,status,gift_note,weight"
ROWS = [
    "00001,C1,10.00,USD,2026-02-01 10:00:00,paid,for Ann,1.5",
    "00002,C1,ten,USD,2026-02-01 11:00:00,paid,,2.5",
    "00003,C1,30.00,USD,2026-02-01 12:00:00,paid,,heavy",
]


@pytest.fixture
def contracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Change], None]]:
    """A copy of the contracts, and how to change one of them."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    for path in CONTRACTS_FOLDER.glob("*.yml"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(contract_module, "CONTRACTS_FOLDER", folder)

    def change(name: str, edit: Change) -> None:
        path = folder / f"{name}.yml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        load_contracts.cache_clear()

    load_contracts.cache_clear()
    yield change
    load_contracts.cache_clear()


def gain(*columns: dict[str, object]) -> Change:
    return lambda content: content["columns"].extend(columns)  # type: ignore[attr-defined]


def lose(name: str) -> Change:
    def edit(content: dict[str, object]) -> None:
        content["columns"] = [column for column in content["columns"] if column["name"] != name]  # type: ignore[attr-defined]

    return edit


NOTE: dict[str, object] = {"name": "gift_note"}
WEIGHT: dict[str, object] = {"name": "weight", "type": "decimal"}


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> TargetShop:
    """One file with columns that no contract reads, and a bad row, in either warehouse."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_database")
    shop = TargetShop(Home(tmp_path / "home").ensure(), target=request.param)
    shop.add_feed("shop_orders", "store.orders", quarantine_threshold={"share": 1, "rows": 100})
    shop.deliver("a.csv", "\n".join([HEADER, *ROWS]) + "\n")
    shop.run()
    return shop


class TargetShop(Shop):
    """A shop whose warehouse may be a Postgres server."""

    def __init__(self, home: Home, target: str) -> None:
        super().__init__(home)
        self.target = target

    def run(self) -> object:  # type: ignore[override]
        self.runs += 1
        return self.service(self.target).ingest(f"run-{self.runs}")

    def query(self, sql: str, parameters: list[object] | None = None) -> list[tuple[object, ...]]:
        warehouse = open_warehouse(self.target, self.home, read_only=True)
        try:
            return warehouse.query(sql, parameters or []).rows
        finally:
            warehouse.close()


def test_a_gained_column_is_null_until_a_reload_fills_it_from_bronze(
    shop: TargetShop, contracts: Callable[[str, Change], None]
) -> None:
    former = shop.query("select distinct _contract_version from raw.store_orders")
    contracts("store_orders", gain(NOTE, WEIGHT))
    shop.run()
    asked = "select id, gift_note, cast(weight as varchar), _rescued from raw.store_orders order by id"
    rescued = ('{"gift_note":"for Ann","weight":"1.5"}', '{"gift_note":null,"weight":"heavy"}')
    assert shop.query(asked) == [("00001", None, None, rescued[0]), ("00003", None, None, rescued[1])]
    shop.service(shop.target).reload("again")
    # What is no weight stays where it is: the row was let in without it.
    assert shop.query(asked) == [("00001", "for Ann", "1.5000", None), ("00003", None, None, rescued[1])]
    (version,) = shop.query("select distinct _contract_version from raw.store_orders")
    assert version == (load_contracts()["store.orders"].version,) != former[0]
    state = shop.query(asked)
    shop.service(shop.target).reload("twice")
    assert shop.query(asked) == state


def test_a_gained_column_with_a_constant_is_filled_in_every_row(
    shop: TargetShop, contracts: Callable[[str, Change], None]
) -> None:
    contracts(
        "store_orders", gain({"name": "channel", "default": "web"}, {"name": "gift_note", "required": True})
    )
    shop.service(shop.target).reload("again")
    assert shop.query("select id, channel, gift_note from raw.store_orders order by id") == [
        ("00001", "web", "for Ann"), ("00003", "web", None),
    ]  # fmt: skip
    # The bad row is still bad, and new files must have what is required.
    assert shop.query("select row_number, rule from ops.quarantine") == [(2, "not_a_number")]
    shop.deliver("b.csv", f"{HEADER}\n00004,C1,1.00,USD,2026-02-01 10:00:00,paid,,\n")
    shop.run()
    assert shop.query("select source_file, rule, column_name from ops.quarantine order by source_file") == [
        ("a.csv", "not_a_number", "total_amount"), ("b.csv", "missing_value", "gift_note"),
    ]  # fmt: skip


def test_a_lost_column_keeps_its_values_in_rows_that_are_there_and_through_a_reload(
    shop: TargetShop, contracts: Callable[[str, Change], None]
) -> None:
    contracts("store_orders", gain(NOTE))
    shop.service(shop.target).reload("filled")
    contracts("store_orders", lose("gift_note"))
    shop.deliver("b.csv", f"{HEADER}\n00004,C1,1.00,USD,2026-02-01 10:00:00,paid,for Bob,\n")
    shop.run()
    asked = "select id, gift_note from raw.store_orders order by id"
    assert shop.query(asked) == [("00001", "for Ann"), ("00003", None), ("00004", None)]
    shop.change(entities=[{"entity": "store.orders", "columns": {"total_amount": {"map": {"ten": "10"}}}}])
    shop.service(shop.target).reload("again")
    assert shop.query(asked) == [("00001", "for Ann"), ("00002", None), ("00003", None), ("00004", None)]


def test_a_column_that_changes_its_type_is_refused_and_nothing_is_changed(
    shop: TargetShop, contracts: Callable[[str, Change], None]
) -> None:
    before = shop.query("select * from raw.store_orders order by id")

    def retype(content: dict[str, object]) -> None:
        for column in content["columns"]:  # type: ignore[attr-defined]
            if column["name"] == "customer_id":
                column.update(type="integer", is_identifier=False)

    contracts("store_orders", retype)
    with pytest.raises(
        ConfigurationError, match=r"raw\.store_orders\.customer_id is varchar.*bigint"
    ) as caught:
        shop.run()
    assert "output_name" in caught.value.remedy
    assert shop.query("select * from raw.store_orders order by id") == before


def test_bronze_of_another_type_is_refused_delivery_by_delivery(
    tmp_path: Path, contracts: Callable[[str, Change], None]
) -> None:
    shop = Shop.at(tmp_path / "home")
    contracts("store_orders", gain({"name": "gift_note", "type": "decimal"}))
    shop.deliver("a.csv", f"{HEADER}\n00001,C1,1.00,USD,2026-02-01 10:00:00,paid,3,\n")
    shop.run()
    contracts("store_orders", lose("gift_note"))
    contracts("store_orders", gain(NOTE))
    shop.home.warehouse.unlink()
    report = shop.service().reload("rebuilt")
    (batch,) = report.batches
    assert (batch.status, batch.rule) == ("failed", "contract_type")
    assert "gift_note" in (batch.message or "")
    assert shop.ids() == []
