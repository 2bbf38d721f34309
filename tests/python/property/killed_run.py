"""A run that ends by SIGKILL at a named point: `python -m tests.python.property.killed_run <plan.pickle>`.

Where it ends says `TILLHOUSE_CRASH_AT` (settings/crash_points.py). Inside the build, which is dbt's, the child wraps
what sends dbt's statements.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb

from ingestion.warehouses import only_writer
from orchestration.dbt_runner import BuildReport, BuildSettings, DbtRunner
from orchestration.pipeline import Pipeline, RunRequest
from settings.home import Home

from .harness import SETTINGS, DuckDBDatabase, environment_of
from .script import Script

# The model whose transaction is cut in two, and the one that the build does not come to any more.
CUT_MODEL, UNREACHED_MODEL = "fct_orders", "fct_revenue_daily"

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Plan:
    """One run: where, with which builds, and where inside the build it ends (nowhere, if empty).

    Attributes:
        parsed: dbt's own manifest, where dbt is to build; else the script does.
        point: of `BY_DBT`.
    """

    home: Path
    run_id: str
    manifest: Mapping[str, Any]
    script: Script
    parsed: Any = None
    point: str = ""
    target: str = "duckdb"


@dataclass
class RecordedRunner:
    """Stands in for dbt in a pipeline."""

    settings: BuildSettings
    script: Script
    manifest: Mapping[str, Any]
    semantic_manifest: Mapping[str, Any] = field(default_factory=dict)  # metrics are no marts

    def build(self, _select: tuple[str, ...] = ()) -> BuildReport:
        """Every model, by the statements that dbt sent once."""
        database = DuckDBDatabase(self.settings.home)
        try:
            self.script.run(database)
        finally:
            database.close()
        return BuildReport()


def run_to_its_end(plan: Plan) -> None:
    """Ingest, build, publish, as the daily job does, without tests and without the tables about runs."""
    home = Home(plan.home)
    request = RunRequest(home=home, run_id=plan.run_id, target=plan.target)
    with environment_of(home), only_writer(request.target, home):
        pipeline = Pipeline(request)
        runner: Any = RecordedRunner(request.build_settings(), plan.script, plan.manifest)
        if plan.parsed is not None:
            settings = replace(request.build_settings(), only_touched=False, **SETTINGS)
            runner = DbtRunner(settings, parsed=plan.parsed, written=plan.manifest, metrics={})
        pipeline._runner = runner
        pipeline.ingest()
        if pipeline.is_current():
            pipeline.finish_unchanged()
        else:
            pipeline.publish(pipeline.build())


def _cut_in_two(is_wanted: Callable[[str, str], bool]) -> Patch:
    """End the process in the middle of the statements that dbt sends for a model."""
    from dbt.adapters.sql.connections import SQLConnectionManager

    former = SQLConnectionManager.add_query

    def add_query(manager: Any, sql: str, *words: Any, **named: Any) -> Any:
        connection = manager.get_thread_connection()
        if is_wanted(str(connection.name), sql):
            if not connection.transaction_open:
                manager.begin()
            single = duckdb.extract_statements(sql)
            for statement in single[: len(single) // 2]:
                connection.handle.cursor().execute(statement.query)
            os.kill(os.getpid(), signal.SIGKILL)
        return former(manager, sql, *words, **named)

    return mock.patch.object(SQLConnectionManager, "add_query", add_query)


def _inside_the_cut_model(name: str, sql: str) -> bool:
    return name.endswith(f".{CUT_MODEL}") and "delete from" in sql and "insert into state.changed" in sql


def _at_the_unreached_model(name: str, sql: str) -> bool:
    return name.endswith(f".{UNREACHED_MODEL}") and "create" in sql


# Points inside the build, which dbt does: its process has no place of ours to end at, so the child makes one.
BY_DBT: Mapping[str, Callable[[], Patch]] = {
    "inside a model: between the statements of its transaction": lambda: _cut_in_two(_inside_the_cut_model),
    "between two models": lambda: _cut_in_two(_at_the_unreached_model),
}


def main() -> int:
    """Run the plan in the file that is named."""
    plan: Plan = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  (the test itself wrote it)
    with ExitStack() as stack:
        if plan.point:
            stack.enter_context(BY_DBT[plan.point]())
        run_to_its_end(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
