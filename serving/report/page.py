"""The report as a file: one HTML page with its charts inside, which asks nothing of any other place."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from serving.dashboards.figures import written
from serving.report import charts, texts
from serving.report.contents import CohortCell, Contents, Headline, gather
from serving.semantic import Catalogue, SemanticClient
from settings.errors import ConfigurationError
from settings.home import Home

TEMPLATE = "report.html.j2"
LEAST_FOR_A_LINE = 2
LABELLED_BY = {"location_key": "location"}


def write_report(
    home: Home, *, target: str = "duckdb", day: date | None = None, output: Path | None = None
) -> Path:
    """Write the report of a day and say where it is.

    Args:
        day: None for the latest with an order.
        output: the file; None for one named after the day among the home's reports.

    Raises:
        NotFoundError: when nothing is published.
        UnavailableError: when the database cannot answer.
        ConfigurationError: when the file cannot be written.
    """
    with SemanticClient.open(home, target) as client:
        contents = gather(client, day)
    named = contents.day or contents.publication.published_at.date()
    path = output or home.reports / f"daily_{named.isoformat()}.html"
    _write_whole(path, render(contents))
    return path


def render(contents: Contents) -> str:
    """The page. Every value is escaped: names come from customers' files."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": texts.money,
        "day": texts.day,
        "moment": texts.moment,
        "hours": texts.hours,
        "cell": texts.cell,
        "count": lambda value: written(value, "count"),
        "share": lambda value: written(value, "share"),
    }
    return environment.get_template(TEMPLATE).render(
        contents=contents,
        headlines=[_headline(one) for one in contents.headlines],
        notes=_notes(contents),
        pictures=_pictures(contents),
        by_system=_cohorts_by_system(contents.cohorts),
        highest_retention=max((one.retention for one in contents.cohorts if one.month > 0), default=0.0),
        labels=_labels(contents.catalogue),
        metrics=contents.catalogue.metrics,
        chart=_image,
        charts=charts,
        figure=written,
        change=texts.change,
    )


def _labels(catalogue: Catalogue) -> dict[str, str]:
    """Names of dimensions as people say them; a key stands for what it is the key of."""
    labels = {name: one.label for name, one in catalogue.dimensions.items()}
    return labels | {key: labels[name] for key, name in LABELLED_BY.items() if name in labels}


def _headline(one: Headline) -> dict[str, Any]:
    form = one.metric.format
    return {
        "label": one.metric.label,
        "description": one.metric.description,
        "value": written(one.value, form),
        "before": written(one.before, form),
        "change": texts.change(one.value, one.before, form),
        "week_before": written(one.week_before, form),
        "week_change": texts.change(one.value, one.week_before, form),
        "spark": _image(charts.sparkline(one.series), f"{one.metric.label}, last four weeks"),
    }


def _notes(contents: Contents) -> list[str]:
    """What a reader has to know before reading a figure."""
    if contents.day is None:
        return [
            "No order is published yet, so there is no day to report on. What is known of the data is below."
        ]
    notes = []
    latest = max(contents.as_of.values(), default=None)
    if not contents.has_orders:
        last = f" The latest day with an order is {texts.day(latest)}." if latest else ""
        notes.append(f"No order is dated {texts.day(contents.day)}.{last}")
    late = {system: at for system, at in contents.as_of.items() if at < contents.day}
    if contents.has_orders and late:
        ends = ", ".join(f"{system} on {texts.day(at)}" for system, at in sorted(late.items()))
        notes.append(
            f"Not every system has delivered this day: the orders end for {ends}. Totals are of the others."
        )
    if latest and contents.day < latest:
        notes.append(
            f"Stock, cohorts, segments and data quality are as published, up to {texts.day(latest)}, and not as they"
            f" were on {texts.day(contents.day)}."
        )
    if contents.has_orders and not contents.has_day_before:
        notes.append("This is the first day on record: there is no day before it to compare with.")
    return notes


def _pictures(contents: Contents) -> dict[str, Markup | None]:
    """Charts by name; None for one that would have nothing to show: the page says why."""
    pictures: dict[str, Markup | None] = dict.fromkeys(("trend", "average", "segments", "contributions"))
    if len(contents.trend) >= LEAST_FOR_A_LINE:
        pictures["trend"] = _image(
            charts.revenue_trend(contents.trend),
            f"Net revenue a day and its 7-day mean, {len(contents.trend)} days up to the report's",
        )
    long_enough = {
        system: points
        for system, points in contents.average_by_week.items()
        if len(points) >= LEAST_FOR_A_LINE
    }
    if long_enough:
        pictures["average"] = _image(
            charts.average_by_week(long_enough), "Average order value by complete week and source system"
        )
    if contents.segments:
        pictures["segments"] = _image(charts.segments(contents.segments), "Customers by segment and system")
    if contents.revenue_change and contents.revenue_change.change:
        pictures["contributions"] = _image(
            charts.contributions(contents.revenue_change),
            f"Contributions to the change of net revenue by {contents.revenue_change.dimension}",
        )
    return pictures


def _cohorts_by_system(cells: Iterable[CohortCell]) -> dict[str, list[CohortCell]]:
    """Cells of each system that has a month after the first of some cohort."""
    found: dict[str, list[CohortCell]] = {}
    for cell in cells:
        found.setdefault(cell.system, []).append(cell)
    return {system: listed for system, listed in found.items() if any(cell.month > 0 for cell in listed)}


def _image(svg: bytes, description: str) -> Markup:
    """A chart inside the page. As an image of its own: two charts in one document would share the ids in them."""
    encoded = base64.b64encode(svg).decode("ascii")
    return Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(encoded, description)


def _write_whole(path: Path, text: str) -> None:
    """The file appears whole or not at all, private to the user."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigurationError(
            f"the report {path} cannot be written: {error.strerror or error}",
            remedy="name a file with --output in a folder that you may write to",
            rule="report_file",
        ) from error
