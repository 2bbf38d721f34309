"""The whole specification against the running API: whatever is sent, no fault and no answer of another form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from api_server import Api, serving
from conftest import SampleRun
from hypothesis import HealthCheck, given, settings

PATHS = (
    ("get", "/health"), ("get", "/ready"), ("get", "/metrics"), ("post", "/query"), ("get", "/metrics/daily"),
    ("get", "/ltv/{days}"), ("get", "/inventory/alerts"), ("get", "/locations/ranking"),
    ("get", "/customers/{customer_id}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def api(sample_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(sample_run.published, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def specification(api: Api) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", api.app)


# Requests of each path.
@pytest.mark.parametrize("examples", [10, pytest.param(25, marks=pytest.mark.minutes)])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_answer_is_one_that_the_specification_names(
    api: Api, specification: schemathesis.BaseSchema, method: str, path: str, examples: int
) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=specification[path][method].as_strategy())
    def answers(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=api.headers("analyst"))

    answers()


def test_the_specification_has_examples_and_says_what_each_path_answers(api: Api) -> None:
    document: dict[str, Any] = api.client.get("/openapi.json").json()
    assert document["info"]["title"] == "tillhouse metrics"
    assert {(method, path) for path, methods in document["paths"].items() for method in methods} == set(PATHS)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            if path not in {"/health", "/ready"}:
                assert operation["security"] == [{"HTTPBearer": []}]
                assert {"200", "304", "401", "403", "422", "429", "503"} <= set(operation["responses"])
    query = document["components"]["schemas"]["QueryBody"]["properties"]
    assert query["metrics"]["examples"] == [["net_revenue", "orders"]]
