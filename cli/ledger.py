"""`tillhouse status`, `accept`, `withdraw` and `reload`: what has been delivered, and repairs of it."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_TARGET, Feeds, Target
from cli.rendering import cell, counted, read_date, say, show_table
from settings.errors import ExitCode, UsageError
from settings.home import Home

if TYPE_CHECKING:
    from ingestion.recheck import RowSelection
    from ingestion.report import BatchResult
    from ingestion.service import IngestionService
    from ingestion.warehouses.base import Table

REBUILD_HINT = "The raw tables have changed: `tillhouse run` builds and publishes the marts anew."
RUN_COLUMNS = (
    "started_at", "seconds", "status", "files_loaded", "files_duplicate", "files_rejected", "rows_accepted",
    "rows_quarantined",
)  # fmt: skip
ENTRY_COLUMNS = ("batch_id", "object_name", "status", "rule", "rows_read", "delivered_at", "loaded_at")
FEED_COLUMNS = ("feed", "loaded", "rejected", "pending", "withdrawn", "duplicate", "rows_read")
# These say something only where they are not zero throughout.
RARE_COLUMNS = ("rejected", "pending", "withdrawn", "duplicate")
FRESHNESS_COLUMNS = ("feed", "entity", "newest_event_at", "newest_delivery_at", "rows_accepted")
HEADINGS = {
    "started_at": "started", "object_name": "file", "delivered_at": "delivered", "loaded_at": "loaded",
    "files_loaded": "loaded", "files_duplicate": "known", "files_rejected": "rejected",
    "newest_event_at": "newest event", "newest_delivery_at": "newest delivery", "duplicate": "repeated",
    "rows_accepted": "rows", "rows_quarantined": "bad rows", "failures": "rows",
}  # fmt: skip

Batch = Annotated[str, typer.Argument(help="The batch id, as `tillhouse status --feed FEED` shows it.")]


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
    target: Target = DEFAULT_TARGET,
) -> int:
    """Show the last runs, deliveries, freshness, failures.

    \b
    Examples:  tillhouse status
               tillhouse status --feed store_orders --limit 30
    """
    from ingestion import operations

    home = Home.from_environment()
    if feed is not None:
        entries = operations.ledger_entries(home, feed=feed, limit=limit, target=target)
        _show(f"Deliveries of {feed}, newest first (UTC)", entries, ENTRY_COLUMNS)
        return int(ExitCode.OK)
    runs = operations.last_runs(home, limit, target=target)
    _published(home, target)
    say("")
    _show("Last runs, newest first (UTC)", runs, RUN_COLUMNS)
    newest = runs.records()[0] if runs.rows else {}
    if newest.get("status") == "failed":
        say(f"The newest run failed: {newest['message']}\n")
        failed = operations.failed_dbt_results(home, str(newest["run_id"]), target=target)
        if failed.rows:
            _show("What failed or warned in it", failed)
    by_feed = operations.ledger_by_feed(home, target=target)
    totals = {name: sum(record[name] for record in by_feed.records()) for name in RARE_COLUMNS}
    shown = tuple(name for name in FEED_COLUMNS if totals.get(name, 1))
    _show("Files by feed", by_feed, shown)
    _show("Freshness (UTC)", operations.freshness(home, target=target), FRESHNESS_COLUMNS)
    _rejected(
        operations.ledger_entries(home, status="rejected", limit=limit, target=target), totals["rejected"]
    )
    return int(ExitCode.OK)


def accept(batch_id: Batch, feeds: Feeds = None, target: Target = DEFAULT_TARGET) -> int:
    """Load a file that was rejected for its bad rows.

    Its bad rows stay in quarantine; the others come in. A withdrawn file comes back in the same way.

    \b
    Example:  tillhouse accept store_orders-3f2a9c417b20
    """
    home = Home.from_environment()
    with _only_writer(target, home):
        result = _service(home, feeds, target).accept(batch_id, _run_id())
    return _told(result)


def withdraw(batch_id: Batch, feeds: Feeds = None, target: Target = DEFAULT_TARGET) -> int:
    """Take a loaded file back.

    Its rows leave the raw tables and the quarantine; the ledger goes on knowing it, so it is not loaded again.

    \b
    Example:  tillhouse withdraw store_orders-3f2a9c417b20
    """
    home = Home.from_environment()
    with _only_writer(target, home):
        result = _service(home, feeds, target).withdraw(batch_id, _run_id())
    return _told(result)


def reload(
    *,
    feed: Annotated[str | None, typer.Option("--feed", help="Replay all loaded files of this feed.")] = None,
    batch_id: Annotated[str | None, typer.Option("--batch", help="Replay this one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all feeds.")] = False,
    rule: Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Only rows whose fault is here.")] = None,
    day: Annotated[str, typer.Option("--day", help="Only rows that came in on this day (UTC).")] = "",
    rows: Annotated[
        list[int] | None, typer.Option("--row", min=1, help="Only this row (with --batch); may be repeated.")
    ] = None,
    feeds: Feeds = None,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Replay loaded files from bronze into the raw tables.

    No source file is needed, and every file keeps its place in the order of deliveries. Where the feed file or a
    contract has changed, rows in quarantine are judged anew and come in if they pass; --rule, --column, --day and
    --row choose which of them, and leave everything else as it is.

    \b
    Examples:  tillhouse reload --feed store_orders
               tillhouse reload --batch store_orders-3f2a9c417b20
               tillhouse reload --feed store_orders --rule not_a_number --column total_amount
               tillhouse reload --batch store_orders-3f2a9c417b20 --row 17 --row 18
               tillhouse reload --all
    """
    from ingestion.recheck import RowSelection

    if sum([feed is not None, batch_id is not None, everything]) != 1:
        raise UsageError(
            "say what to reload", remedy="one of --feed NAME, --batch ID or --all", rule="reload"
        )
    if rows and batch_id is None:
        raise UsageError("--row needs the delivery it is a row of", remedy="add --batch ID", rule="reload")
    home = Home.from_environment()
    only = RowSelection(rule=rule, column=column, row_numbers=tuple(rows or ()))
    on_day = read_date("--day", day)
    is_chosen = only.is_narrow or on_day is not None
    with _only_writer(target, home):
        service = _service(home, feeds, target)
        if is_chosen:
            chosen = _batches_with(home, feed, batch_id, only, on_day, target=target)
            report = service.release(chosen, only, _run_id())
        else:
            report = service.reload(_run_id(), feed=feed, batch_id=batch_id)
    if not report.files_seen:
        say("no such rows in quarantine" if is_chosen else "nothing to replay: no file is loaded")
        return int(ExitCode.OK)
    say(
        f"replayed {report.files_loaded:,} of {counted(report.files_seen, 'file')}: "
        f"{counted(report.rows_accepted, 'row')} accepted, "
        f"{report.rows_quarantined:,} in quarantine"
    )
    released = sum(batch.rows_released for batch in report.batches)
    if released:
        say(f"{counted(released, 'row')} came in from quarantine")
    for batch in report.batches:
        if batch.status == "loaded" and batch.message:
            say(f"  {batch.feed}, {batch.object_name}: {batch.message}")
    for batch in report.blocking:
        say(f"  {batch.feed}, {batch.object_name}: {batch.status}: {batch.message or batch.rule or ''}")
    if report.files_loaded:
        say(REBUILD_HINT)
    return int(ExitCode.DATA_REJECTED if report.blocking else ExitCode.OK)


