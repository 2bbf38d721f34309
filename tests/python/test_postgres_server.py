"""The Postgres that other tests rely on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import psycopg2
from postgres_server import PostgresDatabase, PostgresServer


def test_each_database_is_empty_and_goes_with_its_test(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    first.execute("create table here (id integer)")
    assert second.query("select to_regclass('here')") == [(None,)]
    postgres_server.drop_database(first)
    postgres_server.drop_database(second)
    left = replace(first, name="postgres").query(
        "select datname from pg_database where datname = any(%s)", [[first.name, second.name]]
    )
    assert left == []


def test_a_session_that_does_not_say_utc_gets_another_zone(postgres_database: PostgresDatabase) -> None:
    """So that a test shows where one was forgotten."""
    (zone,) = postgres_database.query("select reset_val from pg_settings where name = 'TimeZone'")[0]
    assert zone == "UTC"  # of the helper itself
    database = postgres_database
    with (
        closing(
            psycopg2.connect(host=database.host, port=database.port, user=database.user, dbname=database.name)
        ) as plain,
        plain.cursor() as cursor,
    ):
        cursor.execute("show timezone")
        assert cursor.fetchone() == ("Pacific/Auckland",)
