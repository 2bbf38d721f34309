"""The recorded builds, made once for all processes of a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_once import made_once, shared_folder

from .harness import Property, Recording, record


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = shared_folder(tmp_path_factory) / "property"
    folder.mkdir(exist_ok=True)
    return made_once(folder / "recording.pickle", Recording, lambda: record(folder))


@pytest.fixture(scope="module")
def shared(recording: Recording) -> Iterator[Property]:
    found = recording.open()
    yield found
    found.close()
