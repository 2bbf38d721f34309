"""`tillhouse demo`, `run` and `generate`."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_ENGINE, DEFAULT_TARGET, Engine, Feeds, Target
from cli.progress import progress
from cli.rendering import counted, read_date, say, show_table
from settings.errors import ExitCode, UsageError
from settings.home import PROJECT_ROOT, Home
from settings.memory import look_for_garbage_rarely

if TYPE_CHECKING:
    from orchestration.run import RunOutcome

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
# The as-of date is the one asked for, else that of the latest order: not every shop has locations or known customers.
HEADLINES = """
    with as_of_dates as (
        select source_system, coalesce(cast(? as date), max(order_date)) as as_of_date
        from {marts}.fct_orders
        group by source_system
    )

    select
        revenue.source_system,
        as_of_dates.as_of_date,
        min(revenue.revenue_date) as first_day,
        max(revenue.revenue_date) as last_day,
        cast(sum(revenue.orders) as bigint) as orders,
        sum(revenue.net_revenue) as net_revenue
    from {marts}.fct_revenue_daily as revenue
    left join as_of_dates on revenue.source_system = as_of_dates.source_system
    group by revenue.source_system, as_of_dates.as_of_date
    order by revenue.source_system
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(run)
    app.command()(generate)


Orders = Annotated[
    int, typer.Option(min=100, max=10_000_000, help="Orders over the whole time, both systems.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same files.")]
AsOf = Annotated[
    str, typer.Option("--as-of", help="As-of date YYYY-MM-DD. [default: latest order date per system]")
]
AllChecks = Annotated[
    bool,
    typer.Option(
        "--all-checks", help="Check all rows, also where nothing is new, and not only those that changed."
    ),
]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Rebuild all models even where nothing is new.")
]
First = Annotated[
    int, typer.Option("--first-delivery", min=0, help="0 is the history, 1 and up one day each.")
]
Last = Annotated[int | None, typer.Option("--last-delivery", min=0, help="[default: the last]")]


def demo(orders: Orders = 24_000, seed: Seed = 7) -> int:
    """Make a sample company and run it, from files to marts.

    Generates its files, loads them, builds and tests the marts and publishes them. Asking again loads nothing twice.

    \b
    Examples:  tillhouse demo
               tillhouse demo --orders 100000
    """
    home = Home.from_environment().ensure()
    _deliver(home, orders=orders, seed=seed, first=0, last=None)
    return _run(home, feeds=SAMPLE_FEEDS, as_of=None, target=DEFAULT_TARGET, full_refresh=False)


def run(
    *,
    feeds: Feeds = None,
    as_of: AsOf = "",
    target: Target = DEFAULT_TARGET,
    engine: Engine = DEFAULT_ENGINE,
    full_refresh: FullRefresh = False,
    all_checks: AllChecks = False,
) -> int:
    """Load what is new, build, test and publish the marts.

    Readers see the new marts only when all models and tests passed; otherwise the former ones stay.

    \b
    Examples:  tillhouse run
               tillhouse run --feeds examples/feeds/pizzaplace.yml --as-of 2015-12-31
    """
    return _run(
        Home.from_environment(),
        feeds=feeds,
        as_of=read_date("--as-of", as_of),
        target=target,
        engine=engine,
        full_refresh=full_refresh,
        all_checks=all_checks,
    )


def generate(orders: Orders = 24_000, seed: Seed = 7, first: First = 0, last: Last = None) -> int:
    """Write the sample company's files into the landing folder.

    \b
    Examples:  tillhouse generate --orders 100000
               tillhouse generate --last-delivery 13
    and the day after:
               tillhouse generate --first-delivery 14
    """
    _deliver(Home.from_environment().ensure(), orders=orders, seed=seed, first=first, last=last)
    say("Next: `tillhouse run` loads them and builds the marts.")
    return int(ExitCode.OK)


