"""The real command, killed at named points of a run and called again, leaves what it leaves when nobody kills it.

`tests/python/property/test_killed_runs.py` goes through every point with recorded builds; here dbt, Dagster and the
command itself take part, which costs a minute a point.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from orchestration.publish import open_published
from settings.crash_points import CRASH_VARIABLE
from settings.errors import ExitCode
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

COMMAND = Path(sys.executable).with_name("tillhouse")
COMMAND_SECONDS = 900
RUN_COLUMNS = {"_ingested_at", "run_id", "first_seen_at", "loaded_at", "seen_at"}
OPS = ("load_ledger", "load_entity_counts", "quarantine", "drift_events")
LAST_DELIVERY = 3
POINTS = ("load_uncommitted", "marts_built", "published")

State = dict[str, list[str]]


def start(home: Home, *words: str, crash_at: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(COMMAND), *words],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            HOME_VARIABLE: str(home.root),
            "DBT_PROFILES_DIR": str(PROJECT_ROOT),
            "TILLHOUSE_TOKEN_KEY": "a key for tests alone",
            CRASH_VARIABLE: crash_at,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(home: Home, *words: str, crash_at: str = "") -> tuple[int, str]:
    """Exit code (negative: a signal) and what was said of errors."""
    child = start(home, *words, crash_at=crash_at)
    _, said = child.communicate(timeout=COMMAND_SECONDS)
    return child.returncode, said


def deliver(home: Home, first: int, last: int) -> None:
    words = ("--orders", "300", "--first-delivery", str(first), "--last-delivery", str(last))
    code, said = call(home, "generate", *words)
    assert code == 0, said


def state_of(home: Home) -> State:
    """Every row of the raw tables, the ledger and the marts, as built and as published, without times and run ids."""
    found: State = {}
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables"
            f" where table_schema in ('raw', 'marts') or (table_schema = 'ops' and table_name in {OPS})"
        ).fetchall()
        for schema, name in tables:
            found[f"{schema}.{name}"] = _rows(connection, schema, name)
    with open_published(home) as connection:
        for schema, name in tables:
            if schema == "marts":
                found[f"published {name}"] = _rows(connection, schema, name)
    return found


def _rows(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> list[str]:
    found = connection.execute(f'select * from "{schema}"."{name}"')
    kept = [place for place, column in enumerate(found.description) if column[0] not in RUN_COLUMNS]
    return sorted(repr([row[place] for place in kept]) for row in found.fetchall())


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A company after a run, with one more day delivered."""
    home = Home(tmp_path_factory.mktemp("delivered") / "home").ensure()
    deliver(home, 0, LAST_DELIVERY - 1)
    code, said = call(home, "run")
    assert code == 0, said
    deliver(home, LAST_DELIVERY, LAST_DELIVERY)
    return home


@contextmanager
def copied(home: Home, root: Path) -> Iterator[Home]:
    copy = Home(root / "home")
    shutil.copytree(home.root, copy.root)
    try:
        yield copy
    finally:
        shutil.rmtree(copy.root)


@pytest.fixture(scope="module")
def undisturbed(delivered: Home, tmp_path_factory: pytest.TempPathFactory) -> State:
    with copied(delivered, tmp_path_factory.mktemp("undisturbed")) as home:
        code, said = call(home, "run")
        assert code == 0, said
        return state_of(home)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_command_is_made_good_by_the_next(
    delivered: Home, undisturbed: State, tmp_path: Path, point: str
) -> None:
    with copied(delivered, tmp_path) as home:
        code, said = call(home, "run", crash_at=point)
        assert code == -signal.SIGKILL, f"the command came past the point: {said}"
        code, said = call(home, "run")
        assert code == 0, said
        found = state_of(home)
        for name, rows in undisturbed.items():
            assert found[name] == rows, name


def test_of_two_commands_the_second_is_told_who_writes(
    delivered: Home, undisturbed: State, tmp_path: Path
) -> None:
    """The first is stopped in the middle of a load, so that the second surely meets it."""
    with copied(delivered, tmp_path) as home:
        first = start(home, "run", crash_at="rows_inserted:1:STOP")
        try:
            os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
            code, said = call(home, "run")
            assert code == ExitCode.BUSY
            assert f"process {first.pid}" in said
            os.kill(first.pid, signal.SIGCONT)
            _, said = first.communicate(timeout=COMMAND_SECONDS)
            assert first.returncode == 0, said
        finally:
            if first.poll() is None:
                first.kill()
                first.communicate()
        assert state_of(home) == undisturbed
