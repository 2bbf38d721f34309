"""`tillhouse quarantine list | show | export`: the rows that did not come in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import cell, counted, read_date, say, show_table
from settings.errors import ExitCode, UsageError
from settings.home import Home

app = typer.Typer(
    help="List, show and export the rows that did not come in, and why.",
    epilog="\b\nExamples:  tillhouse quarantine list\n           tillhouse quarantine show store_orders",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SHOWN_COLUMNS = ("batch_id", "source_file", "row_number", "rule", "column_name", "raw_value", "message")
HEADINGS = {"row_number": "row", "column_name": "column", "raw_value": "value", "source_file": "file"}

Feed = Annotated[str | None, typer.Argument(help="The feed. [default: all]")]
Rule = Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")]
Batch = Annotated[str | None, typer.Option("--batch", help="Only this delivery.")]
Day = Annotated[str, typer.Option("--day", help="Only rows that came in on this day (YYYY-MM-DD, UTC).")]


@app.command("list")
def list_command(feed: Feed = None, rule: Rule = None, day: Day = "", target: Target = DEFAULT_TARGET) -> int:
    """Count quarantined rows and files by feed, rule and day.

    \b
    Examples:  tillhouse quarantine list
               tillhouse quarantine list store_orders --day 2026-05-01
    """
    from ingestion import operations

    found = operations.quarantine_summary(
        Home.from_environment(),
        operations.QuarantineFilter(feed=feed, rule=rule, day=read_date("--day", day)),
        target=target,
    )
    is_filtered = feed is not None or rule is not None or bool(day)
    show_table(
        "Quarantine, by feed and rule",
        found.columns,
        found.rows,
        empty="no such rows in quarantine" if is_filtered else "the quarantine is empty",
        headings={"day": "came in on", "files": "refused files"},
    )
    if found.rows:
        say("See them: tillhouse quarantine show FEED --rule RULE")
    return int(ExitCode.OK)


@app.command()
def show(
    *,
    feed: Feed = None,
    rule: Rule = None,
    batch_id: Batch = None,
    row: Annotated[
        int | None, typer.Option("--row", min=1, help="Everything about this row (with --batch).")
    ] = None,
    day: Day = "",
    limit: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Show quarantined rows: file, row, rule, column, value.

    \b
    Examples:  tillhouse quarantine show store_orders --rule not_a_number
               tillhouse quarantine show --batch store_orders-3f2a9c417b20 --row 17
    """
    from ingestion import operations

    home = Home.from_environment()
    if row is not None:
        if batch_id is None:
            raise UsageError(
                "--row needs the delivery it is a row of", remedy="add --batch ID", rule="quarantine_show"
            )
        for name, value in operations.quarantine_row(home, batch_id, row, target=target).items():
            say(f"{name:>14}  {cell(value, name)}".rstrip())
        say(
            f"Under a header line, row {row} is line {row + 1} of the file; lines that are blank, or that end inside"
            " of quotes, move it down."
        )
        return int(ExitCode.OK)
    # One more than is shown tells whether there are more.
    found = operations.quarantine_rows(
        home,
        operations.QuarantineFilter(feed=feed, rule=rule, batch_id=batch_id, day=read_date("--day", day)),
        limit=limit + 1,
        target=target,
    ).records()
    rows = [tuple(record[name] for name in SHOWN_COLUMNS) for record in found[:limit]]
    show_table("Quarantined rows", SHOWN_COLUMNS, rows, empty="no such rows in quarantine", headings=HEADINGS)
    if len(found) > limit:
        say(f"There are more than these {limit}: use --limit, or `tillhouse quarantine export` for all.")
    if any(record["row_number"] is not None for record in found):
        say("The whole row: tillhouse quarantine show --batch BATCH --row ROW")
        say("After a correction of the feed file: tillhouse reload --batch BATCH --row ROW")
    return int(ExitCode.OK)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    *,
    feed: Annotated[str | None, typer.Option("--feed", help="Only this feed.")] = None,
    rule: Rule = None,
    batch_id: Batch = None,
    day: Day = "",
    target: Target = DEFAULT_TARGET,
) -> int:
    """Write quarantined rows as CSV, safe to open.

    A spreadsheet runs nothing of it: a text that begins like a formula gets an apostrophe before it.

    \b
    Example:  tillhouse quarantine export bad.csv --feed store_orders
    """
    from ingestion import operations

    count = operations.export_quarantine(
        Home.from_environment(),
        path,
        operations.QuarantineFilter(feed=feed, rule=rule, batch_id=batch_id, day=read_date("--day", day)),
        target=target,
    )
    say(f"{counted(count, 'row')} written to {path}")
    return int(ExitCode.OK)
