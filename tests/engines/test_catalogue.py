"""Every case of the catalogue that reading decides, on Spark: the case holds, and what is left is equal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from catalogue.cases import Case
from catalogue.reading import READING
from catalogue.running import Ran
from parity import DRIVER


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ran, Ran]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLHOUSE_TOKEN_KEY", "a key for tests alone")
        patch.setenv("TILLHOUSE_SPARK_MASTER", "local[2]")
        patch.setenv("TILLHOUSE_SPARK_CONFIGURATION", json.dumps(DRIVER))
        embedded = Ran(tmp_path_factory.mktemp("embedded"), READING)
        yield embedded, Ran(tmp_path_factory.mktemp("spark"), READING, engine="spark")


@pytest.mark.parametrize("case", READING, ids=lambda case: case.name)
def test_the_case_holds_and_both_engines_leave_the_same(both: tuple[Ran, Ran], case: Case) -> None:
    embedded, spark = both
    spark.check(case)
    assert spark.found(case) == embedded.found(case)


def test_a_rerun_changes_nothing(both: tuple[Ran, Ran]) -> None:
    both[1].check_rerun()
