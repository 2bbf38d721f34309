"""What the documents name is there: models, seeds, commands, files, and feed files that load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.main import app
from ingestion.feed import load_feeds
from settings.home import Home

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = {"bench/README.md"}  # `python -m bench --readme` writes it
MODEL_NAME = re.compile(
    r"`(?:(?:stg|int|fct|dim|quality)_[a-z0-9_]*[a-z0-9]|mart_(?!catalogue)[a-z0-9_]+)[.`]"
)
SEED_NAME = re.compile(r"`([a-z_]+)` seed")
CODE = re.compile(r"```\n(.*?)```|(`[^`\n]+`)", re.DOTALL)
COMMAND = re.compile(r"^`?tillhouse ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)\)")
FEED_FILE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_models_and_seeds_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    models = {path.stem for path in (ROOT / "models").rglob("*.sql")}
    seeds = {path.stem for path in (ROOT / "seeds").glob("*.csv")}
    assert {name.strip("`.") for name in MODEL_NAME.findall(text)} <= models
    assert set(SEED_NAME.findall(text)) <= seeds


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    lost = {target for target in targets if not (document.parent / target).exists()}
    assert lost <= GENERATED


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_commands_that_a_document_names_exist(document: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    code = CODE.findall(document.read_text(encoding="utf-8"))
    for name, word in COMMAND.findall("\n".join(block or inline for block, inline in code)):
        assert name in commands
        below = getattr(commands[name], "commands", None)
        assert below is None or not word or word in below


@pytest.mark.parametrize("document", ["README.md", "docs/guides/feed-files.md"])
def test_feed_files_of_the_documents_load(document: str, tmp_path: Path) -> None:
    found = FEED_FILE.findall((ROOT / document).read_text(encoding="utf-8"))
    assert found
    for number, text in enumerate(found):
        path = tmp_path / f"{number}.yml"
        path.write_text(text, encoding="utf-8")
        assert load_feeds(path, Home(tmp_path / "home"))
