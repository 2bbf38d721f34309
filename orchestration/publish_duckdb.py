"""Publishing on DuckDB: a small file that is replaced by one rename, over parquet files that never change.

`published.duckdb` holds small tables itself and large ones as views over named files below `published/`. A
publication writes the parts whose days changed, then the catalogue that names them and all former parts, and lets it
take the former one's place. A reader sees the former marts or the new ones, never a mixture, and one that holds the
former file open goes on reading it.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import duckdb

from ingestion.warehouses import open_warehouse
from orchestration.change_marks import advance, newest_sequences, taken_sequences
from orchestration.publication import PUBLICATION_TABLE, Publication, PublicTable, Stamp
from orchestration.publish_parts import (
    EVERYTHING,
    FULL_ROWS,
    Part,
    PartWriter,
    as_pattern,
    parts_outside,
    quoted,
    ranges_to_write,
    sync,
)
from orchestration.semantic_manifest import MANIFEST_TABLE, for_readers
from settings.crash_points import crash_point
from settings.errors import NotFoundError
from settings.home import Home
from settings.memory import memory_limit

logger = logging.getLogger(__name__)

# A small company's publication is one file, which can be copied and moved alone. A table of this size costs a quarter
# of a CPU second more in the catalogue than as a file.
LEAST_PART_ROWS = 50_000
# Types that a parquet file gives back as they were; a table with any other stands in the catalogue itself.
PARQUET_TYPES = frozenset({"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"})

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FormerTable:
    """A table of the publication that readers see now: its columns, its mark in the change feed, its files."""

    columns: Columns
    sequence: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Catalogue:
    """What a published file says of its tables, by (schema, name)."""

    tables: Mapping[tuple[str, str], FormerTable] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        return {part.file for table in self.tables.values() for part in table.parts}


@dataclass(frozen=True)
class Changes:
    """What a model changed since `taken`; all of it where no mark says how far it was published."""

    newest: int
    taken: int | None = None
    days: frozenset[date | None] = frozenset()
    is_everything: bool = False


@dataclass(frozen=True)
class DuckDBPublisher:
    """See `Publisher`. Tables of fewer than `least_part_rows` rows stand in the catalogue itself."""

    home: Home
    least_part_rows: int = LEAST_PART_ROWS
    full_rows: int = FULL_ROWS

    def publish(self, tables: Sequence[PublicTable], stamp: Stamp) -> Publication:
        """See `Publisher`."""
        home = self.home
        if not home.warehouse.is_file():
            raise NotFoundError(
                f"there is no warehouse at {home.warehouse}",
                remedy="run `tillhouse run` first",
                rule="no_warehouse",
            )
        for leftover in home.root.glob(
            f"{home.published.stem}.*.next*"
        ):  # of a run that ended while it wrote
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        former = self._former()
        name = uuid.uuid4().hex[:12]
        draft = home.root / f"{home.published.stem}.{name}.next"
        try:
            with _drafting(draft, home) as connection:
                writing = _Draft(self, connection, name, former)
                publication = writing.write(tables, stamp)
            draft.chmod(0o600)
            sync(draft)
            crash_point("draft_written")
            draft.replace(home.published)
            crash_point("readers_switched")
            sync(home.root)
        finally:
            draft.unlink(missing_ok=True)
        # Only now: a publication that was cut short takes up the same changes again.
        if writing.marks:
            with closing(open_warehouse("duckdb", home)) as warehouse, warehouse.transaction():
                advance(warehouse, writing.marks)
                crash_point("marks_advanced")
        crash_point("marks_committed")
        self._sweep(writing.files | former.files)
        return publication

    def read(self) -> Publication | None:
        """See `Publisher`."""
        if not self.home.published.is_file():
            return None
        try:
            with open_published(self.home) as connection:
                row = connection.execute(
                    "select run_id, published_at, data_fingerprint, project_fingerprint, table_count, row_count,"
                    f" home from {PUBLICATION_TABLE}"
                ).fetchone()
                catalogue = _read_catalogue(connection)
        except duckdb.Error:
            logger.warning("%s cannot be read as a published warehouse", self.home.published)
            return None
        if row is None:
            return None
        if catalogue.files and row[6] != str(self.home.root):
            logger.warning("%s names files below %s; the next run mends it", self.home.published, row[6])
            return None
        if not all(self._is_whole(part) for table in catalogue.tables.values() for part in table.parts):
            logger.warning("%s lacks files; the next run writes them again", self.home.published_files)
            return None
        return Publication(row[0], row[1].replace(tzinfo=UTC), row[2], row[3], row[4], row[5])

    def _former(self) -> Catalogue:
        """What readers see now, without the tables of which a file is missing."""
        if not self.home.published.is_file():
            return Catalogue()
        try:
            with open_published(self.home) as connection:
                found = _read_catalogue(connection)
        except duckdb.Error:
            logger.warning("%s cannot be read: all of it is written anew", self.home.published)
            return Catalogue()
        return Catalogue(
            {
                key: table
                for key, table in found.tables.items()
                if all(self._is_whole(part) for part in table.parts)
            }
        )

    def _is_whole(self, part: Part) -> bool:
        path = self.home.published_files / part.file
        return path.is_file() and path.stat().st_size == part.size

    def _sweep(self, named: set[str]) -> None:
        """Remove files that neither this publication nor the one before it names."""
        folder = self.home.published_files
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in named:
                path.unlink(missing_ok=True)


@dataclass
class _Draft:
    """One new catalogue under way, on a connection that has the warehouse attached."""

    publisher: DuckDBPublisher
    connection: duckdb.DuckDBPyConnection
    name: str
    former: Catalogue
    marks: dict[str, int] = field(default_factory=dict, init=False)
    files: set[str] = field(default_factory=set, init=False)

    def write(self, tables: Sequence[PublicTable], stamp: Stamp) -> Publication:
        self._create_publication_tables()
        changes = self._changes([table.name for table in tables if table.day])
        rows = sum(self._publish(table, changes.get(table.name)) for table in tables)
        published_at = datetime.now(UTC)
        self.connection.execute(
            f"insert into {PUBLICATION_TABLE} values (?, ?, ?, ?, ?, ?, ?)",
            [
                stamp.run_id, published_at.replace(tzinfo=None), stamp.data_fingerprint,
                stamp.project_fingerprint, len(tables), rows, str(self.publisher.home.root),
            ],
        )  # fmt: skip
        if stamp.semantic_manifest:
            text = for_readers(stamp.semantic_manifest, lambda schema: schema)
            self.connection.execute(
                f"create table {MANIFEST_TABLE} as select sha256($1) as fingerprint, $1 as content", [text]
            )
        if self.files:
            # The files' entries in their folders must be on the disk before a catalogue names them.
            folder = self.publisher.home.published_files
            for path in {folder, *((folder / file).parent for file in self.files)}:
                sync(path)
                sync(path.parent)
        return Publication(
            stamp.run_id, published_at, stamp.data_fingerprint, stamp.project_fingerprint, len(tables), rows
        )

    def _create_publication_tables(self) -> None:
        self.connection.execute(
            f"create schema publication; create table {PUBLICATION_TABLE} (run_id varchar, published_at timestamp,"
            " data_fingerprint varchar, project_fingerprint varchar, table_count bigint, row_count bigint,"
            " home varchar);"
            "create table publication.tables (schema_name varchar, table_name varchar, column_names varchar[],"
            " column_types varchar[], sequence bigint);"
            "create table publication.parts (schema_name varchar, table_name varchar, file varchar, first_day date,"
            " last_day date, row_count bigint, bytes bigint, sequence bigint)"
        )

    def _changes(self, models: Sequence[str]) -> dict[str, Changes]:
        """What these models changed since they were published; empty where the warehouse keeps no feed."""
        try:
            newest = dict(self.connection.execute(newest_sequences("warehouse.state")).fetchall())
            taken = dict(self.connection.execute(taken_sequences("warehouse.state")).fetchall())
            touched = self.connection.execute(
                "select source, day, key is null and customer_key is null and day is null as is_everything"
                f" from warehouse.state.changed inner join ({taken_sequences('warehouse.state')}) as marks"
                " using (source) where changed.sequence > marks.sequence group by all"
            ).fetchall()
        except duckdb.CatalogException:
            return {}
        days: dict[str, set[date | None]] = {}
        everything = set()
        for source, day, is_everything in touched:
            if is_everything:
                everything.add(source)
            else:
                days.setdefault(source, set()).add(day)
        return {
            model: Changes(
                newest.get(model, 0), taken.get(model), frozenset(days.get(model, ())), model in everything
            )
            for model in models
        }

    def _publish(self, table: PublicTable, changes: Changes | None) -> int:
        """Put one table into the draft; returns its rows."""
        name = f'"{table.schema}"."{table.name}"'
        self.connection.execute(f'create schema if not exists "{table.schema}"')
        counted = self.connection.execute(f"select count(*) from warehouse.{name}").fetchone()
        rows = counted[0] if counted else 0
        columns = _columns(self.connection, f"warehouse.{name}")
        if changes is not None:
            self.marks[table.name] = changes.newest
        if rows < self.publisher.least_part_rows or not all(_fits_parquet(kind) for _, kind in columns):
            self.connection.execute(f"create table {name} as from warehouse.{name}")
            return rows
        parts = self._parts(table, columns, rows, changes)
        folder = self.publisher.home.published_files
        listed = ", ".join(f"'{as_pattern(folder / part.file)}'" for part in parts)
        selected = ", ".join(f'"{column}"' for column, _ in columns)
        self.connection.execute(
            f"create view {name} as select {selected} from read_parquet([{listed}], hive_partitioning = false)"
        )
        self._note(table, columns, parts, changes)
        return rows

    def _parts(self, table: PublicTable, columns: Columns, rows: int, changes: Changes | None) -> list[Part]:
        """The files that hold the table now; those of changed days are written."""
        writer = PartWriter(
            connection=self.connection,
            folder=self.publisher.home.published_files,
            source=f'warehouse."{table.schema}"."{table.name}"',
            place=f"{table.schema}/{table.name}",
            name=self.name,
            full_rows=self.publisher.full_rows,
        )
        if changes is None or table.day is None:
            return [writer.write_whole()]
        former = self.former.tables.get((table.schema, table.name))
        if (
            former is not None
            and former.parts
            and former.columns == columns
            and changes.taken is not None
            and former.sequence >= changes.taken
            and not changes.is_everything
        ):
            ranges = ranges_to_write(former.parts, changes.days, changes.taken)
            parts = parts_outside(former.parts, ranges)
            for days in ranges:
                parts += writer.write_days(table.day, days, changes.newest)
            if sum(part.rows for part in parts) == rows:
                return parts
            logger.warning(
                "the published files of %s do not add up to its %d rows: all are written anew",
                table.name,
                rows,
            )
        return [part for days in EVERYTHING for part in writer.write_days(table.day, days, changes.newest)]

    def _note(
        self, table: PublicTable, columns: Columns, parts: Sequence[Part], changes: Changes | None
    ) -> None:
        self.files |= {part.file for part in parts}
        self.connection.execute(
            "insert into publication.tables values (?, ?, ?, ?, ?)",
            [
                table.schema, table.name, [column for column, _ in columns], [kind for _, kind in columns],
                changes.newest if changes else 0,
            ],
        )  # fmt: skip
        self.connection.executemany(
            "insert into publication.parts values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                [
                    table.schema, table.name, part.file, part.first_day, part.last_day, part.rows, part.size,
                    part.sequence,
                ]
                for part in parts
            ],
        )  # fmt: skip


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


@contextmanager
def _drafting(draft: os.PathLike[str], home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(draft))
    try:
        # No reader asks for the order in which rows were built, and keeping it costs memory.
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"set memory_limit = '{memory_limit()}'")
        # The models' views name their catalogue, which dbt takes from the file's stem.
        connection.execute(f"attach '{quoted(home.warehouse)}' as warehouse (read_only)")
        yield connection
        connection.execute("detach warehouse")
        connection.execute("checkpoint")
    finally:
        connection.close()


def _read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    parts: dict[tuple[str, str], list[Part]] = {}
    for schema, name, *described in connection.execute(
        "select schema_name, table_name, file, first_day, last_day, row_count, bytes, sequence"
        " from publication.parts order by all"
    ).fetchall():
        parts.setdefault((schema, name), []).append(Part(*described))
    tables = connection.execute(
        "select schema_name, table_name, column_names, column_types, sequence from publication.tables"
    ).fetchall()
    return Catalogue(
        {
            (schema, name): FormerTable(
                tuple(zip(names, kinds, strict=True)), sequence, tuple(parts.get((schema, name), ()))
            )
            for schema, name, names, kinds, sequence in tables
        }
    )


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> Columns:
    described = connection.execute(f"describe {table}").fetchall()
    return tuple((row[0], row[1]) for row in described)


def _fits_parquet(kind: str) -> bool:
    return kind in PARQUET_TYPES or kind.startswith("DECIMAL")
