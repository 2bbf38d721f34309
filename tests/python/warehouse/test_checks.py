"""What a `checks_hold` test finds, on the real tables: each kind of check, on both sides of its edge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import SampleRun

from ingestion import operations
from orchestration.dbt_runner import BuildReport, BuildSettings, DbtRunner
from orchestration.pipeline import Pipeline, RunRequest
from settings.home import HOME_VARIABLE, Home

Broken = dict[str, tuple[str, int | None]]


@dataclass
class Warehouse:
    """A copy of the sample's warehouse that a test may spoil."""

    runner: DbtRunner

    @property
    def home(self) -> Home:
        return self.runner.settings.home

    def run(self, *statements: str) -> None:
        with duckdb.connect(str(self.home.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.home.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def test(self, model: str) -> BuildReport:
        return self.runner.build((f"{model}_checks_hold",))


@pytest.fixture
def warehouse(sample_run: SampleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    home = Home(tmp_path / "copied")
    shutil.copytree(sample_run.home.root, home.root)
    monkeypatch.setenv(HOME_VARIABLE, str(home.root))
    return Warehouse(DbtRunner(BuildSettings(home, resource_types=("test",))))


def broken(report: BuildReport) -> Broken:
    return {
        found.name.partition(".")[2]: (found.status, found.failures)
        for found in report.results
        if found.resource_type == "test" and found.status != "pass"
    }


def failures(report: BuildReport) -> dict[str, int]:
    return {found.name: found.failures or 0 for found in report.results if found.resource_type == "test"}


def test_what_breaks_a_payment_is_named_and_counted(warehouse: Warehouse) -> None:
    warned = broken(warehouse.test("fct_payments"))  # the sample has orphans: told, and nothing stops
    assert warned.keys() <= {"order_key_is_known"}
    orphans = warned.get("order_key_is_known", ("", 0))[1] or 0

    pick = "update marts.fct_payments set {} where payment_key in (select payment_key from picked limit {})"
    warehouse.run(
        "create table picked as select payment_key from marts.fct_payments where not has_missing_order"
        " order by 1 limit 4",
        pick.format("status = null", 3),  # null is accepted
    )
    assert broken(warehouse.test("fct_payments")) == warned

    warehouse.run(
        pick.format("status = 'lost'", 2),
        pick.format("order_key = 'nobody'", 1),
        pick.format("exchange_rate = null", 1),
        pick.format("payment_date = date '1901-01-01'", 4),
    )
    report = warehouse.test("fct_payments")
    assert broken(report) == {
        "status_is_accepted": ("fail", 2),
        "order_key_is_known": ("warn", orphans + 1),
        "exchange_rate_is_known": ("fail", 1),
        "payment_date_is_known": ("fail", 4),
    }
    assert {found.name for found in report.results if found.status == "pass"} == {
        "fct_payments.primary_key",
        "fct_payments.no_row_is_lost",
        "fct_payments.payments_of_known_orders_are_dated",
    }


def test_rows_that_share_their_key_lack_it_or_are_lost_are_counted(warehouse: Warehouse) -> None:
    key = "inventory_key"
    assert "primary_key" not in broken(warehouse.test("fct_inventory_daily"))
    warehouse.run(
        f"create table picked as select * from marts.fct_inventory_daily order by {key} limit 1",
        "insert into marts.fct_inventory_daily from picked",
    )
    found = broken(warehouse.test("fct_inventory_daily"))
    assert found["primary_key"] == ("fail", 2)
    assert found["no_row_is_lost"] == ("fail", 1)

    # As many rows as there should be, but one without a key.
    warehouse.run(
        f"delete from marts.fct_inventory_daily where {key} in (select {key} from picked)",
        f"insert into marts.fct_inventory_daily select * replace (null as {key}) from picked",
    )
    found = broken(warehouse.test("fct_inventory_daily"))
    assert found["primary_key"] == ("fail", 1)
    assert "no_row_is_lost" not in found

    warehouse.run(f"delete from marts.fct_inventory_daily where {key} is null")
    found = broken(warehouse.test("fct_inventory_daily"))
    assert "primary_key" not in found
    assert found["no_row_is_lost"] == ("fail", 1)


def test_a_key_of_several_columns_is_broken_where_all_are_equal_or_one_is_null(warehouse: Warehouse) -> None:
    table = "marts.fct_cohort_ltv"
    assert broken(warehouse.test("fct_cohort_ltv")) == {}
    warehouse.run(f"create table picked as select * from {table} order by all limit 1")
    warehouse.run(f"insert into {table} select * replace ('elsewhere' as source_system) from picked")
    assert broken(warehouse.test("fct_cohort_ltv")) == {}
    warehouse.run(f"insert into {table} select * replace (null as source_system) from picked")
    assert broken(warehouse.test("fct_cohort_ltv")) == {"primary_key": ("fail", 1)}
    warehouse.run(f"insert into {table} from picked")
    assert broken(warehouse.test("fct_cohort_ltv")) == {"primary_key": ("fail", 3)}


def test_a_value_that_may_not_be_null_and_a_rule_that_is_null_are_broken(warehouse: Warehouse) -> None:
    table = "marts.mart_customer_segments"
    assert broken(warehouse.test("mart_customer_segments")) == {}
    # A table in the place of the view, so that its rows can be spoiled.
    warehouse.run(
        f"create table kept as from {table}", f"drop view {table}", f"create table {table} as from kept"
    )
    one = f"where customer_key = (select min(customer_key) from {table})"
    warehouse.run(f"update {table} set segment = null, recency_days = null {one}")
    assert broken(warehouse.test("mart_customer_segments")) == {
        "segment_is_not_null": ("fail", 1),
        "recency_not_negative": ("fail", 1),
    }
    warehouse.run(f"update {table} set segment = 'VIP', recency_days = 0 {one}")
    assert broken(warehouse.test("mart_customer_segments")) == {}


def test_warnings_alone_fail_nothing(warehouse: Warehouse) -> None:
    warehouse.run("delete from quality.quality_orphans")
    assert broken(warehouse.test("quality_orphans")) == {}
    warehouse.run(
        "insert into quality.quality_orphans (missing_parent_id, feed, orphan_type, delivery_date)"
        " select 'x' || n, 'f', 'line_without_order', date '2026-01-01' from range(2) as numbers(n)"
    )
    report = warehouse.test("quality_orphans")
    assert broken(report) == {"no_orphans": ("warn", 2)}
    report.require_success()


def test_a_broken_check_says_what_to_do(warehouse: Warehouse) -> None:
    warehouse.run("update staging.stg_store__payments set status = 'unmapped'")
    failure = next(iter(warehouse.test("stg_store__payments").failures))
    assert failure.name == "stg_store__payments.payment_statuses_are_mapped"
    assert "add the word under `columns: status: map:`" in failure.message


def test_every_check_is_a_row_of_the_test_results_passed_or_not(
    warehouse: Warehouse, sample_run: SampleRun
) -> None:
    before = "select distinct run_id from quality.quality_test_results"
    assert warehouse.rows(before) == []  # the first run's results are told by the second
    warehouse.run("update marts.fct_returns set is_refund_eligible = null where return_key in "
                  "(select return_key from marts.fct_returns where is_refund_eligible limit 1)")  # fmt: skip
    pipeline = Pipeline(RunRequest(home=warehouse.home, run_id="audited"))
    pipeline.runner.settings = BuildSettings(
        warehouse.home, select=("fct_returns_checks_hold",), resource_types=("test",)
    )
    operations.start_run(warehouse.home, "audited", target="duckdb")
    assert pipeline.build().failures
    settings = BuildSettings(warehouse.home, select=("quality_test_results",), resource_types=("model",))
    DbtRunner(settings).build().require_success()
    rows = warehouse.rows(
        "select name, is_passed, failures from quality.quality_test_results where run_id = 'audited'"
        " and name like 'fct_returns.%' and severity = 'error' order by 1"
    )
    assert rows == [
        ("fct_returns.eligible_and_excess_make_the_refund", True, 0),
        ("fct_returns.eligible_is_within_the_refund", True, 0),
        ("fct_returns.ineligible_refunds_count_nothing", False, 1),
        ("fct_returns.missing_orders_are_not_eligible", True, 0),
        ("fct_returns.no_row_is_lost", True, 0),
        ("fct_returns.primary_key", True, 0),
        ("fct_returns.return_date_is_known", True, 0),
    ]
    first_run = warehouse.rows("select count(*), count(distinct name) from quality.quality_test_results"
                               " where run_id <> 'audited' and is_passed")  # fmt: skip
    assert first_run[0][0] == first_run[0][1] > 180


def test_a_daily_run_sees_a_bad_row_that_changed_and_leaves_an_old_one_to_the_whole_suite(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = warehouse.rows("select source from state.watermark where consumer = 'tests'")
    assert {("fct_orders",), ("fct_payments",), ("fct_revenue_daily",), ("stg_store__orders",)} <= set(marks)
    table = "marts.fct_payments"
    pick = f"update {table} set amount = amount, exchange_rate = null where payment_key = "
    warehouse.run(
        f"create table picked as select payment_key, source_system, order_id, payment_date from {table}"
        " where not has_missing_order order by 1 limit 2",
        pick + "(select min(payment_key) from picked)",
        pick + "(select max(payment_key) from picked)",
        # The checks have passed until now, and since then one of the two rows has changed.
        "delete from state.watermark where consumer = 'tests' and source = 'fct_payments'",
        "insert into state.watermark values ('tests', 'fct_payments', 100)",
        "insert into state.changed select 'fct_payments', 100 + (payment_key = (select max(payment_key) from picked))"
        "::int, source_system, order_id, null, payment_date from picked",
    )
    whole = broken(warehouse.test("fct_payments"))
    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    assert whole["exchange_rate_is_known"] == ("fail", 2)
    assert broken(warehouse.test("fct_payments")) == {"exchange_rate_is_known": ("fail", 1)}
    mark = "select sequence from state.watermark where consumer = 'tests' and source = 'fct_payments'"
    assert warehouse.rows(mark) == [(100,)]  # what failed is looked at again

    # A key that a changed row shares with an old one counts both.
    warehouse.run(
        f"update {table} set exchange_rate = 1 where payment_key = (select max(payment_key) from picked)",
        f"insert into {table} select * replace (date '2000-01-01' as payment_date) from {table}"
        " where payment_key = (select max(payment_key) from picked)",
    )
    assert broken(warehouse.test("fct_payments"))["primary_key"] == ("fail", 2)
    warehouse.run(
        f"delete from {table} where payment_date = date '2000-01-01'",
    )
    assert broken(warehouse.test("fct_payments")) == {}
    assert warehouse.rows(mark) == [(101,)]

    # Built anew: everything is looked at.
    warehouse.run("insert into state.changed (source, sequence) values ('fct_payments', 102)")
    assert broken(warehouse.test("fct_payments"))["exchange_rate_is_known"] == ("fail", 1)


def name_again(warehouse: Warehouse, table: str, key: str) -> None:
    """Since the table's checks passed, only what `key` selects (system, key, day) was named."""
    warehouse.run(
        f"delete from state.watermark where consumer = 'tests' and source = '{table}'",
        f"insert into state.watermark values ('tests', '{table}', 100)",
        f"delete from state.changed where source = '{table}'",
        f"insert into state.changed (source, sequence, source_system, key, day) select '{table}', 101, {key}",
    )


def test_a_daily_run_compares_the_key_of_a_changed_row_with_what_its_order_left_on_another_day(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "marts.fct_order_items"
    warehouse.run(
        f"create table picked as from {table} where not has_missing_header order by order_item_key limit 1",
        f"insert into {table} select * replace (date '2000-01-01' as order_date) from picked",
    )
    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    name_again(warehouse, "fct_order_items", "source_system, order_id, order_date from picked")
    assert broken(warehouse.test("fct_order_items"))["primary_key"] == ("fail", 2)
    # Of what was not named nothing is looked at.
    name_again(warehouse, "fct_order_items", "source_system, 'another order', order_date from picked")
    assert broken(warehouse.test("fct_order_items")) == {}


def test_what_a_daily_check_handles_grows_with_the_rows_named_and_not_with_their_square(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    name_again(warehouse, "fct_order_items", "source_system, order_id, order_date from marts.fct_order_items")
    assert broken(warehouse.test("fct_order_items")) == {}
    (compiled,) = (warehouse.home.dbt_target / "compiled").rglob("fct_order_items_checks_hold.sql")
    ((lines, orders),) = warehouse.rows(
        "select (select count(*) from marts.fct_order_items), (select count(*) from marts.fct_orders)"
    )
    name_again(warehouse, "fct_order_items", "source_system, order_id, order_date from marts.fct_order_items")
    ((_, profile),) = warehouse.rows(f"explain (analyze, format json) {compiled.read_text('utf-8')}")
    handled = max(node["operator_cardinality"] for node in nodes_of(json.loads(str(profile))["children"]))
    assert lines <= handled <= 2 * (int(str(lines)) + int(str(orders)))


def nodes_of(children: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in children:
        yield node
        yield from nodes_of(node["children"])


def test_a_daily_run_checks_the_rows_of_a_view_that_the_table_below_it_named(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "intermediate.int_customers_summarised"
    warehouse.run(
        f"create table picked as select source_system, customer_key from {table} order by customer_key limit 2",
        f"update {table} set last_order_date = date '9999-01-01'"
        " where customer_key in (select customer_key from picked)",
    )
    name_again(
        warehouse,
        "int_customers_summarised",
        "arg_min(source_system, customer_key), min(customer_key), null from picked",
    )
    assert broken(warehouse.test("mart_churn_indicators")) == {"days_not_negative": ("fail", 2)}
    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    assert broken(warehouse.test("mart_churn_indicators")) == {"days_not_negative": ("fail", 1)}


def test_a_daily_run_tells_which_check_warned_and_looks_at_its_rows_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = "select sequence from state.watermark where consumer = 'tests' and source = 'fct_returns'"
    warehouse.run(
        "create table picked as select items.*, returns.return_date from marts.fct_returns as returns"
        " inner join marts.fct_order_items as items using (order_item_key) order by order_item_key limit 1"
    )
    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    named = "source_system, order_id, return_date from picked"
    name_again(warehouse, "fct_returns", named)
    assert broken(warehouse.test("fct_returns")) == {}
    assert warehouse.rows(mark) == [(101,)]
    warehouse.run(
        "delete from marts.fct_order_items where order_item_key in (select order_item_key from picked)"
    )
    name_again(warehouse, "fct_returns", named)
    for _ in range(2):
        assert broken(warehouse.test("fct_returns"))["order_item_key_is_known"] == ("warn", 1)
        assert warehouse.rows(mark) == [(100,)]
    # All rows are checked: what is known to warn need not be looked at every day.
    monkeypatch.setenv("TILLHOUSE_CHECKS", "all")
    assert broken(warehouse.test("fct_returns"))["order_item_key_is_known"] == ("warn", 1)
    assert warehouse.rows(mark) == [(101,)]


def test_a_daily_run_bridges_the_days_that_changed_and_leaves_old_ones_to_the_whole_suite(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = ("assert_revenue_bridge", "assert_sales_agree_with_revenue")
    warehouse.run(
        "create table days as select distinct source_system, revenue_date from marts.fct_revenue_daily"
        " where gross_revenue > 0 order by revenue_date limit 2",
        "update marts.fct_revenue_daily set gross_revenue = gross_revenue + 0.01 from days"
        " where days.source_system = fct_revenue_daily.source_system"
        " and days.revenue_date = fct_revenue_daily.revenue_date",
    )
    whole = failures(warehouse.runner.build(bridge))
    locations = warehouse.rows(
        "select count(*) from marts.fct_revenue_daily semi join days using (source_system, revenue_date)"
    )[0][0]
    assert whole == {bridge[0]: 2, bridge[1]: locations}

    monkeypatch.setenv("TILLHOUSE_CHECKS", "touched")
    assert failures(warehouse.runner.build(bridge)) == dict.fromkeys(bridge, 0)  # no day was named
    warehouse.run(
        "insert into state.changed (source, sequence, source_system, day)"
        " select 'fct_revenue_daily', sequence + 1, days.source_system, revenue_date from state.watermark, days"
        " where consumer = 'tests' and source = 'fct_revenue_daily' order by revenue_date limit 1"
    )
    named = failures(warehouse.runner.build(bridge))
    assert named[bridge[0]] == 1
    assert 0 < named[bridge[1]] < locations


def test_tests_of_the_weekly_run_are_left_out_of_a_daily_one(warehouse: Warehouse) -> None:
    name = "lifetime_values_add_up_to_facts"
    settings = replace(warehouse.runner.settings, only_touched=True)
    daily = replace(warehouse.runner, settings=settings).build((name, "assert_calendar_has_no_gap"))
    assert failures(daily) == {"assert_calendar_has_no_gap": 0}
    assert failures(warehouse.runner.build((name,))) == {name: 0}
