"""The whole specification against the running API: whatever is sent, no fault and no answer of another form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from api_server import Api, serving
from conftest import SampleRun
from hypothesis import HealthCheck, settings

# Requests of each path and kind; `make soak` draws more (EXAMPLES).
EXAMPLES = 25
schema = schemathesis.pytest.from_fixture("specification")


@pytest.fixture(scope="module")
def api(sample_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(sample_run.published, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def specification(api: Api) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", api.app)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_specification_names(case: schemathesis.Case, api: Api) -> None:
    case.call_and_validate(headers=api.headers("analyst"))


def test_the_specification_has_examples_and_says_what_each_path_answers(api: Api) -> None:
    document: dict[str, Any] = api.client.get("/openapi.json").json()
    assert document["info"]["title"] == "tillhouse metrics"
    assert set(document["paths"]) == {
        "/health", "/ready", "/metrics", "/query", "/metrics/daily", "/ltv/{days}", "/inventory/alerts",
        "/locations/ranking", "/customers/{customer_id}",
    }  # fmt: skip
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            if path not in {"/health", "/ready"}:
                assert operation["security"] == [{"HTTPBearer": []}]
                assert {"200", "304", "401", "403", "422", "429", "503"} <= set(operation["responses"])
    query = document["components"]["schemas"]["QueryBody"]["properties"]
    assert query["metrics"]["examples"] == [["net_revenue", "orders"]]
