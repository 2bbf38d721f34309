"""What very many small files in one landing folder cost: the run that loads them, and the one that finds nothing new.

`python -m bench.small_files --files 100000`. Each run is a process of its own, and is the loader alone: no models.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from bench.measure import Measurement, describe_machine, measure_step
from bench.small_files_steps import ORDERS_OF_A_FILE

MODULE = "bench.small_files_steps"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    scratch = Path(tempfile.mkdtemp(prefix="tillhouse-bench-"))
    try:
        measure_step("write_files", scratch / "home", module=MODULE, files=files)
        first = measure_step("load", scratch / "home", module=MODULE, files=files)
        second = measure_step("load", scratch / "home", module=MODULE, files=0)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(", ".join(f"{name} {value}" for name, value in describe_machine().items()))
    print(_line(f"{files:,} files of {ORDERS_OF_A_FILE} orders", first))
    print(f"  {first.cpu_seconds / files * 1000:.1f} CPU ms a file")
    print(_line("the run after it, with nothing new", second))


def _line(label: str, measured: Measurement) -> str:
    return f"{label}: {measured.seconds:.1f} s, {measured.cpu_seconds:.1f} CPU s, {measured.peak_mib:,.0f} MiB at most"


if __name__ == "__main__":
    main()
