"""`tillhouse query` and `tillhouse metrics`: figures from what is published, by their one definition."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import cell, counted, say, show_table
from settings.errors import ExitCode, UsageError
from settings.home import Home

if TYPE_CHECKING:
    from serving.semantic import MetricInfo, QueryResult

app = typer.Typer(
    help="List, explain and compare metrics.",
    epilog="\b\nExamples:  tillhouse metrics\n           tillhouse metrics explain net_revenue",
    rich_markup_mode=None,
)


class Output(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


Metrics = Annotated[list[str], typer.Argument(help="Names of metrics; `tillhouse metrics` lists them.")]
By = Annotated[
    str, typer.Option("--by", help="Dimensions and at most one period, with commas: month,location")
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", help='Condition, may be given again: "location in A,B"')
]
Order = Annotated[
    str, typer.Option("--order", help="Columns to sort by; a minus sorts downwards: -net_revenue")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Most rows.")]
Format = Annotated[Output, typer.Option("--format", help="How the rows are written.")]
To = Annotated[Path | None, typer.Option("--to", help="File to write. [default: the terminal]")]
ShowSql = Annotated[bool, typer.Option("--sql", help="Show the SQL in place of running it.")]


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.command()(query)
    main.add_typer(app, name="metrics")


def query(
    metrics: Metrics,
    *,
    by: By = "",
    filters: Filters = None,
    order: Order = "",
    limit: Limit = None,
    output: Format = Output.TABLE,
    to: To = None,
    show_sql: ShowSql = False,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Ask for metrics, by period and dimension.

    \b
    Examples:  tillhouse query net_revenue --by month,location --filter "location in L01,L02"
               tillhouse query orders,average_order_value --by week --filter "week >= 2026-01-01"
               tillhouse query net_sales --by category --order -net_sales --limit 5 --format csv
    """
    from serving.semantic import SemanticClient
    from serving.semantic.words import read_query

    asked = read_query(metrics, by=by, filters=filters or [], order=order, limit=limit)
    with SemanticClient.open(Home.from_environment(), target) as client:
        if show_sql:
            statement = client.explain(asked)
            say(statement.sql)
            for number, value in enumerate(statement.parameters, start=1):
                say(f"-- ${number} = {value!r}")
            return int(ExitCode.OK)
        result = client.query(asked)
    _write(result, output, to)
    return int(ExitCode.OK)


def _write(result: QueryResult, output: Output, to: Path | None) -> None:
    from serving.semantic.formats import as_csv, as_json, as_parquet

    if output is Output.PARQUET:
        if to is None:
            raise UsageError("parquet is no text", remedy="name a file with --to", rule="output")
        to.write_bytes(as_parquet(result))
    elif output is Output.TABLE and to is None:
        show_table(
            f"Published {cell(result.publication.published_at)} (UTC)",
            result.columns,
            result.rows,
            empty="nothing was found",
            texts={name: TEXTS[form] for name, form in result.formats.items() if form in TEXTS},
        )
        return
    elif output is Output.TABLE:
        raise UsageError("a table is for the terminal", remedy="use --format csv with --to", rule="output")
    else:
        text = as_csv(result) if output is Output.CSV else as_json(result) + "\n"
        if to is None:
            sys.stdout.write(text)
            return
        to.write_text(text, encoding="utf-8")
    say(f"{counted(len(result.rows), 'row')} written to {to}")


@app.callback(invoke_without_command=True)
def list_metrics(context: typer.Context, target: Target = DEFAULT_TARGET) -> int:
    """List all metrics and dimensions."""
    if context.invoked_subcommand is not None:
        return int(ExitCode.OK)
    from serving.semantic import SemanticClient

    with SemanticClient.open(Home.from_environment(), target) as client:
        catalogue = client.catalogue()
    show_table(
        "Metrics",
        ("metric", "format", "owner", "description"),
        [(one.name, one.format, one.owner, one.description) for one in catalogue.public_metrics.values()],
        empty="no metric is published",
    )
    say("")
    show_table(
        "Dimensions",
        ("dimension", "type", "label"),
        [(one.name, one.kind.value, one.label) for one in catalogue.dimensions.values()],
        empty="no dimension is published",
    )
    say("\nOne of them:  tillhouse metrics explain METRIC")
    return int(ExitCode.OK)


