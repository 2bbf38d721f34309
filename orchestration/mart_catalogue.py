"""docs/marts.md, written from the models' own descriptions, so that page and contract cannot differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import PROJECT_ROOT, Home

PAGE = PROJECT_ROOT / "docs" / "marts.md"
INTRODUCTION = """\
# Marts

Written by `python -m orchestration.mart_catalogue` from the models' YAML; change the text there.
Column names are the interface: they are added at the end and never change their meaning.
Money is in the reporting currency. Rates, shares and changes are fractions: 0.25 is 25 %.
"""


def write_catalogue(manifest: Mapping[str, Any]) -> str:
    """The page: one section a subject, one table a mart with its columns, types and descriptions."""
    marts = sorted(
        (node for node in manifest["nodes"].values() if is_mart(node)),
        key=lambda node: (node["fqn"][2], node["name"]),
    )
    lines = [INTRODUCTION]
    subject = ""
    for node in marts:
        if node["fqn"][2] != subject:
            subject = node["fqn"][2]
            lines.append(f"## {subject.capitalize()}\n")
        lines.extend(_mart(node))
    return "\n".join(lines).rstrip() + "\n"


def is_mart(node: Mapping[str, Any]) -> bool:
    """Whether a manifest node is a public mart."""
    return bool(node["resource_type"] == "model" and node["fqn"][1] == "marts" and node["access"] == "public")


def _mart(node: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {node['name']}\n"
    yield _one_line(node["description"]) + "\n"
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in node["columns"].values():
        meaning = _one_line(column["description"]).replace("|", "\\|")
        yield f"| {column['name']} | {column['data_type']} | {meaning} |"
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(page: Path = PAGE) -> None:
    """Parse the project and write the page."""
    manifest = DbtRunner(BuildSettings(Home.from_environment())).parse()
    page.write_text(write_catalogue(manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
