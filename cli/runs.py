"""`tillhouse demo`, `run` and `generate`."""

from __future__ import annotations

import shutil
import time
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from cli.rendering import console, read_date, show_table
from settings.errors import ExitCode, UsageError
from settings.home import PROJECT_ROOT, Home

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
HEADLINES = """
    select
        source_system,
        count(distinct revenue_date) as days,
        sum(orders)::bigint as orders,
        sum(net_revenue) as net_revenue,
        min(revenue_date) as first_day,
        max(revenue_date) as last_day
    from marts.fct_revenue_daily
    group by source_system
    order by source_system
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
Feeds = Annotated[
    Path | None,
    typer.Option(
        "--feeds",
        envvar="TILLHOUSE_FEEDS",
        help="A feed file or a folder of them. [default: TILLHOUSE_HOME/feeds]",
    ),
]
AsOf = Annotated[
    str, typer.Option("--as-of", help="As-of date YYYY-MM-DD. [default: latest order date per system]")
]
Target = Annotated[str, typer.Option("--target", help="duckdb; the others build with dbt alone for now.")]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Rebuild all models even where nothing is new.")
]
First = Annotated[
    int, typer.Option("--first-delivery", min=0, help="0 is the history, 1 and up one day each.")
]
Last = Annotated[int | None, typer.Option("--last-delivery", min=0, help="[default: the last]")]


def demo(orders: Orders = 24_000, seed: Seed = 7) -> int:
    """Generate a sample company, load it, build and test the marts, publish them.

    Example: tillhouse demo
    """
    started = time.monotonic()
    home = Home.from_environment().ensure()
    _deliver(home, orders=orders, seed=seed, first=0, last=None)
    code = _run(home, feeds=SAMPLE_FEEDS, as_of=None, target="duckdb", full_refresh=False)
    out = console()
    out.print(f"\nDone in {time.monotonic() - started:.0f} s. What to look at next:")
    out.print("  tillhouse status            last runs, freshness, ledger per feed")
    out.print("  tillhouse quarantine list   the rows that did not come in, and why")
    out.print("  docs/marts.md               every mart, its grain and its columns")
    out.print(f"  {home.published}   the published marts, for any DuckDB client (read only)", soft_wrap=True)
    return code


def run(
    feeds: Feeds = None, as_of: AsOf = "", target: Target = "duckdb", full_refresh: FullRefresh = False
) -> int:
    """Load what is new, build and test the marts, publish them when everything passed.

    Examples: tillhouse run · tillhouse run --feeds examples/feeds/pizzaplace.yml --as-of 2015-12-31
    """
    return _run(
        Home.from_environment(),
        feeds=feeds,
        as_of=read_date("--as-of", as_of),
        target=target,
        full_refresh=full_refresh,
    )


def generate(orders: Orders = 24_000, seed: Seed = 7, first: First = 0, last: Last = None) -> int:
    """Write the sample company's files into the landing folder.

    Examples: tillhouse generate --orders 100000 · tillhouse generate --last-delivery 13 (and the day after:
    tillhouse generate --first-delivery 14)
    """
    _deliver(Home.from_environment().ensure(), orders=orders, seed=seed, first=first, last=last)
    return int(ExitCode.OK)


def _deliver(home: Home, *, orders: int, seed: int, first: int, last: int | None) -> None:
    from sample_data.generator import generate as write_sample  # noqa: PLC0415  (numpy, arrow: not for `--help`)
    from sample_data.plan import SamplePlan  # noqa: PLC0415

    started = time.monotonic()
    plan = SamplePlan(orders=orders, seed=seed)
    if last is not None and last < first:
        raise UsageError(f"--last-delivery {last} comes before --first-delivery {first}", remedy="swap them")
    # A slice's truth counts that slice alone, so it never takes the place of the whole's.
    is_whole = first == 0 and last is None
    truth = home.root / ("sample_truth.json" if is_whole else f"sample_truth_{first}_{last}.json")
    report = write_sample(plan, home.landing, first_delivery=first, last_delivery=last, truth=truth)
    shutil.copyfile(SAMPLE_FEEDS, home.feeds / SAMPLE_FEEDS.name)
    console().print(
        f"generated {report.order_lines:,} order lines in {report.files:,} files below {home.landing} "
        f"({time.monotonic() - started:.1f} s)"
    )


def _run(home: Home, *, feeds: Path | None, as_of: date | None, target: str, full_refresh: bool) -> int:
    from orchestration.run import run_daily  # noqa: PLC0415  (Dagster takes seconds to import; `--help` must not)

    started = time.monotonic()
    outcome = run_daily(home, feeds=feeds, as_of=as_of, target=target, full_refresh=full_refresh)
    row = outcome.row
    out = console()
    out.print(
        f"loaded {row.files_loaded:,} of {row.files_seen:,} files ({row.files_duplicate:,} known before, "
        f"{row.files_rejected:,} rejected): {row.rows_accepted:,} rows accepted, {row.rows_quarantined:,} quarantined"
    )
    if row.status == "nothing_new":
        out.print(f"nothing new: the published marts are current ({time.monotonic() - started:.1f} s)")
    else:
        _headlines(home)
        out.print(f"published {home.published} ({time.monotonic() - started:.1f} s)")
    if row.files_rejected:
        out.print(
            "some files were rejected: `tillhouse status` names them, `tillhouse accept <batch>` takes one anyway"
        )
    return int(ExitCode.DATA_REJECTED if row.files_rejected else ExitCode.OK)


def _headlines(home: Home) -> None:
    from orchestration.publish import open_published  # noqa: PLC0415

    with open_published(home) as connection:
        found = connection.execute(HEADLINES)
        columns = [column[0] for column in found.description or []]
        show_table("Published", columns, found.fetchall(), empty="the published marts hold no order yet")
