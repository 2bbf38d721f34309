"""`tillhouse status`, `accept`, `withdraw` and `reload`: what has been delivered, and repairs of it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from cli.rendering import console, show_table
from ingestion import operations
from ingestion.feed import feeds_path, load_feeds
from ingestion.report import BatchResult, IngestionReport
from ingestion.service import IngestionService
from settings.errors import ExitCode, UsageError
from settings.home import Home
from settings.writer_lock import writer_lock

REBUILD_HINT = "the raw tables have changed; `tillhouse run` builds and publishes the marts anew"
RUN_COLUMNS = (
    "started_at", "seconds", "status", "files_loaded", "files_duplicate", "files_rejected", "rows_accepted",
    "rows_quarantined", "published_at",
)  # fmt: skip
ENTRY_COLUMNS = ("batch_id", "load_sequence", "object_name", "status", "rule", "rows_read", "loaded_at")

Feeds = Annotated[
    Path | None,
    typer.Option(
        "--feeds",
        envvar="TILLHOUSE_FEEDS",
        help="A feed file or a folder of them. [default: TILLHOUSE_HOME/feeds]",
    ),
]
Batch = Annotated[str, typer.Argument(help="The batch id, as `tillhouse status --feed …` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(accept)
    app.command()(withdraw)
    app.command()(reload)


def status(
    feed: Annotated[
        str | None, typer.Option("--feed", help="Show this feed's deliveries one by one.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs or deliveries.")] = 10,
) -> int:
    """Show the last runs, how fresh each feed is, and what the ledger holds.

    Examples: tillhouse status · tillhouse status --feed sample_store_orders --limit 30
    """
    home = Home.from_environment()
    if feed is not None:
        _show(
            f"Deliveries of {feed}, newest first",
            operations.ledger_entries(home, feed=feed, limit=limit),
            ENTRY_COLUMNS,
        )
        return int(ExitCode.OK)
    runs = operations.last_runs(home, limit)
    _show("Last runs (times are UTC)", runs, RUN_COLUMNS)
    newest = runs.records()[0] if runs.rows else {}
    if newest.get("status") == "failed":
        console().print(f"the newest run failed: {newest['message']}", markup=False)
        _show("What failed", operations.failed_dbt_results(home, str(newest["run_id"])))
    _show("Deliveries by feed", operations.ledger_by_feed(home))
    _show("Freshness", operations.freshness(home))
    rejected = operations.ledger_entries(home, status="rejected", limit=limit)
    if rejected.rows:
        _show("Rejected files", rejected, ("feed", "object_name", "batch_id", "rule", "message"))
    return int(ExitCode.OK)


def accept(batch_id: Batch, feeds: Feeds = None) -> int:
    """Load a file that was rejected for its share of bad rows; the bad rows stay in quarantine.

    Example: tillhouse accept 3f2a9c…
    """
    home = Home.from_environment()
    with writer_lock(home):
        result = _service(home, feeds).accept(batch_id, _run_id())
    return _told(result)


def withdraw(batch_id: Batch, feeds: Feeds = None) -> int:
    """Take a loaded file back: its rows leave the raw tables, its ledger row says withdrawn.

    Example: tillhouse withdraw 3f2a9c…
    """
    home = Home.from_environment()
    with writer_lock(home):
        result = _service(home, feeds).withdraw(batch_id, _run_id())
    return _told(result)


def reload(
    feed: Annotated[str | None, typer.Option("--feed", help="Replay all loaded files of this feed.")] = None,
    batch_id: Annotated[str | None, typer.Option("--batch", help="Replay this one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all feeds.")] = False,
    feeds: Feeds = None,
) -> int:
    """Replay files from bronze into the raw tables; no source file is needed, numbers stay as they were.

    Examples: tillhouse reload --feed sample_store_orders · tillhouse reload --batch 3f2a9c…
    """
    if sum([feed is not None, batch_id is not None, everything]) != 1:
        raise UsageError(
            "say what to reload", remedy="one of --feed NAME, --batch ID or --all", rule="reload"
        )
    home = Home.from_environment()
    with writer_lock(home):
        report = _service(home, feeds).reload(_run_id(), feed=feed, batch_id=batch_id)
    console().print(report.summary(), markup=False)
    _tell_failures(report)
    console().print(REBUILD_HINT)
    return int(ExitCode.DATA_REJECTED if report.blocking else ExitCode.OK)


def _service(home: Home, feeds: Path | None) -> IngestionService:
    return IngestionService(home, load_feeds(feeds_path(home, feeds), home))


def _run_id() -> str:
    return str(uuid.uuid4())


def _told(result: BatchResult) -> int:
    console().print(
        f"{result.feed}: {result.object_name} is {result.status} "
        f"({result.rows_accepted:,} rows accepted, {result.rows_quarantined:,} in quarantine)",
        markup=False,
    )
    console().print(REBUILD_HINT)
    return int(ExitCode.OK)


def _tell_failures(report: IngestionReport) -> None:
    for batch in report.blocking:
        console().print(
            f"  {batch.feed}: {batch.object_name}: {batch.status} {batch.message or ''}", markup=False
        )


def _show(title: str, table: operations.Table, columns: tuple[str, ...] | None = None) -> None:
    shown = columns or table.columns
    rows = [tuple(record[name] for name in shown) for record in table.records()]
    show_table(title, shown, rows, empty=f"{title}: none")
