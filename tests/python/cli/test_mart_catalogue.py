"""docs/marts.md says what the contracts of the marts say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SampleRun

from orchestration import mart_catalogue
from orchestration.mart_catalogue import PAGE, is_mart, write_catalogue

STALE = "docs/marts.md is not what the models say: run `python -m orchestration.mart_catalogue`"


@pytest.fixture(scope="module")
def manifest(sample_run: SampleRun) -> Mapping[str, Any]:
    """Of the project as it was built."""
    found: dict[str, Any] = json.loads(
        (sample_run.home.dbt_target / "manifest.json").read_text(encoding="utf-8")
    )
    return found


def mart(name: str, subject: str = "revenue", **changes: Any) -> dict[str, Any]:
    columns = {
        "order_id": {"name": "order_id", "data_type": "varchar", "description": "The order's\n  id."},
        "state": {"name": "state", "data_type": "varchar", "description": "open|closed"},
    }
    return {
        "resource_type": "model", "name": name, "fqn": ["tillhouse", "marts", subject, name], "access": "public",
        "description": "One row per\norder.", "columns": columns, **changes,
    }  # fmt: skip


def test_the_page_in_the_repository_is_what_the_models_say(manifest: Mapping[str, Any]) -> None:
    assert PAGE.is_file(), STALE
    assert PAGE.read_text(encoding="utf-8") == write_catalogue(manifest), STALE


def test_every_mart_and_every_column_is_described_and_typed(manifest: Mapping[str, Any]) -> None:
    marts = [node for node in manifest["nodes"].values() if is_mart(node)]
    assert len(marts) > 20
    poor = [node["name"] for node in marts if not node["description"].startswith("One row per ")]
    poor += [
        f"{node['name']}.{column['name']}"
        for node in marts
        for column in node["columns"].values()
        if not column["description"].strip() or not column["data_type"]
    ]
    assert poor == []


def test_the_page_lists_what_readers_find_in_the_published_file(
    manifest: Mapping[str, Any], sample_run: SampleRun
) -> None:
    published = sample_run.query(
        "select table_name, list(column_name order by ordinal_position) from duckdb_columns()"
        " join information_schema.columns using (table_name, column_name)"
        " where duckdb_columns.schema_name = 'marts' and table_schema = 'marts' group by all order by 1"
    )
    sections = write_catalogue(manifest).split("\n### ")[1:]
    listed = {
        section.splitlines()[0]: [
            line.split(" | ")[0].removeprefix("| ")
            for line in section.splitlines()
            if line.startswith("| ") and not line.startswith("| column |")
        ]
        for section in sections
    }
    assert listed == dict(published)


def test_one_section_a_subject_one_line_a_column_and_bars_do_not_break_the_table() -> None:
    nodes = [
        mart("fct_orders", "sales"),
        mart("fct_days"),
        mart("fct_bridge"),
        mart("fct_private", access="protected"),
        mart("stg_orders", fqn=["tillhouse", "staging", "store", "stg_orders"]),
        mart("a_test", resource_type="test"),
    ]
    page = write_catalogue({"nodes": {node["name"]: node for node in nodes}})
    headings = [line for line in page.splitlines() if line.startswith("##")]
    assert headings == ["## Revenue", "### fct_bridge", "### fct_days", "## Sales", "### fct_orders"]
    assert "| order_id | varchar | The order's id. |" in page
    assert "| state | varchar | open\\|closed |" in page
    assert "One row per order." in page
    assert page.endswith("|\n")


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Parsed:
        def __init__(self, *_: object) -> None:
            pass

        def parse(self) -> Mapping[str, Any]:
            return {"nodes": {"fct_orders": mart("fct_orders")}}

    monkeypatch.setattr(mart_catalogue, "DbtRunner", Parsed)
    mart_catalogue.main(tmp_path / "marts.md")
    assert "### fct_orders" in (tmp_path / "marts.md").read_text(encoding="utf-8")
