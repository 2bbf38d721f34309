"""docs/metrics.md, written from the semantic manifest, so that page and definitions cannot differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.semantic_manifest import for_readers
from serving.semantic.catalogue import ALL_GRAINS, MetricInfo
from serving.semantic.engine import DUCKDB, SemanticEngine
from settings.home import PROJECT_ROOT, Home

PAGE = PROJECT_ROOT / "docs" / "metrics.md"
INTRODUCTION = """\
# Metrics

Written by `python -m orchestration.metric_catalogue` from `models/semantic/` and the semantic models beside the marts;
change the text there. `tillhouse query METRIC --by …` answers from what is published, and
`tillhouse metrics explain METRIC` says the same as this page. Money is in the reporting currency. Shares and rates are
fractions: 0.25 is 25 %.

Periods are `day`, `week` (from Monday), `month`, `quarter` and `year`, by business date. A sum or count is 0 where
nothing is; a ratio is null where its denominator is 0.
"""


def write_catalogue(manifest: Mapping[str, Any]) -> str:
    """The page: the metrics of each owner, what each is made of and how it can be asked, then the dimensions."""
    engine = SemanticEngine(for_readers(manifest, lambda schema: schema), DUCKDB)
    metrics = engine.catalogue.public_metrics
    lines = [INTRODUCTION]
    for owner in sorted({metric.owner for metric in metrics.values()}):
        lines.append(f"## {owner}\n")
        for metric in metrics.values():
            if metric.owner == owner:
                lines.extend(_metric(metric, engine))
    lines += ["## Dimensions\n", "| dimension | type | meaning |", "|---|---|---|"]
    lines += [
        f"| {one.name} | {one.kind} | {'. '.join(filter(None, (one.label, one.description)))} |"
        for one in engine.catalogue.dimensions.values()
    ]
    return "\n".join(lines).rstrip() + "\n"


def _metric(metric: MetricInfo, engine: SemanticEngine) -> Iterator[str]:
    yield f"### {metric.name}\n"
    yield f"**{metric.label}** ({metric.kind}, {metric.format}). {metric.description}\n"
    yield f"- definition: `{metric.expression}`"
    parts = sorted(metric.inputs)
    if parts:
        yield "- where " + ", ".join(
            f"`{name}` = `{engine.catalogue.metrics[name].expression}`" for name in parts
        )
    yield f"- from {', '.join(f'`{table}`' for table in sorted(metric.tables))}"
    if metric.needs_grain:
        yield f"- asked by {', '.join(metric.grains)}"
    elif len(metric.grains) < len(ALL_GRAINS):
        yield f"- asked by {', '.join(metric.grains)}, or over all time"
    if metric.required_dimensions:
        yield f"- asked by {' or '.join(metric.required_dimensions)}"
    yield f"- dimensions: {', '.join(engine.dimensions_of(metric.name))}"
    yield ""


def main(page: Path = PAGE) -> None:
    """Parse the project and write the page."""
    manifest = DbtRunner(BuildSettings(Home.from_environment())).semantic_manifest
    page.write_text(write_catalogue(manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
