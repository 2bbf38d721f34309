"""Readers see the former marts or the new ones, never a mixture, and never a failure's remains."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.publish import PublicTable, open_published, public_tables, publish, read_publication
from settings.errors import ConfigurationError, NotFoundError
from settings.home import Home

REVENUE = PublicTable("marts", "revenue")
QUALITY = PublicTable("quality", "checks")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


def write_warehouse(home: Home, amount: str) -> None:
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("create schema if not exists marts; create schema if not exists quality")
        connection.execute("create schema if not exists raw")
        connection.execute("create or replace table raw.secrets as select 1 as x")
        connection.execute(
            f"create or replace table marts.revenue as select {amount}::decimal(18,4) as amount"
        )
        connection.execute("create or replace view quality.checks as select count(*) as n from marts.revenue")


def publish_all(home: Home, run_id: str = "run-1") -> None:
    publish(home, [REVENUE, QUALITY], run_id=run_id, data_fingerprint="d", project_fingerprint="p")


def amount(connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("select amount from marts.revenue").fetchone()
    assert row is not None
    return str(row[0])


def test_only_public_tables_reach_readers_and_views_become_tables(home: Home) -> None:
    write_warehouse(home, "1.5")
    publish_all(home)
    with open_published(home) as connection:
        listed = connection.execute(
            "select table_schema, table_name, table_type from information_schema.tables"
            " where table_schema <> 'publication' order by all"
        ).fetchall()
    assert listed == [("marts", "revenue", "BASE TABLE"), ("quality", "checks", "BASE TABLE")]


def test_a_reader_that_holds_the_former_file_is_not_disturbed(home: Home) -> None:
    write_warehouse(home, "1.5")
    publish_all(home)
    with open_published(home) as early:
        assert amount(early) == "1.5000"
        write_warehouse(home, "2.5")
        publish_all(home, "run-2")
        assert amount(early) == "1.5000"
    with open_published(home) as late:
        assert amount(late) == "2.5000"


def test_a_publication_that_fails_leaves_the_former_one_and_no_remains(home: Home) -> None:
    write_warehouse(home, "1.5")
    publish_all(home)
    write_warehouse(home, "2.5")
    with pytest.raises(duckdb.CatalogException):
        publish(
            home,
            [REVENUE, PublicTable("marts", "never_built")],
            run_id="run-2",
            data_fingerprint="d",
            project_fingerprint="p",
        )
    with open_published(home) as connection:
        assert amount(connection) == "1.5000"
    assert [path.name for path in home.root.glob("*next*")] == []


def test_a_target_that_cannot_be_published_is_told(home: Home) -> None:
    with pytest.raises(ConfigurationError, match="redshift cannot be published"):
        publish(home, [REVENUE], run_id="r", data_fingerprint="d", project_fingerprint="p", target="redshift")


def test_what_a_killed_run_left_behind_is_cleared_away(home: Home) -> None:
    write_warehouse(home, "1.5")
    remains = home.root / "published.4711.next"
    remains.write_bytes(b"half a file")
    publish_all(home)
    assert not remains.exists()


def test_a_publication_says_what_it_was_made_from(home: Home) -> None:
    assert read_publication(home) is None
    write_warehouse(home, "1.5")
    publish_all(home, "run-9")
    found = read_publication(home)
    assert found is not None
    assert (found.run_id, found.data_fingerprint, found.project_fingerprint) == ("run-9", "d", "p")
    assert (found.tables, found.rows) == (2, 2)


def test_a_file_that_is_no_publication_counts_as_none(home: Home) -> None:
    home.published.write_bytes(b"not a database")
    assert read_publication(home) is None


def test_the_published_file_is_private_to_its_user(home: Home) -> None:
    write_warehouse(home, "1.5")
    publish_all(home)
    assert home.published.stat().st_mode & 0o777 == 0o600


def test_missing_warehouse_missing_publication_and_no_tables_are_told(home: Home) -> None:
    with pytest.raises(NotFoundError, match="no warehouse"):
        publish_all(home)
    with pytest.raises(NotFoundError, match="nothing is published"), open_published(home):
        pass
    write_warehouse(home, "1.5")
    with pytest.raises(ConfigurationError, match="no public tables"):
        publish(home, [], run_id="r", data_fingerprint="d", project_fingerprint="p")


def test_public_tables_are_the_enabled_models_of_marts_and_quality() -> None:
    def node(fqn: list[str], **config: object) -> dict[str, object]:
        return {
            "resource_type": "model",
            "schema": fqn[1],
            "name": fqn[-1],
            "alias": None,
            "fqn": fqn,
            "access": "public",
            "config": {"materialized": "table", "enabled": True, **config},
        }

    nodes = {
        "a": node(["tillhouse", "marts", "core", "fct_orders"]),
        "b": node(["tillhouse", "quality", "quality_orphans"]),
        "c": node(["tillhouse", "staging", "store", "stg_store__orders"]),
        "d": node(["tillhouse", "marts", "core", "off"], enabled=False),
        "e": node(["tillhouse", "marts", "core", "inlined"], materialized="ephemeral"),
        "f": {**node(["tillhouse", "marts", "core", "x"]), "resource_type": "test"},
        "g": {**node(["tillhouse", "marts", "customers", "intermediate", "step"]), "access": "protected"},
    }
    assert public_tables({"nodes": nodes}) == [
        PublicTable("marts", "fct_orders"),
        PublicTable("quality", "quality_orphans"),
    ]


def test_keys_and_days_of_a_public_table_are_those_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {
        "resource_type": "model",
        "unique_id": "model.tillhouse.fct_orders",
        "schema": "marts",
        "name": "fct_orders",
        "alias": None,
        "fqn": ["tillhouse", "marts", "core", "fct_orders"],
        "access": "public",
        "config": {
            "incremental_strategy": "touched",
            "meta": {"emits": {"key": "order_id", "day": "order_date"}},
        },
    }
    test = {
        "resource_type": "test",
        "attached_node": model["unique_id"],
        "test_metadata": {"name": "checks_hold", "kwargs": {"primary_key": ["order_key"]}},
    }
    nodes = {"nodes": {"m": model, "t": test}}
    assert public_tables(nodes) == [
        PublicTable("marts", "fct_orders", ("order_key",), day="order_date", feed_key="order_id")
    ]
    # A build for review keeps no change feed.
    monkeypatch.setenv("TILLHOUSE_SCHEMA_PREFIX", "ci_")
    assert public_tables(nodes) == [PublicTable("marts", "fct_orders", ("order_key",))]


def test_the_project_says_of_every_public_table_what_publishing_needs(tmp_path: Path) -> None:
    """Without a key or a day a table would be published whole every day, and nothing but the clock would tell."""
    tables = public_tables(DbtRunner(BuildSettings(Home(tmp_path / "home"))).parse())
    assert [table.name for table in tables if not table.row_key] == []
    assert {table.name: table.day for table in tables if table.day} == {
        "fct_orders": "order_date",
        "fct_order_items": "order_date",
        "fct_returns": "return_date",
        "dim_customer": "known_since_date",
        "fct_payments": "payment_date",
        "fct_inventory_daily": "snapshot_date",
        "fct_revenue_daily": "revenue_date",
        "fct_sales_daily": "sales_date",
        "mart_sales_weekly": "week_start",
        "mart_sales_monthly": "month_start",
        "mart_payment_reconciliation": "order_date",
        "mart_payments_daily": "payment_date",
    }
