"""Pictures of the dashboards for the documents: `python -m bench.screenshots` or `make screenshots`.

They are taken of what is published in TILLHOUSE_HOME (or `--home`), which for the documents is the demo company.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.browsing import dashboards_of, launch, settle
from settings.home import PROJECT_ROOT, Home

FOLDER = PROJECT_ROOT / "docs" / "images" / "dashboards"
# Pages with their filters; not all of them, a repository is no album.
PICTURES = {
    "home": "",
    "revenue": "revenue?period=28d",
    "cohorts": "cohorts",
    "locations": "locations?system=restaurant",
}
WIDTH, MOST_HEIGHT = 1280, 1700


def main(arguments: Sequence[str] | None = None) -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the dashboards in an installed Chromium.")
    parser.add_argument(
        "--home", type=Path, help="a home with a publication (default: that of TILLHOUSE_HOME)"
    )
    parser.add_argument("--to", type=Path, default=FOLDER)
    words = parser.parse_args(arguments)
    home = Home(words.home) if words.home else Home.from_environment()
    words.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tillhouse_pictures_") as scratch:
        log = Path(scratch) / "log"
        with dashboards_of(home, "analyst", log) as address, sync_playwright() as play:
            browser = launch(play)
            page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
            for name, path in PICTURES.items():
                take(page, f"{address}/{path}", words.to / f"{name}.png")
                print(f"{words.to / name}.png")
            browser.close()


def take(page: Page, address: str, picture: Path) -> None:
    """The whole of a page, down to a height that can still be read."""
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    page.goto(address)
    settle(page)
    # Streamlit scrolls inside its own window: the window has to be as tall as the page.
    height = page.get_by_test_id("stMainBlockContainer").evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": min(int(height), MOST_HEIGHT)})
    settle(page)
    page.screenshot(path=picture, animations="disabled")


if __name__ == "__main__":
    main()
