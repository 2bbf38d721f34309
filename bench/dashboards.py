"""How long a reader waits for a page: the first of a server, and each page once the server is warm.

`python -m bench.dashboards --home HOME` starts the dashboards of a published home on a free port of the loopback
interface and opens them in an installed Chromium. A page counts as there when every figure and chart on it is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bench.browsing import dashboards_of, launch, settle
from serving.dashboards.definitions import load_dashboards
from settings.home import Home


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one line a figure."""
    parser = argparse.ArgumentParser(description="Measure the dashboards in an installed Chromium.")
    parser.add_argument(
        "--home", type=Path, help="a home with a publication (default: that of TILLHOUSE_HOME)"
    )
    parser.add_argument("--visits", type=int, default=5, help="visits of each page, each by a new reader")
    words = parser.parse_args(arguments)
    home = Home(words.home) if words.home else Home.from_environment()
    with tempfile.TemporaryDirectory(prefix="tillhouse_bench_") as scratch:
        log = Path(scratch) / "log"
        with dashboards_of(home, "analyst", log) as address, sync_playwright() as play:
            browser = launch(play)
            print(
                f"first page of a new server, from the address to the last chart: {visit(browser, address):.2f} s"
            )
            paths = ["", *(dashboard.name for dashboard in load_dashboards()[1:])]
            for path in paths:
                seconds = [visit(browser, f"{address}/{path}") for _ in range(words.visits)]
                print(
                    f"{path or 'home'}, warm: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s"
                    f" ({len(seconds)} visits)"
                )
            browser.close()


def visit(browser: Browser, address: str) -> float:
    """Seconds until a new reader sees a whole page."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    started = time.perf_counter()
    page.goto(address)
    settle(page)
    spent = time.perf_counter() - started
    page.close()
    return spent


if __name__ == "__main__":
    main()
