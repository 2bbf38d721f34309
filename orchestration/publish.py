"""Publish: what passed its tests becomes visible to readers, all at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from orchestration.publication import (
    PUBLICATION_TABLE,
    PUBLISHED_LAYERS,
    Publication,
    PublicTable,
    Publisher,
    Stamp,
    public_models,
    public_tables,
)
from orchestration.publish_duckdb import DuckDBPublisher, open_published
from orchestration.publish_postgres import PostgresPublisher
from settings.errors import ConfigurationError
from settings.home import Home

__all__ = [
    "PUBLICATION_TABLE",
    "PUBLISHED_LAYERS",
    "PublicTable",
    "Publication",
    "Publisher",
    "open_published",
    "open_publisher",
    "public_models",
    "public_tables",
    "publish",
    "read_publication",
]

logger = logging.getLogger(__name__)


def open_publisher(home: Home, target: str = "duckdb") -> Publisher:
    """How the target publishes.

    Raises:
        ConfigurationError: for a target that has no publisher.
    """
    if target == "duckdb":
        return DuckDBPublisher(home)
    if target == "postgres":
        return PostgresPublisher(home, target)
    raise ConfigurationError(
        f"what stands in the target {target} cannot be published",
        remedy="run with --target duckdb or --target postgres",
        rule="no_publisher",
    )


def publish(
    home: Home,
    tables: list[PublicTable],
    *,
    run_id: str,
    data_fingerprint: str,
    project_fingerprint: str,
    semantic_manifest: Mapping[str, Any] | None = None,
    target: str = "duckdb",
) -> Publication:
    """Let readers see these tables of the warehouse. The caller holds the writer's lock.

    Args:
        home: whose warehouse is published.
        tables: what readers see; each must exist in the warehouse.
        run_id: the run that built and tested them.
        data_fingerprint: of the deliveries that went in.
        project_fingerprint: of the models that were built.
        semantic_manifest: dbt's, with the metrics over these tables; readers get none where it is left out.
        target: which database holds them.

    Raises:
        ConfigurationError: when there is nothing to publish, or no publisher for the target.
        NotFoundError, BusyError, UnavailableError, OSError, duckdb.Error, StatementError: see `Publisher`.
    """
    if not tables:
        raise ConfigurationError(
            "the project has no public tables", remedy="see models/marts", rule="no_marts"
        )
    publication = open_publisher(home, target).publish(
        tables, Stamp(run_id, data_fingerprint, project_fingerprint, semantic_manifest or {})
    )
    logger.info("published %d tables with %d rows", publication.tables, publication.rows)
    return publication


def read_publication(home: Home, *, target: str = "duckdb") -> Publication | None:
    """What is published now; None where nothing is, or where it cannot be read."""
    return open_publisher(home, target).read()
