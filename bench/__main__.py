"""`python -m bench --orders N`: measure each step in a process of its own and write what came out.

Every step runs once in a fresh process, so its peak memory and CPU time are its own; the two ways of the
whole run (under Dagster, and the same steps without it) run in turn, each on a fresh home, and are compared
as a ratio, since machines differ and share.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from bench.measure import Measurement, describe_machine, measure_step
from bench.report import write_report

FOLDER = Path(__file__).parent
STEPS = ("generate", "ingest", "build_models", "build_with_tests", "publish")


def main(arguments: list[str] | None = None) -> None:
    """Parse the words, measure, print the table, write JSON and, where asked, bench/README.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="orders of the sample (both systems)")
    parser.add_argument("--pairs", type=int, default=1, help="how often the two whole runs are paired")
    parser.add_argument("--folder", type=Path, help="where the data goes (default: a temporary folder)")
    parser.add_argument("--readme", action="store_true", help="also write bench/README.md from all results")
    words = parser.parse_args(arguments)

    scratch = Path(tempfile.mkdtemp(prefix="tillhouse-bench-", dir=words.folder))
    try:
        measurements = measure_all(scratch, orders=words.orders, pairs=words.pairs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result = {
        "machine": describe_machine(),
        "orders": words.orders,
        "steps": [measurement.as_dict() for measurement in measurements],
    }
    path = FOLDER / "results" / f"{words.orders}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(write_report([result]))
    if words.readme:
        everything = [json.loads(found.read_text("utf-8")) for found in path.parent.glob("*.json")]
        everything.sort(key=lambda found: int(found["orders"]))
        (FOLDER / "README.md").write_text(write_report(everything), encoding="utf-8")


def measure_all(scratch: Path, *, orders: int, pairs: int) -> list[Measurement]:
    """All steps on one home, then the two whole runs in turn on fresh ones."""
    home = scratch / "home"
    measurements = [measure_step(step, home, orders=orders) for step in STEPS]
    with_dagster: list[Measurement] = []
    without: list[Measurement] = []
    for _ in range(pairs):
        for step, kept in (("run_without_dagster", without), ("run_with_dagster", with_dagster)):
            other = scratch / step
            shutil.rmtree(other, ignore_errors=True)
            other.mkdir()
            (other / "landing").symlink_to(home / "landing")
            kept.append(measure_step(step, other, orders=orders))
            shutil.rmtree(other)
    measurements += [_median(without), _median(with_dagster)]
    return measurements


def _median(measurements: list[Measurement]) -> Measurement:
    ordered = sorted(measurements, key=lambda measurement: measurement.seconds)
    middle = ordered[len(ordered) // 2]
    return Measurement(
        step=middle.step,
        seconds=statistics.median(measurement.seconds for measurement in measurements),
        cpu_seconds=statistics.median(measurement.cpu_seconds for measurement in measurements),
        peak_mib=max(measurement.peak_mib for measurement in measurements),
        rows=middle.rows,
    )


if __name__ == "__main__":
    main()