@app.command()
def explain(
    metric: Annotated[str, typer.Argument(help="Name of a metric.")], target: Target = DEFAULT_TARGET
) -> int:
    """Say what a metric is, what it is made of and how it can be asked.

    \b
    Examples:  tillhouse metrics explain net_revenue
    """
    from serving.semantic import SemanticClient

    with SemanticClient.open(Home.from_environment(), target) as client:
        dimensions = client.dimensions_of(metric)
        metrics = client.catalogue().metrics
    for line in _explained(metrics[metric], metrics, dimensions):
        say(line)
    return int(ExitCode.OK)


def _explained(
    metric: MetricInfo, metrics: Mapping[str, MetricInfo], dimensions: tuple[str, ...]
) -> list[str]:
    needed = " (one has to be named)" if metric.needs_grain else ""
    parts = [f"  {name}: {metrics[name].expression}" for name in sorted(metric.inputs)]
    return [
        f"{metric.label} ({metric.name})",
        metric.description,
        "",
        f"type:        {metric.kind}, {metric.format}",
        f"owner:       {metric.owner}",
        f"definition:  {metric.expression}",
        *parts,
        f"tables:      {', '.join(sorted(metric.tables))}",
        f"periods:     {', '.join(metric.grains)}{needed}",
        f"dimensions:  {', '.join(dimensions)}",
    ]


@app.command()
def compare(
    *,
    before: Annotated[Path, typer.Argument(help="A home folder, or a published file.")],
    after: Annotated[Path, typer.Argument(help="Another one.")],
    only: Annotated[
        list[str] | None, typer.Option("--metric", help="Look at this metric alone; may be given again.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most lines a metric.")] = 5,
) -> int:
    """Say which figures of all metrics differ between two published warehouses.

    Looks at each metric over all time, and by month and source system.

    \b
    Examples:  tillhouse metrics compare ../main/var var
               tillhouse metrics compare before.duckdb var/published.duckdb --metric net_revenue
    """
    from serving.semantic.client import SemanticClient
    from serving.semantic.compare import compare as compare_metrics
    from serving.semantic.published import open_published_file

    with (
        SemanticClient(open_published_file(before)) as former,
        SemanticClient(open_published_file(after)) as newer,
    ):
        found = compare_metrics(former, newer, only or ())
        formats = {name: metric.format for name, metric in newer.catalogue().metrics.items()}
    rows = []
    for name in found.moved_metrics:
        moves = [move for move in found.moves if move.metric == name]
        text = TEXTS.get(formats[name], cell)
        rows += [
            (name, move.slice, *("" if one is None else text(one) for one in (move.before, move.after)))
            for move in moves[:limit]
        ]
        if len(moves) > limit:
            rows.append((name, f"and {counted(len(moves) - limit, 'more slice')}", "", ""))
    show_table(
        f"{len(found.moved_metrics)} of {counted(found.compared, 'metric')} moved",
        ("metric", "slice", "before", "after"),
        rows,
        empty=f"none of {counted(found.compared, 'metric')} moved",
    )
    for word, names in (("gone", found.removed), ("new", found.added)):
        if names:
            say(f"{word}: {', '.join(names)}")
    return int(ExitCode.OK)


def _share(value: Any) -> str:
    return f"{value:.1%}"


def _two_places(value: Any) -> str:
    return f"{value:,.2f}"


def _quantity(value: Any) -> str:
    return f"{value.normalize():,f}" if isinstance(value, Decimal) else f"{value:,}"


def _count(value: Any) -> str:
    return f"{int(value):,}"


# How figures read on a terminal; files hold them as they are.
TEXTS: Mapping[str, Callable[[Any], str]] = {
    "share": _share,
    "money": _two_places,
    "ratio": _two_places,
    "hours": _two_places,
    "days": _two_places,
    "quantity": _quantity,
    "count": _count,
}
