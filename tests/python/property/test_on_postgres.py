"""The same on Postgres, by dbt itself: killed runs, two runs at once, and a kept sequence.

A run takes dbt six seconds there, so these are the points at which Postgres differs from an embedded file: what is
not committed when its client dies. `make soak TARGET=postgres` draws sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import PostgresServer

from .harness import Property, open_property_on
from .killed_run import run_to_its_end
from .killing import Killing
from .test_incremental_equals_full import EVERYTHING

pytestmark = pytest.mark.minutes

POINTS = (
    "load_uncommitted",
    "inside a model: between the statements of its transaction",
    "marks_advanced",
    "published",
)


@pytest.fixture(scope="module")
def on_server(postgres_server: PostgresServer) -> Iterator[Property]:
    with open_property_on(postgres_server) as found:
        yield found


@pytest.fixture(scope="module")
def killing(on_server: Property) -> Killing:
    return Killing.prepare(on_server)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_is_made_good_by_the_next(killing: Killing, point: str) -> None:
    with killing.home("killed") as home:
        killing.kill(home, point)
        run_to_its_end(killing.plan(home, "again"))
        killing.assert_as_if_nothing_happened(home)


def test_a_run_beside_one_that_is_loading_is_refused(killing: Killing) -> None:
    with killing.home("held") as home:
        killing.assert_that_a_second_run_is_refused(home)


def test_a_sequence_with_broken_runs_equals_a_rebuild(on_server: Property) -> None:
    on_server.check(EVERYTHING)
