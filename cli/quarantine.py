"""`tillhouse quarantine list | show | export`: the rows that did not come in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.rendering import cell, console, read_date, show_table
from ingestion import operations
from ingestion.operations import QuarantineFilter
from settings.errors import ExitCode, UsageError
from settings.home import Home

app = typer.Typer(help="The rows that did not come in, and why.", no_args_is_help=True, rich_markup_mode=None)

Feed = Annotated[str | None, typer.Argument(help="The feed. [default: all]")]
Rule = Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")]
Batch = Annotated[str | None, typer.Option("--batch", help="Only this delivery.")]
Day = Annotated[str, typer.Option("--day", help="Only rows that came in on this day (YYYY-MM-DD, UTC).")]


@app.command("list")
def list_command(feed: Feed = None, rule: Rule = None, day: Day = "") -> int:
    """Count quarantined rows and rejected files by feed, rule and day.

    Example: tillhouse quarantine list
    """
    found = operations.quarantine_summary(
        Home.from_environment(), QuarantineFilter(feed=feed, rule=rule, day=read_date("--day", day))
    )
    show_table("Quarantine", found.columns, found.rows, empty="the quarantine is empty")
    return int(ExitCode.OK)


@app.command()
def show(
    feed: Feed = None,
    rule: Rule = None,
    batch_id: Batch = None,
    row: Annotated[
        int | None, typer.Option("--row", min=1, help="Everything about this row (with --batch).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20,
) -> int:
    """Show quarantined rows with rule, column, value, file and row number.

    Examples: tillhouse quarantine show sample_store_orders --rule not_a_number
    · tillhouse quarantine show --batch 3f2a9c… --row 17
    """
    home = Home.from_environment()
    if row is not None:
        if batch_id is None:
            raise UsageError(
                "--row needs the delivery it is a row of", remedy="add --batch ID", rule="quarantine_show"
            )
        for name, value in operations.quarantine_row(home, batch_id, row).items():
            console().print(f"{name:>14}  {cell(value)}", markup=False, soft_wrap=True)
        return int(ExitCode.OK)
    found = operations.quarantine_rows(
        home, QuarantineFilter(feed=feed, rule=rule, batch_id=batch_id), limit=limit
    )
    columns = ("feed", "source_file", "row_number", "rule", "column_name", "raw_value", "message", "batch_id")
    rows = [tuple(record[name] for name in columns) for record in found.records()]
    show_table("Quarantined rows", columns, rows, empty="no such rows in quarantine")
    return int(ExitCode.OK)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    feed: Annotated[str | None, typer.Option("--feed", help="Only this feed.")] = None,
    rule: Rule = None,
    batch_id: Batch = None,
) -> int:
    """Write quarantined rows as CSV that a spreadsheet opens without running anything in it.

    Example: tillhouse quarantine export bad.csv --feed sample_store_orders
    """
    count = operations.export_quarantine(
        Home.from_environment(), path, QuarantineFilter(feed=feed, rule=rule, batch_id=batch_id)
    )
    console().print(f"{count:,} rows written to {path}", markup=False, soft_wrap=True)
    return int(ExitCode.OK)
