"""What the metrics API costs beside the SQL: one client, then sixteen for a minute with a publication in the middle.

`python -m bench.api` makes the demo company in a temporary home (or takes `--home`), starts `tillhouse serve` there on
a free port of the loopback interface, and asks it. The server's `Server-Timing` header tells how long a call took in
all and in the database; the difference is what the API costs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from serving.access.keys import KeyStore
from settings.home import PROJECT_ROOT, Home

HOST = "127.0.0.1"
START_SECONDS = 60
# What programs ask: a day's page, a ranking, alerts, cohorts, and metrics by a few dimensions.
QUESTIONS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/metrics/daily?limit=30", None),
    ("GET", "/locations/ranking", None),
    ("GET", "/inventory/alerts", None),
    ("GET", "/ltv/30", None),
    ("POST", "/query", {"metrics": ["net_revenue", "orders"], "group_by": ["location"], "grain": "month"}),
    ("POST", "/query", {"metrics": ["average_order_value"], "group_by": ["category"]}),
    ("POST", "/query", {"metrics": ["customers_by_segment"], "group_by": ["segment"]}),
)


@dataclass
class Answers:
    """What came back: milliseconds as the server told them and as the client saw them; and what failed."""

    beside_sql: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    publications: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, spent: float, response: http.client.HTTPResponse) -> None:
        with self.lock:
            if response.status != 200:
                self.failures.append(f"{response.status}")
                return
            parts = dict(part.strip().split(";dur=") for part in response.headers["Server-Timing"].split(","))
            self.beside_sql.append(float(parts["total"]) - float(parts["sql"]))
            self.whole.append(1000 * spent)
            self.publications.add(response.headers["Tillhouse-Published-At"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one line a figure."""
    parser = argparse.ArgumentParser(description="Measure the metrics API on the loopback interface.")
    parser.add_argument("--home", type=Path, help="a home with a publication (default: the demo, made now)")
    parser.add_argument("--calls", type=int, default=700, help="calls of the single client")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=60, help="how long the many clients ask")
    words = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tillhouse_bench_") as scratch:
        home = Home(words.home or Path(scratch) / "home")
        environment = os.environ | {
            "TILLHOUSE_HOME": str(home.root), "TILLHOUSE_API_REQUESTS_PER_MINUTE": "10000000",
        }  # fmt: skip
        if not home.published.exists():
            _run([sys.executable, "-m", "cli.main", "demo"], environment)
        with served(home, environment) as port:
            key = _key(home)
            ask(port, key, Answers(), calls=4 * len(QUESTIONS))  # compiles every question once
            alone = Answers()
            ask(port, key, alone, calls=words.calls)
            _tell("one client, outside the SQL", alone.beside_sql)
            _tell("one client, whole call as the client sees it", alone.whole)
            many = Answers()
            publish_in_the_middle(
                port, key, many, clients=words.clients, seconds=words.seconds, environment=environment
            )
            _tell(f"{words.clients} clients, whole call", many.whole)
            print(
                f"{words.clients} clients, {words.seconds} s with a publication in the middle:"
                f" {len(many.whole)} calls, {len(many.whole) / words.seconds:.0f} a second,"
                f" {len(many.failures)} failed, answers from {len(many.publications)} publications"
            )
    failures = [*alone.failures, *many.failures]
    if failures or len(many.publications) < 2:
        raise SystemExit(
            f"{len(failures)} calls failed ({sorted(set(failures))[:5]}); publications: {many.publications}"
        )


def ask(
    port: int, key: str, answers: Answers, *, calls: int | None = None, until: threading.Event | None = None
) -> None:
    """Ask the questions in turn over one connection, a number of times or until told to stop."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for number, (method, path, body) in enumerate(itertools.cycle(QUESTIONS)):
        if (calls is not None and number >= calls) or (until is not None and until.is_set()):
            break
        started = time.perf_counter()
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            response.read()
            answers.add(time.perf_counter() - started, response)
        except (OSError, http.client.HTTPException) as error:
            with answers.lock:
                answers.failures.append(type(error).__name__)
            connection.close()
    connection.close()


def publish_in_the_middle(
    port: int, key: str, answers: Answers, *, clients: int, seconds: float, environment: dict[str, str]
) -> None:
    """Let many clients ask, and publish once while they do."""
    ended = threading.Event()
    callers = [
        threading.Thread(target=ask, args=(port, key, answers), kwargs={"until": ended})
        for _ in range(clients)
    ]
    for caller in callers:
        caller.start()
    started = time.monotonic()
    time.sleep(seconds / 2)
    _run([sys.executable, "-m", "bench.steps", "publish", "{}"], environment)
    time.sleep(max(seconds - (time.monotonic() - started), 0))
    ended.set()
    for caller in callers:
        caller.join()


@contextlib.contextmanager
def served(home: Home, environment: dict[str, str]) -> Iterator[int]:
    """A server of its own on a free port, ended afterwards."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", str(port)],
        cwd=PROJECT_ROOT, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(START_SECONDS * 10):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            if process.poll() is not None:
                raise RuntimeError(f"the server of {home.root} ended with {process.returncode}")
            time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=START_SECONDS)


def _key(home: Home) -> str:
    now = datetime.now(UTC)
    store = KeyStore(home.api_keys)
    return store.create(role="analyst", owner="bench", created_at=now, expires_at=now + timedelta(hours=2))[1]


def _run(words: list[str], environment: dict[str, str]) -> None:
    subprocess.run(words, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)


def _tell(name: str, milliseconds: list[float]) -> None:
    cuts = statistics.quantiles(milliseconds, n=100)
    print(
        f"{name}: p50 {statistics.median(milliseconds):.2f} ms, p95 {cuts[94]:.2f} ms, p99 {cuts[98]:.2f} ms"
        f" ({len(milliseconds)} calls)"
    )


if __name__ == "__main__":
    main()
