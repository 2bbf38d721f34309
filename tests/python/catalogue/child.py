"""Ingests one home in a process of its own: `python -m catalogue.child <home> [<open files>]`.

Prints what became of each delivery as JSON. A fault of the machine ends it with a traceback, as it ends a run.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from ingestion.warehouses import only_writer
from settings.home import Home


def main() -> int:
    """Ingest what lies there; 1 when something must stop the publication."""
    home = Home(Path(sys.argv[1]))
    # By now everything is imported, so what is left of the files is for the run alone.
    if len(sys.argv) > 2:
        most = len(list(Path("/proc/self/fd").iterdir())) + int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with only_writer("duckdb", home):
        report = IngestionService(home, load_feeds(home.feeds, home)).ingest("child")
    json.dump({batch.object_name: [batch.status, batch.message] for batch in report.batches}, sys.stdout)
    return 1 if report.blocking else 0


if __name__ == "__main__":
    sys.exit(main())
