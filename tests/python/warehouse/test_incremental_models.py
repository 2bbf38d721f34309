"""What incremental models promise beside their rows: when they are built anew, when they stop, what the feed keeps.

That their rows are those of a rebuild is the property of tests/python/property.
"""

from __future__ import annotations

import re
import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import SampleRun

from orchestration.dbt_runner import BuildReport, BuildSettings, DbtRunner
from settings.home import Home


@pytest.fixture
def home(sample_run: SampleRun, tmp_path: Path) -> Home:
    copy = Home(tmp_path / "copied")
    copy.ensure()
    shutil.copy(sample_run.home.warehouse, copy.warehouse)
    return copy


def build(home: Home, *models: str, full_refresh: bool = False) -> BuildReport:
    settings = BuildSettings(home, full_refresh=full_refresh, select=models, resource_types=("model",))
    return DbtRunner(settings).build()


def query(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def execute(home: Home, sql: str) -> None:
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(sql)


def touch_order(home: Home) -> str:
    """Name one order in the feed, as its delivery would."""
    ((order_id,),) = query(home, "select min(order_id) from staging.stg_store__orders")
    execute(
        home,
        "insert into state.changed (source, sequence, source_system, key)"
        " select 'raw.store_orders', sequence + 1, 'store', "
        f"'{order_id}' from state.watermark where consumer = 'stg_store__orders' and source = 'raw.store_orders'",
    )
    return str(order_id)


def test_a_delivery_that_repeats_what_is_known_touches_nothing_further_down(home: Home) -> None:
    touch_order(home)
    build(home, "stg_store__orders").require_success()
    assert query(home, "select count(*) from state.changed where source = 'stg_store__orders'") == [(0,)]


def test_a_row_that_differs_is_named_by_each_model_that_it_changes(home: Home) -> None:
    order_id = touch_order(home)
    execute(home, f"update raw.store_orders set status = 'cancelled' where id = '{order_id}'")
    build(home, "stg_store__orders", "int_orders_united").require_success()
    named = query(home, "select source, key from state.changed where source not like 'raw.%' order by source")
    assert named == [("int_orders_united", order_id), ("stg_store__orders", order_id)]
    # Its consumers have not run: the names wait for them.
    build(home, "fct_orders").require_success()
    assert query(home, f"select status from marts.fct_orders where order_id = '{order_id}'") == [
        ("cancelled",)
    ]


def test_a_row_that_vanishes_from_raw_vanishes_from_the_models(home: Home) -> None:
    order_id = touch_order(home)
    execute(home, f"delete from raw.store_orders where id = '{order_id}'")
    build(home, "stg_store__orders", "int_orders_united").require_success()
    assert query(
        home, f"select count(*) from intermediate.int_orders_united where order_id = '{order_id}'"
    ) == [(0,)]


def test_a_model_with_other_logic_stops_and_asks_for_a_full_refresh(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_REPORTING_CURRENCY", "EUR")
    before = query(home, "select count(*), sum(hash(t)) from intermediate.int_orders_united as t")
    (failed,) = [result for result in build(home, "int_orders_united").results if result.failed]
    assert "int_orders_united was built with other SQL, macros, variables or seeds" in failed.message
    assert "tillhouse run --full-refresh" in failed.message
    assert query(home, "select count(*), sum(hash(t)) from intermediate.int_orders_united as t") == before
    build(home, "int_exchange_rates_daily", "int_orders_united", full_refresh=True).require_success()
    build(home, "int_orders_united").require_success()


def test_the_state_tables_are_in_the_cache_before_a_thread_asks_for_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt takes a schema for known while it still enters its tables, so a second thread would not find the marks."""
    from dbt.adapters.duckdb.impl import DuckDBAdapter

    asked: list[bool] = []
    listed = DuckDBAdapter.list_relations_without_caching

    def list_relations(self: Any, schema_relation: Any) -> Any:
        if schema_relation.schema == "state":
            asked.append(threading.current_thread() is threading.main_thread())
        return listed(self, schema_relation)

    monkeypatch.setattr(DuckDBAdapter, "list_relations_without_caching", list_relations)
    touch_order(home)
    build(home, "stg_store__orders", "stg_store__order_items").require_success()
    assert asked == [True]


def test_rows_of_the_whole_history_are_never_written_beside_those_that_stand(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the marks were not seen while the model was compiled, and were when it ran."""
    from dbt.adapters.duckdb.impl import DuckDBAdapter

    found = DuckDBAdapter.get_relation
    answers = iter(["for the hook", None])

    def get_relation(self: Any, database: str, schema: str, identifier: str) -> Any:
        relation = found(self, database, schema, identifier)
        return relation if identifier != "watermark" or next(answers, relation) else None

    monkeypatch.setattr(DuckDBAdapter, "get_relation", get_relation)
    before = query(home, "select count(*), sum(hash(t)) from staging.stg_store__orders as t")
    (failed,) = [result for result in build(home, "stg_store__orders").results if result.failed]
    assert "stg_store__orders was compiled for a full build" in failed.message
    assert query(home, "select count(*), sum(hash(t)) from staging.stg_store__orders as t") == before
    build(home, "stg_store__orders").require_success()


def test_models_follow_one_that_was_built_anew(home: Home) -> None:
    build(home, "int_orders_united", full_refresh=True).require_success()
    everything = (
        "select count(*) from state.changed where source = 'int_orders_united'"
        " and key is null and customer_key is null and day is null"
    )
    assert query(home, everything) == [(1,)]
    # A row that an incremental run would not have looked at.
    execute(home, "update intermediate.int_orders_sequenced set order_sequence = 999")
    build(home, "int_orders_sequenced").require_success()
    assert query(
        home, "select count(*) from intermediate.int_orders_sequenced where order_sequence = 999"
    ) == [(0,)]


def test_a_model_without_a_watermark_is_built_anew(home: Home) -> None:
    execute(home, "delete from state.watermark where consumer = 'int_orders_sequenced'")
    execute(home, "update intermediate.int_orders_sequenced set order_sequence = 999")
    build(home, "int_orders_sequenced").require_success()
    assert query(
        home, "select count(*) from intermediate.int_orders_sequenced where order_sequence = 999"
    ) == [(0,)]
    build(home, "int_orders_sequenced").require_success()


def test_the_feed_keeps_what_a_consumer_has_not_taken_and_nothing_else(home: Home) -> None:
    touch_order(home)
    build(home, "dim_date").require_success()
    assert query(home, "select count(*) from state.changed where source = 'raw.store_orders'") == [(1,)]
    readers = "select count(distinct consumer) from state.watermark where source = 'raw.store_orders'"
    assert query(home, readers)[0][0] >= 1
    build(home, "stg_store__orders").require_success()
    waiting = query(
        home,
        "select count(*) from state.changed as c where c.source = 'raw.store_orders' and exists"
        " (select 1 from state.watermark as w where w.source = c.source and w.sequence < c.sequence)",
    )
    kept = query(home, "select count(*) from state.changed where source = 'raw.store_orders'")
    assert kept == waiting


def test_a_delivery_that_is_loaded_again_is_judged_with_those_after_it_in_its_feed(home: Home) -> None:
    ((first,),) = query(
        home,
        "select min(load_sequence) from quality.quality_late_rows as late where feed = 'store_orders'"
        " and load_sequence > (select min(load_sequence) from quality.quality_late_rows where feed = late.feed)",
    )
    execute(home, "update quality.quality_late_rows set late_rows = -1")
    execute(
        home,
        "update ops.load_ledger set loaded_at = loaded_at + interval 1 second"
        f" where feed = 'store_orders' and load_sequence = {first}",
    )
    build(home, "quality_deliveries", "quality_late_rows").require_success()
    judged = "late_rows >= 0"
    follows = f"(feed = 'store_orders' and load_sequence >= {first})"
    wrong = f"select count(*) from quality.quality_late_rows where ({judged}) <> {follows}"
    assert query(home, wrong) == [(0,)]


@pytest.mark.minutes
def test_a_build_for_review_leaves_the_feed_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    touch_order(home)
    before = (
        query(home, "select * from state.changed order by all"),
        query(home, "select * from state.watermark order by all"),
    )
    monkeypatch.setenv("TILLHOUSE_SCHEMA_PREFIX", "review_")
    build(home, "stg_store__orders").require_success()
    build(home, "stg_store__orders").require_success()
    after = (
        query(home, "select * from state.changed order by all"),
        query(home, "select * from state.watermark order by all"),
    )
    assert after == before
    assert query(home, "select count(*) from review_staging.stg_store__orders") == query(
        home, "select count(*) from staging.stg_store__orders"
    )


def test_a_full_build_leaves_rows_of_one_time_together(home: Home) -> None:
    """Else a day's look-ups read the whole history."""
    nodes = DbtRunner(BuildSettings(home)).manifest["nodes"].values()
    clustered = {
        f"{node['schema']}.{node['name']}": found[1].replace("'", "")
        for node in nodes
        if (found := re.search(r"clustered_by\(\[(.+?)\]\)", node.get("raw_code", "")))
    }
    assert {"marts.fct_orders", "marts.fct_order_items", "marts.fct_payments"} <= set(clustered)
    for table, columns in clustered.items():
        out_of_order = query(
            home,
            f"select count(*) from (select ({columns}) as here, lag(here) over (order by rowid) as former"
            f" from {table}) where here < former",
        )
        assert (table, out_of_order) == (table, [(0,)])


@pytest.mark.parametrize("table", ["marts.fct_orders", "intermediate.int_customers_summarised"])
def test_wide_decimals_are_stored_as_they_are(home: Home, table: str) -> None:
    stored = query(
        home,
        f"select distinct compression from pragma_storage_info('{table}')"
        " where segment_type = 'DECIMAL(38,4)'",
    )
    # A block of one value holds it once.
    assert ("Uncompressed",) in stored
    assert set(stored) <= {("Uncompressed",), ("Constant",)}


def test_a_loyal_order_makes_a_member_when_the_as_of_date_reaches_it_and_none_when_it_goes_back(
    home: Home,
) -> None:
    """No order of the customer changes meanwhile: the boundary that moves names its former and its new date."""
    customer = query(
        home,
        "select customer_key, first_loyal_order_date from intermediate.int_customers_seen"
        " where source_system = 'restaurant' and first_loyal_order_date > date '2025-01-01' order by all limit 1",
    )[0]
    is_member = f"select is_loyalty_member from marts.dim_customer where customer_key = '{customer[0]}'"
    assert query(home, is_member) == [(True,)]
    for as_of, expected in ((customer[1] - timedelta(days=1), False), (customer[1], True)):
        execute(
            home,
            f"update intermediate.int_orders_as_of_dates set as_of_date = date '{as_of}'"
            " where source_system = 'restaurant'",
        )
        build(home, "int_spend_windows_bounded", "dim_customer").require_success()
        assert query(home, is_member) == [(expected,)]
