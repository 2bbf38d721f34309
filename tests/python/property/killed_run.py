"""A run that ends by SIGKILL at a named point: `python -m tests.python.property.killed_run <plan.pickle>`.

Nothing in the project knows of this: the child wraps the functions of the program that it is about to run, and the
wrapper kills its own process, as the kernel or an operator would.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb

from ingestion import operations
from ingestion.bronze_store import FolderBronze
from ingestion.engines.duckdb import DuckDBEngine
from ingestion.ledger import Ledger
from ingestion.loader import WarehouseLoader
from ingestion.session import Session
from ingestion.warehouses import only_writer
from orchestration import publish_duckdb, publish_postgres
from orchestration.dbt_runner import BuildReport, DbtRunner
from orchestration.pipeline import Pipeline, RunRequest
from orchestration.publish_duckdb import DuckDBPublisher
from settings.home import Home

from .harness import SETTINGS, DuckDBDatabase, environment_of
from .script import Script

# The model whose transaction is cut in two, and the one that the build does not come to any more.
CUT_MODEL, UNREACHED_MODEL = "fct_orders", "fct_revenue_daily"

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Plan:
    """One run: where, with which builds, and where it ends (nowhere, if empty).

    Attributes:
        parsed: dbt's own manifest, where dbt is to build; else the script does.
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

    home: Home
    script: Script
    manifest: Mapping[str, Any]
    semantic_manifest: Mapping[str, Any] = field(default_factory=dict)  # metrics are no marts

    def build(self, _select: tuple[str, ...] = ()) -> BuildReport:
        """Every model, by the statements that dbt sent once."""
        database = DuckDBDatabase(self.home)
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
        runner: Any = RecordedRunner(home, plan.script, plan.manifest)
        if plan.parsed is not None:
            settings = replace(request.build_settings(), only_touched=False, **SETTINGS)
            runner = DbtRunner(settings, parsed=plan.parsed, written=plan.manifest, metrics={})
        pipeline._runner = runner
        pipeline.ingest()
        if pipeline.is_current():
            pipeline.finish_unchanged()
        else:
            pipeline.publish(pipeline.build())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stopping(owner: Any, name: str) -> Patch:
    """Stop the process, which can go on later, when `owner.name` is called for the first time."""
    former = getattr(owner, name)
    stops = iter((signal.SIGSTOP,))

    def wrapper(*words: Any, **named: Any) -> Any:
        for number in stops:
            os.kill(os.getpid(), number)
        return former(*words, **named)

    return mock.patch.object(owner, name, wrapper)


def _before(owner: Any, name: str, at: int = 1, only: Callable[..., bool] = lambda *_, **__: True) -> Patch:
    """End the process when `owner.name` is called for the `at`-th time, before it does anything."""
    return _wrapped(owner, name, at, only, is_after=False)


def _after(owner: Any, name: str, at: int = 1, only: Callable[..., bool] = lambda *_, **__: True) -> Patch:
    """End the process when `owner.name` has done its work for the `at`-th time."""
    return _wrapped(owner, name, at, only, is_after=True)


def _wrapped(owner: Any, name: str, at: int, only: Callable[..., bool], *, is_after: bool) -> Patch:
    former = getattr(owner, name)
    calls = 0

    def wrapper(*words: Any, **named: Any) -> Any:
        nonlocal calls
        calls += only(*words, **named)
        if calls == at and not is_after:
            die()
        result = former(*words, **named)
        if calls == at:
            die()
        return result

    return mock.patch.object(owner, name, wrapper)


def _takes_place_of_published(path: Path, target: Any) -> bool:
    return Path(target).name == "published.duckdb"


def _ends_well(*_: Any, **named: Any) -> bool:
    return str(named.get("status")) == "succeeded"


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
            die()
        return former(manager, sql, *words, **named)

    return mock.patch.object(SQLConnectionManager, "add_query", add_query)


def _inside_the_cut_model(name: str, sql: str) -> bool:
    return name.endswith(f".{CUT_MODEL}") and "delete from" in sql and "insert into state.changed" in sql


def _at_the_unreached_model(name: str, sql: str) -> bool:
    return name.endswith(f".{UNREACHED_MODEL}") and "create" in sql


@contextmanager
def _dying_before_the_marks_commit() -> Iterator[None]:
    """Whichever engine publishes."""
    with _after(publish_duckdb, "advance"), _after(publish_postgres, "advance"):
        yield


# point → what makes the process end there. Those of `BY_DBT` are inside the build and need dbt itself.
POINTS: Mapping[str, Callable[[], Patch]] = {
    "nothing was done but the note that a run begins": lambda: _after(operations, "start_run"),
    "deliveries have their numbers, none is checked": lambda: _before(DuckDBEngine, "validate"),
    "a file is in bronze, its record is not": lambda: _before(FolderBronze, "keep"),
    "inside load: a file's rows are in, its counts are not": lambda: _before(
        WarehouseLoader, "_insert_counts"
    ),
    "inside load: all is in but not committed": lambda: _before(Ledger, "record_attempt"),
    "inside load: a replaced delivery is gone, the new one is not in": lambda: _after(
        WarehouseLoader, "withdraw"
    ),
    "one file is committed, the next is not": lambda: _after(Session, "load"),
    "a replacement is committed, bronze does not know": lambda: _before(Session, "rewrite_record"),
    "all is loaded, the run's counts are not noted": lambda: _before(operations, "record_ingestion"),
    "all is loaded, nothing is built": lambda: _after(operations, "record_ingestion"),
    "inside a model: between the statements of its transaction": lambda: _cut_in_two(_inside_the_cut_model),
    "between two models": lambda: _cut_in_two(_at_the_unreached_model),
    "all is built, nothing is published": lambda: _before(operations, "record_dbt_results"),
    "inside publish: a draft is written": lambda: _before(Path, "replace", only=_takes_place_of_published),
    "inside publish: readers see it, nobody has noted so": lambda: _after(
        Path, "replace", only=_takes_place_of_published
    ),
    "inside publish: the marks are not committed": _dying_before_the_marks_commit,
    "inside publish: former files are not swept": lambda: _before(DuckDBPublisher, "_sweep"),
    "published, the run's end is not noted": lambda: _before(operations, "finish_run", only=_ends_well),
}
STOPS: Mapping[str, Callable[[], Patch]] = {
    "stopped inside load": lambda: _stopping(WarehouseLoader, "_insert_counts"),
}
BY_DBT = {"inside a model: between the statements of its transaction", "between two models"}


def main() -> int:
    """Run the plan in the file that is named."""
    plan: Plan = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  (the test itself wrote it)
    with ExitStack() as stack:
        if plan.point:
            stack.enter_context({**POINTS, **STOPS}[plan.point]())
        run_to_its_end(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
