"""The published schemas of a Postgres server, read over a few connections that stay open."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import errors, sql

from serving.semantic.engine import POSTGRES, Dialect, Statement
from serving.semantic.published import (
    CURRENT,
    MANIFEST,
    PublicationStamp,
    Rows,
    Snapshot,
    nothing_published,
    read_stamp,
    too_slow,
)
from settings.errors import UnavailableError
from settings.profile import read_target

# Each connection is a process of the server.
CONNECTIONS = 8
_PARAMETER = re.compile(r"\$(\d+)")


@dataclass
class PostgresPublished:
    """The published schemas of a Postgres server, over a few connections that stay open.

    A snapshot is one repeatable-read transaction: a publication in the middle of it changes nothing.

    Attributes:
        role: what to become on the server after connecting, so that its grants and row policies hold.
    """

    target: str = "postgres"
    role: str | None = None
    dialect: Dialect = field(default=POSTGRES, init=False)
    _idle: queue.LifoQueue[Any] = field(default_factory=queue.LifoQueue, init=False, repr=False)
    _places: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(CONNECTIONS), init=False, repr=False
    )

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See `PublishedWarehouse`."""
        with self._places:
            connection = self._connection()
            try:
                snapshot = _PostgresSnapshot(connection, self._read_stamp(connection))
                yield snapshot
                connection.rollback()
            except BaseException as error:
                if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
                    connection.close()
                    raise UnavailableError(
                        f"the Postgres server cannot answer: {str(error).strip()}",
                        remedy="see that it runs, then try again",
                        rule="server",
                    ) from error
                with suppress(psycopg2.Error):
                    connection.rollback()
                raise
            finally:
                if not connection.closed:
                    self._idle.put(connection)

    def close(self) -> None:
        """See `PublishedWarehouse`."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _connection(self) -> Any:
        """An idle connection that still answers, else a new one."""
        with suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                if _answers(connection):
                    return connection
                connection.close()
        return self._connect()

    def _connect(self) -> Any:
        settings = read_target(self.target)
        try:
            connection = psycopg2.connect(
                host=settings.get("host", "localhost"),
                port=settings.get("port", "5432"),
                user=settings.get("user"),
                password=settings.get("password") or settings.get("pass"),
                dbname=settings.get("dbname") or settings.get("database"),
                sslmode=settings.get("sslmode", "prefer"),
                application_name="tillhouse metrics",
                options="-c timezone=UTC -c default_transaction_read_only=on",
            )
        except psycopg2.OperationalError as error:
            raise UnavailableError(
                f"the Postgres server {settings.get('host', 'localhost')} cannot be used: {str(error).strip()}",
                remedy="see that it runs, and that profiles.yml and the environment name the right host, user,"
                " password and database",
                rule="server",
            ) from error
        role = self.role or settings.get("role")
        if role:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            connection.commit()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        return connection

    def _read_stamp(self, connection: Any) -> PublicationStamp:
        try:
            return read_stamp(_fetch(connection, Statement(CURRENT, (), ())), f"the target {self.target}")
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise nothing_published(f"the target {self.target}") from error


def _answers(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
        connection.rollback()
    except psycopg2.Error:
        return False
    return True


def _fetch(connection: Any, statement: Statement) -> Rows:
    # psycopg2 fills values in by name; a percent sign of the SQL itself is doubled.
    text = _PARAMETER.sub(lambda found: f"%({found[1]})s", statement.sql.replace("%", "%%"))
    values = {str(number): value for number, value in enumerate(statement.parameters, start=1)}
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return list(cursor.fetchall())


@dataclass(frozen=True)
class _PostgresSnapshot:
    connection: Any
    stamp: PublicationStamp

    def manifest(self) -> str:
        return str(_fetch(self.connection, Statement(MANIFEST, (), ()))[0][0])

    def run(self, statement: Statement, *, timeout_seconds: float | None = None) -> Rows:
        milliseconds = 0 if timeout_seconds is None else max(1, round(timeout_seconds * 1000))
        started = time.monotonic()
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("set local statement_timeout = %s", [milliseconds])
            return _fetch(self.connection, statement)
        except errors.QueryCanceled as error:
            raise too_slow(timeout_seconds or time.monotonic() - started) from error
