"""Dagster's event log with its files kept open.

Dagster opens, commits and closes an SQLite file for each event, and compiles each statement anew: of a run with one
new day that was a tenth. The tables and files are Dagster's own, so its web pages read them as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

BUSY_TIMEOUT_SECONDS = 60


class KeptOpenEventLog(SqliteEventLogStorage):
    """One connection to each file, from its first event until `dispose`."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._known_tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> KeptOpenEventLog:
        """Made by Dagster from `{base_dir: ...}`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if shard not in self._engines:
                engine = _engine(self.conn_string_for_shard(shard))
                self._initdb(engine)
                self._engines[shard] = engine
            with self._engines[shard].begin() as connection:
                yield connection

    def has_table(self, table_name: str) -> bool:
        """Whether the index has the table; asked several times an event, so a yes is remembered."""
        if table_name not in self._known_tables and super().has_table(table_name):
            self._known_tables.add(table_name)
        return table_name in self._known_tables

    def dispose(self) -> None:
        """Close all files."""
        super().dispose()
        while self._engines:
            self._engines.popitem()[1].dispose()


def _engine(connection_string: str) -> Engine:
    engine = create_engine(
        connection_string, poolclass=QueuePool, pool_size=1, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
    )
    # A killed process loses nothing; a power cut may lose the last events, never the file. Runs are in ops.runs.
    event.listen(engine, "connect", lambda connection, _: connection.execute("pragma synchronous = normal"))
    return engine


def open_instance(folder: Path) -> dg.DagsterInstance:
    """The Dagster instance of a folder that holds a dagster.yaml."""
    storage = {
        "module": __name__,
        "class": KeptOpenEventLog.__name__,
        "config": {"base_dir": str(folder / "history" / "runs")},
    }
    reference = InstanceRef.from_dir(str(folder), overrides={"event_log_storage": storage})
    return dg.DagsterInstance.from_ref(reference)
