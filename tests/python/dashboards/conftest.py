"""Dashboards over the sample company, for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import SampleRun

from serving.access.answers import Answers
from serving.access.policy import load_policy
from serving.dashboards.boards import Boards
from serving.semantic import SemanticClient

from .metrics import Metrics


@pytest.fixture(scope="session")
def metrics(sample_run: SampleRun) -> Iterator[Metrics]:
    """The semantic client over what the sample run published."""
    ((last_day,),) = sample_run.query("select max(as_of_date) from marts.dim_source_system")
    with SemanticClient.open(sample_run.home) as client:
        yield Metrics(client, last_day)


@pytest.fixture(scope="session")
def boards(metrics: Metrics) -> Boards:
    """All dashboards over it."""
    return Boards(Answers(metrics.client, load_policy(), 60))
