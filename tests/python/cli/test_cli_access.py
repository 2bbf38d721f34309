"""`tillhouse access` and `tillhouse keys` by their words."""

from __future__ import annotations

import re

import pytest
from bakery import call
from postgres_server import PostgresDatabase

from serving.access.keys import KeyStore
from serving.access.policy import load_policy
from settings.errors import ExitCode
from settings.home import Home


def test_a_key_is_made_shown_once_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "keys", "create", "--role", "finance", "--owner", "month-end close")
    assert said.code == ExitCode.OK
    text = said.out.strip()
    key = KeyStore(Home.from_environment().api_keys).find(text)
    assert key is not None
    assert (key.role, key.owner, (key.expires_at - key.created_at).days) == ("finance", "month-end close", 90)
    assert text not in said.err
    said = call(capsys, "keys", "list")
    assert said.code == ExitCode.OK
    assert re.search(rf"{key.key_id}\s+valid\s+finance\s+month-end close", said.out)
    assert text[-43:] not in said.out
    assert call(capsys, "keys", "revoke", key.key_id).code == ExitCode.OK
    assert re.search(rf"{key.key_id}\s+revoked", call(capsys, "keys", "list").out)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--role", "no_such", "--owner", "x"), ExitCode.NOT_FOUND, "choose one of: analyst, executive"),
        (("--role", "location_manager", "--owner", "x"), ExitCode.USAGE, "--location restaurant:R01"),
        (
            ("--role", "finance", "--owner", "x", "--location", "store:1"),
            ExitCode.USAGE,
            "leave --location out",
        ),
        (
            ("--role", "location_manager", "--owner", "x", "--location", "R1"),
            ExitCode.USAGE,
            "names no location",
        ),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: ExitCode, told: str
) -> None:
    said = call(capsys, "keys", "create", *words)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert not KeyStore(Home.from_environment().api_keys).list()


def test_an_unknown_key_cannot_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "keys", "revoke", "0123456789ab")
    assert said.code == ExitCode.NOT_FOUND
    assert "tillhouse keys list" in said.err


def test_the_policy_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "access", "show")
    assert said.code == ExitCode.OK
    assert all(role in said.out for role in load_policy().roles)
    said = call(capsys, "access", "show", "location_manager")
    assert said.code == ExitCode.OK
    assert "rows: locations" in said.out
    assert "net_revenue" in said.out
    assert "gross_margin" not in said.out


def test_a_file_has_no_roles(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "access", "apply", "--target", "duckdb")
    assert said.code == ExitCode.USAGE
    assert "tillhouse keys create" in said.err


def test_applying_to_an_empty_server_says_what_to_do(
    capsys: pytest.CaptureFixture[str], postgres_database: PostgresDatabase
) -> None:
    said = call(capsys, "access", "apply", "--target", "postgres")
    assert said.code == ExitCode.NOT_FOUND
    assert "tillhouse run" in said.err
    said = call(capsys, "access", "assign", "anna", "restaurant:R01", "--target", "postgres")
    assert said.code == ExitCode.CONFIGURATION
    assert "tillhouse access apply" in said.err


def test_the_policy_is_planned_applied_and_then_nothing_is_left(
    capsys: pytest.CaptureFixture[str], postgres_database: PostgresDatabase
) -> None:
    postgres_database.execute(
        "create schema published_marts; create table published_marts.dim_location"
        " (location_key text, source_system text, location_id text)"
    )
    try:
        said = call(capsys, "access", "apply", "--dry-run")
        assert said.code == ExitCode.OK
        assert 'create role "tillhouse_finance" nologin;' in said.out
        planned = said.out.splitlines()[:-1]
        assert not postgres_database.query("select 1 from pg_namespace where nspname = 'access'")
        said = call(capsys, "access", "apply")
        assert said.code == ExitCode.OK
        assert said.out.splitlines()[:-1] == planned
        assert call(capsys, "access", "apply").out == "the server does what the policy says\n"
        said = call(capsys, "access", "assign", "anna", "restaurant:R01", "store:7", "--target", "postgres")
        assert (said.code, said.out) == (ExitCode.OK, "anna sees restaurant:R01, store:7\n")
        assigned = "select login, source_system, location_id from access.location_assignments order by 2"
        assert postgres_database.query(assigned) == [("anna", "restaurant", "R01"), ("anna", "store", "7")]
        call(capsys, "access", "assign", "anna", "--target", "postgres")
        assert postgres_database.query(assigned) == []
    finally:
        for role in load_policy().roles:
            postgres_database.execute(f"drop owned by tillhouse_{role}; drop role tillhouse_{role}")