def _batches_with(
    home: Home, feed: str | None, batch_id: str | None, only: RowSelection, day: date | None, *, target: str
) -> list[str]:
    """Loaded deliveries that have such rows in quarantine."""
    from ingestion import operations

    wanted = operations.QuarantineFilter(
        feed=feed,
        batch_id=batch_id,
        rule=only.rule,
        column=only.column,
        day=day,
        row_numbers=only.row_numbers,
    )
    return operations.quarantined_batches(home, wanted, target=target)


def _service(home: Home, feeds: Path | None, target: str) -> IngestionService:
    from ingestion.feed import feeds_path, load_feeds
    from ingestion.service import IngestionService

    return IngestionService(home, load_feeds(feeds_path(home, feeds), home), target=target)


def _only_writer(target: str, home: Home) -> AbstractContextManager[None]:
    from ingestion.warehouses import only_writer

    return only_writer(target, home)


def _run_id() -> str:
    return str(uuid.uuid4())


def _told(result: BatchResult) -> int:
    where = f"{result.feed}, {result.object_name}"
    # Without rows nothing was moved, and the message says why: it is loaded, or withdrawn, already.
    if result.status == "loaded" and result.message:
        say(f"{where}: {result.message}")
        return int(ExitCode.OK)
    if result.status == "loaded":
        say(
            f"{where}: loaded ({counted(result.rows_accepted, 'row')} accepted, "
            f"{result.rows_quarantined:,} in quarantine)"
        )
    else:
        say(f"{where}: {result.message or result.status}")
    say(REBUILD_HINT)
    return int(ExitCode.OK)


def _published(home: Home, target: str) -> None:
    from orchestration.publish import read_publication

    published = read_publication(home, target=target)
    is_file = target == DEFAULT_TARGET
    if published is None:
        say(f"Nothing is published in {home.root if is_file else f'the target {target}'} yet.")
    else:
        say(
            f"Published {cell(published.published_at)} UTC: {published.tables} tables, {published.rows:,} rows in "
            f"{home.published if is_file else f'the target {target}'}"
        )


def _rejected(entries: Table, total: int) -> None:
    if not entries.rows:
        return
    say("Rejected files, as a whole")
    for entry in entries.records():
        say(f"  {entry['feed']}, {entry['object_name']} [{entry['rule']}], batch {entry['batch_id']}")
        say(f"      {entry['message']}")
    if total > len(entries.rows):
        say(f"  and {total - len(entries.rows)} more: --limit shows them")


def _show(title: str, table: Table, columns: tuple[str, ...] | None = None) -> None:
    shown = columns or table.columns
    rows = [tuple(record[name] for name in shown) for record in table.records()]
    show_table(title, shown, rows, empty=f"{title}: none", headings=HEADINGS)
    say("")
