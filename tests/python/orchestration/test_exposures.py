"""models/exposures.yml is what dashboards, report and API say, and Dagster shows lineage from a file to a chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from conftest import SAMPLE_FEEDS, SampleRun

from ingestion.feed import load_feeds
from orchestration import exposures as module
from orchestration.definitions import build_definitions
from orchestration.exposures import PAGE, exposures, group_owners, write_exposures
from serving.dashboards.definitions import load_dashboards
from serving.semantic.catalogue import read_catalogue
from settings.home import Home

STALE = "models/exposures.yml is not what the faces say: run `python -m orchestration.exposures`"


@pytest.fixture(scope="module")
def semantic_manifest(sample_run: SampleRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (sample_run.home.dbt_target / "semantic_manifest.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="module")
def manifest(sample_run: SampleRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (sample_run.home.dbt_target / "manifest.json").read_text(encoding="utf-8")
    )
    return found


def test_the_file_in_the_repository_is_what_the_faces_say(semantic_manifest: dict[str, Any]) -> None:
    found = exposures(read_catalogue(semantic_manifest), load_dashboards())
    assert PAGE.read_text(encoding="utf-8") == write_exposures(found, group_owners()), STALE


def test_each_dashboard_the_report_and_the_api_are_exposures_with_owner_maturity_and_address() -> None:
    listed = yaml.safe_load(PAGE.read_text(encoding="utf-8"))["exposures"]
    names = [one["name"] for one in listed]
    assert names == [*(f"dashboard_{one.name}" for one in load_dashboards()), "daily_report", "metrics_api"]
    for one in listed:
        assert one["owner"]["email"].endswith("@tillhouse.example")
        assert one["maturity"] in {"high", "medium", "low"}
        assert one.get("url", "").startswith("http://127.0.0.1:") or one["name"] == "daily_report"
        assert one["depends_on"]
    revenue = next(one for one in listed if one["name"] == "dashboard_revenue")
    assert {"ref('fct_order_items')", "ref('fct_returns')", "ref('fct_revenue_daily')"} <= set(
        revenue["depends_on"]
    )


def test_dbt_knows_them_as_readers_of_public_models(manifest: dict[str, Any]) -> None:
    assert len(manifest["exposures"]) == len(load_dashboards()) + 2
    for exposure in manifest["exposures"].values():
        for name in exposure["depends_on"]["nodes"]:
            assert manifest["nodes"][name]["access"] == "public", f"{exposure['name']} reads {name}"


def test_lineage_in_dagster_runs_from_a_file_to_a_chart(manifest: dict[str, Any], tmp_path: Path) -> None:
    graph = build_definitions(manifest, load_feeds(SAMPLE_FEEDS, Home(tmp_path))).resolve_asset_graph()
    inventory = dg.AssetKey(["faces", "dashboard_inventory_alerts"])
    upstream = dg.AssetSelection.assets(inventory).upstream().resolve(graph)
    raw = dg.AssetKey(["raw", "store_inventory"])
    assert {raw, dg.AssetKey(["marts", "mart_inventory_alerts"])} <= upstream
    assert graph.get(raw).parent_keys == {dg.AssetKey(["landing", "store_inventory"])}
    assert dg.AssetKey(["raw", "store_customers"]) not in upstream
    node = graph.get(inventory)
    assert node.group_name == "faces"
    assert node.owners == ["inventory-planning@tillhouse.example"]
    assert not node.is_executable


def test_an_owner_without_a_group_is_an_error(semantic_manifest: dict[str, Any]) -> None:
    dashboard = load_dashboards()[0].model_copy(update={"owner": "Nobody"})
    with pytest.raises(KeyError, match="Nobody"):
        write_exposures(exposures(read_catalogue(semantic_manifest), [dashboard]), group_owners())


def test_the_command_writes_the_file(
    tmp_path: Path, semantic_manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parsed:
        def __init__(self, _: object) -> None:
            self.semantic_manifest = semantic_manifest

    monkeypatch.setattr(module, "DbtRunner", Parsed)
    module.main(tmp_path / "exposures.yml")
    assert (tmp_path / "exposures.yml").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
