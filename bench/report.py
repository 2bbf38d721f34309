"""Results as the Markdown page bench/README.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import BELOW_FACTS, FACTS, against_hand, growth, ratio, total
from bench.validation import validation_section

INTRODUCTION = """\
# Measurements

This page is written by `python -m bench --orders N --readme` (`make bench ORDERS=N` prints the same tables
without writing it). Each step runs in a process of its own; seconds are wall time, CPU seconds those of the
process with its children, peak memory the largest resident set of the process and its children together. Starting
Python and importing dbt or Dagster is part of a step's seconds. Compare ratios within one table, not seconds across
machines.

- **By hand** is `bench/handwritten/`: SQL that makes the same public marts from the same raw tables in one session,
  without layers, contracts, tests and quality models. In the same run its tables are compared with the marts, all
  columns, equal rows one for one (as `except all` both ways); where one differs the measurement fails. It is the
  lower bound of a full build.
- **Build** is dbt without tests on a warehouse that holds raw tables only: first the public marts with all they
  read, then the quality models, which have no counterpart by hand.
- **A day** is the whole daily run: load, build, tests of the daily run, publish, from the start of the process until
  readers see it. The first day after the full build is told apart; the others are medians.
- The models have DuckDB's default memory limit of `profiles.example.yml`. The SQL by hand gets three times as much,
  since it does not spill as well.
- Times of models are dbt's own execution times, as `ops.dbt_results` has them. Each holds about 30 to 50 ms of dbt
  beside its SQL, in the day as in the full build; nothing is subtracted. On DuckDB a full build runs one model at a
  time, and a day two. What a model takes in a day is therefore told by further days, which only load and build the
  models one at a time: medians of these. On Postgres several run at a time in both, and the day is told as it is.
- **Half** is the same day after half as many orders on half as many days. The days that tell what a model takes are
  taken in turn, one on half the history and one on the whole, since a machine's speed wanders between measurements.
- **Load** on Postgres is the largest feed of order lines, from its bronze files, by the loader and by plain ADBC
  ingestion of the same rows in turn, several rounds, medians. Plain ingestion sends every column of a row; the loader
  tells the server once what is equal in all rows of a file.
- **Validation** (`--validation-lines N`) is one file of order lines up to its bronze copy, without the load. It is
  measured against `bench/handwritten/order_lines.sql`, one statement with the same casts, guards, rules and row
  numbers (the same file is compared row for row), and against the reader's own typed CSV to parquet. Python's start is
  left out of these CPU seconds.
