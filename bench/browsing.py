"""The dashboards in an installed Chromium: for measurements, for pictures, and for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, expect

from serving.dashboards.server import Start
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.network import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NO_CHROMIUM = "no Chromium is installed: `apt-get install chromium`"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
START_SECONDS = 120
MILLISECONDS = (
    60_000  # a busy machine takes its time for the first page; nothing waits this long where it is quiet
)


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
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_up(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the dashboards did not start:\n{log.read_text(encoding='utf-8')}")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def launch(play: Playwright) -> Browser:
    """The installed Chromium, without a window and without words of its own to the network.

    Raises:
        RuntimeError: when there is none.
    """
    if CHROMIUM is None:
        raise RuntimeError(NO_CHROMIUM)
    return play.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))


def settle(page: Page) -> None:
    """Wait until the page is as it stays: nothing runs, nothing is missing, every chart is drawn."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(
        state="attached", timeout=MILLISECONDS
    )
    page.get_by_role("heading", level=1).first.wait_for(timeout=MILLISECONDS)
    expect(page.locator("[data-testid=stSkeleton], [data-stale=true]")).to_have_count(0, timeout=MILLISECONDS)
    charts = page.get_by_test_id("stVegaLiteChart")
    expect(charts.filter(has=page.locator(".marks"))).to_have_count(charts.count(), timeout=MILLISECONDS)


def _is_up(port: int) -> bool:
    address = f"http://127.0.0.1:{port}/_stcore/health"
    with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return bool(answer.status == 200)
    return False
