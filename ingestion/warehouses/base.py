"""What a warehouse is to the loader, the ledger and the questions about runs: statements, rows, transactions.

SQL that goes through here is the part that DuckDB and Postgres share. A parameter is a `?`; no other question
mark may stand in a statement that has parameters. Types are named as DuckDB names them (`varchar`, `double`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow

from ingestion.engines.base import Statement

Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of an answer under their column names."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


# What libpq says of a connection that is gone or does not come about, on whichever road the message comes.
LOST_CONNECTION = (
    "server closed the connection", "no connection to the server", "could not connect", "connection to server at",
    "terminating connection due to", "connection already closed", "SSL connection has been closed",
)  # fmt: skip


def is_lost_connection(message: str) -> bool:
    """Whether a message tells that the connection is gone, so that another try may pass."""
    return any(words in message for words in LOST_CONNECTION)


def on_conflict(key: Sequence[str], columns: Sequence[str]) -> str:
    """The clause by which an inserted row takes the place of the one with its key."""
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in key)
    named = ", ".join(f'"{name}"' for name in key)
    return f"on conflict ({named}) do update set {changed}"


@dataclass(frozen=True)
class Inserted:
    """What an insert wrote.

    Attributes:
        rows: how many.
        where: a condition that leads to them cheaply; None where no such is known. Other rows may meet it too, and rows
            that went into gaps between older ones may not: count what it finds, and search without it where that is
            too little.
    """

    rows: int
    where: str | None = None


class StatementError(Exception):
    """The database refused a statement. The text may quote data: show its kind only."""


class MissingTableError(StatementError):
    """The statement names a table or schema that is not there."""


class Warehouse(Protocol):
    """One connection to one database. Outside of `transaction` every statement commits by itself."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement.

        Raises:
            StatementError, duckdb.Error: when the database refuses it.
            UnavailableError: when the connection is gone.
        """

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of parameters; raises as `execute` does."""

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows of plain values at once; raises as `execute` does."""

    def put_rows(
        self, table: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert many rows at once; one whose key is there takes the place of the row that is.

        Args:
            key: the table's primary key; no two of `rows` share one.
        """

    def query(self, sql: str, parameters: Sequence[object] = ()) -> Table:
        """The rows of a query. Decimals come as `Decimal`, times as naive UTC.

        Raises:
            MissingTableError: when a table or schema is not there; else as `execute` does.
        """

    def stream(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> AbstractContextManager[pyarrow.RecordBatchReader]:
        """The rows of a query as Arrow batches, which are read inside the context; raises as `query` does."""

    def insert(self, table: str, columns: Columns, rows: Statement) -> Inserted:
        """Insert what a statement in DuckDB's dialect gives, in the order of these columns.

        Args:
            columns: names and types of the table's columns that are filled.

        Returns:
            how many rows came, and where they are; raises as `execute` does.
        """

    def prepare_constants(self, tables: Sequence[str], columns: Columns) -> None:
        """See that inserts into these tables are spared columns whose value is the same in all their rows.

        Args:
            columns: which every one of the tables has, and the statements of later inserts may give as constants.
        """

    def index_deliveries(self, tables: Sequence[str]) -> None:
        """See that a search for a delivery's rows by its number skips what was committed of others.

        To be called before such searches, and before the rows come where both are in one transaction.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside commits together, or nothing does."""

    def column_type(self, definition: str) -> str:
        """A column's type (and constraint) in this database's words."""

    def close(self) -> None:
        """Let go of the database."""
