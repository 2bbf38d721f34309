"""models/exposures.yml, written from what the faces ask, so that lineage runs from a file to a chart.

One exposure a dashboard, one for the daily report and one for the metrics API. Each depends on the marts below its
metrics, and on the marts that it shows rows of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.semantic_manifest import for_readers
from orchestration.translator import asset_key
from serving import marts
from serving.dashboards.definitions import Dashboard, load_dashboards
from serving.report import contents as report
from serving.semantic.catalogue import Catalogue
from serving.semantic.engine import DUCKDB, SemanticEngine
from settings.home import PROJECT_ROOT, Home

PAGE = PROJECT_ROOT / "models" / "exposures.yml"
GROUPS = PROJECT_ROOT / "models" / "groups.yml"
DASHBOARDS_ADDRESS = "http://127.0.0.1:8501"
API_ADDRESS = "http://127.0.0.1:8484/openapi.json"
API_OWNER = "Analytics Engineering"
REPORT_EXPOSURE, REPORT_OWNER = "daily_report", "Revenue Analytics"
FACES_GROUP = "faces"
HEADER = """\
# Written by `python -m orchestration.exposures` from serving/dashboards/definitions and the queries of the metrics API:
# change those, and write it again.
"""


@dataclass(frozen=True)
class Exposure:
    """What somebody outside dbt makes of marts.

    Attributes:
        kind: dbt's type: dashboard, analysis or application.
        url: where it is looked at; empty where it is a file.
        owner: name of a dbt group's owner.
        reads: names of the marts.
    """

    name: str
    label: str
    kind: str
    maturity: str
    url: str
    owner: str
    description: str
    reads: frozenset[str]


def exposures(catalogue: Catalogue, dashboards: Iterable[Dashboard]) -> list[Exposure]:
    """All exposures: of the dashboards in their order, then of the report and the API."""
    found = [_dashboard(dashboard, catalogue) for dashboard in dashboards]
    found.append(
        Exposure(
            name=REPORT_EXPOSURE,
            label="Daily report",
            kind="analysis",
            maturity="high",
            url="",
            owner=REPORT_OWNER,
            description="The latest day beside others, what changed and why, and the state of the data, as one file.",
            reads=frozenset(name for query in report.QUERIES for name in query.marts)
            | _below(report.METRICS, catalogue),
        )
    )
    queries = [query for query in vars(marts).values() if isinstance(query, marts.MartQuery)]
    found.append(
        Exposure(
            name="metrics_api",
            label="Metrics API",
            kind="application",
            maturity="high",
            url=API_ADDRESS,
            owner=API_OWNER,
            description="Every metric over HTTP, for programs; cohorts, stock, locations and single customers besides.",
            reads=frozenset(name for query in queries for name in query.marts)
            | _below(catalogue.public_metrics, catalogue),
        )
    )
    return found


def write_exposures(found: Iterable[Exposure], owners: Mapping[str, Mapping[str, str]]) -> str:
    """The file.

    Args:
        owners: name → `name` and `email`.

    Raises:
        KeyError: for an owner that no dbt group has.
    """
    entries = [
        {
            "name": one.name,
            "label": one.label,
            "type": one.kind,
            "maturity": one.maturity,
            **({"url": one.url} if one.url else {}),
            "description": one.description,
            "owner": dict(owners[one.owner]),
            "depends_on": [f"ref('{name}')" for name in sorted(one.reads)],
        }
        for one in found
    ]
    text = yaml.safe_dump(
        {"version": 2, "exposures": entries}, sort_keys=False, allow_unicode=True, width=118
    )
    return f"{HEADER}{text}"


def group_owners(groups: Path = GROUPS) -> dict[str, dict[str, str]]:
    """The owners of the dbt groups by their names."""
    listed = yaml.safe_load(groups.read_text(encoding="utf-8"))["groups"]
    return {group["owner"]["name"]: group["owner"] for group in listed}


def face_assets(manifest: Mapping[str, Any]) -> list[dg.AssetSpec]:
    """Each exposure of the manifest as an asset below its marts.

    Nothing here makes them: faces ask when somebody looks.
    """
    nodes = {**manifest["nodes"], **manifest["sources"]}
    return [
        dg.AssetSpec(
            dg.AssetKey([FACES_GROUP, exposure["name"]]),
            deps=[asset_key(nodes[name]) for name in exposure["depends_on"]["nodes"]],
            group_name=FACES_GROUP,
            description=exposure["description"],
            owners=[exposure["owner"]["email"]],
            metadata={
                **({"url": dg.MetadataValue.url(exposure["url"])} if exposure.get("url") else {}),
                "maturity": exposure["maturity"],
            },
        )
        for exposure in manifest.get("exposures", {}).values()
    ]


def _dashboard(dashboard: Dashboard, catalogue: Catalogue) -> Exposure:
    rows = {mart for card in dashboard.cards for mart in (card.mart, card.drill) if mart is not None}
    metrics = {name for card in dashboard.cards for name in card.metrics}
    return Exposure(
        name=f"dashboard_{dashboard.name}",
        label=dashboard.title,
        kind="dashboard",
        maturity=str(dashboard.maturity),
        url=f"{DASHBOARDS_ADDRESS}/{'' if dashboard.order == 1 else dashboard.name}",
        owner=dashboard.owner,
        description=f"{dashboard.question} {dashboard.description}",
        reads=frozenset(rows) | _below(metrics, catalogue),
    )


def _below(metrics: Iterable[str], catalogue: Catalogue) -> frozenset[str]:
    return frozenset(table.partition(".")[2] for name in metrics for table in catalogue.metrics[name].tables)


def main(page: Path = PAGE) -> None:
    """Parse the project and write the file."""
    manifest = DbtRunner(BuildSettings(Home.from_environment())).semantic_manifest
    catalogue = SemanticEngine(for_readers(manifest, lambda schema: schema), DUCKDB).catalogue
    page.write_text(
        write_exposures(exposures(catalogue, load_dashboards()), group_owners()), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
