"""What validating one large file costs on Spark, against Spark's own typed CSV → parquet of the same file.

`python -m bench.spark --lines 3000000` (needs Java and requirements-engines.lock). Both sides take turns in one session
with two cores, after one turn each that is not counted, so starting and warming up are on neither side.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil

from bench.measure import describe_machine
from bench.validation_steps import FEED, FILE_NAME, inspected, step_write_lines
from ingestion.engines.spark import SparkEngine
from ingestion.engines.spark_session import SparkSettings
from settings.home import Home

PLAIN_SCHEMA = (
    "order_number string, line_number string, sku string, "
    "quantity decimal(18,4), unit_price decimal(18,4), line_discount decimal(18,4)"
)
Cost = tuple[float, float]  # seconds, CPU seconds of this process and the JVM


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=3_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="tillhouse-bench-"))
    try:
        measure(Home(scratch).ensure(), lines=asked.lines, repeats=asked.repeats)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(home: Home, *, lines: int, repeats: int) -> None:
    """Take turns and print the medians."""
    step_write_lines(home, {"lines": lines})
    settings = SparkSettings("local[2]", {"spark.driver.memory": "2g"})
    with closing(SparkEngine(home.root / "work", home.root / "scratch", settings=settings)) as engine:

        def validate() -> None:
            with inspected(home) as request:
                engine.validate(request)

        def plain() -> None:
            reader = engine.session().read.schema(PLAIN_SCHEMA).option("header", "true")
            frame = reader.csv(f"file://{home.landing / FEED / FILE_NAME}")
            frame.write.mode("overwrite").parquet(f"file://{home.root / 'plain'}", compression="snappy")

        taken: dict[str, list[Cost]] = {"plain typed CSV to parquet": [], "pre-flight and validation": []}
        for turn in range(repeats + 1):
            for name, work in zip(taken, (plain, validate), strict=True):
                cost = _cost(work)
                if turn:
                    taken[name].append(cost)
    print(", ".join(f"{name} {value}" for name, value in describe_machine().items()))
    medians = {name: tuple(map(statistics.median, zip(*costs, strict=True))) for name, costs in taken.items()}
    for name, (seconds, cpu) in medians.items():
        print(f"{name}: {seconds:.1f} s, {cpu:.1f} CPU s, {lines / seconds:,.0f} rows/s")
    (plain_seconds, plain_cpu), (seconds, cpu) = medians.values()
    print(
        f"validation ÷ plain: {seconds / plain_seconds:.2f} of the time, {cpu / plain_cpu:.2f} of the CPU seconds"
    )


def _cost(work: Callable[[], None]) -> Cost:
    started, cpu = time.monotonic(), _cpu_seconds()
    work()
    return time.monotonic() - started, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(spent.user + spent.system for spent in times))


if __name__ == "__main__":
    main()
