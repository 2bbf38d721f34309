"""What the tests of Spark share: one session on this machine, one embedded engine, both with the same key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent / "python"
# The files and cases of the embedded engine's tests are those of Spark's.
sys.path[:0] = [str(TESTS), str(TESTS / "ingestion")]

from parity import DRIVER, KEY, Pair  # noqa: E402  (found on the path above)

from ingestion.engines.duckdb import DuckDBEngine  # noqa: E402  (found on the path above)
from ingestion.engines.spark import SparkEngine  # noqa: E402  (found on the path above)
from ingestion.engines.spark_session import SparkSettings, require_spark  # noqa: E402  (found on the path above)
from settings.errors import ConfigurationError  # noqa: E402  (found on the path above)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Java nothing of Spark can run."""
    try:
        require_spark()
    except ConfigurationError as error:
        for item in items:
            if item.path.name == "test_killed_command.py":
                continue  # of the embedded engine
            item.add_marker(pytest.mark.skip(reason=error.problem))


@pytest.fixture(scope="session")
def embedded() -> Iterator[DuckDBEngine]:
    own = DuckDBEngine(token_key=KEY, threads=2)
    yield own
    own.close()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    settings = SparkSettings("local[2]", DRIVER)
    own = SparkEngine(tmp_path_factory.mktemp("work"), settings=settings, token_key=KEY)
    yield own
    own.close()


@pytest.fixture
def pair(embedded: DuckDBEngine, spark: SparkEngine, tmp_path: Path) -> Pair:
    return Pair(embedded, spark, tmp_path)
