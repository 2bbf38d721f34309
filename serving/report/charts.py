"""The report's charts, as SVG. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.

Every text may come from a customer's file, so none is read as mathematics; the same figures give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.figure import Figure

from serving.report.changes import DimensionChange
from serving.report.contents import CohortCell

Axes = Any  # matplotlib's own types know of no dates on an axis

# M. Okabe and K. Ito, "Color Universal Design", 2008.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, INK, GREY, PALE = "#56B4E9", "#CC79A7", "#222222", "#8A8A8A", "#D9D9D9"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
HEAT = "Blues"  # one hue, light to dark: it reads the same without colour

MOST_MEMBERS = 8
MOST_LETTERS = 28
NEWEST_COHORTS = 3
DARK = 0.55  # of the scale: beyond it, letters are white
SETTINGS: Any = {
    "svg.hashsalt": "tillhouse",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}


def revenue_trend(trend: Sequence[tuple[date, Decimal]]) -> bytes:
    """Net revenue of each day, thin, under its mean over seven days, thick; the last day is marked."""
    days = [day for day, _ in trend]
    figures = [float(value) for _, value in trend]
    means = [(days[at], sum(figures[at - 6 : at + 1]) / 7) for at in range(6, len(figures))]
    with _figure(9.2, 2.9) as (figure, axes):
        axes.plot(days, figures, color=GREY, linewidth=0.8)
        if means:
            axes.plot(*zip(*means, strict=True), color=BLUE, linewidth=2.2)
            _label(axes, means[-1][0], means[-1][1], "7-day mean", BLUE)
        axes.plot(days[-1:], figures[-1:], "o", color=VERMILLION, markersize=5)
        _label(axes, days[-1], figures[-1], f"{days[-1]:%a %-d %b}: {figures[-1]:,.0f}", VERMILLION)
        axes.set_ylim(bottom=min(0.0, *figures))
        axes.set_ylabel("net revenue a day")
        _money_axis(axes)
        _date_axis(axes)
        return _svg(figure)


def average_by_week(systems: Mapping[str, Sequence[tuple[date, float]]]) -> bytes:
    """Average order value by complete ISO week, one line a system, from 0."""
    with _figure(9.2, 2.6) as (figure, axes):
        for colour, (system, points) in zip(SERIES, systems.items(), strict=False):
            weeks, figures = zip(*points, strict=True)
            axes.plot(weeks, figures, color=colour, linewidth=1.8, marker="o", markersize=2.5)
            _label(axes, weeks[-1], figures[-1], f"{system}: {figures[-1]:,.2f}", colour)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("net sales an order")
        _money_axis(axes)
        _date_axis(axes)
        return _svg(figure)


def retention_curves(cells: Sequence[CohortCell], *, top: float) -> bytes:
    """Share of each cohort that came back, by months since the first order: all cohorts pale, the newest ones and the
    mean (weighted by customers) named. `top` is the highest share of all systems, so that their charts compare.
    """
    cohorts: dict[date, list[CohortCell]] = {}
    for cell in cells:
        if cell.month > 0:
            cohorts.setdefault(cell.cohort, []).append(cell)
    newest = sorted(cohorts)[-NEWEST_COHORTS:]
    with _figure(4.5, 3.1) as (figure, axes):
        for cohort in sorted(cohorts):
            points = [(cell.month, cell.retention) for cell in cohorts[cohort]]
            is_new = cohort in newest
            colour = SERIES[newest.index(cohort)] if is_new else PALE
            axes.plot(
                *zip(*points, strict=True), color=colour, linewidth=1.6 if is_new else 0.9, marker="o",
                markersize=3 if is_new else 0, zorder=3 if is_new else 1, label=f"{cohort:%b %Y}" if is_new else None,
            )  # fmt: skip
        months = sorted({cell.month for cell in cells if cell.month > 0})
        means = [
            sum(c.retention * c.customers for c in cells if c.month == month)
            / sum(c.customers for c in cells if c.month == month)
            for month in months
        ]
        axes.plot(months, means, color=INK, linewidth=2.2, zorder=4, label="all cohorts")
        axes.set_ylim(0, top * 1.05 or 1)
        axes.set_xticks(months)
        axes.set_xlabel("months since the first order")
        axes.set_ylabel("customers who ordered")
        axes.yaxis.set_major_formatter(_percent)
        axes.legend(frameon=False, fontsize=8, loc="best", handlelength=1.4)
        return _svg(figure)


def cohort_heat_map(cells: Sequence[CohortCell], *, top: float) -> bytes:
    """Retention by cohort and months since, as a table of shaded shares; month 0 is always the whole cohort.

    Args:
        top: the share that is darkest, the same for all systems.
    """
    cohorts = sorted({cell.cohort for cell in cells})
    months = list(range(1, max(cell.month for cell in cells) + 1))
    shares = {(cell.cohort, cell.month): cell.retention for cell in cells}
    sizes = {cell.cohort: cell.customers for cell in cells}
    grid = [[shares.get((cohort, month)) for month in months] for cohort in cohorts]
    with _figure(9.2, 0.9 + 0.27 * len(cohorts)) as (figure, axes):
        _heat(axes, grid, lambda share: f"{share:.0%}", top)
        axes.set_xticks(range(len(months)), [str(month) for month in months])
        axes.set_yticks(range(len(cohorts)), [f"{cohort:%b %Y} · {sizes[cohort]:,}" for cohort in cohorts])
        axes.set_xlabel("months since the first order")
        axes.set_ylabel("first order · customers")
        return _svg(figure)


def score_map(groups: Mapping[tuple[int, int], int | None]) -> bytes:
    """Customers by recency and frequency score, 5 × 5; a group too small to show stays empty."""
    grid = [[groups.get((recency, frequency), 0) for frequency in range(1, 6)] for recency in range(5, 0, -1)]
    with _figure(4.5, 3.1) as (figure, axes):
        top = max((count for row in grid for count in row if count is not None), default=0)
        _heat(axes, grid, lambda customers: f"{customers:,.0f}", top)
        axes.set_xticks(range(5), [str(score) for score in range(1, 6)])
        axes.set_yticks(range(5), [str(score) for score in range(5, 0, -1)])
        axes.set_xlabel("frequency score (5: most orders)")
        axes.set_ylabel("recency score (5: latest order)")
        return _svg(figure)


def segments(systems: Mapping[str, Mapping[str, int | None]]) -> bytes:
    """Share of each system's customers by segment, side by side. Groups too small to show count as none."""
    names = sorted({name for groups in systems.values() for name in groups})
    shares = {
        system: {name: (groups.get(name) or 0) / (sum(filter(None, groups.values())) or 1) for name in names}
        for system, groups in systems.items()
    }
    names.sort(key=lambda name: sum(groups[name] for groups in shares.values()))
    height = 0.8 / max(len(systems), 1)
    with _figure(9.2, 0.7 + 0.42 * len(names)) as (figure, axes):
        for number, (colour, system) in enumerate(zip(SERIES, systems, strict=False)):
            places = [at + 0.4 - height * (number + 0.5) for at in range(len(names))]
            bars = axes.barh(places, [shares[system][name] for name in names], height * 0.92, color=colour)
            counts = [systems[system].get(name, 0) for name in names]
            texts = [
                f"{shares[system][name]:.0%} · {count:,}" if count is not None else "too few to show"
                for name, count in zip(names, counts, strict=True)
            ]
            axes.bar_label(bars, texts, padding=3, fontsize=8, color=INK)
            axes.annotate(
                system, (0, places[-1]), (4, 0), textcoords="offset points", va="center", fontsize=8,
                color="white", fontweight="bold",
            )  # fmt: skip
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        axes.set_xlabel("share of the system's customers · customers")
        axes.xaxis.set_major_formatter(_percent)
        axes.margins(x=0.15)
        return _svg(figure)


