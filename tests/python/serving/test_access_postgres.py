"""The access policy on a real server: what each role may read there, and which rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from postgres_server import PostgresDatabase, PostgresServer
from published_tables import published_columns

from serving.access.policy import AccessPolicy, Kind, Role, RowRule, load_policy
from serving.access.postgres import assign_statements, plan, server_role
from settings.errors import ConfigurationError

POLICY = load_policy()
LOCATIONS = {"north": ("restaurant", "R01"), "south": ("restaurant", "R02"), "shop": ("store", "R01")}
READERS = {name: f"reader_of_{name}" for name in POLICY.roles}


def publish(database: PostgresDatabase) -> None:
    """Every published table, with a row for each of three locations."""
    database.execute(
        "create schema published_marts; create schema published_quality; create schema publication"
    )
    database.execute("create table publication.current (run_id text)")
    for (schema, table), columns in published_columns().items():
        listed = ", ".join(f'"{column}" text' for column in columns)
        database.execute(f'create table "{schema}"."{table}" ({listed})')
        if "location_key" in columns:
            for key, (system, location) in LOCATIONS.items():
                values = {"location_key": key, "source_system": system, "location_id": location}
                kept = {name: value for name, value in values.items() if name in columns}
                marks = ", ".join(["%s"] * len(kept))
                database.execute(
                    f'insert into "{schema}"."{table}" ({", ".join(kept)}) values ({marks})',
                    list(kept.values()),
                )


def apply(database: PostgresDatabase, policy: AccessPolicy = POLICY) -> tuple[str, ...]:
    statements = plan(policy, database.query)
    for statement in statements:
        database.execute(statement)
    return statements


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """A database with the policy applied, and a log-in that is a member of each role."""
    database = postgres_server.create_database()
    publish(database)
    apply(database)
    for role, login in READERS.items():
        database.execute(f'create role "{login}" login; grant "{server_role(role)}" to "{login}"')
    yield database
    for name in (*READERS.values(), "by_hand", "of_two_roles", "nobody"):
        if database.query("select 1 from pg_roles where rolname = %s", [name]):
            database.execute(f'drop owned by "{name}"; drop role "{name}"')
    for name in POLICY.roles:
        database.execute(f'drop owned by "{server_role(name)}"; drop role "{server_role(name)}"')
    postgres_server.drop_database(database)


@contextmanager
def connected(database: PostgresDatabase, login: str) -> Iterator[Any]:
    """A cursor of a log-in of its own, which commits every statement."""
    with closing(
        psycopg2.connect(host=database.host, port=database.port, user=login, dbname=database.name)
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def read(database: PostgresDatabase, login: str, sql: str) -> list[tuple[object, ...]]:
    """What a log-in of its own gets."""
    with connected(database, login) as cursor:
        cursor.execute(sql)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


@pytest.mark.parametrize("role", POLICY.roles.values(), ids=lambda role: role.name)
def test_each_role_reads_the_marts_of_the_policy_and_no_other(server: PostgresDatabase, role: Role) -> None:
    allowed, denied = set(), set()
    with connected(server, READERS[role.name]) as cursor:
        for schema, table in published_columns():
            try:
                cursor.execute(f'select * from "{schema}"."{table}"')
                allowed.add(table)
            except psycopg2.errors.InsufficientPrivilege:
                denied.add(table)
    assert allowed == role.marts
    assert denied == {table for _, table in published_columns()} - role.marts


@pytest.mark.parametrize("role", POLICY.roles.values(), ids=lambda role: role.name)
def test_no_role_writes_or_reads_what_is_not_published(server: PostgresDatabase, role: Role) -> None:
    for statement in (
        "insert into published_marts.dim_location default values returning 1",
        "delete from published_marts.fct_revenue_daily returning 1",
        "select * from access.location_assignments",
        "create table published_marts.mine as select 1 as one",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            read(server, READERS[role.name], statement)


def test_a_log_in_without_a_role_reads_nothing(server: PostgresDatabase) -> None:
    server.execute("create role nobody login")
    with connected(server, "nobody") as cursor:
        for schema, table in published_columns():
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f'select * from "{schema}"."{table}"')


@pytest.mark.parametrize(
    ("assigned", "seen"),
    [
        ((), set()),
        (("restaurant:R01",), {"north"}),
        (("restaurant:R01", "restaurant:R02"), {"north", "south"}),
        (("store:R01",), {"shop"}),
        (("restaurant:no such",), set()),
    ],
)
def test_a_limited_role_sees_the_rows_of_its_locations(
    server: PostgresDatabase, assigned: tuple[str, ...], seen: set[str]
) -> None:
    login = READERS["location_manager"]
    with server.connect() as connection, connection.cursor() as cursor:
        for sql, parameters in assign_statements(login, assigned):
            cursor.execute(sql.replace("?", "%s"), parameters)
    for table in sorted(POLICY.roles["location_manager"].marts):
        rows = read(server, login, f"select distinct location_key from published_marts.{table}")
        assert {row[0] for row in rows} == seen, table


def test_nobody_else_is_limited(server: PostgresDatabase) -> None:
    everything = set(LOCATIONS)
    rows = read(server, READERS["finance"], "select location_key from published_marts.fct_revenue_daily")
    assert {row[0] for row in rows} == everything
    # A reader whose privileges were granted by hand keeps them, and its rows.
    server.execute(
        "create role by_hand login; grant usage on schema published_marts to by_hand;"
        " grant select on published_marts.fct_revenue_daily to by_hand"
    )
    assert apply(server) == ()
    rows = read(server, "by_hand", "select location_key from published_marts.fct_revenue_daily")
    assert {row[0] for row in rows} == everything
    server.execute(
        f"create role of_two_roles login; grant {server_role('location_manager')}, {server_role('finance')}"
        " to of_two_roles"
    )
    rows = read(server, "of_two_roles", "select location_key from published_marts.fct_revenue_daily")
    assert {row[0] for row in rows} == everything


def test_applying_twice_changes_nothing_and_a_change_by_hand_is_put_right(server: PostgresDatabase) -> None:
    assert apply(server) == ()
    marketing = server_role("marketing")
    server.execute(
        f"grant select on published_marts.fct_payments to {marketing};"
        f" revoke select on published_marts.dim_date from {marketing};"
        " alter table published_marts.fct_sales_daily disable row level security;"
        " drop policy tillhouse_locations on published_marts.fct_revenue_daily"
    )
    assert len(apply(server)) == 4
    assert apply(server) == ()


def test_a_mart_that_was_made_anew_is_closed_until_the_policy_is_applied(server: PostgresDatabase) -> None:
    server.execute(
        "create table published_marts.copied as table published_marts.fct_sales_daily;"
        " drop table published_marts.fct_sales_daily;"
        " alter table published_marts.copied rename to fct_sales_daily"
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        read(server, READERS["location_manager"], "select * from published_marts.fct_sales_daily")
    assert apply(server)
    login = READERS["location_manager"]
    with server.connect() as connection, connection.cursor() as cursor:
        for sql, parameters in assign_statements(login, ["restaurant:R02"]):
            cursor.execute(sql.replace("?", "%s"), parameters)
    assert read(server, login, "select location_key from published_marts.fct_sales_daily") == [("south",)]


def test_a_role_that_the_policy_no_longer_has_loses_its_privileges(server: PostgresDatabase) -> None:
    smaller = AccessPolicy(
        POLICY.smallest_group,
        POLICY.customer_dimensions,
        {name: role for name, role in POLICY.roles.items() if name != "operations"},
    )
    apply(server, smaller)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        read(server, READERS["operations"], "select * from published_marts.dim_date")
    assert apply(server)  # and has them again
    assert read(server, READERS["operations"], "select * from published_marts.dim_date") == []


def test_a_limited_role_is_given_no_mart_without_locations(server: PostgresDatabase) -> None:
    role = Role("keeper", "", frozenset(), frozenset(), frozenset({"dim_customer"}), RowRule.LOCATIONS)
    policy = AccessPolicy(5, frozenset(), {"keeper": role})
    with pytest.raises(ConfigurationError, match="dim_customer has no location_key"):
        plan(policy, server.query)


def test_a_role_of_somebody_else_is_not_taken_over(server: PostgresDatabase) -> None:
    server.execute("create role tillhouse_guest")
    role = Role("guest", "", frozenset(), frozenset(), frozenset(), RowRule.ALL)
    try:
        with pytest.raises(ConfigurationError, match="not of the access policy"):
            plan(AccessPolicy(5, frozenset(), {"guest": role}), server.query)
    finally:
        server.execute("drop role tillhouse_guest")


def test_the_policy_names_marts_that_exist() -> None:
    POLICY.require_known(Kind.MARTS, {table for _, table in published_columns()})
