"""A publication on Postgres keeps the access policy: what it makes anew is never open to the wrong reader."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from postgres_server import PostgresDatabase

from orchestration.publication import PublicTable
from orchestration.publish import publish
from serving.access.policy import AccessPolicy, Role, RowRule
from serving.access.postgres import assign_statements, plan, server_role
from settings.home import Home

LOCATION = PublicTable("marts", "dim_location", ("location_key",))
SALES = PublicTable("marts", "fct_sales_daily", ("location_key",))
WAREHOUSE = """
    create schema state; create schema marts;
    create table state.changed (
        source text, sequence bigint, source_system text, key text, customer_key text, day date
    );
    create table state.watermark (
        consumer text, source text, sequence bigint, primary key (consumer, source)
    );
    create table marts.dim_location (location_key text, source_system text, location_id text);
    insert into marts.dim_location values ('north', 'restaurant', 'R01'), ('south', 'restaurant', 'R02');
    create table marts.fct_sales_daily (location_key text, orders integer);
    insert into marts.fct_sales_daily values ('north', 3), ('south', 4);
"""
KEEPER = Role(
    "keeper", "of a location", frozenset(), frozenset(), frozenset({"fct_sales_daily"}), RowRule.LOCATIONS
)
POLICY = AccessPolicy(5, frozenset(), {"keeper": KEEPER})


def test_a_replaced_mart_comes_with_its_row_policy(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path).ensure()
    monkeypatch.setattr("orchestration.publish_postgres.load_policy", lambda: POLICY)

    def publish_all() -> None:
        publish(
            home,
            [LOCATION, SALES],
            run_id="r",
            data_fingerprint="d",
            project_fingerprint="p",
            target="postgres",
        )

    postgres_database.execute(WAREHOUSE)
    publish_all()
    assert not postgres_database.query("select 1 from pg_namespace where nspname = 'access'")
    for statement in plan(POLICY, postgres_database.query):
        postgres_database.execute(statement)
    postgres_database.execute(f"create role anna login; grant {server_role('keeper')} to anna")
    try:
        with postgres_database.connect() as connection, connection.cursor() as cursor:
            for sql, parameters in assign_statements("anna", ["restaurant:R02"]):
                cursor.execute(sql.replace("?", "%s"), parameters)
        assert read_as_anna(postgres_database) == [("south",)]
        # Another type of a column replaces the readers' table, whose row policy goes with it.
        postgres_database.execute("alter table marts.fct_sales_daily alter orders type bigint")
        publish_all()
        ((kind,),) = postgres_database.query(
            "select data_type from information_schema.columns where table_schema = 'published_marts'"
            " and table_name = 'fct_sales_daily' and column_name = 'orders'"
        )
        assert kind == "bigint"
        assert read_as_anna(postgres_database) == [("south",)]
        assert plan(POLICY, postgres_database.query) == ()
    finally:
        for name in ("anna", server_role("keeper")):
            postgres_database.execute(f'drop owned by "{name}"; drop role "{name}"')


def read_as_anna(database: PostgresDatabase) -> list[tuple[str, ...]]:
    with (
        closing(
            psycopg2.connect(host=database.host, port=database.port, user="anna", dbname=database.name)
        ) as opened,
        opened.cursor() as cursor,
    ):
        cursor.execute("select location_key from published_marts.fct_sales_daily")
        rows: list[tuple[str, ...]] = cursor.fetchall()
        return rows
