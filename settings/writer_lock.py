"""One writer at a time: an advisory lock on a file of the home folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from settings.errors import BusyError
from settings.home import Home


@contextmanager
def writer_lock(home: Home) -> Iterator[None]:
    """Hold the warehouse of this home for writing.

    The kernel drops the lock when its holder ends, however it ends, so no stale lock needs clearing.

    Raises:
        BusyError: when another process holds it.
    """
    home.ensure()
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
            raise BusyError(
                f"another tillhouse run (process {holder}) is writing to {home.root}",
                remedy="wait until it has ended, then run again; nothing was changed",
                rule="one_writer",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)
