"""The semantic manifest holds every metric that was asked for, is valid, and is what docs/metrics.md says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestration import metric_catalogue
from orchestration.metric_catalogue import PAGE, write_catalogue
from orchestration.publication import public_tables
from orchestration.semantic_manifest import for_readers
from serving.semantic.catalogue import Catalogue, read_catalogue
from settings.home import PROJECT_ROOT

if TYPE_CHECKING:
    from conftest import SampleRun

STALE = "docs/metrics.md is not what the models say: run `python -m orchestration.metric_catalogue`"
NAMES = """
    total_order_amount gross_revenue discounts net_sales refunds net_revenue orders orders_placed
    order_conversion_rate units_sold average_order_value average_order_size revenue_growth_rate gross_margin
    gross_margin_rate return_rate unit_return_rate
    total_customers daily_active_customers weekly_active_customers monthly_active_customers new_customers
    repeat_customers active_customer_share period_retention_rate retention_7d retention_30d retention_90d ltv_7d
    ltv_30d ltv_90d average_lifetime_value customers_by_segment customers_by_clv_tier at_risk_customers
    at_risk_share repeat_rate loyalty_revenue_share
    orders_per_trading_day orders_per_week location_revenue_share discounted_order_share discount_rate
    full_price_average_order_value discounted_average_order_value
    payments_processed payment_amount payment_success_rate average_payment_processing_hours unreconciled_orders
    inventory_alerts stockouts average_days_of_cover rows_read rows_accepted rows_quarantined quarantine_rate
    freshness_hours missing_deliveries
"""
EXPECTED = set(NAMES.split())
FORMATS = {"money", "count", "quantity", "share", "ratio", "hours", "days"}
DIMENSIONS = {
    "system", "currency", "location", "region", "channel", "category", "day_part", "loyalty", "segment", "clv_tier",
    "payment_method", "payment_status",
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest(sample_run: SampleRun) -> dict[str, Any]:
    """dbt's, of the project as it was built."""
    found: dict[str, Any] = json.loads(
        (sample_run.home.dbt_target / "semantic_manifest.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="module")
def catalogue(manifest: dict[str, Any]) -> Catalogue:
    return read_catalogue(manifest)


def test_every_metric_that_was_asked_for_is_there_and_no_other_is_public(catalogue: Catalogue) -> None:
    assert set(catalogue.public_metrics) == EXPECTED
    assert set(catalogue.dimensions) >= DIMENSIONS


def test_the_manifest_is_valid_to_metricflow(manifest: dict[str, Any]) -> None:
    """What `mf validate-configs` checks of the definitions; dbt itself passes some of it over as a warning."""
    from metricflow_semantic_interfaces.validations.semantic_manifest_validator import (  # noqa: PLC0415
        SemanticManifestValidator,
    )
    from metricflow_semantics.model.dbt_manifest_parser import (  # noqa: PLC0415  (a second of imports)
        parse_manifest_from_dbt_generated_manifest,
    )

    parsed = parse_manifest_from_dbt_generated_manifest(manifest_json_string=json.dumps(manifest))
    results = SemanticManifestValidator[Any]().validate_semantic_manifest(parsed)
    assert not results.has_blocking_issues, results.errors
    assert [issue.message for issue in results.warnings] == []


def test_metrics_say_how_they_read_and_who_owns_them(catalogue: Catalogue) -> None:
    groups = yaml.safe_load((PROJECT_ROOT / "models" / "groups.yml").read_text(encoding="utf-8"))["groups"]
    owners = {group["owner"]["name"] for group in groups}
    for metric in catalogue.metrics.values():
        assert metric.owner in owners, metric.name
        assert metric.format in FORMATS, metric.name
        assert metric.description.endswith("."), metric.name
        assert metric.label[0].isupper(), metric.name
    for dimension in catalogue.dimensions.values():
        assert dimension.label[0].isupper(), dimension.name


def test_a_name_means_one_dimension(manifest: dict[str, Any]) -> None:
    names = [
        dimension["name"]
        for model in manifest["semantic_models"]
        for dimension in model["dimensions"]
        if dimension["type"] == "categorical"
    ]
    assert sorted(names) == sorted(set(names))


def test_metrics_read_published_tables_alone(sample_run: SampleRun, catalogue: Catalogue) -> None:
    built = json.loads((sample_run.home.dbt_target / "manifest.json").read_text(encoding="utf-8"))
    published = {f"{table.schema}.{table.name}" for table in public_tables(built)}
    read = {table for metric in catalogue.metrics.values() for table in metric.tables}
    assert read <= published


def test_readers_get_their_own_names_of_tables_and_what_dbt_drops_of_empty_sums(
    manifest: dict[str, Any],
) -> None:
    before = json.dumps(manifest, sort_keys=True)
    published = json.loads(for_readers(manifest, lambda schema: f"published_{schema}"))
    assert json.dumps(manifest, sort_keys=True) == before
    relations = {model["name"]: model["node_relation"] for model in published["semantic_models"]}
    assert relations["orders"]["relation_name"] == '"published_marts"."fct_orders"'
    assert {relation["database"] for relation in relations.values()} == {None}
    (spine,) = published["project_configuration"]["time_spines"]
    assert spine["node_relation"]["relation_name"] == '"published_marts"."dim_date"'
    fills = {metric["name"]: metric["type_params"].get("fill_nulls_with") for metric in published["metrics"]}
    assert (fills["refunds"], fills["refunds_with_cost"], fills["net_revenue"]) == (0, None, None)


def test_what_is_published_is_what_was_built(sample_run: SampleRun, manifest: dict[str, Any]) -> None:
    ((fingerprint, content, computed),) = sample_run.query(
        "select fingerprint, content, sha256(content) from publication.semantic_manifest"
    )
    assert content == for_readers(manifest, lambda schema: schema)
    assert fingerprint == computed


def test_the_page_in_the_repository_is_what_the_models_say(manifest: dict[str, Any]) -> None:
    assert PAGE.is_file(), STALE
    page = PAGE.read_text(encoding="utf-8")
    assert page == write_catalogue(manifest), STALE
    assert {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")} == EXPECTED


def test_the_command_writes_the_page(
    tmp_path: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parsed:
        def __init__(self, *_: object) -> None:
            self.semantic_manifest: Mapping[str, Any] = manifest

    monkeypatch.setattr(metric_catalogue, "DbtRunner", Parsed)
    metric_catalogue.main(tmp_path / "metrics.md")
    assert "### net_revenue" in (tmp_path / "metrics.md").read_text(encoding="utf-8")
