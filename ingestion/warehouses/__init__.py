"""Warehouses: the databases that deliveries are loaded into, behind one small interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from ingestion.warehouses.base import Warehouse
from ingestion.warehouses.duckdb import open_duckdb
from settings.errors import ConfigurationError
from settings.home import Home
from settings.writer_lock import writer_lock

TARGETS = ("duckdb", "postgres")


def open_warehouse(target: str, home: Home, *, read_only: bool = False) -> Warehouse:
    """Connect to the warehouse of a target. Close it again.

    Raises:
        ConfigurationError: for a target that deliveries cannot be loaded into, or a profile that is wrong.
        BusyError: when another process has the embedded warehouse open.
        NotFoundError: when it is to be read and there is none.
        UnavailableError: when the server cannot be reached.
    """
    require_target(target)
    if target == "duckdb":
        return open_duckdb(home, read_only=read_only)
    from ingestion.warehouses.postgres import open_postgres

    return open_postgres(target, read_only=read_only)


def require_target(target: str) -> None:
    """Refuse a target that deliveries cannot be loaded into.

    Raises:
        ConfigurationError: for a target without a loader.
    """
    if target not in TARGETS:
        raise ConfigurationError(
            f"the target {target!r} has no loader yet",
            remedy=f"use one of {', '.join(TARGETS)}; the models alone build on other targets with `dbt build`",
            rule="no_loader",
        )


@contextmanager
def only_writer(target: str, home: Home) -> Iterator[None]:
    """Hold the home folder, and the server's database where there is one, against every other writer.

    Raises:
        BusyError: when another run holds either of them; nothing was changed.
        UnavailableError: when the server cannot be reached.
    """
    require_target(target)
    with ExitStack() as held:
        held.enter_context(writer_lock(home))
        if target != "duckdb":
            from ingestion.warehouses.postgres import hold_for_writing, open_postgres

            # A connection of its own: the server drops the lock with it, however this process ends.
            hold_for_writing(held.enter_context(closing(open_postgres(target))))
        yield
