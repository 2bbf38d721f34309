"""A run that is killed at any point, and run again, leaves what a run that nobody killed leaves.

The child process ends by SIGKILL: no handler, no rollback of its own. What is compared: every mart in the warehouse
and as published, raw tables, ledger, quarantine, and the marts that a rebuild from bronze alone would give.
"""

from __future__ import annotations

import pytest

from settings.crash_points import CRASH_POINTS

from .harness import Property
from .killed_run import BY_DBT, run_to_its_end
from .killing import CHILD_SECONDS, Killing, start_child
from .sequences import Sequence

# Later steps leave bronze alone.
pytestmark = pytest.mark.minutes

LOADING = CRASH_POINTS[: CRASH_POINTS.index("all_loaded")]


@pytest.fixture(scope="module")
def killing(shared: Property) -> Killing:
    return Killing.prepare(shared)


@pytest.mark.parametrize("point", [*CRASH_POINTS, *BY_DBT])
def test_a_killed_run_is_made_good_by_the_next(killing: Killing, point: str) -> None:
    with killing.home("killed") as home:
        killing.kill(home, point)
        run_to_its_end(killing.plan(home, "again"))
        killing.assert_as_if_nothing_happened(home)
        if point in LOADING:
            killing.shared.compare_with_rebuild(home, Sequence())


def test_of_two_runs_that_start_together_none_loads_twice(killing: Killing) -> None:
    """Whichever comes second changes nothing and says who is running, or finds nothing new."""
    with killing.home("twice") as home:
        children = [start_child(killing.plan(home, f"run-{number}")) for number in (1, 2)]
        said = [child.communicate(timeout=CHILD_SECONDS)[1] for child in children]
        codes = [child.returncode for child in children]
        assert 0 in codes, said
        for code, text in zip(codes, said, strict=True):
            assert code == 0 or "one_writer" in text
        killing.assert_as_if_nothing_happened(home)


def test_a_run_beside_one_that_is_loading_is_refused(killing: Killing) -> None:
    with killing.home("held") as home:
        killing.assert_that_a_second_run_is_refused(home)