"""

LABELS = {
    "generate": "generate the files",
    "ingest": "ingest (files → raw)",
    "build_models": "build without tests",
    "handwritten": "the same marts by hand",
    "handwritten_postgres": "the same marts by hand",
    "publish": "publish everything",
    "day": "one day, median",
    "run_without_dagster": "whole run, plain",
    "run_with_dagster": "whole run, Dagster",
}
NOT_LISTED = {"postgres_load"}  # several loads in two ways: what they come to stands among the figures
COMPARED_MARTS = 12


def write_report(results: Sequence[dict[str, Any]]) -> str:
    """One section a size: machine, steps, ratios, what grows with the history, models against hand-written SQL."""
    return "\n".join([INTRODUCTION, *(_section(result) for result in results)])


def _section(result: Mapping[str, Any]) -> str:
    if "validation" in result:
        return "\n".join(validation_section(result))
    on_postgres = result["target"] == "postgres"
    whole = result["whole"]
    plan = whole["plan"]
    lines = [
        f"## {result['orders']:,} orders{' on Postgres' if on_postgres else ''}",
        "",
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["machine"].items()),
        "",
        f"{plan['orders']:,} orders over {plan['days']:,} days, {_rows(whole, 'generate'):,} order lines in the "
        f"history; a day has about {result['day_orders']:,} orders.",
        "",
        *_steps(result),
        "",
        *(_ratios_on_postgres(whole) if on_postgres else _ratios(result)),
        "",
        *([] if on_postgres else _growth(whole, result["half"])),
        "Full build, model against the statements by hand (execution seconds):",
        "",
        "| mart | model, s | by hand, s | ratio |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {model:.2f} | {hand:.2f} | {_number(ratio(model, hand))} |"
            for name, model, hand in against_hand(whole["build_nodes"], whole["by_hand"])[:COMPARED_MARTS]
        ),
        "",
    ]
    return "\n".join(lines)


def _growth(whole: Mapping[str, Any], half: Mapping[str, Any]) -> list[str]:
    return [
        "What a day's models take one at a time, on half the history and on the whole (share: of the day's models):",
        "",
        "| model | half, s | whole, s | factor | share |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {row.name} | {row.half_seconds:.2f} | {row.whole_seconds:.2f} | {_number(row.factor)} "
            f"| {row.share:.0%} |"
            for row in growth(_models_of_a_day(half), _models_of_a_day(whole))
        ),
        "",
    ]


def _ratios_on_postgres(whole: Mapping[str, Any]) -> list[str]:
    build, hand, load = (
        _step(whole, name) for name in ("build_models", "handwritten_postgres", "postgres_load")
    )
    marts, by_hand = build["facts"]["marts_seconds"], hand["facts"]["sql_seconds"]
    facts = load["facts"]
    lines = [
        f"load of one feed ÷ plain ADBC ingestion of the same rows, rows per second | "
        f"{facts['share_of_plain']:.2f} ({facts['loader_rows_per_second']:,} ÷ {facts['plain_rows_per_second']:,})",
        f"full build of the public marts ÷ by hand | {_number(ratio(marts, by_hand))} "
        f"({marts:.1f} s ÷ {by_hand:.1f} s)",
        f"quality models | {build['facts']['quality_seconds']:.1f} s",
        *_day_lines(whole),
    ]
    return ["| figure | value |", "|---|---|", *(f"| {line} |" for line in lines)]


def _day_lines(whole: Mapping[str, Any]) -> list[str]:
    day, full = _models_of_a_day(whole), whole["build_nodes"]
    below = (*FACTS, *BELOW_FACTS)
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in whole["day_stages"].items())
    return [
        f"a day from process start to published | {_until_published(whole):.1f} s ({stages})",
        f"the first day after the full build | {whole['first_day']['facts']['until_published']:.1f} s",
        *(
            f"{name}, day ÷ full build | {_share(total(day, models), total(full, models))} "
            f"({total(day, models):.2f} s ÷ {total(full, models):.2f} s)"
            for name, models in (
                ("event and daily facts", FACTS),
                ("the same with the incremental models below them", below),
            )
        ),
    ]


def _steps(result: Mapping[str, Any]) -> list[str]:
    whole = result["whole"]
    steps = [step for step in whole["steps"] if step["step"] not in NOT_LISTED]
    steps += [_median_day(whole), *result.get("runs", [])]
    return [
        "| step | seconds | CPU seconds | rows | rows/s | peak MiB |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {LABELS[step['step']]} | {step['seconds']:.1f} | {step['cpu_seconds']:.1f} | {step['rows']:,} "
            f"| {step['rows_per_second']:,} | {step['peak_mib']:,.0f} |"
            for step in steps
        ),
    ]


def _ratios(result: Mapping[str, Any]) -> list[str]:
    whole, half = result["whole"], result["half"]
    build, hand = _step(whole, "build_models"), _step(whole, "handwritten")
    day, half_day = _models_of_a_day(whole), _models_of_a_day(half)
    marts = build["facts"]["marts_seconds"]
    facts_day = total(day, FACTS)
    below = (*FACTS, *BELOW_FACTS)
    build_fixed, day_fixed = result["fixed"]
    fixed_nodes = build_fixed["facts"]["nodes"]
    lines = [
        f"full build of the public marts ÷ by hand | {_number(ratio(marts, hand['facts']['sql_seconds']))} "
        f"({marts:.1f} s ÷ {hand['facts']['sql_seconds']:.1f} s)",
        f"the same in CPU seconds of the whole processes, quality models included "
        f"| {_number(ratio(build['cpu_seconds'], hand['cpu_seconds']))}",
        f"quality models | {build['facts']['quality_seconds']:.1f} s",
        f"peak memory of the full build | {build['peak_mib']:,.0f} MiB",
        *_day_lines(whole),
        f"facts' day, whole ÷ half of the history | {_number(ratio(facts_day, total(half_day, FACTS)))}",
        "the same with the incremental models below them "
        f"| {_number(ratio(total(day, below), total(half_day, below)))}",
        f"the whole day, whole ÷ half of the history "
        f"| {_number(ratio(_until_published(whole), _until_published(half)))}",
        f"dbt's fixed cost: a build where there is next to no data | {build_fixed['seconds']:.1f} s, of which "
        f"{total(fixed_nodes):.1f} s in {len(fixed_nodes)} models",
        f"a day where there is next to no data | {day_fixed['facts']['until_published']:.1f} s",
    ]
    runs = {step["step"]: step for step in result["runs"]}
    if runs:
        share = ratio(runs["run_with_dagster"]["seconds"], runs["run_without_dagster"]["seconds"])
        lines.append(f"whole run under Dagster ÷ plain | {_number(share)}")
    return ["| figure | value |", "|---|---|", *(f"| {line} |" for line in lines)]


def _median_day(history: Mapping[str, Any]) -> dict[str, Any]:
    days = history["days"]
    middle = sorted(days, key=lambda day: day["seconds"])[len(days) // 2]
    seconds = statistics.median(day["seconds"] for day in days)
    return {
        **middle,
        "seconds": seconds,
        "cpu_seconds": statistics.median(day["cpu_seconds"] for day in days),
        "peak_mib": max(day["peak_mib"] for day in days),
        "rows_per_second": round(middle["rows"] / seconds) if seconds else 0,
    }


def _until_published(history: Mapping[str, Any]) -> float:
    return statistics.median(float(day["facts"]["until_published"]) for day in history["days"])


def _models_of_a_day(history: Mapping[str, Any]) -> dict[str, float]:
    """One at a time on DuckDB, as they ran in the day on Postgres."""
    nodes = history.get("apart_nodes") or history["day_nodes"]
    return {name: seconds for name, seconds in nodes.items() if name != "tests"}


def _step(history: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in history["steps"] if step["step"] == name)


def _rows(history: Mapping[str, Any], step: str) -> int:
    return int(_step(history, step)["rows"])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(part: float, whole: float) -> str:
    """A part as one over a number: 1/20."""
    return f"1/{whole / part:.1f}" if part else "–"
