"""What one test process makes and the others take over."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file: the first process makes what it stands for, the others wait for it."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def made_once(file: Path, kind: type[Made], make: Callable[[], Made]) -> Made:
    """What the first process makes; it keeps it in the file, and the others read it there."""
    with exclusive(file.with_suffix(".lock")):
        if not file.exists():
            made = make()
            file.write_bytes(pickle.dumps(made))
            return made
    found = pickle.loads(file.read_bytes())  # noqa: S301  (another process of this test run has written it)
    assert isinstance(found, kind)
    return found
