"""Ingest the sample's files with an engine, in a process of its own: `python ingest_all.py HOME ENGINE`."""

from __future__ import annotations

import sys
from pathlib import Path

from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from settings.home import PROJECT_ROOT, Home

FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"


def main(root: str, engine: str) -> None:
    home = Home(Path(root))
    IngestionService(home, load_feeds(FEEDS, home), engine=engine).ingest("run")


if __name__ == "__main__":
    main(*sys.argv[1:])
