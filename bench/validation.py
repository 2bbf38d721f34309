"""What validating one large file costs, against one statement by hand and against plain typed parquet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures import median_of, ratio
from bench.measure import Measurement, Told, measure_step
from bench.validation_steps import BY_HAND, PLAIN

MODULE = "bench.validation_steps"
LABELS = {
    "preflight": "pre-flight alone",
    "validate": "pre-flight, contract, quarantine, bronze",
    BY_HAND: "one statement by hand",
    PLAIN: "plain typed CSV to parquet",
}


def measure_validation(scratch: Path, *, lines: int, repeats: int, tell: Told) -> dict[str, Any]:
    """Validate a file of so many order lines in turn with the statements by hand; medians of CPU seconds.

    Raises:
        RuntimeError: when a step failed, or the statement by hand judges a row differently.
    """
    home = scratch / "validation"
    written = tell(measure_step("write_lines", home, module=MODULE, lines=lines))
    taken: dict[str, list[Measurement]] = {name: [] for name in LABELS}
    for turn in range(repeats):
        for name, found in taken.items():
            if name == "validate":
                shutil.rmtree(home / "bronze", ignore_errors=True)
            by_hand = name in {BY_HAND, PLAIN}
            words = {"statement": name} if by_hand else {}
            step = "by_hand" if by_hand else name
            found.append(tell(measure_step(step, home, module=MODULE, **words)))
        if turn == 0:
            tell(measure_step("compare", home, module=MODULE))
    shutil.rmtree(home)
    return {
        "lines": lines,
        "megabytes": written.facts["megabytes"],
        "steps": {name: _median(found).as_dict() for name, found in taken.items()},
    }


def validation_section(result: Mapping[str, Any]) -> list[str]:
    """The figures as Markdown."""
    measured = result["validation"]
    steps = measured["steps"]
    cpu = {name: step["facts"]["work_cpu_seconds"] for name, step in steps.items()}
    return [
        f"## Validation of {measured['lines']:,} order lines ({measured['megabytes']:,} MB)",
        "",
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["machine"].items()),
        "",
        "| step | seconds | CPU seconds | peak MiB |",
        "|---|---:|---:|---:|",
        *(
            f"| {label} | {steps[name]['facts']['work_seconds']:.1f} | {cpu[name]:.1f} "
            f"| {steps[name]['peak_mib']:,.0f} |"
            for name, label in LABELS.items()
        ),
        "",
        "| figure | value |",
        "|---|---|",
        f"| validation ÷ one statement by hand, CPU seconds | {_number(ratio(cpu['validate'], cpu[BY_HAND]))} |",
        f"| validation ÷ plain typed CSV to parquet, CPU seconds | {_number(ratio(cpu['validate'], cpu[PLAIN]))} |",
        f"| pre-flight, MB per CPU second | {steps['preflight']['facts']['megabytes_per_cpu_second']:,} |",
        "",
    ]


def _median(found: list[Measurement]) -> Measurement:
    """The middle one by CPU seconds of the work, with the highest peak."""
    ordered = sorted(found, key=lambda measurement: measurement.facts["work_cpu_seconds"])
    return Measurement(
        **{
            **vars(median_of(found)),
            "facts": ordered[len(ordered) // 2].facts,
        }
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
