"""The dashboards over the sample company: as a server of their own, and the same figures asked without them."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from serving.dashboards.server import Start
from serving.semantic import Filter, MetricQuery, Operator, SemanticClient
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.network import free_port

START_SECONDS = 120


@contextmanager
def dashboards_of(home: Home, role: str | None, log: Path) -> Iterator[str]:
    """The address of dashboards that are up as long as the context."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            Start("127.0.0.1", port, "duckdb", role).command(),
            cwd=PROJECT_ROOT, env=os.environ | {HOME_VARIABLE: str(home.root)},
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_up(address):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _is_up(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


@dataclass
class Metrics:
    """Figures by the semantic client alone, without any code of the dashboards."""

    client: SemanticClient
    last_day: date

    def days(self, length: int) -> tuple[Filter, Filter]:
        """The last days, as two conditions."""
        first = self.last_day - timedelta(days=length - 1)
        return (
            Filter("day", Operator.GREATER_OR_EQUAL, (first,)),
            Filter("day", Operator.LESS_OR_EQUAL, (self.last_day,)),
        )

    def figure(self, metric: str, filters: Sequence[Filter] = ()) -> Any:
        """One figure over all that the filters leave."""
        ((value,),) = self.client.query(MetricQuery((metric,), filters=tuple(filters))).rows
        return value
