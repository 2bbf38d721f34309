"""One step in one process, with the operating system's own account of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from settings.home import HOME_VARIABLE, PROJECT_ROOT

MEASURED_PACKAGES = ("duckdb", "dbt-core", "dbt-duckdb", "dagster", "pyarrow")


@dataclass(frozen=True)
class Measurement:
    """What one step took.

    `seconds` is wall time, `cpu_seconds` user and system time of the process and its children, `peak_mib`
    the largest resident set in MiB, `rows` what the step worked through (order lines, or rows published).
    """

    step: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    rows: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rows_per_second": round(self.rows / self.seconds) if self.seconds else 0}


def measure_step(step: str, home: Path, *, orders: int) -> Measurement:
    """Run `bench.steps` for one step in a child process and account for it.

    Raises:
        RuntimeError: when the step failed; its output is in the message.
    """
    home.mkdir(parents=True, exist_ok=True)
    output = home.parent / f"{step}.out"
    environment = {**os.environ, HOME_VARIABLE: str(home), "DBT_PROFILES_DIR": str(PROJECT_ROOT)}
    started = time.monotonic()
    with output.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.steps", step, str(orders)],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=PROJECT_ROOT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    text = output.read_text("utf-8", "replace")
    if child.returncode:
        raise RuntimeError(f"step {step} failed:\n{text[-4000:]}")
    said = json.loads(text.strip().splitlines()[-1])
    return Measurement(
        step=step,
        seconds=round(seconds, 2),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024, 1),
        rows=int(said["rows"]),
    )


def describe_machine() -> dict[str, Any]:
    """Cores, memory, versions and date, to stand beside the figures."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.system(),
        **{name: version(name) for name in MEASURED_PACKAGES},
    }
