"""`python -m bench --orders N`: measure each step in a process of its own and write what came out.

A history of N orders is loaded, built in full and built by hand (the two compare equal, or the command fails), and
published; then days of a thousandth of the orders arrive one by one. The same on half the history, so that what a day
costs is seen to follow the day or the history: further days of both are taken in turn, only loaded and built, one model
at a time. Where `--pairs` asks for it, the whole run under Dagster is paired with the same steps without it, each on a
fresh home. With `--target postgres` the history is loaded, built both ways, published and continued on a server that
the measurement starts; half, fixed cost and pairs are not measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import median_of
from bench.history import History, take_days_apart_in_turn
from bench.measure import DAY_MODULE, Measurement, describe_machine, measure_step
from bench.plans import plan_for
from bench.postgres import measure_on_postgres
from bench.report import write_report
from bench.validation import measure_validation

FOLDER = Path(__file__).parent
EMPTY_ORDERS = 100  # of the warehouse on which dbt's fixed cost is measured


def main(arguments: list[str] | None = None) -> None:
    """Parse the words, measure, print the page, write JSON and, where asked, bench/README.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="orders of the sample (both systems)")
    parser.add_argument("--day-orders", type=int, help="orders of a day (default: a thousandth)")
    parser.add_argument("--repeats", type=int, default=1, help="how often the full builds are repeated")
    parser.add_argument("--pairs", type=int, default=0, help="how often the two whole runs are paired")
    parser.add_argument(
        "--target", choices=["duckdb", "postgres"], default="duckdb", help="where it is built"
    )
    parser.add_argument(
        "--validation-lines", type=int, help="measure only what validating a file of so many lines costs"
    )
    parser.add_argument("--folder", type=Path, help="where the data goes (default: a temporary folder)")
    parser.add_argument("--readme", action="store_true", help="also write bench/README.md from all results")
    words = parser.parse_args(arguments)

    scratch = Path(tempfile.mkdtemp(prefix="tillhouse-bench-", dir=words.folder))
    if words.validation_lines:
        name = f"validation_{words.validation_lines}"
        measured = _measured_validation(scratch, lines=words.validation_lines, repeats=words.repeats)
        _write(name, measured, readme=words.readme)
        return
    day_orders = words.day_orders or max(words.orders // 1_000, 50)
    try:
        result = {
            "machine": describe_machine(),
            "orders": words.orders,
            "day_orders": day_orders,
            "target": words.target,
            **(
                {
                    "whole": measure_on_postgres(
                        scratch, plan_for(words.orders, day_orders, apart_days=0), tell=_tell
                    )
                }
                if words.target == "postgres"
                else measure_all(
                    scratch,
                    orders=words.orders,
                    day_orders=day_orders,
                    repeats=words.repeats,
                    pairs=words.pairs,
                )
            ),
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _write(f"{words.target}_{words.orders}", result, readme=words.readme)


def measure_all(scratch: Path, *, orders: int, day_orders: int, repeats: int, pairs: int) -> dict[str, Any]:
    """The whole history, half of it, a nearly empty warehouse and, where asked, the two whole runs."""
    whole = History(scratch / "whole", plan_for(orders, day_orders), tell=_tell)
    half = History(scratch / "half", plan_for(orders // 2, day_orders), tell=_tell)
    for history in (whole, half):
        _say(f"{history.plan.orders:,} orders over {history.plan.days} days")
        history.build(repeats=repeats if history is whole else 1, by_hand=history is whole)
        history.run_days()
    _say("their days apart, in turn")
    take_days_apart_in_turn([half, whole])
    for history in (whole, half):
        history.remove()
    return {
        "whole": whole.result(),
        "half": half.result(),
        "fixed": _as_dicts(measure_fixed(scratch / "empty")),
        "runs": _as_dicts(measure_runs(scratch, orders=orders, day_orders=day_orders, pairs=pairs)),
    }


def measure_fixed(folder: Path) -> list[Measurement]:
    """What a build and a day cost where there is next to no data."""
    home = folder / "home"
    plan = plan_for(EMPTY_ORDERS, 1, measured_days=1, apart_days=0)
    described = asdict(plan)
    measure_step("generate", home, plan=described, first=0, last=0)
    measure_step("day", home, module=DAY_MODULE)
    build = _tell(measure_step("build_models", home))
    measure_step("generate", home, plan=described, first=1, last=1)
    day = _tell(measure_step("day", home, module=DAY_MODULE))
    shutil.rmtree(folder)
    return [build, day]


def measure_runs(scratch: Path, *, orders: int, day_orders: int, pairs: int) -> list[Measurement]:
    """The two whole runs in turn, each on a fresh home that shares the files."""
    if not pairs:
        return []
    plan = plan_for(orders, day_orders)
    files = scratch / "files"
    measure_step("generate", files, plan=asdict(plan), first=0, last=plan.deliveries)
    kept: dict[str, list[Measurement]] = {"run_without_dagster": [], "run_with_dagster": []}
    for _ in range(pairs):
        for step, measured in kept.items():
            home = scratch / step
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / "landing").symlink_to(files / "landing")
            measured.append(_tell(measure_step(step, home)))
            shutil.rmtree(home)
    shutil.rmtree(files)
    return [median_of(measured) for measured in kept.values()]


def _measured_validation(scratch: Path, *, lines: int, repeats: int) -> dict[str, Any]:
    try:
        return {
            "machine": describe_machine(),
            "validation": measure_validation(scratch, lines=lines, repeats=repeats, tell=_tell),
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(name: str, result: dict[str, Any], *, readme: bool) -> None:
    """Keep the result, print its page, and where asked write the page of all results."""
    path = FOLDER / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(write_report([result]))
    if readme:
        everything = [json.loads(found.read_text("utf-8")) for found in path.parent.glob("*.json")]
        everything.sort(
            key=lambda found: (
                "validation" in found,
                found.get("target", ""),
                int(found.get("orders", 0)),
            )
        )
        (FOLDER / "README.md").write_text(write_report(everything), encoding="utf-8")


def _as_dicts(measurements: list[Measurement]) -> list[dict[str, Any]]:
    return [measurement.as_dict() for measurement in measurements]


def _tell(measurement: Measurement) -> Measurement:
    _say(
        f"  {measurement.step}: {measurement.seconds:.1f} s, {measurement.cpu_seconds:.1f} CPU s, "
        f"{measurement.peak_mib:,.0f} MiB"
    )
    return measurement


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
