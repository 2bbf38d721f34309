"""Publishing on Postgres: one transaction over tables that readers keep.

dbt builds into `marts` and `quality`; readers get `published_marts` and `published_quality`. A publication deletes
and inserts the rows that differ, so that it takes no lock that a reader would wait for; who reads in one statement,
or in one repeatable-read transaction, sees the former publication or the new one whole. Privileges given by hand stay,
since the tables do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import MissingTableError, Warehouse
from orchestration.change_marks import advance, newest_sequences, taken_sequences
from orchestration.publication import PUBLICATION_TABLE, Publication, PublicTable, Stamp
from orchestration.semantic_manifest import MANIFEST_TABLE, for_readers
from serving.access import postgres as access
from serving.access.policy import load_policy
from settings.crash_points import crash_point
from settings.errors import BusyError, ConfigurationError, NotFoundError, UnavailableError
from settings.home import Home

SCHEMA_PREFIX = "published_"
# Columns that people filter and join by; each that a table has gets an index.
SEARCHED_COLUMNS = ("customer_key", "order_key", "location_key", "product_key")
# Shorter than the second after which Postgres looks for deadlocks: who gives way is always the publication.
LOCK_TIMEOUT = "500ms"
SOURCE_SYSTEM = "source_system"


Columns = Mapping[str, str]


@dataclass(frozen=True)
class PostgresPublisher:
    """See `Publisher`."""

    home: Home
    target: str = "postgres"

    def publish(self, tables: Sequence[PublicTable], stamp: Stamp) -> Publication:
        """See `Publisher`."""
        with closing(open_warehouse(self.target, self.home)) as warehouse:
            writing = _Transaction(warehouse, tables)
            try:
                with warehouse.transaction():
                    return writing.write(stamp)
            except UnavailableError as error:
                if "lock timeout" not in str(error):
                    raise
                raise BusyError(
                    f"readers hold a table whose columns change: {writing.at_work_on}",
                    remedy="the former publication stays; run again when their transactions have ended",
                    rule="table_in_use",
                ) from error

    def read(self) -> Publication | None:
        """See `Publisher`."""
        with closing(open_warehouse(self.target, self.home, read_only=True)) as warehouse:
            try:
                rows = warehouse.query(
                    "select run_id, published_at, data_fingerprint, project_fingerprint, table_count, row_count"
                    f" from {PUBLICATION_TABLE}"
                ).rows
            except MissingTableError:
                return None
        return Publication(rows[0][0], rows[0][1].replace(tzinfo=UTC), *rows[0][2:]) if rows else None


@dataclass
class _Transaction:
    """One publication under way. `at_work_on` is the table whose columns are being changed."""

    warehouse: Warehouse
    tables: Sequence[PublicTable]
    at_work_on: str = field(default="", init=False)
    rows: dict[PublicTable, int] = field(default_factory=dict, init=False)

    def write(self, stamp: Stamp) -> Publication:
        self.warehouse.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        self._create_publication_tables()
        for schema in sorted({reader_schema(table.schema) for table in self.tables}):
            self.warehouse.execute(f'create schema if not exists "{schema}"')
        columns = self._columns_of_tables()
        self._require_built(columns)
        former = self._former_rows()
        newest, taken = self._marks()
        changing = []
        for table in self.tables:
            built, read = columns[_source(table)], columns.get(_target(table))
            if read is None:
                self._create(table, _target(table), built)
            elif read != built:
                changing.append(table)
            elif table.row_key and table.name in taken and (table.schema, table.name) in former:
                self.rows[table] = former[table.schema, table.name]
                self._renew(table, built, since=taken[table.name])
            else:
                self.rows[table] = self._count(_target(table))
                self._renew(table, built)
        # Last, since from here to the end their readers wait.
        for table in changing:
            self._change_columns(table, columns[_target(table)], columns[_source(table)])
        published = {(table.schema, table.name) for table in self.tables}
        for schema, name in sorted(set(former) - published):
            self._drop(f'"{reader_schema(schema)}"."{name}"')
        self._renew_access()
        advance(self.warehouse, newest)
        crash_point("marks_advanced")
        return self._sign(stamp)

    def _renew_access(self) -> None:
        """Give what was made anew the privileges and row policies of the access policy, before anybody sees it."""
        if not access.is_applied(self._rows):
            return
        for statement in access.plan(load_policy(), self._rows):
            self.warehouse.execute(statement)

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        return self.warehouse.query(sql).rows

    def _create_publication_tables(self) -> None:
        self.warehouse.execute("create schema if not exists publication")
        self.warehouse.execute(
            f"create table if not exists {PUBLICATION_TABLE} (run_id text, published_at timestamp,"
            " data_fingerprint text, project_fingerprint text, table_count bigint, row_count bigint)"
        )
        self.warehouse.execute(
            f"create table if not exists {MANIFEST_TABLE} (fingerprint text, content text)"
        )
        self.warehouse.execute(
            "create table if not exists publication.tables (schema_name text, table_name text, row_count bigint)"
        )

    def _require_built(self, columns: Mapping[str, Columns]) -> None:
        missing = [_source(table) for table in self.tables if _source(table) not in columns]
        if missing:
            raise NotFoundError(
                f"the warehouse has no {', '.join(missing)}",
                remedy="build the models first: `tillhouse run`",
                rule="no_table",
            )

    def _columns_of_tables(self) -> dict[str, dict[str, str]]:
        """Names and types of the columns of all tables that are built or published."""
        schemas = {table.schema for table in self.tables}
        listed = ", ".join(
            f"'{name}'" for name in sorted(schemas | {reader_schema(name) for name in schemas})
        )
        found: dict[str, dict[str, str]] = {}
        for schema, table, column, kind in self.warehouse.query(
            "select nspname::text, relname::text, attname::text, format_type(atttypid, atttypmod)"
            " from pg_attribute inner join pg_class on pg_class.oid = attrelid"
            " inner join pg_namespace on pg_namespace.oid = relnamespace"
            f" where nspname in ({listed}) and relkind in ('r', 'p', 'v', 'm') and attnum > 0 and not attisdropped"
            " order by nspname, relname, attnum"
        ).rows:
            found.setdefault(f'"{schema}"."{table}"', {})[column] = kind
        return found

    def _former_rows(self) -> dict[tuple[str, str], int]:
        rows = self.warehouse.query("select schema_name, table_name, row_count from publication.tables").rows
        return {(schema, table): int(count) for schema, table, count in rows}

    def _marks(self) -> tuple[dict[str, int], dict[str, int]]:
        """The newest number of each model that names its changes, and how far those were taken that can go on."""
        models = {table.name for table in self.tables if table.day}
        if not self.warehouse.query("select to_regclass('state.changed') is not null").rows[0][0]:
            return {}, {}
        newest = {source: int(number) for source, number in self.warehouse.query(newest_sequences()).rows}
        taken = self.warehouse.query(
            f"select source, sequence from ({taken_sequences()}) as marks where not exists ("
            "select 1 from state.changed where changed.source = marks.source"
            " and changed.sequence > marks.sequence"
            " and key is null and customer_key is null and day is null)"
        ).rows
        return (
            {model: newest.get(model, 0) for model in models},
            {source: int(number) for source, number in taken if source in models},
        )

    def _renew(self, table: PublicTable, columns: Columns, since: int | None = None) -> None:
        """Delete and insert the rows that differ, among those that the feed names since a mark or among all."""
        source, target = _source(table), _target(table)
        names = _listed(columns)
        if not table.row_key:
            self.warehouse.execute(f"delete from {target}")
            self.warehouse.execute(f"insert into {target} ({names}) select {names} from {source}")
            self.rows[table] = self._count(target)
            return
        built, read = f"select {names} from {source}", f"select {names} from {target}"
        if since is not None:
            self._collect_touched(table, since)
            built, read = (f"{rows} as mart {_of_touched(table)}" for rows in (built, read))
        self._temporary("publish_gone", f"({read}) except ({built})")
        self._temporary("publish_come", f"({built}) except ({read})")
        keys = " and ".join(f'mart."{column}" = gone."{column}"' for column in table.row_key)
        self.warehouse.execute(f"delete from {target} as mart using publish_gone as gone where {keys}")
        self.warehouse.execute(f"insert into {target} ({names}) select {names} from publish_come")
        self.rows[table] += self._count("publish_come") - self._count("publish_gone")
        for name in ("publish_touched", "publish_gone", "publish_come"):
            self.warehouse.execute(f"drop table if exists {name}")

    def _collect_touched(self, table: PublicTable, since: int) -> None:
        self._temporary(
            "publish_touched",
            "select distinct source_system, key, day from state.changed"
            f" where source = '{table.name}' and sequence > {since}",
        )

    def _temporary(self, name: str, query: str) -> None:
        self.warehouse.execute(f"create temporary table {name} on commit drop as {query}")
        self.warehouse.execute(f"analyze {name}")

    def _create(self, table: PublicTable, name: str, columns: Columns) -> None:
        """A table for readers with all rows, and indexes where they look for them."""
        self.warehouse.execute(f"create table {name} (like {_source(table)})")
        names = _listed(columns)
        self.warehouse.execute(f"insert into {name} ({names}) select {names} from {_source(table)}")
        if table.row_key:
            self.warehouse.execute(f"create unique index on {name} ({_listed(table.row_key)})")
        searched = dict.fromkeys((table.day, table.feed_key, *SEARCHED_COLUMNS))
        for column in searched:
            if column in columns and table.row_key != (column,):
                self.warehouse.execute(f'create index on {name} ("{column}")')
        self.warehouse.execute(f"analyze {name}")
        self.rows[table] = self._count(name)

    def _change_columns(self, table: PublicTable, read: Columns, built: Columns) -> None:
        """Columns that came are added; where another went or has another type, the table is replaced."""
        target = _target(table)
        self.at_work_on = target
        if read.items() <= built.items():
            self.warehouse.execute(f"lock table {target} in access exclusive mode")
            for column in [column for column in built if column not in read]:
                self.warehouse.execute(f'alter table {target} add column "{column}" {built[column]}')
            self.rows[table] = self._count(target)
            self._renew(table, built)
            return
        fresh = f'"{reader_schema(table.schema)}"."{table.name}__next"'
        self._create(table, fresh, built)
        self._copy_privileges(target, fresh, built)
        self._drop(target)
        self.warehouse.execute(f'alter table {fresh} rename to "{table.name}"')

    def _copy_privileges(self, former: str, fresh: str, columns: Columns) -> None:
        grants = self.warehouse.query(
            "select '' as column_name, grantee, privilege_type, is_grantable from pg_class,"
            f" aclexplode(relacl) where pg_class.oid = '{former}'::regclass"
            " union all select attname::text, grantee, privilege_type, is_grantable from pg_attribute,"
            f" aclexplode(attacl) where attrelid = '{former}'::regclass and not attisdropped"
        )
        for column, grantee, privilege, is_grantable in grants.rows:
            if column and column not in columns:
                continue
            to = self._role(int(grantee))
            what = f'{privilege} ("{column}")' if column else privilege
            self.warehouse.execute(
                f"grant {what} on table {fresh} to {to}{' with grant option' if is_grantable else ''}"
            )

    def _role(self, number: int) -> str:
        if number == 0:
            return "public"
        name = self.warehouse.query(f"select rolname::text from pg_roles where oid = {number}").rows[0][0]
        return '"' + str(name).replace('"', '""') + '"'

    def _drop(self, name: str) -> None:
        self.at_work_on = name
        views = self.warehouse.query(
            "select distinct pg_class.oid::regclass::text from pg_depend"
            " inner join pg_rewrite on pg_rewrite.oid = objid inner join pg_class on pg_class.oid = ev_class"
            f" where refobjid = to_regclass('{name}') and pg_class.oid <> refobjid order by 1"
        ).rows
        if views:
            raise ConfigurationError(
                f"{name} must go or be replaced, and views that others made read it: "
                + ", ".join(view for (view,) in views),
                remedy="the former publication stays; drop these views, run again, and make them anew",
                rule="table_in_use",
            )
        self.warehouse.execute(f"drop table if exists {name}")

    def _count(self, name: str) -> int:
        return int(self.warehouse.query(f"select count(*) from {name}").rows[0][0])

    def _sign(self, stamp: Stamp) -> Publication:
        self.warehouse.execute("delete from publication.tables")
        self.warehouse.execute_many(
            "insert into publication.tables (schema_name, table_name, row_count) values (?, ?, ?)",
            [[table.schema, table.name, rows] for table, rows in self.rows.items()],
        )
        published_at = datetime.now(UTC)
        total = sum(self.rows.values())
        self.warehouse.execute(f"delete from {PUBLICATION_TABLE}")
        self.warehouse.execute(
            f"insert into {PUBLICATION_TABLE} (run_id, published_at, data_fingerprint, project_fingerprint,"
            " table_count, row_count) values (?, ?, ?, ?, ?, ?)",
            [
                stamp.run_id, published_at.replace(tzinfo=None), stamp.data_fingerprint,
                stamp.project_fingerprint, len(self.tables), total,
            ],
        )  # fmt: skip
        if stamp.semantic_manifest:
            text = for_readers(stamp.semantic_manifest, reader_schema)
            self.warehouse.execute(f"delete from {MANIFEST_TABLE}")
            self.warehouse.execute(
                f"insert into {MANIFEST_TABLE} (fingerprint, content) values (?, ?)",
                [hashlib.sha256(text.encode()).hexdigest(), text],
            )
        return Publication(
            stamp.run_id,
            published_at,
            stamp.data_fingerprint,
            stamp.project_fingerprint,
            len(self.tables),
            total,
        )


def reader_schema(schema: str) -> str:
    """Where readers find the tables that dbt builds in a schema."""
    return SCHEMA_PREFIX + schema


def _source(table: PublicTable) -> str:
    return f'"{table.schema}"."{table.name}"'


def _target(table: PublicTable) -> str:
    return f'"{reader_schema(table.schema)}"."{table.name}"'


def _listed(columns: Sequence[str] | Columns) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _of_touched(table: PublicTable) -> str:
    """Keeps the rows that the feed names: every row that differs has its system, key and day there."""
    conditions = [f'touched.source_system = mart."{SOURCE_SYSTEM}"']
    if table.feed_key:
        conditions.append(f'touched.key = mart."{table.feed_key}"')
        conditions.append(f'touched.day is not distinct from mart."{table.day}"')
    else:
        conditions.append(f'touched.day = mart."{table.day}"')
    return f"where exists (select 1 from publish_touched as touched where {' and '.join(conditions)})"