def _deliver(home: Home, *, orders: int, seed: int, first: int, last: int | None) -> None:
    from sample_data.generator import generate as write_sample
    from sample_data.plan import SamplePlan

    started = time.monotonic()
    plan = SamplePlan(orders=orders, seed=seed)
    if last is not None and last < first:
        raise UsageError(
            f"--last-delivery {last} comes before --first-delivery {first}",
            remedy="swap them",
            rule="deliveries",
        )
    # A slice's truth counts that slice alone, so it never takes the place of the whole's.
    is_whole = first == 0 and last is None
    truth = home.root / ("sample_truth.json" if is_whole else f"sample_truth_{first}_{last}.json")
    report = write_sample(plan, home.landing, first_delivery=first, last_delivery=last, truth=truth)
    shutil.copyfile(SAMPLE_FEEDS, home.feeds / SAMPLE_FEEDS.name)
    say(
        f"generated {report.order_lines:,} order lines in {report.files:,} files below {home.landing} "
        f"({time.monotonic() - started:.1f} s)"
    )


def _run(
    home: Home,
    *,
    feeds: Path | None,
    as_of: date | None,
    target: str,
    full_refresh: bool,
    all_checks: bool = False,
    engine: str = DEFAULT_ENGINE,
) -> int:

    started = time.monotonic()
    with progress() as tell:
        tell("reading the project")
        look_for_garbage_rarely()  # importing Dagster takes a tenth less of its time so
        from orchestration.run import run_daily

        outcome = run_daily(
            home,
            feeds=feeds,
            as_of=as_of,
            target=target,
            full_refresh=full_refresh,
            all_checks=all_checks,
            engine=engine,
        )
    _summarise(home, outcome, time.monotonic() - started)
    return int(ExitCode.DATA_REJECTED if outcome.row.files_rejected else ExitCode.OK)


def _summarise(home: Home, outcome: RunOutcome, seconds: float) -> None:
    row = outcome.row
    say(
        f"files: {row.files_loaded:,} of {row.files_seen:,} loaded, {row.files_duplicate:,} known before, "
        f"{row.files_rejected:,} rejected"
    )
    if row.files_loaded:
        left_out = row.rows_read - row.rows_accepted - row.rows_quarantined
        say(
            f"rows:  {row.rows_read:,} read: {row.rows_accepted:,} accepted, {row.rows_quarantined:,} in quarantine, "
            f"{left_out:,} repeated or excluded"
        )
    if row.status == "nothing_new":
        say(f"nothing new: the published marts are current ({seconds:.1f} s)")
    else:
        _tests(home, outcome.run_id, row.target)
        _headlines(home, row.as_of_date, row.target)
        say(f"published, and finished in {seconds:.1f} s")
        for face, problem in outcome.failed_faces.items():
            say(f"warning: {face.replace('_', ' ')} failed, and the publication stands: {problem}")
    say("\nWhat to look at next:")
    say("  tillhouse up                 dashboards, metrics API and Dagster, on one page of links")
    if row.files_rejected:
        say("  tillhouse status             names the rejected files and what to do about each")
    else:
        say("  tillhouse status             last runs, files by feed, freshness")
    say("  tillhouse quarantine list    the rows that did not come in, and why")
    say("  docs/marts.md                every mart, its grain and its columns")
    if outcome.report is not None:
        say(f"  {outcome.report}\n      the daily report, for any browser")
    if row.target == DEFAULT_TARGET:
        say(f"  {home.published}\n      the published marts, for any number of DuckDB readers")


def _tests(home: Home, run_id: str, target: str) -> None:
    from ingestion import operations

    counts = {
        (record["resource_type"], record["status"]): record["nodes"]
        for record in operations.dbt_result_counts(home, run_id, target=target).records()
    }
    say(
        f"marts: {counts.get(('model', 'success'), 0):,} models built, {counts.get(('test', 'pass'), 0):,} tests "
        f"passed, {counted(counts.get(('test', 'warn'), 0), 'warning')}"
    )


def _headlines(home: Home, asked: date | None, target: str = DEFAULT_TARGET) -> None:
    if target == DEFAULT_TARGET:
        from orchestration.publish import open_published

        with open_published(home) as connection:
            found = connection.execute(HEADLINES.format(marts="marts"), [asked])
            columns = [column[0] for column in found.description or []]
            rows = found.fetchall()
    else:
        from ingestion.warehouses import open_warehouse
        from orchestration.publish_postgres import reader_schema

        with closing(open_warehouse(target, home, read_only=True)) as warehouse:
            answer = warehouse.query(HEADLINES.format(marts=reader_schema("marts")), [asked])
            columns, rows = list(answer.columns), answer.rows
    show_table("Published", columns, rows, empty="the published marts hold no order yet")
