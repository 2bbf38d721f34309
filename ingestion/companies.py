"""Whether the feeds of two companies bring the same kind of thing, whose ids would then meet in one table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ingestion.contract import Contract, load_contracts
from ingestion.feed import Feed, FeedEntity
from ingestion.session import Session
from settings.errors import DataRejectedError

Sources = dict[str, dict[str, set[str]]]  # raw table → company → feeds


def shared_tables(session: Session, feeds: Sequence[Feed], loaded_now: Collection[str]) -> Iterator[str]:
    """A warning for every raw table into which this run loaded and which two companies have delivered to.

    Rows are told apart by their business keys alone, so the newer row of one company would replace another
    company's row of the same id.

    Args:
        feeds: of the feed files in use. Companies of other feeds in the warehouse are known from bronze.
        loaded_now: names of feeds that loaded something in this run.
    """
    if not loaded_now:
        return
    delivered: Sources = {}
    newest = {entry.feed: entry for entry in session.loader.ledger.entries() if entry.status == "loaded"}
    contracts = load_contracts()
    known = {feed.name for feed in feeds}
    for feed in feeds:
        if feed.name in newest:
            for entity in feed.entities:
                contract = contracts[entity.entity]
                if not _makes_own_ids(entity, contract):
                    _add(delivered, contract, feed.company, feed.name)
    for name, entry in newest.items():
        if name in known:
            continue
        try:
            record = session.bronze.recall(session.folder(entry))
        except DataRejectedError:
            continue
        for part in record.entities:
            if record.company and part.entity in contracts:
                _add(delivered, contracts[part.entity], record.company, name)
    for table, companies in sorted(delivered.items()):
        if len(companies) > 1 and any(feeds_of & set(loaded_now) for feeds_of in companies.values()):
            listed = "; ".join(
                f"{company} ({', '.join(sorted(names))})" for company, names in sorted(companies.items())
            )
            yield (
                f"{table} holds rows of {len(companies)} companies: {listed}. Where two of them use the same id, the"
                " newer row replaces the other company's. Give each company its own TILLHOUSE_HOME, or make the ids"
                " distinct with `compose` in the feed files"
            )


def _add(delivered: Sources, contract: Contract, company: str, feed: str) -> None:
    delivered.setdefault(contract.raw_table, {}).setdefault(company, set()).add(feed)


def _makes_own_ids(entity: FeedEntity, contract: Contract) -> bool:
    """Whether the feed makes the ids itself: by the content's hash, or of columns that its author has chosen."""
    key = contract.key or contract.replaced_by
    return any(entity.mapping(name).row_number for name in key) or bool(
        key and entity.mapping(key[0]).compose
    )
