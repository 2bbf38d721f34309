"""A run that is killed at any point, and run again, leaves what a run that nobody killed leaves.

The child process ends by SIGKILL: no handler, no rollback of its own. What is compared: every mart in the warehouse
and as published, raw tables, ledger, quarantine, and the marts that a rebuild from bronze alone would give.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.contract import load_contracts
from orchestration.publish import read_publication
from settings.home import PROJECT_ROOT, Home

from .harness import Company, Property, environment_of
from .killed_run import BY_DBT, POINTS, Plan, run_to_its_end
from .sequences import Action, Sequence

# Two runs over the same deliveries differ in these: when and by which run.
RUN_COLUMNS = {"_ingested_at", "run_id", "first_seen_at", "loaded_at", "seen_at", "engine"}
OPS_TABLES = ("ops.load_ledger", "ops.load_entity_counts", "ops.quarantine", "ops.drift_events")
# A day with all that a load does: new files, a bad row, a file that takes the place of another, a late return.
DAY = (
    Action(
        "deliver",
        "orders_20260402.csv",
        ({"id": "o1", "customer_id": "ben", "total_amount": "25.5"}, {"id": "o2", "total_amount": "ten"}),
    ),
    Action("deliver", "lines_20260401.csv", ({"order_id": "o1", "quantity": "3"}, {"order_id": "o3"})),
    Action("deliver", "returns_20260402.csv", ({"id": "r2", "order_id": "o3"},)),
    Action("deliver", "payments_20260402.csv", ({"id": "p1", "amount": "25.5"},)),
    Action("deliver", "meals_20260402.csv", ({"order_id": "o2", "user_id": "cem"},)),
)
# Later steps leave bronze alone.
LOADING = re.compile("deliver|file|load|replace")
State = dict[str, Any]


@dataclass
class Killing:
    """A home with a day that has been delivered and not been run, and the state that running it leaves."""

    shared: Property
    delivered: Home
    expected: State

    def plan(self, home: Home, run_id: str, point: str = "") -> Plan:
        parsed = self.shared.dbt.manifest if point in BY_DBT else None
        return Plan(
            home.root, run_id, _without_quality(self.shared.manifest), self.shared.script, parsed, point
        )

    def copy(self, root: Path) -> Home:
        shutil.copytree(self.delivered.root, root)
        return Home(root)


@pytest.fixture(scope="module")
def killing(shared: Property) -> Killing:
    home = shared.start(Sequence(), shared.root / "delivered")
    company = Company(home, shared, shared.builder)
    for action in DAY:
        company.deliver(action)
    found = Killing(shared, home, {})
    undisturbed = found.copy(shared.root / "undisturbed")
    run_to_its_end(found.plan(undisturbed, "day"))
    found.expected = state_of(undisturbed, shared)
    return found


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_is_made_good_by_the_next(killing: Killing, point: str) -> None:
    home = killing.copy(killing.shared.root / "killed")
    try:
        assert end_of_child(killing.plan(home, "killed", point)) == -signal.SIGKILL
        run_to_its_end(killing.plan(home, "again"))
        found = state_of(home, killing.shared)
        for name, expected in killing.expected.items():
            assert found[name] == expected, name
        if LOADING.search(point):
            killing.shared.compare_with_rebuild(home, Sequence())
        assert not list(home.root.glob("*.next*")), "a draft was left behind"
    finally:
        shutil.rmtree(home.root)


def test_of_two_runs_at_once_one_is_told_to_wait(killing: Killing) -> None:
    """Two processes start together: whichever comes second changes nothing and says who is running."""
    home = killing.copy(killing.shared.root / "twice")
    try:
        children = [start_child(killing.plan(home, f"run-{number}")) for number in (1, 2)]
        said = [child.communicate(timeout=120)[1] for child in children]
        codes = [child.returncode for child in children]
        # The second one is refused, or it came after the first and found nothing new.
        assert 0 in codes, said
        for code, text in zip(codes, said, strict=True):
            assert code == 0 or "one_writer" in text
        found = state_of(home, killing.shared)
        for name, expected in killing.expected.items():
            assert found[name] == expected, name
    finally:
        shutil.rmtree(home.root)


def test_a_run_beside_one_that_holds_the_warehouse_is_refused(killing: Killing) -> None:
    """The first process is stopped in the middle of a load, so that the second surely meets it."""
    home = killing.copy(killing.shared.root / "held")
    first = start_child(killing.plan(home, "first", "stopped inside load"))
    try:
        os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
        second = start_child(killing.plan(home, "second"))
        _, said = second.communicate(timeout=120)
        assert second.returncode != 0
        assert f"process {first.pid}" in said
        assert "one_writer" in said
        os.kill(first.pid, signal.SIGCONT)
        _, said = first.communicate(timeout=120)
        assert first.returncode == 0, said
        found = state_of(home, killing.shared)
        for name, expected in killing.expected.items():
            assert found[name] == expected, name
    finally:
        if first.poll() is None:
            first.kill()
            first.communicate()
        shutil.rmtree(home.root)


def start_child(plan: Plan) -> subprocess.Popen[str]:
    file = plan.home / f"{plan.run_id}.pickle"
    file.write_bytes(pickle.dumps(plan))
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.killed_run", str(file)],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (PROJECT_ROOT, PROJECT_ROOT / "tests" / "python"))),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of_child(plan: Plan) -> int:
    child = start_child(plan)
    _, said = child.communicate(timeout=180)
    assert child.returncode < 0, f"the process came past the point: {said}"
    return child.returncode


def state_of(home: Home, shared: Property) -> State:
    """Everything that a reader or the next run could see, but times and names of runs."""
    state: State = {}
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"attach '{home.warehouse}' as warehouse (read_only)")
        connection.execute(f"attach '{home.published}' as published (read_only)")
        marts = [f"{table.schema}.{table.name}" for table in shared.marts]
        raw = [contract.raw_table for contract in load_contracts().values()]
        for name in (*marts, *raw, *OPS_TABLES):
            state[name] = _rows(connection, f"warehouse.{name}")
        for name in marts:
            state[f"published {name}"] = _rows(connection, f"published.{name}")
        # Killed after readers saw the marts, a run leaves nothing to do to the next one.
        state["well ended"] = connection.execute(
            "select status in ('succeeded', 'nothing_new') from warehouse.ops.runs order by started_at desc limit 1"
        ).fetchall()
    with environment_of(home):
        publication = read_publication(home)
    assert publication is not None
    state["publication"] = (publication.tables, publication.rows, publication.project_fingerprint)
    return state


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    columns = connection.sql(f"from {table}").columns
    kept = ", ".join(f'"{name}"' for name in columns if name not in RUN_COLUMNS)
    return connection.execute(f"select {kept} from {table} order by all").fetchall()


def _without_quality(manifest: Any) -> Any:
    """The tables about runs are no marts: these runs neither build nor publish them."""
    nodes = {key: node for key, node in manifest["nodes"].items() if not node["schema"].endswith("quality")}
    return {**manifest, "nodes": nodes}
