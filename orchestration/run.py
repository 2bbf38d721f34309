"""Run the daily job in this process, under Dagster, and say how it ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg

from ingestion import operations
from orchestration.assets import WarehouseRun
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.definitions import DAILY_JOB, build_definitions
from orchestration.pipeline import require_loader
from settings.errors import TillhouseError
from settings.home import Home
from settings.writer_lock import writer_lock

INSTANCE_CONFIGURATION = """\
# Written by tillhouse. Nothing leaves this machine.
telemetry:
  enabled: false
concurrency:
  pools:
    granularity: run
    default_limit: 1
"""
# Dagster keeps every event in its own history; the terminal belongs to the command.
QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunOutcome:
    """How one run ended: the row of `ops.runs`."""

    run_id: str
    row: operations.RunRow


def prepare_instance(home: Home) -> Path:
    """Make the folder that Dagster keeps its history in, with telemetry off.

    Returns the folder, which is also set as `DAGSTER_HOME` in this process.
    """
    home.ensure()
    configuration = home.dagster / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(INSTANCE_CONFIGURATION, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home.dagster


def run_daily(
    home: Home,
    *,
    feeds: Path | None = None,
    target: str = "duckdb",
    as_of: date | None = None,
    full_refresh: bool = False,
    engine: str = "duckdb",
) -> RunOutcome:
    """Ingest, build, test and publish, as the scheduled job does.

    Raises:
        BusyError: when another run holds the warehouse.
        DataRejectedError: when a required feed is not complete.
        BuildFailedError: when models or error-level tests failed; the former marts stay published.
        ConfigurationError: when feeds, profile or project are wrong.
    """
    require_loader(target)
    prepare_instance(home)
    with writer_lock(home):
        pass  # a busy warehouse is told before Dagster has started anything
    manifest = DbtRunner(BuildSettings(home, target=target, as_of=as_of)).parse()
    warehouse = WarehouseRun(
        home=str(home.root),
        feeds=str(feeds) if feeds else "",
        target=target,
        as_of=as_of.isoformat() if as_of else "",
        full_refresh=full_refresh,
        engine=engine,
    )
    job = build_definitions(manifest, warehouse).resolve_job_def(DAILY_JOB)
    with dg.DagsterInstance.get() as instance:
        try:
            result = job.execute_in_process(instance=instance, run_config=QUIET_CONSOLE)
        except dg.DagsterError as error:
            told = _cause(error)
            if told is None:
                raise
            raise told from error
    return RunOutcome(result.run_id, operations.run_row(home, result.run_id))


def _cause(error: BaseException) -> TillhouseError | None:
    """The error of ours inside Dagster's wrapping, where there is one."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, TillhouseError):
        seen = seen.__cause__ or seen.__context__
    return seen
