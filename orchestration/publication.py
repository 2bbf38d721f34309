"""What is published: which tables, made by which run, and what a publisher of a target is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

PUBLISHED_LAYERS = ("marts", "quality")
PUBLICATION_TABLE = "publication.current"
# Builds for review stand in schemas of their own and keep no change feed.
PREFIX_VARIABLE = "TILLHOUSE_SCHEMA_PREFIX"
KEY_TEST, KEY_ARGUMENT = "checks_hold", "primary_key"


@dataclass(frozen=True)
class Stamp:
    """From what a publication is made. Fingerprints are hex digests."""

    run_id: str
    data_fingerprint: str
    project_fingerprint: str
    # dbt's: what the metrics over the published tables are.
    semantic_manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Publication:
    """What readers see, and from what it was made."""

    run_id: str
    published_at: datetime
    data_fingerprint: str
    project_fingerprint: str
    tables: int
    rows: int


@dataclass(frozen=True)
class PublicTable:
    """One table to publish, by schema and name.

    Attributes:
        row_key: the columns that name one row; empty where no test says so.
        day: of a model that names its changes in the change feed, the column that fills the feed's `day`.
        feed_key: the column that fills the feed's `key`, where one does.
    """

    schema: str
    name: str
    row_key: tuple[str, ...] = ()
    day: str | None = None
    feed_key: str | None = None


class Publisher(Protocol):
    """How one target lets its readers see what was built: all at once, or not at all."""

    def publish(self, tables: Sequence[PublicTable], stamp: Stamp) -> Publication:
        """Let readers see these tables as they stand in the warehouse. The writer's lock is held.

        Raises:
            NotFoundError: when there is no warehouse.
            BusyError, UnavailableError: when another try may pass.
            OSError, duckdb.Error, StatementError: when it cannot be done; the former publication stays.
        """

    def read(self) -> Publication | None:
        """What readers see now; None where that is nothing, or where it cannot be read."""


def public_models(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The nodes of a manifest that readers may see: enabled public models of the published layers."""
    return [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and len(node["fqn"]) > 2
        and node["fqn"][1] in PUBLISHED_LAYERS
        and node["access"] == "public"
        and node["config"].get("materialized") != "ephemeral"
        and node["config"].get("enabled", True)
    ]


def public_tables(manifest: Mapping[str, Any]) -> list[PublicTable]:
    """Where the public models are, sorted by schema and name."""
    keys = _row_keys(manifest)
    tables = [_public_table(node, keys) for node in public_models(manifest)]
    return sorted(tables, key=lambda table: (table.schema, table.name))


def _public_table(node: Mapping[str, Any], keys: Mapping[str, tuple[str, ...]]) -> PublicTable:
    names_changes = node["config"].get("incremental_strategy") == "touched" and not os.environ.get(
        PREFIX_VARIABLE
    )
    emits = (node["config"].get("meta") or {}).get("emits", {}) if names_changes else {}
    # In the feed a model has its table's name, as the macros of the change feed write it.
    return PublicTable(
        schema=node["schema"],
        name=node.get("alias") or node["name"],
        row_key=keys.get(node.get("unique_id", ""), ()),
        day=emits.get("day"),
        feed_key=emits.get("key"),
    )


def _row_keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns that the checks of each model name as its primary key."""
    keys = {}
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        if node["resource_type"] == "test" and test.get("name") == KEY_TEST:
            keys[node["attached_node"]] = tuple(test["kwargs"].get(KEY_ARGUMENT, ()))
    return keys
