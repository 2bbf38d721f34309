"""The recorded builds, made once for all processes of a test run."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_once import exclusive, shared_folder

from .harness import Property, Recording, record


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = shared_folder(tmp_path_factory) / "property"
    folder.mkdir(exist_ok=True)
    file = folder / "recording.pickle"
    with exclusive(folder / "lock"):
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
