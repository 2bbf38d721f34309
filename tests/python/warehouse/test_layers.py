"""What the models promise each other: one-way layers, and everything that a public mart must say about itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from orchestration.dbt_runner import CHECKS_SUFFIX, BuildSettings, DbtRunner
from orchestration.publish import public_models
from settings.home import PROJECT_ROOT, Home

MAY_READ = {
    "staging": {"sources", "seeds"},
    "snapshots": {"staging"},
    "intermediate": {"staging", "snapshots", "seeds", "intermediate"},
    "marts/core": {"staging", "intermediate", "seeds", "marts/core"},
    "marts": {"intermediate", "seeds", "marts/core", "marts"},
    "quality": {"sources", "staging", "intermediate", "seeds", "marts/core", "marts", "quality"},
}
MONEY_ENDINGS = ("_amount", "_revenue", "net_sales", "discounts", "refunds", "cost", "ltv_total")
CLOCKS_AND_TARGETS = re.compile(
    r"\b(current_date|current_timestamp|now\(\)|getdate|today\(\)|target\.name|run_query)\b"
)

# How far a model has taken its sources decides what it computes; with --no-introspect they ask nothing.
ASK_WHILE_THEY_RUN = {"can_follow", "require_same_logic"}
# When a run believed something is a time of the clock.
TIMES_OF_BELIEF = {"duckdb__snapshot_get_time", "postgres__snapshot_get_time"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("layers"))


@pytest.fixture(scope="module")
def manifest(home: Home) -> Mapping[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROFILES_DIR", str(PROJECT_ROOT))
        return DbtRunner(BuildSettings(home)).parse()


def layer(node: Mapping[str, Any]) -> str:
    if node["resource_type"] != "model":
        return f"{node['resource_type']}s"
    return "marts/core" if node["fqn"][1:3] == ["marts", "core"] else str(node["fqn"][1])


def test_layers_are_one_way(manifest: Mapping[str, Any]) -> None:
    everything = {**manifest["nodes"], **manifest["sources"]}
    wrong = [
        f"{node['name']} reads {everything[parent]['name']}"
        for node in manifest["nodes"].values()
        if layer(node) in MAY_READ
        for parent in node["depends_on"]["nodes"]
        if layer(everything[parent]) not in MAY_READ[layer(node)]
    ]
    assert wrong == []


def test_no_staging_model_reads_another_of_another_entity(manifest: Mapping[str, Any]) -> None:
    staging = {name: node for name, node in manifest["nodes"].items() if layer(node) == "staging"}
    readers = {
        node["name"]: [staging[parent]["name"] for parent in node["depends_on"]["nodes"] if parent in staging]
        for node in staging.values()
    }
    # The catalogue alone has two grains: every listing, and the latest belief per effective time.
    assert {name: parents for name, parents in readers.items() if parents} in (
        {},
        {"stg_store__products": ["stg_store__product_listings"]},
    )


def test_no_model_reads_the_clock_the_target_or_the_database_while_it_compiles(
    manifest: Mapping[str, Any],
) -> None:
    texts = {
        node["name"]: node["raw_code"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    } | {
        macro["name"]: macro["macro_sql"]
        for macro in manifest["macros"].values()
        if macro["package_name"] == "tillhouse" and macro["name"] not in ASK_WHILE_THEY_RUN | TIMES_OF_BELIEF
    }
    wrong = [
        (name, found.group())
        for name, text in texts.items()
        for found in [CLOCKS_AND_TARGETS.search(re.sub(r"--[^\n]*|\{#.*?#\}", "", text, flags=re.DOTALL))]
        if found
    ]
    assert wrong == []


def test_a_public_mart_has_grain_contract_owner_types_and_descriptions(manifest: Mapping[str, Any]) -> None:
    marts = [node for node in public_models(manifest) if layer(node) != "quality"]
    assert len(marts) >= 28
    for node in marts:
        assert node["description"].startswith("One row per "), node["name"]
        assert node["config"]["contract"]["enforced"], node["name"]
        assert node["access"] == "public", node["name"]
        assert manifest["groups"][f"group.tillhouse.{node['group']}"]["owner"]["name"], node["name"]
        for column in node["columns"].values():
            assert column["data_type"], (node["name"], column["name"])
            assert column["description"].strip(), (node["name"], column["name"])


def test_every_public_mart_has_its_primary_key_tested(manifest: Mapping[str, Any]) -> None:
    tested = {
        node.get("attached_node")
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and "primary_key" in node["config"]["meta"].get("checks", {})
    }
    assert [
        node["name"]
        for node in public_models(manifest)
        if layer(node) != "quality" and node["unique_id"] not in tested
    ] == []


def test_a_table_has_one_test_of_its_rows_that_is_called_by_its_name(manifest: Mapping[str, Any]) -> None:
    packed = [
        (node["name"], node["attached_node"].rsplit(".", maxsplit=1)[-1])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == "checks_hold"
    ]
    assert sorted(name for name, _ in packed) == sorted({f"{table}{CHECKS_SUFFIX}" for _, table in packed})


def test_money_is_never_a_float(manifest: Mapping[str, Any]) -> None:
    wrong = [
        (node["name"], column["name"], column["data_type"])
        for node in public_models(manifest)
        for column in node["columns"].values()
        if column["name"].endswith(MONEY_ENDINGS)
        and not column["name"].startswith(("average_", "has_", "lines_with_"))  # averages are ratios
        and not str(column["data_type"]).startswith(("numeric", "decimal"))
    ]
    assert wrong == []


def test_the_calendar_is_the_time_spine_of_metrics(manifest: Mapping[str, Any], home: Home) -> None:
    assert manifest["nodes"]["model.tillhouse.dim_date"]["time_spine"]
    semantic = json.loads((home.dbt_target / "semantic_manifest.json").read_text(encoding="utf-8"))
    spines = [
        (spine["node_relation"]["alias"], spine["primary_column"])
        for spine in semantic["project_configuration"]["time_spines"]
    ]
    assert spines == [("dim_date", {"name": "date_day", "time_granularity": "day"})]


def test_the_catalogue_of_marts_holds_what_the_design_promises(manifest: Mapping[str, Any]) -> None:
    promised = {
        "dim_customer": "customer_key source_system customer_id email_token region signup_date first_order_date "
        "is_loyalty_member is_inferred",
        "dim_product": "product_version_key product_key source_system product_id product_name category list_price "
        "unit_cost valid_from valid_to is_current is_discontinued",
        "dim_location": "location_key source_system location_id location_name region first_order_date",
        "dim_date": "date_day year quarter month month_start iso_year iso_week week_start day_of_week is_weekend "
        "is_holiday holiday_name",
        "fct_orders": "order_key source_system order_id customer_key location_key sales_channel ordered_at "
        "ordered_at_local order_date status is_booked is_loyalty order_sequence is_first_order units gross_amount "
        "discount_amount net_sales_amount refund_amount net_sales_after_refunds_amount cost_amount "
        "header_total_amount is_discounted currency exchange_rate",
        "fct_order_items": "order_item_key order_key line_id product_key product_version_key category quantity "
        "unit_price item_amount option_amount gross_amount discount_amount net_sales_amount list_price_amount "
        "markdown_amount cost_amount ordered_at order_date day_part is_booked has_missing_header source_system "
        "currency exchange_rate",
        "fct_returns": "return_key order_key order_item_key returned_at return_date quantity refund_amount "
        "eligible_refund_amount is_refund_eligible reason source_system currency exchange_rate",
        "fct_payments": "payment_key order_key status is_succeeded method amount created_at paid_at payment_date "
        "processing_hours source_system currency exchange_rate",
        "fct_inventory_daily": "product_key snapshot_date on_hand allocated available reorder_point is_alert "
        "is_stockout units_sold days_of_cover source_system",
        "fct_revenue_daily": "revenue_date location_key total_order_amount orders_placed orders units gross_revenue "
        "discounts net_sales refunds net_revenue cost customers new_customers repeat_customers average_order_value "
        "source_system",
        "fct_sales_daily": "sales_date location_key category day_part orders units gross_revenue discounts net_sales "
        "source_system",
        "mart_sales_weekly": "week_start location_key category day_part orders units gross_revenue discounts net_sales",
        "mart_sales_monthly": "month_start location_key category day_part orders units gross_revenue discounts "
        "net_sales",
        "mart_peak_periods": "location_key average_orders average_net_sales peak_rank",
        "fct_customer_metrics": "source_system total_customers active_customers new_customers repeat_customers "
        "active_customer_share period_retention_rate is_complete_period",
        "fct_cohort_ltv": "source_system cohort_month horizon_days cohort_customers mature_customers "
        "retained_customers retention_rate ltv_total ltv_per_customer",
        "mart_cohort_triangle": "source_system cohort_month month_number cohort_customers active_customers "
        "retention_rate net_revenue cumulative_net_revenue_per_customer",
        "mart_customer_lifetime_value": "customer_key source_system lifetime_value_to_date orders "
        "average_order_value first_order_date last_order_date lifespan_days clv_score clv_tier",
        "mart_customer_segments": "customer_key source_system recency_days frequency monetary r_score f_score "
        "m_score segment",
        "mart_churn_indicators": "customer_key source_system last_order_date days_since_last_order "
        "average_days_between_orders spend_last_period spend_previous_period spend_change_rate "
        "yoy_spend_change_rate is_at_risk activity_status overdue_ratio",
        "mart_loyalty_impact": "source_system customers orders net_sales average_spend_per_customer "
        "average_order_value repeat_rate orders_per_customer average_lifetime_value revenue_share",
        "mart_loyalty_orders": "source_system orders net_sales average_order_value units_per_order discount_rate",
        "mart_location_performance": "source_system location_key total_revenue orders average_order_value "
        "first_trading_date last_trading_date trading_days orders_per_trading_day orders_per_week revenue_rank "
        "revenue_share revenue_last_28_days revenue_change_rate",
        "mart_discount_effectiveness": "source_system location_key is_discounted orders gross_revenue discounts "
        "net_sales average_order_value units_per_order gross_margin discount_rate",
        "mart_discount_before_after": "source_system product_key first_discount_date orders_before orders_after "
        "net_sales_before net_sales_after orders_change_rate net_sales_change_rate is_fully_observed",
        "mart_payments_daily": "source_system payment_date method payments succeeded failed pending refunded "
        "payment_amount payment_success_rate average_processing_hours",
        "mart_payment_reconciliation": "source_system order_key expected_amount paid_amount difference "
        "classification",
        "mart_inventory_alerts": "source_system product_key product_name snapshot_date available reorder_point "
        "is_stockout days_in_alert days_of_cover suggested_order_quantity",
    }
    built = {node["name"]: set(node["columns"]) for node in public_models(manifest)}
    missing = {
        name: sorted(set(columns.split()) - built.get(name, set()))
        for name, columns in promised.items()
        if set(columns.split()) - built.get(name, set())
    }
    assert missing == {}
