"""One line of JSON per call: who asked for which figures, and how it ended. No personal data.

A line names the key, never its text, and the route, never the path, since a path may name a customer. Values of
filters are left out for the same reason.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

LOGGER = "serving.api.audit"


@dataclass
class AuditLine:
    """What is kept of one call.

    Attributes:
        at: when it came, ISO 8601, UTC.
        route: the template of the path.
        milliseconds: until the answer was ready.
    """

    at: str
    request_id: str
    method: str
    route: str
    status: int = 0
    key_id: str | None = None
    role: str | None = None
    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    rows: int | None = None
    milliseconds: float = 0.0


class AuditLog:
    """Appends lines to a file that only its user can read. A file that was rotated away is made anew."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handler = _PrivateFileHandler(path, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, line: AuditLine) -> None:
        """Append it."""
        text = json.dumps(asdict(line), ensure_ascii=True)
        self._handler.handle(logging.LogRecord(LOGGER, logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _PrivateFileHandler(WatchedFileHandler):
    def _open(self) -> TextIOWrapper:
        os.close(os.open(self.baseFilename, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600))
        return super()._open()
