"""What a run is doing, line by line on stderr: stage, feed, files, rows, seconds since the start."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cli.rendering import counted, plain

# Where the stages of a run and the files of its feeds are told.
TOLD_BY = (
    "orchestration.pipeline",
    "orchestration.after_publication",
    "ingestion.intake",
    "ingestion.tokens",
)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Tell on stderr what goes on inside the block; what is given tells one thing more."""
    handler = ProgressHandler()
    loggers = [logging.getLogger(name) for name in TOLD_BY]
    former = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(min(logging.INFO, logging.getLogger().level or logging.INFO))
        logger.propagate = False  # or warnings would be told twice
    try:
        yield handler.line
    finally:
        handler.end_feed()
        for logger, level, propagate in former:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


@dataclass
class _FeedSoFar:
    name: str
    files: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0


class ProgressHandler(logging.Handler):
    """Prints records with the time since it was made.

    A record with a `batch` (a `BatchResult`) counts towards one line a feed, since a first run loads hundreds
    of small files.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._feed: _FeedSoFar | None = None

    def emit(self, record: logging.LogRecord) -> None:
        batch = getattr(record, "batch", None)
        if record.levelno >= logging.WARNING:
            self.line(f"{record.levelname.lower()}: {record.getMessage()}")
        elif batch is None:
            self.end_feed()
            self.line(record.getMessage())
        elif batch.status == "loaded":
            if self._feed is None or self._feed.name != batch.feed:
                self.end_feed()
                self._feed = _FeedSoFar(batch.feed)
            self._feed.files += 1
            self._feed.rows_accepted += batch.rows_accepted
            self._feed.rows_quarantined += batch.rows_quarantined

    def end_feed(self) -> None:
        """Print the line of the feed whose files were counted last."""
        if self._feed is not None:
            self.line(
                f"  {self._feed.name}: {counted(self._feed.files, 'file')}, "
                f"{counted(self._feed.rows_accepted, 'row')} accepted, "
                f"{self._feed.rows_quarantined:,} in quarantine"
            )
        self._feed = None

    def line(self, text: str) -> None:
        """Print one line under the time."""
        print(f"{time.monotonic() - self._started:6.1f} s  {plain(text)}", file=sys.stderr, flush=True)
