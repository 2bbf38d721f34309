"""Servers as children of a command: each in a group of processes of its own, so that all of it can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Dagster tells its code server to end and waits for it; Streamlit and the API take a second.
ENDING_SECONDS = 15.0
ASKING_SECONDS = 2.0
LAST_LINES = 5


@dataclass(frozen=True)
class Server:
    """What is to be started.

    Attributes:
        name: short, for messages and the log's name.
        title, text: for the page.
        ready_path: answers with 200 once the server is ready.
        page_path: what a reader opens.
    """

    name: str
    title: str
    text: str
    port: int
    command: Sequence[str]
    ready_path: str
    page_path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}{self.page_path}"


@dataclass
class Child:
    """A server that was started."""

    server: Server
    process: subprocess.Popen[bytes]
    log: Path

    def state(self) -> str:
        """`ready`, `starting`, or how it ended."""
        code = self.process.poll()
        if code is not None:
            return f"ended with exit code {code}"
        return "ready" if self._answers() else "starting"

    def last_words(self) -> str:
        """The end of its log."""
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join([line for line in lines if line.strip()][-LAST_LINES:])
        return ""

    def _answers(self) -> bool:
        address = f"http://127.0.0.1:{self.server.port}{self.server.ready_path}"
        try:
            with urllib.request.urlopen(address, timeout=ASKING_SECONDS) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def running(servers: Sequence[Server], logs: Path, working_folder: Path) -> Iterator[list[Child]]:
    """Servers that live as long as the context; then they are asked to end, and made to where they do not.

    Args:
        logs: a folder, for a file each.
    """
    children: list[Child] = []
    try:
        for server in servers:
            log = logs / f"up_{server.name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603  (our own words)
                    list(server.command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=working_folder,
                    env={**os.environ, **server.environment},
                    # Ctrl-C reaches the command alone, which ends its children one way and not two.
                    start_new_session=True,
                )
            children.append(Child(server, process, log))
        yield children
    finally:
        _end(children)


def _end(children: Sequence[Child]) -> None:
    for child in children:
        _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + ENDING_SECONDS
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(timeout=max(deadline - time.monotonic(), 0))
    for child in children:
        # Whatever is left of the group: the child itself, or a process that it started.
        _signal(child, signal.SIGKILL)
        child.process.wait()


def _signal(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)
