"""Every case that is decided by reading a file, on the embedded engine.

The same cases run on the other engines, with the engine's name as the only difference.
"""

from __future__ import annotations

import pytest

from .cases import Case
from .reading import READING
from .running import Ran


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLHOUSE_TOKEN_KEY", "a key for tests alone")
        return Ran(tmp_path_factory.mktemp("catalogue"), READING)


@pytest.mark.parametrize("case", READING, ids=lambda case: case.name)
def test_what_is_delivered_ends_as_the_catalogue_says(ran: Ran, case: Case) -> None:
    ran.check(case)


def test_a_rerun_changes_nothing(ran: Ran) -> None:
    ran.check_rerun()


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in READING]
    assert sorted(set(names)) == sorted(names)
