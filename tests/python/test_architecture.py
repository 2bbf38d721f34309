"""Imports go downwards only, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A room may import itself and these, and nothing else of ours.
MAY_IMPORT = {
    "settings": set(),
    "sample_data": {"settings"},
    "ingestion": {"settings"},
    "serving": {"settings"},
    "orchestration": {"serving", "ingestion", "settings"},
    "cli": {"orchestration", "serving", "ingestion", "sample_data", "settings"},
}
# Whole libraries that a room must not know of.
MUST_NOT_KNOW = {
    "settings": {"dagster", "dbt", "duckdb"},
    "sample_data": {"dagster", "dbt", "duckdb"},
    "ingestion": {"dagster", "dbt"},
    "serving": {"dagster"},
}


def imported_roots(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name, so that this test can see the direction"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_downwards_only(room: str) -> None:
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules, f"{room}/ holds no module"
    forbidden = (set(MAY_IMPORT) - {room} - MAY_IMPORT[room]) | MUST_NOT_KNOW.get(room, set())
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules
        for name in imported_roots(path)
        if name in forbidden or (name.startswith("dagster_") and "dagster" in forbidden)
    }
    assert not found


def test_every_package_of_the_project_has_a_place_in_the_order() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests"}
    assert packages == set(MAY_IMPORT)
