"""A Postgres server as the warehouse. Where it is stands in the dbt profile.

Rows go from the bronze files straight into the raw table, as Arrow batches over ADBC (binary COPY), inside the
transaction that also writes the ledger: a staging table would write every row twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import adbc_driver_manager
import duckdb
import pyarrow
from adbc_driver_postgresql import dbapi

from ingestion.engines.base import Statement
from ingestion.warehouses.base import (
    Columns,
    Inserted,
    MissingTableError,
    StatementError,
    Table,
    is_lost_connection,
    on_conflict,
)
from settings.errors import BusyError, ConfigurationError, UnavailableError
from settings.profile import read_target

# Names in the profile (dbt's) → names in a libpq connection text.
CONNECTION_SETTINGS = {
    "host": "host", "port": "port", "user": "user", "password": "password", "pass": "password",
    "dbname": "dbname", "database": "dbname", "sslmode": "sslmode", "sslcert": "sslcert", "sslkey": "sslkey",
    "sslrootcert": "sslrootcert", "connect_timeout": "connect_timeout", "keepalives_idle": "keepalives_idle",
    "application_name": "application_name",
}  # fmt: skip
TYPES = {"varchar": "text", "double": "double precision"}
ROWS_PER_BATCH = 4_096  # half a MB of order lines: the server writes one while the client makes the next
BLOCKS_AHEAD = 64  # that a COPY adds to a table at once and may leave empty: the next one begins in them
UNSUMMARISED_ROWS = 50_000  # that a look for a delivery reads beside its own: 10 ms
# An immutable function of constants is worked out once, while a statement is planned. That its answer changes all the
# same does no harm: plans take defaults for inserts only, and each COPY makes its own.
CONSTANT_PREFIX = "tillhouse."
CONSTANT_FUNCTION = "raw.constant_of_delivery"
CREATE_CONSTANT_FUNCTION = f"""
    create or replace function {CONSTANT_FUNCTION}(name text, kind anyelement) returns anyelement
    language plpgsql immutable as $body$
    begin
        return nullif(pg_catalog.current_setting('{CONSTANT_PREFIX}' || name, true), '');
    end
    $body$
