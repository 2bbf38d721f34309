"""Small files for the validation program, and what comes out of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion.bronze import accepted_rows, checked_path, quarantine_rows
from ingestion.contract import load_contracts
from ingestion.engines.base import EntityOutcome, Lineage, ValidationRequest
from ingestion.engines.duckdb import DuckDBEngine
from ingestion.feed import Feed, load_feeds
from ingestion.file_facts import FileFacts
from ingestion.tokens import TokenKey
from settings.home import Home

SECRET = b"a key for tests"
ARRIVED = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Checked:
    """The outcome of one file and entity, with its rows as the loader would take them."""

    outcome: EntityOutcome
    accepted: list[dict[str, Any]]
    quarantined: list[dict[str, Any]]
    request: ValidationRequest

    def rules(self) -> list[tuple[int, str, str | None]]:
        """(row number, rule, column) of the quarantined rows, by row number."""
        return [(row["row_number"], row["rule"], row["column_name"]) for row in self.quarantined]

    def values(self, column: str) -> list[Any]:
        return [row[column] for row in self.accepted]

    def by_row(self) -> dict[int, dict[str, Any]]:
        return {row["_row_number"]: row for row in self.accepted}


def write_feed(home: Home, entity: str, **settings: Any) -> Feed:
    """A feed with one entity; `columns` and `exclude` belong to the entity, `entities` replaces both."""
    entities = settings.pop("entities", None) or [
        {
            "entity": entity,
            "columns": settings.pop("columns", {}),
            "exclude": settings.pop("exclude", {}),
        }
    ]
    content = {
        "company": "testers",
        "feeds": [{"name": "tested", "location": "file://landing", "entities": entities, **settings}],
    }
    home.ensure()
    path = home.root / "feed.yml"
    # JSON is YAML; numbers and switches become text on the way in.
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_feeds(path, home)[0]


def csv_bytes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def facts_of(path: Path, content: bytes, feed: Feed, **known: Any) -> FileFacts:
    """Facts with nothing known but the header: every flag says that it may happen."""
    header = None
    if feed.header and feed.format in {"csv", "whitespace"}:
        first = content.decode("utf-8", "replace").splitlines()[0]
        if feed.format == "whitespace":
            cells = first.split()
        elif len(feed.delimiter) > 1:
            cells = first.split(feed.delimiter)
        else:
            cells = next(csv.reader([first], delimiter=feed.delimiter))
        header = tuple(cell.strip() for cell in cells)
    facts = FileFacts(
        path=path,
        object_name=path.name,
        content_sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        modified_at=ARRIVED,
        header=header,
        delimiter_max=max((line.count(feed.delimiter.encode()) for line in content.split(b"\n")), default=0),
    )
    return replace(facts, **known)


def request_for(
    home: Home, feed: Feed, path: Path, facts: FileFacts, entity: str | None = None
) -> ValidationRequest:
    """What the service would ask the engine for this file."""
    feed_entity = next(e for e in feed.entities if entity in {None, e.entity})
    contract = load_contracts()[feed_entity.entity]
    lineage = Lineage(
        feed=feed.name,
        business_timezone=feed.business_timezone,
        batch_id="batch-1",
        load_sequence=7,
        source_file=facts.object_name,
        file_sha256=facts.content_sha256,
        ingested_at=datetime(2026, 6, 2, 3, 4, 5, tzinfo=UTC),
        contract_version=contract.version,
        delivery_mode=feed.delivery_mode,
        arrived_at=facts.arrived_at,
        run_id="run-1",
    )
    target = checked_path(home, feed.name, "batch-1", contract.entity)
    return ValidationRequest(replace(facts, path=path), feed, feed_entity, contract, lineage, target)


def check(
    home: Home,
    feed: Feed,
    content: bytes,
    *,
    entity: str | None = None,
    facts: Mapping[str, Any] | None = None,
    engine: DuckDBEngine | None = None,
) -> Checked:
    """Run one file through the program and hold it to the conservation of rows."""
    path = home.root / "delivery.dat"
    path.write_bytes(content)
    request = request_for(home, feed, path, facts_of(path, content, feed, **(facts or {})), entity)
    contract = request.contract
    own = engine or DuckDBEngine(token_key=TokenKey.from_secret(SECRET), threads=2)
    try:
        outcome = own.validate(request)
    finally:
        if engine is None:
            own.close()
    parts = outcome.rows_accepted + outcome.rows_quarantined + outcome.rows_duplicate + outcome.rows_excluded
    assert outcome.rows_read == parts, "conservation: every row read is somewhere"
    accepted = _rows(accepted_rows(contract, outcome.checked_path, request.lineage))
    quarantined = _rows(quarantine_rows(contract, outcome.checked_path, request.lineage))
    assert len(accepted) == outcome.rows_accepted
    assert len(quarantined) == outcome.rows_quarantined
    for column, total in outcome.control_totals.items():
        assert sum((row[column] for row in accepted if row[column] is not None), start=0) == total
    for column, empty in outcome.null_counts.items():
        assert sum(row[column] is None for row in accepted) == empty
    return Checked(outcome, accepted, quarantined, request)


def _rows(statement: Any) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        relation = connection.execute(statement.sql, dict(statement.parameters))
        names = [column[0] for column in relation.description]
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    order = "_row_number" if "_row_number" in names else "row_number"
    return sorted(rows, key=lambda row: row[order])
