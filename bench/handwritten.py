"""The hand-written SQL for the public marts: run it over a warehouse, and compare its tables with the marts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from settings.errors import TillhouseError

FOLDER = Path(__file__).parent / "handwritten"
READ_SCHEMAS = ("raw", "seeds")
SHARED = "shared"
SCHEMA = "by_hand"  # on Postgres
_HEADING = re.compile(r"^-- (mart|shared): (.+)$", re.MULTILINE)
# Comparing in parts by the first column keeps the memory that it takes within bounds.
_ROWS_OF_A_PART = 3_000_000


class DifferentMartsError(TillhouseError):
    """The hand-written SQL and the models do not give the same rows, so their times cannot be compared."""


@dataclass(frozen=True)
class Statement:
    """One statement; `mart` is the public table it is for, or `shared`."""

    mart: str
    text: str


@dataclass(frozen=True)
class Difference:
    """A mart that is not equal: rows of one side that the other has not, or columns that differ."""

    mart: str
    only_handwritten: int
    only_mart: int
    columns: str = ""

    def __str__(self) -> str:
        if self.columns:
            return f"{self.mart}: columns {self.columns}"
        return f"{self.mart}: {self.only_handwritten} rows only by hand, {self.only_mart} only in the mart"


def statements(engine: str = "duckdb") -> list[Statement]:
    """The engine's functions, then the marts' statements in order."""
    found = [Statement(SHARED, text) for text in _split((FOLDER / f"{engine}.sql").read_text("utf-8"))]
    mart = SHARED
    for text in _split((FOLDER / "marts.sql").read_text("utf-8")):
        for kind, name in _HEADING.findall(text):
            mart = name if kind == "mart" else SHARED
        found.append(Statement(mart, text))
    return found


def run(warehouse: Path, output: Path, *, memory_limit: str, threads: int = 2) -> dict[str, float]:
    """Make the marts in a file of their own from the raw tables of a warehouse, which stays as it is.

    Returns:
        Seconds by mart, and of what several marts share, in the order of the statements.
    """
    output.unlink(missing_ok=True)
    seconds: dict[str, float] = {}
    with _connected(warehouse, output, memory_limit=memory_limit, threads=threads) as connection:
        for statement in statements():
            started = time.monotonic()
            connection.execute(statement.text)
            seconds[statement.mart] = seconds.get(statement.mart, 0.0) + time.monotonic() - started
        started = time.monotonic()
        connection.execute("checkpoint")
        seconds["checkpoint"] = time.monotonic() - started
    return seconds


def run_on_postgres(connection: Any) -> dict[str, float]:
    """Make the marts in the schema `by_hand` from the raw tables of a Postgres database.

    Args:
        connection: of psycopg2, in autocommit; it finds the schema by itself afterwards.

    Returns:
        Seconds by mart, and of what several marts share, in the order of the statements.
    """
    seconds: dict[str, float] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}; set search_path to {SCHEMA}"
        )
        for statement in statements("postgres"):
            started = time.monotonic()
            cursor.execute(statement.text)
            seconds[statement.mart] = seconds.get(statement.mart, 0.0) + time.monotonic() - started
    return seconds


def differences_on_postgres(connection: Any) -> list[Difference]:
    """What of the public marts differs from those in the schema `by_hand`: `except all` both ways."""
    found = []
    with connection.cursor() as cursor:
        for mart in dict.fromkeys(statement.mart for statement in statements() if statement.mart != SHARED):
            cursor.execute(
                "select string_agg(quote_ident(column_name), ', ' order by ordinal_position) "
                "from information_schema.columns where table_schema = 'marts' and table_name = %s",
                [mart],
            )
            (columns,) = cursor.fetchone()
            sides = [f"select {columns} from {schema}.{mart}" for schema in (SCHEMA, "marts")]
            cursor.execute(
                f"select (select count(*) from ({sides[0]} except all {sides[1]}) as mine), "
                f"(select count(*) from ({sides[1]} except all {sides[0]}) as theirs)"
            )
            only_mine, only_theirs = cursor.fetchone()
            if only_mine or only_theirs:
                found.append(Difference(mart, only_mine, only_theirs))
    return found


def differences(warehouse: Path, output: Path, *, memory_limit: str, threads: int = 2) -> list[Difference]:
    """What of the public marts differs: `except all` both ways over all columns. Empty: all are equal."""
    found = []
    with _connected(warehouse, output, memory_limit=memory_limit, threads=threads) as connection:
        names = connection.execute(
            "select table_name from information_schema.tables where table_catalog = 'warehouse'"
            " and table_schema = 'marts' order by table_name"
        ).fetchall()
        for (name,) in names:
            difference = _compare(connection, name)
            if difference is not None:
                found.append(difference)
    return found


def require_equal(warehouse: Path, output: Path, *, memory_limit: str) -> None:
    """Raise where a mart is not what the hand-written SQL gives.

    Raises:
        DifferentMartsError: names the marts and how many rows differ.
    """
    require_none(differences(warehouse, output, memory_limit=memory_limit))


def require_none(found: Sequence[Difference]) -> None:
    """Raise where something differs.

    Raises:
        DifferentMartsError: names the marts and how many rows differ.
    """
    if found:
        raise DifferentMartsError(
            "the hand-written SQL gives other rows than the models: " + "; ".join(map(str, found)),
            remedy="find which of the two is wrong (metrics, models/ or bench/handwritten/marts.sql), mend it, "
            "and measure again",
            rule="bench_equality",
        )


def _compare(connection: duckdb.DuckDBPyConnection, name: str) -> Difference | None:
    mine, theirs = f'output.main."{name}"', f'warehouse.marts."{name}"'
    shown = [_columns(connection, table) for table in (mine, theirs)]
    if not shown[0]:
        return Difference(name, 0, 0, columns="all: it is not made by hand")
    if shown[0] != shown[1]:
        differing = [" ".join(column) for column in sorted(set(shown[0]) ^ set(shown[1]))]
        return Difference(name, 0, 0, columns=", ".join(differing) or "in another order")
    (rows,) = connection.execute(f"select count(*) from {theirs}").fetchone() or (0,)
    parts = 1 + rows // _ROWS_OF_A_PART
    first_column = shown[0][0][0]
    columns = ", ".join(f'"{name}"' for name, _ in shown[0])
    only_mine = only_theirs = 0
    for part in range(parts):
        where = f'where hash("{first_column}") % {parts} = {part}' if parts > 1 else ""
        # Equal rows cancel out one for one, nulls are equal: what `except all` both ways leaves, at a fifth the cost.
        counted = connection.execute(
            "select coalesce(sum(copies) filter (copies > 0), 0), coalesce(-sum(copies) filter (copies < 0), 0) "
            "from (select sum(side) as copies from "
            f"(select *, 1 as side from {mine} {where} union all select *, -1 as side from {theirs} {where}) "
            f"group by {columns})"
        ).fetchone()
        only_mine += int(counted[0]) if counted else 0
        only_theirs += int(counted[1]) if counted else 0
    return Difference(name, only_mine, only_theirs) if only_mine or only_theirs else None


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Names and types in order; none where there is no such table."""
    try:
        return [(row[0], row[1]) for row in connection.execute(f"describe {table}").fetchall()]
    except duckdb.CatalogException:
        return []


@contextmanager
def _connected(
    warehouse: Path, output: Path, *, memory_limit: str, threads: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Both files attached, the raw tables and seeds under the names that the SQL has for them."""
    with duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "preserve_insertion_order": False,
            "temp_directory": f"{output}.tmp",
        }
    ) as connection:
        connection.execute(f"attach '{_quoted(output)}' as output")
        connection.execute(f"attach '{_quoted(warehouse)}' as warehouse (read_only)")
        connection.execute("use output")
        for schema in READ_SCHEMAS:
            connection.execute(f"create schema if not exists {schema}")
            tables = connection.execute(
                "select table_name from duckdb_tables() where database_name = 'warehouse' and schema_name = $1",
                [schema],
            ).fetchall()
            for (table,) in tables:
                connection.execute(
                    f'create or replace view {schema}."{table}" as from warehouse.{schema}."{table}"'
                )
        yield connection


def _split(text: str) -> list[str]:
    """Statements of a file; the texts hold no semicolon inside a literal, but for Postgres's quoted bodies."""
    return [part.strip() for part in re.split(r";\s*$", text, flags=re.MULTILINE) if part.strip()]


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
