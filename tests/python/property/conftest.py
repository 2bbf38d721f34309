"""The recorded builds, made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Property, Recording, record


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    # Under several test processes the first makes it and the others wait for it.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "property"
    folder.mkdir(exist_ok=True)
    file = folder / "recording.pickle"
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(record(folder)))
    return _read(file)


@pytest.fixture(scope="module")
def shared(recording: Recording) -> Iterator[Property]:
    found = recording.open()
    yield found
    found.close()


def _read(file: Path) -> Recording:
    found = pickle.loads(file.read_bytes())  # noqa: S301  (this test run has written it)
    assert isinstance(found, Recording)
    return found
