"""How builds appear in Dagster."""

from __future__ import annotations

import dagster as dg

from orchestration.assets import build_events, models_under_test, nodes_under_test
from orchestration.dbt_runner import BuildReport, NodeResult
from orchestration.translator import DBT_TESTS_CHECK, asset_key

ORDERS = "model.tillhouse.fct_orders"
LINES = "model.tillhouse.fct_order_items"
KEYS = {ORDERS: dg.AssetKey(["marts", "fct_orders"]), LINES: dg.AssetKey(["marts", "fct_order_items"])}


def node_result(unique_id: str, status: str, *, tests: str = "") -> NodeResult:
    return NodeResult(
        unique_id=unique_id,
        name=unique_id.rsplit(".", maxsplit=1)[-1],
        resource_type="test" if tests else "model",
        status=status,
        severity="error",
        failures=0,
        seconds=1.5,
        message="",
        tested_models=(tests,) if tests else (),
    )


def events(*results: NodeResult) -> list[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    return list(build_events(BuildReport(results), KEYS, [ORDERS]))


def test_each_model_that_was_made_is_one_materialisation() -> None:
    made = [
        event.asset_key
        for event in events(node_result(ORDERS, "success"), node_result(LINES, "success"))
        if isinstance(event, dg.MaterializeResult)
    ]
    assert made == [KEYS[ORDERS], KEYS[LINES]]


def test_a_model_that_failed_or_was_skipped_is_not_reported_as_made_nor_as_checked() -> None:
    assert events(node_result(ORDERS, "error"), node_result(LINES, "skipped")) == []


def check_of(*results: NodeResult) -> dg.AssetCheckResult:
    found = [
        event
        for event in events(node_result(ORDERS, "success"), *results)
        if isinstance(event, dg.AssetCheckResult)
    ]
    assert len(found) == 1
    assert found[0].check_name == DBT_TESTS_CHECK
    return found[0]


def test_tests_of_a_model_become_one_check_that_passes_when_all_pass() -> None:
    check = check_of(node_result("test.a", "pass", tests=ORDERS), node_result("test.b", "pass", tests=ORDERS))
    assert check.passed
    assert check.metadata["tests"].value == 2


def test_one_failed_test_fails_the_check_as_an_error_and_is_named() -> None:
    check = check_of(
        node_result("test.a", "pass", tests=ORDERS), node_result("test.bridge", "fail", tests=ORDERS)
    )
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["failed"].value == "bridge"


def test_a_warning_shows_as_a_warning() -> None:
    check = check_of(node_result("test.orphans", "warn", tests=ORDERS))
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN


def test_a_test_belongs_to_the_node_it_is_attached_to_else_to_all_it_reads() -> None:
    attached = {"attached_node": ORDERS, "depends_on": {"nodes": [ORDERS, LINES]}}
    singular = {"depends_on": {"nodes": [ORDERS, LINES]}}
    assert models_under_test(attached) == (ORDERS,)
    assert models_under_test(singular) == (ORDERS, LINES)
    manifest = {
        "nodes": {"t": {"resource_type": "test", **attached}, ORDERS: {"resource_type": "model"}},
        "unit_tests": {"u": {"depends_on": {"nodes": [LINES]}}},
    }
    assert nodes_under_test(manifest) == {ORDERS, LINES}


def test_keys_are_layer_and_name() -> None:
    source = {"resource_type": "source", "source_name": "raw", "name": "store_orders"}
    model = {
        "resource_type": "model",
        "name": "fct_orders",
        "fqn": ["tillhouse", "marts", "core", "fct_orders"],
    }
    seed = {"resource_type": "seed", "name": "day_parts", "fqn": ["tillhouse", "day_parts"]}
    assert asset_key(source).path == ["raw", "store_orders"]
    assert asset_key(model).path == ["marts", "fct_orders"]
    assert asset_key(seed).path == ["seeds", "day_parts"]
