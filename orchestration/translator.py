"""How dbt's nodes appear in Dagster: one small decision a function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator

UNIQUE_ID_METADATA = "tillhouse/dbt_unique_id"
DBT_TESTS_CHECK = "dbt_tests"


def asset_key(properties: Mapping[str, Any]) -> dg.AssetKey:
    """`raw/store_orders` for a source, `marts/fct_orders` for a model: layer, then name."""
    if properties["resource_type"] == "source":
        return dg.AssetKey([properties["source_name"], properties["name"]])
    return dg.AssetKey([layer(properties), properties["name"]])


def layer(properties: Mapping[str, Any]) -> str:
    """The first folder below models/; the resource type for seeds and snapshots."""
    if properties["resource_type"] == "model":
        return str(properties["fqn"][1])
    return f"{properties['resource_type']}s"


class TillhouseTranslator(DagsterDbtTranslator):
    """Keys by layer, groups by layer, and the dbt id kept for building a subset."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return layer(dbt_resource_props)

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        return {UNIQUE_ID_METADATA: dbt_resource_props["unique_id"]}
