"""What dbt knows of the published tables, in Metabase's words: descriptions, and what kind of thing a column holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from settings.errors import NotFoundError
from settings.home import Home

KEY_TEST = "checks_hold"
# The table that a key leads to; elsewhere a column of this name points there.
HOMES_OF_KEYS = {
    "customer_key": "dim_customer",
    "location_key": "dim_location",
    "product_version_key": "dim_product",
    "order_key": "fct_orders",
    "order_item_key": "fct_order_items",
}
PRIMARY_KEY, FOREIGN_KEY = "type/PK", "type/FK"
# By how a column's name ends, the first that fits; a column that nothing fits is left to Metabase.
SEMANTIC_TYPES = (
    (("_rate", "_share"), "type/Percentage"),
    (("_name",), "type/Name"),
    (("_score",), "type/Score"),
    (
        ("category", "segment", "region", "day_part", "source_system", "status", "method", "_tier"),
        "type/Category",
    ),
    (("quantity", "units", "on_hand", "available"), "type/Quantity"),
    (("created_at",), "type/CreationTimestamp"),
)


@dataclass(frozen=True)
class ColumnDocumentation:
    """One column; `leads_to` is the table whose key it holds."""

    description: str
    semantic_type: str | None
    leads_to: str | None = None


@dataclass(frozen=True)
class TableDocumentation:
    """One published table."""

    description: str
    columns: Mapping[str, ColumnDocumentation]


def read_documentation(home: Home) -> dict[str, TableDocumentation]:
    """The published tables by name, as dbt's manifest of the last run has them.

    Raises:
        NotFoundError: when no run has left a manifest in this home.
    """
    path = home.dbt_target / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"there are no descriptions of the marts in {path}",
            remedy="run `tillhouse run` in this home, which writes them",
            rule="dbt_manifest",
        ) from error
    return documentation(manifest)


def documentation(manifest: Mapping[str, Any]) -> dict[str, TableDocumentation]:
    """The published tables of a manifest of dbt, by name."""
    keys = {
        node["attached_node"]: tuple(node["test_metadata"]["kwargs"].get("primary_key", ()))
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == KEY_TEST
    }
    return {
        node.get("alias") or node["name"]: _table(node, keys.get(unique_id, ()))
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["access"] == "public"
    }


def _table(node: Mapping[str, Any], key: tuple[str, ...]) -> TableDocumentation:
    name = node.get("alias") or node["name"]
    return TableDocumentation(
        _one_line(node["description"]),
        {column["name"]: _column(column, name, key) for column in node["columns"].values()},
    )


def _column(column: Mapping[str, Any], table: str, key: tuple[str, ...]) -> ColumnDocumentation:
    name, description = column["name"], _one_line(column["description"])
    if key == (name,):
        return ColumnDocumentation(description, PRIMARY_KEY)
    home = HOMES_OF_KEYS.get(name)
    if home and home != table:
        return ColumnDocumentation(description, FOREIGN_KEY, home)
    fitting = (kind for ends, kind in SEMANTIC_TYPES if name.endswith(ends))
    return ColumnDocumentation(description, next(fitting, None))


def _one_line(text: str) -> str:
    return " ".join(text.split())
