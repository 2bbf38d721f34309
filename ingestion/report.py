"""What an ingestion run did: one result per file that something happened to, and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

# `missing`: a required delivery that did not come. `failed`: work on the file broke off; its ledger entry stays
# `pending` and the next run takes it up again.
# `waiting`: the file was not ready and is left for the next run.
ResultStatus = Literal["loaded", "rejected", "duplicate", "withdrawn", "missing", "failed", "waiting"]


@dataclass(frozen=True)
class BatchResult:
    """What became of one delivery. `seconds` is the time spent on it; counts are rows over all its entities.

    `rows_released` were in quarantine before and are no more.
    """

    batch_id: str
    feed: str
    object_name: str
    status: ResultStatus
    rule: str | None = None
    message: str | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    rows_excluded: int = 0
    rows_conflicting: int = 0
    rows_released: int = 0
    seconds: float = 0.0

    @property
    def is_conserved(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.rows_read == (
            self.rows_accepted + self.rows_quarantined + self.rows_duplicate + self.rows_excluded
        )


@dataclass(frozen=True)
class WaitingFile:
    """A file that was left for the next run, and why."""

    feed: str
    object_name: str
    reason: str


@dataclass(frozen=True)
class IngestionReport:
    """What one call did.

    Attributes:
        files_seen: files that match a feed and are finished.
        files_loaded, files_rejected: files that were loaded or rejected by this call.
        files_duplicate: files whose content had been delivered before: nothing was done.
        rows_*: sums over the files that were loaded by this call.
        batches: deliveries that something happened to, in the order it happened.
        blocking: deliveries that must stop publication: rejected or missing files of `required` feeds, and
            files on which the work broke off.
        waiting: files left for the next run.
        warnings: what a person should know, in words.
    """

    files_seen: int = 0
    files_loaded: int = 0
    files_duplicate: int = 0
    files_rejected: int = 0
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    rows_excluded: int = 0
    batches: list[BatchResult] = field(default_factory=list)
    blocking: list[BatchResult] = field(default_factory=list)
    waiting: list[WaitingFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_conserved(self) -> bool:
        """Whether every row of every loaded file is accounted for."""
        return all(batch.is_conserved for batch in self.batches if batch.status == "loaded")

    @property
    def batch_ids(self) -> list[str]:
        """Ids of the loaded deliveries."""
        return [batch.batch_id for batch in self.batches if batch.status == "loaded"]

    def summary(self) -> str:
        """One sentence for a log."""
        return (
            f"{self.files_loaded} of {self.files_seen} files loaded, {self.files_duplicate} known before,"
            f" {self.files_rejected} rejected, {len(self.waiting)} left for the next run;"
            f" rows: {self.rows_read} read, {self.rows_accepted} accepted, {self.rows_quarantined} quarantined,"
            f" {self.rows_duplicate} repeated, {self.rows_excluded} excluded"
        )


def summarise(
    batches: Sequence[BatchResult],
    *,
    files_seen: int,
    files_duplicate: int,
    blocking: Sequence[BatchResult] = (),
    waiting: Sequence[WaitingFile] = (),
    warnings: Sequence[str] = (),
) -> IngestionReport:
    """The report over these results."""
    loaded = [batch for batch in batches if batch.status == "loaded"]
    return IngestionReport(
        files_seen=files_seen,
        files_loaded=len(loaded),
        files_duplicate=files_duplicate,
        files_rejected=sum(batch.status == "rejected" for batch in batches),
        rows_read=sum(batch.rows_read for batch in loaded),
        rows_accepted=sum(batch.rows_accepted for batch in loaded),
        rows_quarantined=sum(batch.rows_quarantined for batch in loaded),
        rows_duplicate=sum(batch.rows_duplicate for batch in loaded),
        rows_excluded=sum(batch.rows_excluded for batch in loaded),
        batches=list(batches),
        blocking=list(blocking),
        waiting=list(waiting),
        warnings=list(warnings),
    )