"""
# Any number, as long as every tillhouse takes the same: advisory locks are counted by database.
WRITER_LOCK = 7_455_300_117
UNDEFINED_TABLE, UNDEFINED_SCHEMA = "42P01", "3F000"
# The connection is gone, the server goes down or has no room for one more, somebody else was in the way.
PASSING_STATES = ("08", "57P", "53", "40", "55P03")


def open_postgres(target: str, *, read_only: bool = False) -> PostgresWarehouse:
    """Connect to the server that the profile names.

    Raises:
        ConfigurationError: when the profile is wrong.
        UnavailableError: when the server does not let us in.
    """
    settings = read_target(target)
    if settings.get("type") != "postgres":
        raise ConfigurationError(
            f"the target {target!r} of profiles.yml is of type {settings.get('type')!r}, not postgres",
            remedy="compare profiles.yml with profiles.example.yml",
            rule="profile",
        )
    where = f"{settings.get('host', 'localhost')}:{settings.get('port', '5432')}"
    try:
        connection = dbapi.connect(connection_text(settings), autocommit=True)
    except adbc_driver_manager.Error as error:
        raise UnavailableError(
            f"the Postgres server {where} cannot be used: {_first_line(error)}",
            remedy="see that it runs, and that profiles.yml and the environment name the right host, user,"
            " password and database",
            rule="server",
        ) from error
    warehouse = PostgresWarehouse(connection)
    # Times are naive UTC everywhere; the session's zone must never have a say.
    warehouse.execute("set timezone = 'UTC'")
    if "role" in settings:
        warehouse.execute(f'set role "{settings["role"].replace(chr(34), chr(34) * 2)}"')
    if read_only:
        warehouse.execute("set default_transaction_read_only = on")
    return warehouse


class WriterLock:
    """The database's writer lock, on a connection of its own: the server drops it with that connection, however this
    process ends.

    A server that restarts drops it too, while the run goes on. So each holder takes a turn, and whoever lost the lock
    goes on only if it can have it back and nobody took a turn meanwhile: what another run left may not have passed
    its tests.

    Raises:
        BusyError: when another run has it.
        UnavailableError: when the server does not let us in.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._connection = open_postgres(target)
        try:
            _hold(self._connection)
            self._turn = _take_turn(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def ensure(self) -> None:
        """See that the lock is still held, or take it again.

        Raises:
            BusyError: when another run has it, or had it meanwhile.
            UnavailableError: when the server is still away.
        """
        try:
            self._connection.query("select 1")
        except (UnavailableError, StatementError):
            self._connection.close()
        else:
            return
        self._connection = open_postgres(self._target)
        try:
            self._turn = self._next_turn()
        except BaseException:
            self._connection.close()  # who asks again is to hear the same
            raise

    def _next_turn(self) -> int:
        _hold(self._connection)
        turn = _take_turn(self._connection)
        if turn != self._turn + 1:
            raise BusyError(
                "the server dropped this run's lock, and another tillhouse run has written since",
                remedy="run again; what this run had loaded stays, and nothing more was changed",
                rule="one_writer",
            )
        return turn

    def close(self) -> None:
        """Let others write."""
        self._connection.close()


def _hold(warehouse: PostgresWarehouse) -> None:
    found = warehouse.query(f"select pg_try_advisory_lock({WRITER_LOCK}), current_database()").rows
    is_held, database = found[0]
    if not is_held:
        raise BusyError(
            f"another tillhouse run is writing to the Postgres database {database}",
            remedy="wait until it has ended, then run again; nothing was changed",
            rule="one_writer",
        )


def _take_turn(warehouse: PostgresWarehouse) -> int:
    """The number of this holder of the lock. A sequence would skip numbers when the server crashes."""
    warehouse.execute("create schema if not exists ops")
    warehouse.execute("create table if not exists ops.writer_turns (turn bigint not null)")
    warehouse.execute(
        "insert into ops.writer_turns select 0 where not exists (select 1 from ops.writer_turns)"
    )
    warehouse.execute("update ops.writer_turns set turn = turn + 1")
    return int(warehouse.query("select turn from ops.writer_turns").rows[0][0])


class PostgresWarehouse:
    """See `Warehouse`."""

    def __init__(self, connection: dbapi.Connection) -> None:
        self._connection = connection
        self._source: duckdb.DuckDBPyConnection | None = None
        self._filled: set[str] = set()
        # Table → columns whose defaults read settings.
        self._prepared: dict[str, set[str]] = {}
        self._in_transaction = False
        # Table → rows that came since this connection had its blocks summarised.
        self._unsummarised: dict[str, int] = {}

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """See `Warehouse.execute`."""
        with self._cursor() as cursor:
            cursor.execute(_numbered(sql, len(parameters)), list(parameters) or None)

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """See `Warehouse.execute_many`."""
        if rows:
            with self._cursor() as cursor:
                cursor.executemany(_numbered(sql, len(rows[0])), [list(row) for row in rows])

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """See `Warehouse.insert_rows`."""
        self._insert_each(table, columns, rows, "")

    def put_rows(
        self, table: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """See `Warehouse.put_rows`."""
        self._insert_each(table, columns, rows, on_conflict(key, columns))

    def _insert_each(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], on_conflict: str
    ) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" for _ in columns)
        self.execute_many(f"insert into {table} ({names}) values ({marks}) {on_conflict}", rows)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> Table:
        """See `Warehouse.query`."""
        with self._cursor() as cursor:
            cursor.execute(_numbered(sql, len(parameters)), list(parameters) or None)
            described = cursor.description or []
            rows = cursor.fetchall()
        # The driver has no type for a numeric without bounds and gives its text.
        exact = [getattr(column[1], "type_name", "") == "numeric" for column in described]
        if any(exact):
            rows = [
                tuple(
                    Decimal(value) if is_exact and value is not None else value
                    for value, is_exact in zip(row, exact, strict=True)
                )
                for row in rows
            ]
        return Table(tuple(column[0] for column in described), [tuple(row) for row in rows])

    @contextmanager
    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pyarrow.RecordBatchReader]:
        """See `Warehouse.stream`."""
        with self._cursor() as cursor:
            cursor.execute(_numbered(sql, len(parameters)), list(parameters) or None)
            yield cursor.fetch_record_batch()

    def insert(self, table: str, columns: Columns, rows: Statement) -> Inserted:
        """See `Warehouse.insert`. Rows go behind the others, but where a vacuum has told of free space."""
        schema, _, name = table.rpartition(".")
        if self._source is None:
            self._source = open_source()
        where = self._where_next(table)
        coming = _read(self._source, columns, rows, without=self._set_constants(table, rows))
        with self._cursor() as cursor:
            count = int(cursor.adbc_ingest(name, coming, mode="append", db_schema_name=schema))
        if count:
            self._filled.add(table)
        if table in self._unsummarised:
            self._unsummarised[table] += count
        return Inserted(count, where)

    def prepare_constants(self, tables: Sequence[str], columns: Columns) -> None:
        """See `Warehouse.prepare_constants`: by defaults, which a COPY that lacks the column works out once.

        They read settings of the transaction. Who does not own a table may not give it defaults, and sends all columns.
        """
        wanted = {
            name: f"{CONSTANT_FUNCTION}('{name}', null::{self.column_type(kind)})" for name, kind in columns
        }
        found = self.query(
            "select given.name, attname, coalesce(pg_get_expr(adbin, adrelid), ''), pg_has_role(relowner, 'usage')"
            " from unnest(string_to_array(?, ',')) as given(name)"
            " join pg_class on pg_class.oid = given.name::regclass"
            " join pg_attribute on attrelid = pg_class.oid"
            " left join pg_attrdef on adrelid = attrelid and adnum = attnum"
            " where attname = any(string_to_array(?, ','))",
            [",".join(tables), ",".join(wanted)],
        ).rows
        lacking: dict[str, list[str]] = {}
        for table, name, default, is_ours in found:
            # Named without its schema where that is on the search path.
            has_default = f"{CONSTANT_FUNCTION.partition('.')[2]}('{name}'" in default
            if is_ours and not has_default:
                lacking.setdefault(table, []).append(name)
            if is_ours or has_default:
                self._prepared.setdefault(table, set()).add(name)
        if lacking:
            self.execute(CREATE_CONSTANT_FUNCTION)
        for table, names in lacking.items():
            defaults = ", ".join(f'alter column "{name}" set default {wanted[name]}' for name in names)
            self.execute(f"alter table {table} {defaults}")

    def _set_constants(self, table: str, rows: Statement) -> Collection[str]:
        """Tell the server, for this transaction, the values that the table's defaults take; returns their columns."""
        given = {
            name: str(value)
            for name, parameter in rows.constants.items()
            # The server knows no difference between an empty setting and none.
            if name in self._prepared.get(table, ())
            and (value := rows.parameters[parameter]) not in {None, ""}
        }
        if not given or not self._in_transaction:
            return ()
        settings = ", ".join(f"set_config('{CONSTANT_PREFIX}{name}', ?, true)" for name in given)
        self.query(f"select {settings}", list(given.values()))
        return given.keys()

    def _where_next(self, table: str) -> str:
        """The condition for what is inserted next: from the first block that may have room."""
        blocks = self.query(
            "select pg_relation_size(to_regclass(?)) / current_setting('block_size')::int", [table]
        ).rows[0][0]
        return f"ctid >= '({max(int(blocks or 0) - 1 - BLOCKS_AHEAD, 0)},0)'::tid"

    def index_deliveries(self, tables: Sequence[str]) -> None:
        """See `Warehouse.index_deliveries`: a few pages by table, which no first load pays for.

        The server summarises new blocks when it vacuums, but a run does not wait for that. Where blocks hold rows of an
        open transaction it takes seven times as long, so rows that are just being inserted are searched unsummarised.
        Who does not own the table may not do it, and searches all the same.
        """
        for table in tables:
            if table in self._unsummarised and self._unsummarised[table] <= UNSUMMARISED_ROWS:
                continue
            schema, _, name = _delivery_index(table).partition(".")
            found = self.query(
                "select to_regclass(?) is not null from pg_class"
                " where oid = to_regclass(?) and pg_has_role(relowner, 'usage')",
                [f"{schema}.{name}", table],
            ).rows
            if found == [(True,)]:
                self.query("select brin_summarize_new_values(to_regclass(?))", [f"{schema}.{name}"])
            elif found:
                self.execute(
                    f"create index {name} on {table} using brin (_load_sequence) with (pages_per_range = 32)"
                )
            self._unsummarised[table] = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Warehouse.transaction`."""
        # Not the connection's own commit and rollback: opened in autocommit mode, they do nothing.
        session = self._connection.adbc_connection
        with self._errors():
            session.set_autocommit(False)
        self._in_transaction = True
        try:
            # A table that is just being filled has no statistics, and without them the planner reads all of it.
            self.execute("set local enable_seqscan = off")
            self.execute("set local jit = off")
            yield
            with self._errors():
                session.commit()
        except BaseException:
            # The server rolls back what a lost connection leaves; the first error is the story.
            with suppress(adbc_driver_manager.Error):
                session.rollback()
            self._unsummarised.clear()
            raise
        finally:
            self._in_transaction = False
            with suppress(adbc_driver_manager.Error):
                session.set_autocommit(True)

    def column_type(self, definition: str) -> str:
        """See `Warehouse.column_type`."""
        kind, _, constraint = definition.partition(" ")
        return f"{TYPES.get(kind, kind)} {constraint}".strip()

    def close(self) -> None:
        """Let the planner know of the rows that came, then let go of the server."""
        with suppress(StatementError, UnavailableError):
            for table in sorted(self._filled):
                self.execute(f"analyze {table}")
        if self._source is not None:
            self._source.close()
        with suppress(adbc_driver_manager.Error):
            self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._errors():
            cursor = self._connection.cursor()
            try:
                yield cursor
            finally:
                with suppress(adbc_driver_manager.Error):
                    cursor.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except adbc_driver_manager.Error as error:
            state = error.sqlstate or ""
            if state in {UNDEFINED_TABLE, UNDEFINED_SCHEMA}:
                raise MissingTableError(_first_line(error)) from error
            if state.startswith(PASSING_STATES) or is_lost_connection(str(error)):
                raise UnavailableError(
                    f"the Postgres server gave up a statement: {_first_line(error)}",
                    remedy="nothing of the open transaction was kept; see that the server runs, then run again",
                    rule="server",
                ) from error
            raise StatementError(f"{_first_line(error)} [{state}]") from error


def open_source() -> duckdb.DuckDBPyConnection:
    """What reads bronze for a server. Close it again.

    One thread: the server and the driver that makes its COPY have the processor's others.
    """
    source = duckdb.connect(config={"threads": 1})
    source.execute("set TimeZone = 'UTC'")
    return source


def _read(
    source: duckdb.DuckDBPyConnection, columns: Columns, rows: Statement, without: Collection[str]
) -> pyarrow.RecordBatchReader:
    """The rows as the driver wants them for its binary COPY: each value in the column's very type.

    Args:
        without: columns of the statement that are left out.
    """
    names = ", ".join(f'"{name}"' for name, _ in columns)
    casts = ", ".join(
        f'cast("{name}" as {kind.split(" ", 1)[0]}) as "{name}"'
        for name, kind in columns
        if name not in without
    )
    source.execute(f"select {casts} from ({rows.sql}) as given({names})", dict(rows.parameters))
    return source.to_arrow_reader(ROWS_PER_BATCH)


def connection_text(settings: dict[str, str]) -> str:
    """`name='value' …` as libpq reads it. What is left out libpq takes from PGPASSWORD, ~/.pgpass and the like."""
    parts = {
        CONNECTION_SETTINGS[name]: text for name, text in settings.items() if name in CONNECTION_SETTINGS
    }
    escaped = {name: text.replace("\\", "\\\\").replace("'", "\\'") for name, text in parts.items()}
    return " ".join(f"{name}='{text}'" for name, text in escaped.items())


def _delivery_index(table: str) -> str:
    """The name of the index by delivery, in the table's schema."""
    schema, _, _ = table.rpartition(".")
    return f"{schema}.{table.replace('.', '_')}_by_delivery"


def _numbered(sql: str, count: int) -> str:
    """The statement with `$1`, `$2`, … for its question marks."""
    if not count:
        return sql
    parts = sql.split("?")
    if len(parts) != count + 1:
        raise ValueError(f"{len(parts) - 1} marks for {count} parameters in: {sql}")
    return parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], start=1))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
