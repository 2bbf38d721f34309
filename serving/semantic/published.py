"""The published warehouse as metrics read it: one publication at a time, read-only, on either database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from serving.semantic.engine import Dialect, Statement
from settings.errors import ConfigurationError, NotFoundError, UnavailableError
from settings.home import Home

Rows = list[tuple[Any, ...]]

CURRENT = (
    "select current.run_id, current.published_at, current.data_fingerprint, manifest.fingerprint"
    " from publication.current as current left join publication.semantic_manifest as manifest on true"
)
MANIFEST = "select content from publication.semantic_manifest"


@dataclass(frozen=True)
class PublicationStamp:
    """What readers see: which run published it, when, from which deliveries (a hex digest)."""

    run_id: str
    published_at: datetime
    data_fingerprint: str
    manifest_fingerprint: str


class Snapshot(Protocol):
    """One publication, the same from the first statement to the last."""

    @property
    def stamp(self) -> PublicationStamp: ...

    def manifest(self) -> str:
        """The semantic manifest that was published with the tables, as JSON."""

    def run(self, statement: Statement, *, timeout_seconds: float | None = None) -> Rows:
        """The rows of a statement.

        Raises:
            UnavailableError: when it takes too long, or the database cannot answer.
        """


class PublishedWarehouse(Protocol):
    """Where published tables are read."""

    dialect: Dialect

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """What is published now, held as long as the context.

        Raises:
            NotFoundError: when nothing is published, or without metrics.
            UnavailableError: when it cannot be reached.
        """

    def close(self) -> None:
        """Let go of files and connections that no one uses any more."""


def open_published_warehouse(home: Home, target: str = "duckdb") -> PublishedWarehouse:
    """The readers' side of a target.

    Raises:
        ConfigurationError: for a target without one.
    """
    if target == "duckdb":
        from serving.semantic.published_duckdb import DuckDBPublished

        return DuckDBPublished(home.published, home.published_files)
    if target == "postgres":
        from serving.semantic.published_postgres import PostgresPublished

        return PostgresPublished(target)
    raise ConfigurationError(
        f"metrics cannot be read from the target {target}",
        remedy="use duckdb or postgres",
        rule="no_published_warehouse",
    )


def open_published_file(path: Path) -> PublishedWarehouse:
    """The readers' side of a home folder, or of a published DuckDB file that stands anywhere."""
    from serving.semantic.published_duckdb import DuckDBPublished

    home = Home(path.expanduser().resolve())
    if path.is_dir():
        return DuckDBPublished(home.published, home.published_files)
    return DuckDBPublished(home.root, home.root.with_name(home.published_files.name))


def nothing_published(where: str) -> NotFoundError:
    return NotFoundError(
        f"nothing is published in {where} yet",
        remedy="run `tillhouse demo`, or `tillhouse run` with your own feeds",
        rule="nothing_published",
    )


def read_stamp(rows: Rows, where: str) -> PublicationStamp:
    if not rows:
        raise nothing_published(where)
    run_id, published_at, data, manifest = rows[0]
    if manifest is None:
        raise no_metrics(where)
    return PublicationStamp(run_id, published_at.replace(tzinfo=UTC), data, manifest)


def no_metrics(where: str) -> NotFoundError:
    return NotFoundError(
        f"{where} was published without metrics, by an older tillhouse",
        remedy="run `tillhouse run --full-refresh`, which publishes them",
        rule="no_metrics_published",
    )


def too_slow(seconds: float | None) -> UnavailableError:
    return UnavailableError(
        f"the query took longer than {seconds:g} s and was ended",
        remedy="ask for fewer dimensions or a shorter time, or try again later",
        rule="timeout",
    )
