"""The daily run as the command does it, in a process that has loaded the command and nothing beside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, ClassVar

import psutil

from bench.measure import run_named_step
from cli.main import main
from ingestion import operations
from ingestion.warehouses import open_warehouse
from settings.home import PROJECT_ROOT, Home

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
WITHOUT_TESTS = ("model", "seed", "snapshot")
AFTER_PUBLICATION = "report and metrics"  # the stage of a day that readers do not wait for


def step_day(home: Home, words: Mapping[str, Any]) -> dict[str, Any]:
    """`tillhouse run`: seconds from the start of the process until readers see the day.

    `all_checks`: look at all rows, as the first run after a build without tests must, for the next to go on from it.
    """
    stages = _Stages()
    target = str(words.get("target", operations.DEFAULT))
    command = ["run", "--feeds", str(SAMPLE_FEEDS), "--target", target]
    try:
        main([*command, "--all-checks"] if words.get("all_checks") else command)
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{' '.join(command)} ended with {ended.code}") from ended
    seconds = stages.seconds(stages.now())
    (run,) = operations.last_runs(home, 1, target=target).records()
    if run["status"] != "succeeded":  # where nothing was new, the command ends well and publishes nothing
        raise RuntimeError(f"the daily run ended as {run['status']}: {run['message']}")
    return {
        "rows": run["rows_read"],
        "until_published": round(sum(seconds.values()) - seconds[AFTER_PUBLICATION], 3),
        "stages": seconds,
        "nodes": _node_seconds(home, run["run_id"], target),
    }


class _Stages(logging.Handler):
    """Notes when the pipeline says that a stage begins."""

    NAMES: ClassVar[dict[str, str]] = {
        "loading new files": "load",
        "building and testing the models": "build and test",
        "publishing the marts": "publish",
        "the marts are published": AFTER_PUBLICATION,
    }

    def __init__(self) -> None:
        super().__init__()
        self._process_started = psutil.Process().create_time()
        self._begun: list[tuple[str, float]] = [("start", 0.0)]
        told_by = logging.getLogger("orchestration.pipeline")
        told_by.addHandler(self)
        told_by.setLevel(logging.INFO)

    def now(self) -> float:
        return time.time() - self._process_started

    def emit(self, record: logging.LogRecord) -> None:
        name = self.NAMES.get(record.getMessage())
        if name is not None:
            self._begun.append((name, self.now()))

    def seconds(self, ended: float) -> dict[str, float]:
        """How long each stage took, up to the one after it."""
        ends = [moment for _, moment in self._begun[1:]] + [ended]
        return {name: round(end - begun, 3) for (name, begun), end in zip(self._begun, ends, strict=True)}


def _node_seconds(home: Home, run_id: str, target: str) -> dict[str, float]:
    """Execution times of the run's models, seeds and snapshots, as dbt has them; tests added up as `tests`."""
    seconds: dict[str, float] = {}
    with closing(open_warehouse(target, home, read_only=True)) as warehouse:
        results = warehouse.query(
            "select name, resource_type, execution_seconds from ops.dbt_results where run_id = ?", [run_id]
        ).rows
    for name, resource_type, spent in results:
        key = name if resource_type in WITHOUT_TESTS else "tests"
        seconds[key] = round(seconds.get(key, 0.0) + spent, 4)
    return seconds


if __name__ == "__main__":
    run_named_step({"day": step_day})
