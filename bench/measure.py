"""One step in one process, with the operating system's own account of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

MEASURED_PACKAGES = ("duckdb", "dbt-core", "dbt-duckdb", "dbt-postgres", "dagster", "pyarrow")
DAY_MODULE = "bench.day_steps"
MEMORY_LIMIT = "2GB"  # of DuckDB for the models, as by default; a process may need twice as much
BY_HAND_MEMORY_LIMIT = "6GB"  # the hand-written SQL does not spill as well
_SAMPLED_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Measurement:
    """What one step took.

    `seconds` is wall time, `cpu_seconds` user and system time of the process and its children, `peak_mib`
    the largest resident set of the process and its children together in MiB, `rows` what the step worked through
    (order lines, or rows published), `facts` what the step told besides.
    """

    step: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    rows: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rows_per_second": round(self.rows / self.seconds) if self.seconds else 0}


Told = Callable[[Measurement], Measurement]


def measure_step(
    step: str,
    home: Path,
    environment: Mapping[str, str] | None = None,
    /,
    *,
    module: str = "bench.steps",
    **words: Any,
) -> Measurement:
    """Run one step in a child process and account for it.

    A database server is no child, so its CPU seconds and memory are not in the account.

    Args:
        step: its name in the module.
        home: the home folder that it works on.
        environment: variables that it gets beside those of this process.
        module: where the steps are.
        words: what the step is told.

    Raises:
        RuntimeError: when the step failed; its output is in the message.
    """
    home.mkdir(parents=True, exist_ok=True)
    output = home.parent / f"{step}.out"
    variables = {
        "TILLHOUSE_TOKEN_KEY": "measured",
        **os.environ,
        **(environment or {}),
        HOME_VARIABLE: str(home),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        "TILLHOUSE_MEMORY_LIMIT": MEMORY_LIMIT,
    }
    started = time.monotonic()
    with output.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", module, step, json.dumps(words)],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=PROJECT_ROOT,
        )
        memory = _PeakMemory(child.pid)
        memory.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        tree_peak_mib = memory.stop()
    text = output.read_text("utf-8", "replace")
    if child.returncode:
        raise RuntimeError(f"step {step} failed:\n{text[-4000:]}")
    facts = json.loads(text.strip().splitlines()[-1])
    return Measurement(
        step=step,
        seconds=round(seconds, 2),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
        # The kernel's own peak misses children, the samples miss what passes between two of them.
        peak_mib=round(max(usage.ru_maxrss / 1024, tree_peak_mib), 1),
        rows=int(facts.pop("rows")),
        facts=facts,
    )


def run_named_step(steps: Mapping[str, Callable[[Home, Mapping[str, Any]], dict[str, Any]]]) -> None:
    """`python -m MODULE STEP WORDS`: run one step; WORDS is a JSON object. What it tells is the last line."""
    name, words = sys.argv[1], json.loads(sys.argv[2])
    facts = steps[name](Home.from_environment().ensure(), words)
    print(json.dumps(facts))


class _PeakMemory(threading.Thread):
    """Samples the resident sets of a process and its children, until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stopped = threading.Event()
        self._peak_bytes = 0

    def run(self) -> None:
        try:
            root = psutil.Process(self._pid)
            while not self._stopped.wait(_SAMPLED_EVERY_SECONDS):
                processes = [root, *root.children(recursive=True)]
                self._peak_bytes = max(self._peak_bytes, sum(map(_resident_bytes, processes)))
        except psutil.NoSuchProcess:
            return  # it has ended

    def stop(self) -> float:
        """The peak in MiB."""
        self._stopped.set()
        self.join()
        return self._peak_bytes / 2**20


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def describe_machine() -> dict[str, Any]:
    """Cores, memory, versions and date, to stand beside the figures."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "memory_limit": MEMORY_LIMIT,
        "memory_limit_by_hand": BY_HAND_MEMORY_LIMIT,
        # More than the cores at the start: others worked beside the measurement, and its wall times are too long.
        "load_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "system": platform.system(),
        **{name: version(name) for name in MEASURED_PACKAGES},
    }