def contributions(change: DimensionChange) -> bytes:
    """What each member of a dimension added to a change or took from it; the members beyond the largest as one."""
    shown = [(one.member, one.change) for one in change.contributions[:MOST_MEMBERS]]
    rest = change.contributions[MOST_MEMBERS:]
    if rest:
        shown.append((f"{len(rest)} others", sum((one.change for one in rest), Decimal(0))))
    shown.reverse()
    figures = [float(figure) for _, figure in shown]
    with _figure(9.2, 0.7 + 0.3 * len(shown)) as (figure, axes):
        colours = [BLUE if value >= 0 else VERMILLION for value in figures]
        bars = axes.barh(range(len(shown)), figures, 0.7, color=colours)
        axes.bar_label(bars, [f"{value:+,.2f}" for value in figures], padding=3, fontsize=8)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(
            range(len(shown)), [_short(member) if member is not None else "none" for member, _ in shown]
        )
        axes.set_xlabel("change of net revenue since the day before")
        axes.margins(x=0.14)
        axes.xaxis.set_major_formatter(_thousands)
        return _svg(figure)


def sparkline(series: Sequence[tuple[date, Any]]) -> bytes:
    """The course of a figure, without axes; the last day is marked."""
    points = [(day, float(value)) for day, value in series if value is not None]
    with _figure(1.5, 0.32, is_bare=True) as (figure, axes):
        if points:
            axes.plot(*zip(*points, strict=True), color=GREY, linewidth=1)
            axes.plot(*points[-1], "o", color=VERMILLION, markersize=3.5)
            axes.margins(x=0.06, y=0.2)
        return _svg(figure)


@contextmanager
def _figure(width: float, height: float, *, is_bare: bool = False) -> Iterator[tuple[Figure, Axes]]:
    """A figure of so many inches; not one of pyplot's, which would keep it for ever and is of one thread."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is boxes in the chart; the tables beside it have it.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure = Figure(figsize=(width, height), layout=None if is_bare else "constrained")
        axes = figure.add_axes((0, 0, 1, 1)) if is_bare else figure.add_subplot()
        if is_bare:
            axes.set_axis_off()
        yield figure, axes


def _svg(figure: Figure) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    return sink.getvalue()


def _heat(
    axes: Axes, grid: Sequence[Sequence[float | None]], text: Callable[[float], str], top: float
) -> None:
    """Shaded cells with their figure in each, darkest at `top`; None stays empty."""
    top = top or 1
    axes.imshow(
        [[float("nan") if value is None else value for value in row] for row in grid],
        cmap=mpl.colormaps[HEAT].with_extremes(bad="white"), vmin=0, vmax=top, aspect="auto",
    )  # fmt: skip
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            if value is not None:
                colour = "white" if value / top > DARK else INK
                axes.text(column, row, text(value), ha="center", va="center", color=colour, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _label(axes: Axes, x: date, y: float, text: str, colour: str) -> None:
    """A name at the end of a line, in place of a legend."""
    axes.annotate(
        text, (x, y), (6, 0), textcoords="offset points", va="center", color=colour,
        fontsize=9, fontweight="bold", annotation_clip=False,
    )  # fmt: skip


def _date_axis(axes: Axes) -> None:
    locator = dates.AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    first, last = axes.get_xlim()
    axes.set_xlim(first, last + (last - first) * 0.13)  # room for the names at the ends of the lines


def _money_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(_thousands)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _thousands(value: float, _position: int | None) -> str:
    return f"{value:,.0f}"


def _percent(value: float, _position: int | None) -> str:
    return f"{value:.0%}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
