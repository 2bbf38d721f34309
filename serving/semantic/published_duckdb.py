"""Published DuckDB files, opened for reading and taken up anew when a publication replaces them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from serving.semantic.engine import DUCKDB, Dialect, Statement
from serving.semantic.published import (
    CURRENT,
    MANIFEST,
    PublicationStamp,
    Rows,
    Snapshot,
    no_metrics,
    nothing_published,
    read_stamp,
    too_slow,
)
from settings.errors import UnavailableError

MEMORY_VARIABLE, DEFAULT_MEMORY = "TILLHOUSE_SERVING_MEMORY_LIMIT", "1GB"
INTERRUPT_SECONDS = 0.01


@dataclass
class DuckDBPublished:
    """A published file. Each file that is opened is a database of its own, so that the next one takes its place
    while queries on the former go on; it closes when the last of them has ended.

    Attributes:
        file: what a publication replaces by rename.
        parts: folder of the parquet files that it names.
    """

    file: Path
    parts: Path
    dialect: Dialect = field(default=DUCKDB, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _opened: _OpenedFile | None = field(default=None, init=False, repr=False)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See `PublishedWarehouse`."""
        opened = self._borrow()
        try:
            yield _DuckDBSnapshot(opened)
        finally:
            self._give_back(opened)

    def close(self) -> None:
        """See `PublishedWarehouse`."""
        with self._lock:
            former, self._opened = self._opened, None
            if former is not None:
                former.retire()

    def _borrow(self) -> _OpenedFile:
        with self._lock:
            try:
                identity = _identity(self.file)
            except FileNotFoundError as error:
                raise nothing_published(str(self.file.parent)) from error
            if self._opened is None or self._opened.identity != identity:
                opened = _OpenedFile(self.file, self.parts, identity)
                if self._opened is not None:
                    self._opened.retire()
                self._opened = opened
            self._opened.users += 1
            return self._opened

    def _give_back(self, opened: _OpenedFile) -> None:
        with self._lock:
            opened.users -= 1
            opened.close_if_unused()


def _identity(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


class _OpenedFile:
    """One published file, attached to a database in memory: DuckDB would hand out a file of the same name that is
    still open in place of the new one."""

    def __init__(self, file: Path, parts: Path, identity: tuple[int, int, int]) -> None:
        self.identity = identity
        self.users = 0
        self.is_retired = False
        self.connection = duckdb.connect()
        try:
            self.connection.execute("set timezone = 'UTC'")
            self.connection.execute(
                "set memory_limit = ?", [os.environ.get(MEMORY_VARIABLE) or DEFAULT_MEMORY]
            )
            self.connection.execute(f"attach '{_quoted(file)}' as published (read_only)")
            self.connection.execute("use published")
            # From here on nothing but these tables and their files can be read, whatever a statement says.
            self.connection.execute(f"set allowed_directories = ['{_quoted(parts)}/']")
            self.connection.execute("set enable_external_access = false")
            self.connection.execute("set lock_configuration = true")
            try:
                self.stamp = read_stamp(self.connection.execute(CURRENT).fetchall(), str(file))
            except duckdb.CatalogException as error:
                raise no_metrics(str(file)) from error
        except duckdb.IOException as error:
            self.connection.close()
            raise UnavailableError(
                f"{file} cannot be opened: {error}",
                remedy="try again; a run may be writing it",
                rule="published_file",
            ) from error
        except BaseException:
            self.connection.close()
            raise

    def retire(self) -> None:
        self.is_retired = True
        self.close_if_unused()

    def close_if_unused(self) -> None:
        if self.is_retired and self.users == 0:
            self.connection.close()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@dataclass(frozen=True)
class _DuckDBSnapshot:
    opened: _OpenedFile

    @property
    def stamp(self) -> PublicationStamp:
        return self.opened.stamp

    def manifest(self) -> str:
        rows = self._rows(Statement(MANIFEST, (), ()), None)
        return str(rows[0][0])

    def run(self, statement: Statement, *, timeout_seconds: float | None = None) -> Rows:
        return self._rows(statement, timeout_seconds)

    def _rows(self, statement: Statement, timeout_seconds: float | None) -> Rows:
        cursor = self.opened.connection.cursor()
        try:
            cursor.execute("use published")  # a cursor begins in the database in memory
            with _interrupting(cursor.interrupt, timeout_seconds):
                return cursor.execute(statement.sql, list(statement.parameters)).fetchall()
        except duckdb.InterruptException as error:
            raise too_slow(timeout_seconds) from error
        except duckdb.OutOfMemoryException as error:
            raise UnavailableError(
                f"the query needs more memory than it may have: {error}",
                remedy=f"ask for fewer rows, or raise {MEMORY_VARIABLE}",
                rule="memory",
            ) from error
        finally:
            cursor.close()


@contextmanager
def _interrupting(interrupt: Callable[[], None], seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    ended = threading.Event()

    def end_it() -> None:
        if not ended.wait(seconds):
            interrupt()
            # What has not begun cannot be interrupted: again, until it has ended.
            while not ended.wait(INTERRUPT_SECONDS):
                interrupt()

    watch = threading.Thread(target=end_it, daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
