"""`tillhouse serve` as a process: it answers on the loopback interface and ends cleanly on Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import SampleRun

from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.network import is_loopback

START_SECONDS = 120


def test_it_answers_and_ends_with_zero_on_interrupt(sample_run: SampleRun, tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    shutil.copyfile(sample_run.published, home.published)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", str(port)],
        cwd=PROJECT_ROOT, env=os.environ | {HOME_VARIABLE: str(home.root)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert answer(process, f"http://127.0.0.1:{port}/ready").startswith('{"status":"ready"')
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=START_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    assert told.splitlines() == [
        f"the metrics API of {home.root} listens on http://127.0.0.1:{port} (specification: /openapi.json);"
        " Ctrl-C ends it"
    ]


def answer(process: subprocess.Popen[str], url: str) -> str:
    """What is at the address, as soon as the server listens there."""
    while process.poll() is None:
        with (
            suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(url, timeout=START_SECONDS) as response,  # noqa: S310  (of this machine)
        ):
            return str(response.read().decode())
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    raise AssertionError(f"the server ended: {process.communicate()[0]}")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("::", False),
     ("192.168.0.7", False), ("db.example", False)],
)  # fmt: skip
def test_other_addresses_are_told_apart(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
