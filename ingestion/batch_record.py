"""The record beside the parquet of one delivery: all that is needed to load it again, without its landing file.

`batch.json` holds the ledger entry, and per entity the lineage and the counts. With it bronze is complete: a
rejected delivery can be accepted, a loaded one replayed, and a lost warehouse rebuilt under the same numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingestion.engines.base import DriftEvent, EntityOutcome, Lineage
from ingestion.ledger import LedgerEntry
from settings.errors import DataRejectedError

RECORD_NAME = "batch.json"
FORM = 1


@dataclass(frozen=True)
class EntityRecord:
    """One entity of the delivery."""

    entity: str
    lineage: Lineage
    outcome: EntityOutcome


@dataclass(frozen=True)
class BatchRecord:
    """One delivery as it was validated; one that only repeats another has no entities.

    `fingerprint` is that of the feed and the contracts that all of its rows were judged by.
    """

    entry: LedgerEntry
    entities: tuple[EntityRecord, ...]
    company: str = ""
    fingerprint: str = ""


def record_path(folder: Path) -> Path:
    """Where a bronze folder has its record."""
    return folder / RECORD_NAME


def record_text(record: BatchRecord) -> str:
    """The record as it is written."""
    return json.dumps(_plain(record))  # on one line: with indents it takes five times as long


def write_record(folder: Path, record: BatchRecord) -> None:
    """Write the record whole or not at all. The parquet files that it describes are on disk already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = record_path(folder)
    unfinished = folder / f".{RECORD_NAME}.tmp"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(record_text(record))
        stream.flush()
        os.fsync(descriptor)
    unfinished.replace(path)


def read_record(folder: Path) -> BatchRecord:
    """The record of a bronze folder.

    Raises:
        DataRejectedError: when it is not there or not readable (rule `bronze`).
    """
    try:
        content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        if content["form"] != FORM:
            raise ValueError(f"form {content['form']}")  # noqa: TRY301  (told below, like every other misfit)
        return BatchRecord(
            entry=LedgerEntry(**_typed(LedgerEntry, content["entry"])),
            entities=tuple(_entity(folder, entity) for entity in content["entities"]),
            company=content.get("company", ""),
            fingerprint=content.get("fingerprint", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataRejectedError(
            f"the bronze copy in {folder.name} is not complete ({type(error).__name__})",
            remedy="deliver the file again under its name and run",
            rule="bronze",
        ) from error


def _plain(record: BatchRecord) -> dict[str, Any]:
    return {
        "form": FORM,
        "company": record.company,
        "fingerprint": record.fingerprint,
        "entry": _json_values(vars(record.entry)),
        "entities": [
            {
                "entity": entity.entity,
                "lineage": _json_values(vars(entity.lineage)),
                "outcome": _json_values(
                    {**vars(entity.outcome), "checked_path": entity.outcome.checked_path.name}
                ),
            }
            for entity in record.entities
        ],
    }


def _json_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_values(item) for item in value]
    if isinstance(value, DriftEvent):
        return vars(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value


def _typed(model: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn back the texts of the fields that hold times."""
    times = {field.name for field in fields(model) if "datetime" in str(field.type)}
    return {
        name: datetime.fromisoformat(value) if name in times and value is not None else value
        for name, value in values.items()
    }


def _entity(folder: Path, content: Mapping[str, Any]) -> EntityRecord:
    outcome = _typed(EntityOutcome, content["outcome"])
    outcome["control_totals"] = {name: Decimal(text) for name, text in outcome["control_totals"].items()}
    outcome["drift"] = tuple(DriftEvent(**event) for event in outcome["drift"])
    outcome["columns"] = tuple(outcome.get("columns", ()))
    outcome["checked_path"] = folder / outcome["checked_path"]
    return EntityRecord(
        entity=content["entity"],
        lineage=Lineage(**_typed(Lineage, content["lineage"])),
        outcome=EntityOutcome(**outcome),
    )
