"""What checking one file needs, alone or together with others: its facts, its lineage, its entry when it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from ingestion.batch_record import EntityRecord
from ingestion.bronze import checked_path
from ingestion.contract import Contract, load_contracts
from ingestion.discovery import Candidate
from ingestion.engines.base import EntityOutcome, Lineage, ValidationRequest
from ingestion.feed import Feed, FeedEntity
from ingestion.file_facts import FileFacts
from ingestion.landing import ObjectNotReadyError, OpenedObject
from ingestion.ledger import LedgerEntry
from ingestion.preflight import inspect_file
from ingestion.session import Session, rows_of_file


def inspect_candidate(candidate: Candidate, opened: OpenedObject, work: Path) -> FileFacts:
    """The pre-flight of a file.

    Raises:
        FileRejectedError: when the file as a whole cannot be used.
        ObjectNotReadyError: when it is not what was found.
    """
    entry = candidate.entry
    # The arrival that was recorded first counts, whatever has touched the file since.
    item = replace(candidate.item, modified_at=entry.modified_at, name=entry.object_name)
    facts = inspect_file(
        opened.stream,
        opened.path,
        candidate.feed,
        item,
        work=work,
        delivered_at=entry.delivered_at,
        manifest=candidate.manifest,
    )
    if facts.content_sha256 != entry.content_sha256:
        raise ObjectNotReadyError(entry.object_name, "changed between two readings")
    return facts


def request_of(
    session: Session, candidate: Candidate, facts: FileFacts, feed_entity: FeedEntity
) -> ValidationRequest:
    """What an engine is asked for one entity of a file."""
    feed, entry = candidate.feed, candidate.entry
    contract: Contract = load_contracts()[feed_entity.entity]
    lineage = Lineage(
        feed=feed.name,
        business_timezone=feed.business_timezone,
        batch_id=entry.batch_id,
        load_sequence=entry.load_sequence or 0,
        source_file=entry.object_name,
        file_sha256=entry.content_sha256,
        ingested_at=session.started_at,
        contract_version=contract.version,
        delivery_mode=feed.delivery_mode,
        arrived_at=entry.arrived_at,
        run_id=session.run_id,
        judged_arrival=entry.judged_arrival,
    )
    path = checked_path(session.home, feed.name, entry.batch_id, contract.entity)
    return ValidationRequest(facts, feed, feed_entity, contract, lineage, path)


def with_file_notes(request: ValidationRequest, outcome: EntityOutcome) -> EntityOutcome:
    """The outcome, with what was noted of the file before any row was read."""
    notes = {f"file:{note}": outcome.rows_read for note in request.facts.normalised}
    return replace(outcome, notes={**notes, **outcome.notes})


def checked_entry(session: Session, candidate: Candidate, entities: Sequence[EntityRecord]) -> LedgerEntry:
    """The entry of a delivery that has been checked, neither loaded nor rejected yet."""
    contracts = load_contracts()
    return replace(
        candidate.entry,
        rows_read=rows_of_file([entity.outcome for entity in entities]),
        run_id=session.run_id,
        engine=session.engine.name,
        contract_version=",".join(sorted({contracts[entity.entity].version for entity in entities})),
        bronze_paths={
            entity.entity: str(entity.outcome.checked_path.relative_to(session.home.bronze))
            for entity in entities
        },
    )


def is_over_threshold(feed: Feed, outcome: EntityOutcome) -> bool:
    """Whether an entity's bad rows are more than the feed's number AND more than its share of all rows."""
    threshold = feed.quarantine_threshold
    bad = outcome.rows_quarantined
    # As decimals: 1 % of 10,100 rows is 101 rows exactly.
    return bad > threshold.rows and bad > Decimal(str(threshold.share)) * outcome.rows_read
