"""What the tests of killed runs share: a delivered day, children that run it, and the state that they leave."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from ingestion.contract import load_contracts
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Table
from orchestration.publish import read_publication
from settings.crash_points import CRASH_VARIABLE
from settings.home import PROJECT_ROOT, Home

from .harness import Company, Property, published_tables
from .killed_run import BY_DBT, Plan, run_to_its_end
from .sequences import Action, Sequence

# Two runs over the same deliveries differ in these: when and by which run.
RUN_COLUMNS = {"_ingested_at", "run_id", "first_seen_at", "loaded_at", "seen_at", "engine"}
OPS_TABLES = ("ops.load_ledger", "ops.load_entity_counts", "ops.quarantine", "ops.drift_events")
CHILD_SECONDS = 180
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
State = dict[str, Any]


@dataclass
class Killing:
    """A home with a day that has been delivered and not been run, and the state that running it leaves."""

    shared: Property
    delivered: Home
    expected: State

    @classmethod
    def prepare(cls, shared: Property) -> Killing:
        """Deliver the day, and run it undisturbed in a copy."""
        delivered = shared.start(Sequence(), shared.root / "delivered")
        company = Company(delivered, shared, shared.builder)
        for action in DAY:
            company.deliver(action)
        found = cls(shared, delivered, {})
        with found.home("undisturbed") as home:
            run_to_its_end(found.plan(home, "day"))
            found.expected = found.state_of(home)
        return found

    @contextmanager
    def home(self, name: str) -> Iterator[Home]:
        """A copy of the home in which the day has been delivered."""
        home = self.shared.homes.copy(self.delivered, self.shared.root / name)
        try:
            with self.shared.homes.at(home):
                yield home
        finally:
            self.shared.homes.remove(home)

    def plan(self, home: Home, run_id: str, point: str = "") -> Plan:
        needs_dbt = self.shared.target != "duckdb" or point in BY_DBT
        return Plan(
            home.root,
            run_id,
            _without_quality(self.shared.manifest),
            self.shared.script,
            self.shared.dbt.manifest if needs_dbt else None,
            point if point in BY_DBT else "",
            self.shared.target,
        )

    def kill(self, home: Home, point: str) -> None:
        """Run the day in a child that is killed at this point: one of `CRASH_POINTS`, or of `BY_DBT`."""
        child = start_child(self.plan(home, "killed", point), "" if point in BY_DBT else point)
        _, said = child.communicate(timeout=CHILD_SECONDS)
        assert child.returncode == -signal.SIGKILL, f"the process came past the point: {said}"

    def assert_as_if_nothing_happened(self, home: Home) -> None:
        """Fail where anything but times and names of runs differs from the undisturbed run."""
        found = self.state_of(home)
        for name, expected in self.expected.items():
            assert found[name] == expected, name
        assert not list(home.root.glob("*.next*")), "a draft was left behind"

    def state_of(self, home: Home) -> State:
        """Everything that a reader or the next run could see, but times and names of runs."""
        state: State = {}
        marts = self.shared.marts
        names = [f"{table.schema}.{table.name}" for table in marts]
        names += [contract.raw_table for contract in load_contracts().values()]
        with ExitStack() as stack:
            warehouse = stack.enter_context(closing(open_warehouse(self.shared.target, home, read_only=True)))
            for name in (*names, *OPS_TABLES):
                state[name] = _rows(warehouse.query(f"select * from {name}"))
            read = published_tables(stack, self.shared.target, home)
            for table in marts:
                state[f"published {table.schema}.{table.name}"] = _rows(read(table))
            # Killed after readers saw the marts, a run leaves nothing to do to the next one.
            state["well ended"] = warehouse.query(
                "select status in ('succeeded', 'nothing_new') from ops.runs order by started_at desc limit 1"
            ).rows
        publication = read_publication(home, target=self.shared.target)
        assert publication is not None
        state["publication"] = (publication.tables, publication.rows, publication.project_fingerprint)
        return state

    def assert_that_a_second_run_is_refused(self, home: Home) -> None:
        """The first process is stopped in the middle of a load, so that the second surely meets it."""
        first = start_child(self.plan(home, "first"), "rows_inserted:1:STOP")
        try:
            os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
            second = start_child(self.plan(home, "second"))
            _, said = second.communicate(timeout=CHILD_SECONDS)
            assert second.returncode != 0
            assert f"process {first.pid}" in said
            assert "one_writer" in said
            os.kill(first.pid, signal.SIGCONT)
            _, said = first.communicate(timeout=CHILD_SECONDS)
            assert first.returncode == 0, said
        finally:
            if first.poll() is None:
                first.kill()
                first.communicate()
        self.assert_as_if_nothing_happened(home)


def start_child(plan: Plan, crash_at: str = "") -> subprocess.Popen[str]:
    """Run a plan in a process of its own, which ends at a crash point if one is given."""
    file = plan.home / f"{plan.run_id}.pickle"
    file.write_bytes(pickle.dumps(plan))
    roots = (PROJECT_ROOT, PROJECT_ROOT / "tests" / "python")
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.killed_run", str(file)],
        cwd=PROJECT_ROOT,
        env={
            **_unmeasured(os.environ),
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            CRASH_VARIABLE: crash_at,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _unmeasured(variables: Mapping[str, str]) -> dict[str, str]:
    """Without those that let a child measure its coverage: one that is killed has none to tell."""
    return {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}


def _rows(table: Table) -> list[str]:
    kept = [place for place, name in enumerate(table.columns) if name not in RUN_COLUMNS]
    return sorted(repr([row[place] for place in kept]) for row in table.rows)


def _without_quality(manifest: Any) -> Any:
    """The tables about runs are no marts: these runs neither build nor publish them."""
    nodes = {key: node for key, node in manifest["nodes"].items() if not node["schema"].endswith("quality")}
    return {**manifest, "nodes": nodes}
