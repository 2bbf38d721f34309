"""The embedded warehouse: `warehouse.duckdb` of the home folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import duckdb
import pyarrow

from ingestion.engines.base import Statement
from ingestion.warehouses.base import Columns, Inserted, MissingTableError, Table, on_conflict
from settings.errors import BusyError, NotFoundError
from settings.home import Home
from settings.memory import memory_limit

# Text is compressed a quarter faster so, and only tillhouse opens the file. profiles.example.yml has the same.
CONFIGURATION_OF_A_NEW_FILE: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": "v1.5.0"
}

GIVEN_ROWS = "given_rows"


def open_duckdb(home: Home, *, read_only: bool = False) -> DuckDBWarehouse:
    """Open the file; a writer makes it where there is none.

    Raises:
        BusyError: when another process has it open.
        NotFoundError: when it is to be read and there is none.
        ConfigurationError: when the environment's limit of memory is none.
    """
    is_new = not home.warehouse.exists()
    if is_new and read_only:
        raise NotFoundError(
            f"there is no warehouse in {home.root} yet",
            remedy="`tillhouse demo` or `tillhouse run` makes one",
            rule="no_warehouse",
        )
    if not read_only:
        home.ensure()
    # DuckDB's own limit is most of the machine, and loading a long history fills it.
    limit = memory_limit()
    try:
        connection = duckdb.connect(
            str(home.warehouse), read_only=read_only, config=CONFIGURATION_OF_A_NEW_FILE if is_new else {}
        )
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise
        raise BusyError(
            f"another process {'is writing to' if read_only else 'has'} {home.warehouse}{'' if read_only else ' open'}",
            remedy="wait until its run has ended, or close the program that holds the file",
            rule="one_writer",
        ) from error
    if is_new:
        home.warehouse.chmod(0o600)
    connection.execute(f"set memory_limit = '{limit}'")
    return DuckDBWarehouse(connection)


class DuckDBWarehouse:
    """See `Warehouse`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        # Times are naive UTC everywhere; the session's zone must never have a say.
        connection.execute("set TimeZone = 'UTC'")

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """See `Warehouse.execute`."""
        self._connection.execute(sql, list(parameters))

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """See `Warehouse.execute_many`."""
        if rows:
            self._connection.executemany(sql, [list(row) for row in rows])

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """See `Warehouse.insert_rows`."""
        self._insert_given(table, columns, rows, "")

    def put_rows(
        self, table: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """See `Warehouse.put_rows`."""
        self._insert_given(table, columns, rows, on_conflict(key, columns))

    def _insert_given(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], on_conflict: str
    ) -> None:
        """As one Arrow table: where pandas is not installed, each bound value costs a tenth of a millisecond."""
        if rows:
            names = ", ".join(f'"{name}"' for name in columns)
            with self._given(columns, rows) as given:
                self._connection.execute(
                    f"insert into {table} ({names}) select {names} from {given} {on_conflict}"
                )

    @contextmanager
    def _given(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
        """The name under which statements find these rows."""
        given = pyarrow.table(dict(zip(columns, zip(*rows, strict=True), strict=True)))
        self._connection.register(GIVEN_ROWS, given)
        try:
            yield GIVEN_ROWS
        finally:
            self._connection.unregister(GIVEN_ROWS)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> Table:
        """See `Warehouse.query`."""
        try:
            found = self._connection.execute(sql, list(parameters))
        except duckdb.CatalogException as error:
            raise MissingTableError(str(error)) from error
        return Table(tuple(column[0] for column in found.description or ()), found.fetchall())

    @contextmanager
    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pyarrow.RecordBatchReader]:
        """See `Warehouse.stream`."""
        try:
            yield self._connection.execute(sql, list(parameters)).to_arrow_reader()
        except duckdb.CatalogException as error:
            raise MissingTableError(str(error)) from error

    def insert(self, table: str, columns: Columns, rows: Statement) -> Inserted:
        """See `Warehouse.insert`. A delivery's number leads to its rows: blocks know which they hold."""
        names = ", ".join(f'"{name}"' for name, _ in columns)
        done = self._connection.execute(f"insert into {table} ({names}) {rows.sql}", dict(rows.parameters))
        counted = done.fetchone()
        return Inserted(int(counted[0]) if counted else 0)

    def prepare_constants(self, tables: Sequence[str], columns: Columns) -> None:
        """Nothing: a constant is one value for each block of rows, from the statement to the file."""

    def index_deliveries(self, tables: Sequence[str]) -> None:
        """Nothing: every block of a table knows its smallest and greatest values."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Warehouse.transaction`."""
        self._connection.begin()
        try:
            yield
        except BaseException:
            # A failed commit or a lost file has ended the transaction already; the first error is the story.
            with suppress(duckdb.Error):
                self._connection.rollback()
            raise
        self._connection.commit()

    def column_type(self, definition: str) -> str:
        """See `Warehouse.column_type`."""
        return definition

    def close(self) -> None:
        """See `Warehouse.close`."""
        self._connection.close()
