"""Which tables are published and which columns they have, read from the models' YAML: no parse, no build."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

MODELS = Path(__file__).resolve().parents[3] / "models"


@cache
def published_columns() -> MappingProxyType[tuple[str, str], tuple[str, ...]]:
    """(schema, table) → its columns, of every model of the marts and of quality that has a contract."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for layer in ("marts", "quality"):
        for path in sorted((MODELS / layer).rglob("*.yml")):
            content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for model in content.get("models", []):
                if not model["name"].startswith("int_"):
                    columns = tuple(column["name"] for column in model.get("columns", []))
                    found[f"published_{layer}", model["name"]] = columns
    return MappingProxyType(found)
