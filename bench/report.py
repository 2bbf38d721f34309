"""Results as the Markdown page bench/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

INTRODUCTION = """\
# Measurements

This page is written by `python -m bench --orders N --readme` (`make bench ORDERS=N` prints the same table
without writing it). Each step runs in a process of its own; seconds are wall time, CPU seconds those of the
process with its children, peak memory the largest resident set. Starting Python and importing dbt or Dagster
is part of every figure. Compare ratios within one table, not seconds across machines.

`run_without_dagster` does the same work as `run_with_dagster` (ingest, build with tests, publish) in one
process by plain calls; their ratio is what orchestration costs.
"""

LABELS = {
    "generate": "generate the files",
    "ingest": "ingest (files → raw)",
    "build_models": "build without tests",
    "build_with_tests": "build with tests",
    "publish": "publish",
    "run_without_dagster": "whole run, plain",
    "run_with_dagster": "whole run, Dagster",
}


def write_report(results: Sequence[dict[str, Any]]) -> str:
    """One section a size: machine, table, and the ratio of the two whole runs."""
    return "\n".join([INTRODUCTION, *(_section(result) for result in results)])


def _section(result: dict[str, Any]) -> str:
    machine = result["machine"]
    steps = {step["step"]: step for step in result["steps"]}
    lines = [
        f"## {result['orders']:,} orders",
        "",
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        "",
        "| step | seconds | CPU seconds | rows | rows/s | peak MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {LABELS[name]} | {step['seconds']:.1f} | {step['cpu_seconds']:.1f} | {step['rows']:,} "
        f"| {step['rows_per_second']:,} | {step['peak_mib']:,.0f} |"
        for name, step in steps.items()
    ]
    ratio = steps["run_with_dagster"]["seconds"] / steps["run_without_dagster"]["seconds"]
    tests = steps["build_with_tests"]["seconds"] / steps["build_models"]["seconds"]
    lines += [
        "",
        f"Dagster's run took {ratio:.2f} times the plain one. "
        f"The build with tests took {tests:.2f} times the build without.",
        "",
    ]
    return "\n".join(lines)
