"""Warehouses: the databases that deliveries are loaded into, behind one small interface."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from ingestion.tokens import require_own_key
from ingestion.warehouses.base import Warehouse
from ingestion.warehouses.duckdb import open_duckdb
from settings.errors import ConfigurationError
from settings.home import Home
from settings.profile import read_target
from settings.writer_lock import writer_lock

if TYPE_CHECKING:
    from ingestion.warehouses.postgres import WriterLock

TARGETS = ("duckdb", "postgres")
# The writer locks of servers that this process holds, by target: a process writes to each as one.
_held: dict[str, WriterLock] = {}


def open_warehouse(target: str, home: Home, *, read_only: bool = False) -> Warehouse:
    """Connect to the warehouse of a target. Close it again.

    Raises:
        ConfigurationError: for a target that deliveries cannot be loaded into, or a profile that is wrong.
        BusyError: when another process has the embedded warehouse open, or this process has lost the server's
            writer lock to another run.
        NotFoundError: when it is to be read and there is none.
        UnavailableError: when the server cannot be reached.
    """
    require_target(target)
    if target == "duckdb":
        return open_duckdb(home, read_only=read_only)
    from ingestion.warehouses.postgres import open_postgres

    held = _held.get(target)
    if held is not None and not read_only:
        held.ensure()
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


def require_token_key(target: str) -> None:
    """Refuse to make tokens with the development key for a warehouse on another machine.

    Raises:
        ConfigurationError: when the environment has no key and the target is not local, or its profile is wrong.
    """
    if target == "duckdb":
        return
    host = read_target(target).get("host") or os.environ.get("PGHOST", "")
    if not all(is_this_machine(each) for each in host.split(",")):
        require_own_key(f"the target {target} on {host}")


def is_this_machine(host: str) -> bool:
    """Whether a host of a connection is this machine by its name alone: a socket, or a loopback address."""
    name = host.strip().lower().strip("[]")
    if not name or name.startswith(("/", "@")) or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


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
            from ingestion.warehouses.postgres import WriterLock

            _held[target] = held.enter_context(closing(WriterLock(target)))
            held.callback(_held.pop, target)
        yield
