"""Run the daily job in this process, under Dagster, and say how it ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from ingestion import operations
from ingestion.warehouses import only_writer, require_target
from orchestration.after_publication import FACE_CHECK, PATH_METADATA, REPORT_KEY
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.definitions import DAILY_JOB, build_definitions
from orchestration.event_log import open_instance
from orchestration.pipeline import require_feeds
from settings.errors import TillhouseError
from settings.home import PROJECT_ROOT, Home
from settings.profile import profiles_directory

INSTANCE_CONFIGURATION = PROJECT_ROOT / "dagster.yaml"
# Dagster keeps every event in its own history; the terminal belongs to the command.
QUIET_CONSOLE: dict[str, Any] = {"console": {"config": {"log_level": "CRITICAL"}}}


@dataclass(frozen=True)
class RunOutcome:
    """How one run ended.

    Attributes:
        row: its row of `ops.runs`.
        report: the daily report that it wrote, where it did.
        failed_faces: face → what went wrong with it; the publication stands all the same.
    """

    run_id: str
    row: operations.RunRow
    report: Path | None = None
    failed_faces: Mapping[str, str] = field(default_factory=dict)


def prepare_instance(home: Home) -> Path:
    """Make the folder that Dagster keeps its history in, with telemetry off.

    Returns the folder, which is also set as `DAGSTER_HOME` in this process.
    """
    home.ensure()
    configuration = home.dagster / "dagster.yaml"
    if not configuration.exists():
        settings = yaml.safe_load(INSTANCE_CONFIGURATION.read_text(encoding="utf-8"))
        del settings["storage"]  # beside this file, which is Dagster's own default
        configuration.write_text(yaml.safe_dump(settings), encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home.dagster


def run_daily(
    home: Home,
    *,
    feeds: Path | None = None,
    target: str = "duckdb",
    as_of: date | None = None,
    full_refresh: bool = False,
    all_checks: bool = False,
    engine: str = "duckdb",
) -> RunOutcome:
    """Ingest, build, test and publish, as the scheduled job does.

    Raises:
        BusyError: when another run holds the warehouse.
        DataRejectedError: when a required feed is not complete.
        BuildFailedError: when models or error-level tests failed; the former marts stay published.
        ConfigurationError: when feeds, profile or project are wrong.
    """
    require_target(target)
    dagster_folder = prepare_instance(home)
    # What stands in the way is told before dbt and Dagster take their seconds to start.
    profiles_directory()
    with only_writer(target, home):
        read_feeds = require_feeds(home, feeds)
    runner = DbtRunner(BuildSettings(home, target=target, as_of=as_of))
    manifest = runner.parse()
    settings = {
        "home": str(home.root),
        "feeds": str(feeds) if feeds else "",
        "target": target,
        "as_of": as_of.isoformat() if as_of else "",
        "full_refresh": full_refresh,
        "all_checks": all_checks,
        "engine": engine,
    }
    run_config = {"loggers": QUIET_CONSOLE, "resources": {"warehouse": {"config": settings}}}
    job = build_definitions(manifest, read_feeds, runner).resolve_job_def(DAILY_JOB)
    with open_instance(dagster_folder) as instance:
        try:
            result = job.execute_in_process(instance=instance, run_config=run_config)
        except (dg.DagsterError, dg.Failure) as error:
            raise _cause(error) from error
    return RunOutcome(
        result.run_id,
        operations.run_row(home, result.run_id, target=target),
        _report(result),
        _failed_faces(result),
    )


def _report(result: dg.ExecuteInProcessResult) -> Path | None:
    for event in result.get_asset_materialization_events():
        if event.asset_key == REPORT_KEY:
            return Path(str(event.materialization.metadata[PATH_METADATA].value))
    return None


def _failed_faces(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.asset_key.path[-1]: check.description or ""
        for check in result.get_asset_check_evaluations()
        if check.check_name == FACE_CHECK and not check.passed
    }


def _cause(error: BaseException) -> BaseException:
    """The error of ours inside Dagster's wrapping, else the one that a step failed with."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, TillhouseError):
        seen = seen.__cause__ or seen.__context__
    if seen is not None:
        return seen
    inner = error.__cause__ if isinstance(error, dg.Failure) else None
    return inner or RuntimeError(str(error))
