"""Contracts say what an entity is; the raw tables follow from them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from ingestion.contract import (
    LINEAGE_COLUMNS,
    ChangeKey,
    Contract,
    ContractColumn,
    load_contracts,
    raw_column_types,
)

EXPECTED_COLUMNS = {
    "store.orders": "id! customer_id total_amount! currency! created_at! status! updated_at location_id is_loyalty "
    "tax_amount shipping_amount discount_amount tip_amount",
    "store.order_items": "order_id! line_id! product_id! quantity! unit_price! discount_amount",
    "store.customers": "id! email_token region signup_date! is_loyalty updated_at",
    "store.payments": "id! order_id! amount! status! method created_at paid_at",
    "store.products": "product_id! name! category price! unit_cost effective_at!",
    "store.returns": "id! order_id! line_id! quantity! refund_amount! returned_at! reason",
    "store.inventory": "snapshot_date! product_id! on_hand! allocated! reorder_point!",
    "store.locations": "location_id! name! region timezone opened_on",
    "restaurant.locations": "location_id! name! region timezone opened_on",
    "restaurant.order_items": "app_name restaurant_id! creation_time_utc! order_id! user_id printed_card_last_four "
    "is_loyalty! currency! lineitem_id! item_category item_name! item_price! item_quantity! item_price_basis!",
    "restaurant.order_item_options": "order_id! lineitem_id! option_group_name option_name option_price! "
    "option_quantity! option_price_basis! options_mode!",
    "restaurant.date_dim": "date_key! year month week day_of_week is_weekend is_holiday holiday_name",
}
KEYS = {
    "store.orders": "id", "store.order_items": "order_id line_id", "store.customers": "id", "store.payments": "id",
    "store.products": "product_id effective_at", "store.returns": "id", "store.inventory": "snapshot_date product_id",
    "store.locations": "location_id", "restaurant.locations": "location_id",
    "restaurant.order_items": "order_id lineitem_id", "restaurant.order_item_options": "",
    "restaurant.date_dim": "date_key",
}  # fmt: skip


def test_every_entity_has_its_contract() -> None:
    assert set(load_contracts()) == set(EXPECTED_COLUMNS)


@pytest.mark.parametrize("entity", sorted(EXPECTED_COLUMNS))
def test_columns_keys_and_table_are_those_of_the_interface(entity: str) -> None:
    contract = load_contracts()[entity]
    spelled = " ".join(c.output_name + ("!" if c.required else "") for c in contract.columns)
    assert spelled == EXPECTED_COLUMNS[entity]
    assert " ".join(contract.key) == KEYS[entity]
    assert contract.raw_table == "raw." + entity.replace(".", "_")
    assert set(contract.key) <= {c.name for c in contract.columns if c.required}


@pytest.mark.parametrize("entity", sorted(EXPECTED_COLUMNS))
def test_raw_tables_end_with_the_lineage(entity: str) -> None:
    types = raw_column_types(load_contracts()[entity])
    assert types[-12:] == list(LINEAGE_COLUMNS)
    assert dict(types)["_row_number"] == "bigint"
    assert len({name for name, _ in types}) == len(types)


def test_money_and_quantities_are_exact_and_ids_are_text() -> None:
    for contract in load_contracts().values():
        for column in contract.columns:
            if column.name.endswith(("_id", "amount", "price", "quantity", "_cost")) or column.name == "id":
                expected = "text" if column.name.endswith("id") else "decimal"
                assert column.type == expected, (contract.entity, column.name)
            assert column.is_identifier == (column.name == "id" or column.name.endswith("_id"))


def test_caps_keep_every_product_within_its_type() -> None:
    """|quantity| < 1e6 and |price| < 1e8: their product fits numeric(18,4)."""
    for contract in load_contracts().values():
        for column in contract.columns:
            if column.name.endswith("quantity"):
                assert (column.maximum, column.maximum_exclusive) == (Decimal("1e6"), True)
            elif column.name.endswith("price"):
                assert (column.maximum, column.maximum_exclusive) == (Decimal("1e8"), True)


def test_versions_tell_contents_apart_and_stay() -> None:
    versions = [contract.version for contract in load_contracts().values()]
    assert len(set(versions)) == len(versions)
    assert all(len(version) == 12 for version in versions)


def test_private_columns_are_renamed() -> None:
    for contract in load_contracts().values():
        for column in contract.columns:
            assert (column.pii == "none") == (column.name == column.output_name)


def test_rows_of_large_tables_tell_what_they_change() -> None:
    keys = {name: contract.change_key for name, contract in load_contracts().items() if contract.change_key}
    assert {name: (key.key, key.day) for name, key in keys.items()} == {
        "store.orders": ("id", None), "store.order_items": ("order_id", None), "store.payments": ("id", None),
        "store.customers": ("id", None),
        "store.returns": ("id", None), "store.inventory": ("product_id", "snapshot_date"),
        "restaurant.order_items": ("order_id", None), "restaurant.order_item_options": ("order_id", None),
    }  # fmt: skip


def test_a_contract_cannot_name_columns_that_it_does_not_have() -> None:
    column = ContractColumn(name="id")
    shared = {"entity": "a.b", "system": "a", "name": "b", "raw_table": "raw.a_b", "version": "1"}
    with pytest.raises(ValidationError, match="no column 'nope'"):
        Contract(**shared, key=("nope",), columns=(column,))
    with pytest.raises(ValidationError, match="no column 'nope'"):
        Contract(**shared, key=(), change_key=ChangeKey(key="id", day="nope"), columns=(column,))
    with pytest.raises(ValidationError, match="named twice"):
        Contract(**shared, key=("id",), columns=(column, column))
    with pytest.raises(ValidationError, match="feed_setting"):
        ContractColumn(name="x", source="feed_setting")
    with pytest.raises(KeyError):
        load_contracts()["store.orders"].column("nope")
