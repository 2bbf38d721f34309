"""How the outcome of one delivery is put into a result and into words."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ingestion.engines.base import EntityOutcome
from ingestion.feed import Feed
from ingestion.ledger import LedgerEntry
from ingestion.report import BatchResult, ResultStatus
from settings.errors import TillhouseError

logger = logging.getLogger(__name__)


def told(error: TillhouseError) -> str:
    """The error in one line, with the next step."""
    return f"{error.problem}. What to do: {error.remedy}" if error.remedy else error.problem


def failed_result(entry: LedgerEntry, error: Exception, doing: str) -> BatchResult:
    """A fault that nobody foresaw. Its text may quote the data, so only its kind is told."""
    kind = "the disk is full" if tells_of_full_disk(error) else type(error).__name__
    logger.error("feed %s, file %r: %s failed with %s", entry.feed, entry.object_name, doing, kind)
    return result_of(
        entry,
        (),
        status="failed",
        rule="internal_error",
        message=f"{doing} broke off ({kind}); nothing of it was loaded. What to do: run again",
    )


def tells_of_full_disk(error: Exception) -> bool:
    """Whether the database says that the disk takes no more; it has no error of its own for that."""
    return "no space left on device" in str(error).lower()


def missing_result(feed: Feed, message: str) -> BatchResult:
    """A delivery that should be there and is not."""
    return BatchResult(
        "", feed.name, "", "missing", "missing_delivery", f"{message}; deliver a file to {feed.location}"
    )


def result_of(
    entry: LedgerEntry,
    outcomes: Sequence[EntityOutcome],
    *,
    status: ResultStatus | None = None,
    rule: str | None = None,
    message: str | None = None,
    seconds: float = 0.0,
) -> BatchResult:
    """The result that a ledger entry and the counts of its entities make; what is given outranks the entry."""
    return BatchResult(
        batch_id=entry.batch_id,
        feed=entry.feed,
        object_name=entry.object_name,
        status=status or ("failed" if entry.status == "pending" else entry.status),
        rule=rule or entry.rule,
        message=message or entry.message,
        rows_read=sum(outcome.rows_read for outcome in outcomes),
        rows_accepted=sum(outcome.rows_accepted for outcome in outcomes),
        rows_quarantined=sum(outcome.rows_quarantined for outcome in outcomes),
        rows_duplicate=sum(outcome.rows_duplicate for outcome in outcomes),
        rows_excluded=sum(outcome.rows_excluded for outcome in outcomes),
        rows_conflicting=sum(outcome.rows_conflicting for outcome in outcomes),
        seconds=seconds,
    )
