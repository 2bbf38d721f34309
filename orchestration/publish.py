"""Publish: what passed its tests becomes visible to readers, all at once.

On DuckDB the readers' view is a file of its own that holds the public schemas alone. It is written beside
the former one and takes its place by one rename, so a reader sees the former marts or the new ones, never
a mixture, and one that holds the former file open goes on reading it undisturbed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from settings.errors import ConfigurationError, NotFoundError
from settings.home import Home

logger = logging.getLogger(__name__)

PUBLISHED_LAYERS = ("marts", "quality")
PUBLICATION_TABLE = "publication.current"


@dataclass(frozen=True)
class Publication:
    """What readers see, and from what it was made. Fingerprints are hex digests."""

    run_id: str
    published_at: datetime
    data_fingerprint: str
    project_fingerprint: str
    tables: int
    rows: int


@dataclass(frozen=True)
class PublicTable:
    """One table to publish, by schema and name."""

    schema: str
    name: str


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
    tables = [
        PublicTable(schema=node["schema"], name=node.get("alias") or node["name"])
        for node in public_models(manifest)
    ]
    return sorted(tables, key=lambda table: (table.schema, table.name))


def publish(
    home: Home,
    tables: list[PublicTable],
    *,
    run_id: str,
    data_fingerprint: str,
    project_fingerprint: str,
) -> Publication:
    """Write `published.duckdb` anew from the warehouse and let it take the former one's place.

    Args:
        home: whose warehouse is published.
        tables: what readers see; each must exist in the warehouse.
        run_id: the run that built and tested them.
        data_fingerprint: of the deliveries that went in.
        project_fingerprint: of the models that were built.

    Raises:
        NotFoundError: when there is no warehouse.
        ConfigurationError: when there is nothing to publish.
        OSError, duckdb.Error: when the copy cannot be written; the former file stays as it was.
    """
    if not home.warehouse.is_file():
        raise NotFoundError(
            f"there is no warehouse at {home.warehouse}",
            remedy="run `tillhouse run` first",
            rule="no_warehouse",
        )
    if not tables:
        raise ConfigurationError(
            "the project has no public tables", remedy="see models/marts", rule="no_marts"
        )
    for leftover in home.root.glob(f"{home.published.stem}.*.next*"):
        leftover.unlink(missing_ok=True)  # of a run that ended while it wrote
    draft = home.root / f"{home.published.stem}.{os.getpid()}.next"
    try:
        publication = _write_draft(
            home,
            draft,
            tables,
            run_id=run_id,
            data_fingerprint=data_fingerprint,
            project_fingerprint=project_fingerprint,
        )
        draft.chmod(0o600)
        _sync(draft)
        draft.replace(home.published)
        _sync(home.root)
    finally:
        draft.unlink(missing_ok=True)
    logger.info(
        "published %d tables with %d rows to %s", publication.tables, publication.rows, home.published
    )
    return publication


def read_publication(home: Home) -> Publication | None:
    """What is published now; None where nothing is, or where the file does not say."""
    if not home.published.is_file():
        return None
    try:
        with open_published(home) as connection:
            row = connection.execute(
                "select run_id, published_at, data_fingerprint, project_fingerprint, table_count, row_count "
                f"from {PUBLICATION_TABLE}"
            ).fetchone()
    except duckdb.Error:
        logger.warning("%s cannot be read as a published warehouse", home.published)
        return None
    if row is None:
        return None
    return Publication(row[0], row[1].replace(tzinfo=UTC), row[2], row[3], row[4], row[5])


@contextmanager
def open_published(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to what is published.

    Raises:
        NotFoundError: when nothing has been published yet.
    """
    if not home.published.is_file():
        raise NotFoundError(
            f"nothing is published in {home.root} yet",
            remedy="run `tillhouse demo`, or `tillhouse run` with your own feeds",
            rule="nothing_published",
        )
    connection = duckdb.connect(str(home.published), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def _write_draft(
    home: Home,
    draft: Path,
    tables: list[PublicTable],
    *,
    run_id: str,
    data_fingerprint: str,
    project_fingerprint: str,
) -> Publication:
    rows = 0
    connection = duckdb.connect(str(draft))
    try:
        # The models' views name their catalogue, which dbt takes from the file's stem.
        connection.execute(f"attach '{_quoted_path(home.warehouse)}' as warehouse (read_only)")
        for schema in sorted({table.schema for table in tables}):
            connection.execute(f'create schema if not exists "{schema}"')
        for table in tables:
            name = f'"{table.schema}"."{table.name}"'
            connection.execute(f"create table {name} as from warehouse.{name}")
            counted = connection.execute(f"select count(*) from {name}").fetchone()
            rows += counted[0] if counted else 0
        connection.execute("create schema publication")
        published_at = datetime.now(UTC)
        connection.execute(
            f"create table {PUBLICATION_TABLE} as select $1 as run_id, $2::timestamp as published_at, "
            "$3 as data_fingerprint, $4 as project_fingerprint, $5::bigint as table_count, $6::bigint as row_count",
            [
                run_id,
                published_at.replace(tzinfo=None),
                data_fingerprint,
                project_fingerprint,
                len(tables),
                rows,
            ],
        )
        connection.execute("detach warehouse")
        connection.execute("checkpoint")
    finally:
        connection.close()
    return Publication(run_id, published_at, data_fingerprint, project_fingerprint, len(tables), rows)


def _quoted_path(path: Path) -> str:
    return str(path).replace("'", "''")


def _sync(path: Path) -> None:
    """Wait until the file, or the folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
