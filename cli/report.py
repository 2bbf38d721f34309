"""`tillhouse report`: the daily report as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import read_date, say
from settings.errors import ExitCode
from settings.home import Home

Day = Annotated[str, typer.Option("--date", help="The day, YYYY-MM-DD. [default: the latest with an order]")]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="The file to write. [default: TILLHOUSE_HOME/reports/daily_DAY.html]"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(*, day: Day = "", output: Output = None, target: Target = DEFAULT_TARGET) -> int:
    """Write the daily report as one HTML file.

    Its charts are inside, so that it can be opened, printed and sent: headlines against the day and the week before,
    what changed and why, trends, retention, segments, stock alerts, data quality. It reads what is published; every
    run writes the one of its latest day.

    \b
    Examples:  tillhouse report
               tillhouse report --date 2026-10-30 --output friday.html
    """
    asked = read_date("--date", day)
    from serving.report.page import write_report

    path = write_report(Home.from_environment(), target=target, day=asked, output=output)
    say(f"the report is in {path}")
    return int(ExitCode.OK)
