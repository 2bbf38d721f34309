"""Cards as Altair charts: the same data in, the same specification out. Nothing here asks a question.

Values are written into the specification, so nothing is loaded from elsewhere. Colours are those of Okabe and Ito,
which readers with any form of colour blindness can tell apart; series are named at their ends as well. Bars begin at
zero.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import altair as alt

from serving.access.answers import Answer
from serving.dashboards.definitions import Card, Chart
from serving.dashboards.figures import ADDITIVE, UNITS, Column, plain, told
from serving.dashboards.questions import Period
from serving.semantic import Grain

# Okabe & Ito (2008), without yellow and black, which are hard to read on white or look like text.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
REST_COLOUR = "#C8C8C8"
REST = "all others"
SEQUENTIAL: Final = "blues"
ORDERED: Final = "viridis"
MOST_SERIES = len(PALETTE)
MOST_LABELLED_CELLS = 400
LEGEND_LETTERS = 46  # in the narrowest place that a legend has to fit into
MOST_SPREAD = 30
SMALLEST_GAP = 0.06  # of the axis; a line of text is about as high
MOST_TICKS = 8
LONGEST_NAME = 14  # beside a line; longer ones go into a legend above
FONT = "Source Sans, sans-serif"  # comes with Streamlit
INK = "#31333F"
ROW_HEIGHT = 26
GRID_ROW_PIXELS = 40


@dataclass(frozen=True)
class Frame:
    """What a chart is drawn from.

    Attributes:
        rows: one for each mark, by the columns' names; several y are rows of their own, with `series` and `value`.
        columns: by name, also `series` and `value`.
        grain: of the column that holds periods, where there is one.
        highest: the largest value of y over all facets, so that their axes end alike.
    """

    rows: list[dict[str, Any]]
    columns: Mapping[str, Column]
    grain: Grain | None = None
    highest: float | None = None


@dataclass(frozen=True)
class Picture:
    """One chart of a card.

    Attributes:
        title: the value of the facet that it is of; empty where the card has none.
    """

    title: str
    chart: alt.LayerChart | alt.Chart


def draw(
    card: Card,
    answer: Answer,
    columns: Sequence[Column],
    *,
    grain: Grain | None = None,
    period: Period | None = None,
    last_day: date | None = None,
) -> list[Picture]:
    """The charts of a card with at least one row: one, or one a value of its facet, on one scale of y.

    Args:
        columns: of the answer, in its order.
        period: the chosen one; periods that it cuts are drawn hollow or pale.
        last_day: periods that end later are not over.
    """
    frame = _frame(card, answer, columns, grain=grain, period=period, last_day=last_day)
    drawn = {
        Chart.LINE: _line,
        Chart.BAR: _bar,
        Chart.STACKED_BAR: _stacked,
        Chart.HEATMAP: _heatmap,
        Chart.SCATTER: _scatter,
    }[card.chart]
    facet = card.encoding.facet
    if facet is None:
        return [Picture("", _styled(drawn(card, frame)))]
    values = list(dict.fromkeys(row[facet] for row in frame.rows))
    return [
        Picture(
            value,
            _styled(drawn(card, replace(frame, rows=[row for row in frame.rows if row[facet] == value]))),
        )
        for value in values
    ]


def _styled(chart: alt.LayerChart | alt.Chart) -> alt.LayerChart | alt.Chart:
    styled: alt.LayerChart | alt.Chart = (
        chart.configure(font=FONT)
        .configure_view(strokeWidth=0)
        .configure_axis(
            labelColor=INK, titleColor=INK, titleFontWeight="normal", labelFontSize=12, titleFontSize=12,
            gridColor="#E6E6E6", domainColor="#999999", tickColor="#999999", labelLimit=220,
        )
        .configure_legend(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=220)
    )  # fmt: skip
    return styled


def _frame(
    card: Card,
    answer: Answer,
    columns: Sequence[Column],
    *,
    grain: Grain | None,
    period: Period | None,
    last_day: date | None,
) -> Frame:
    known = {column.name: column for column in columns}
    rows = []
    for record in answer.records():
        row = {
            name: plain(value) if known[name].is_figure else _key(value, known[name], grain)
            for name, value in record.items()
        }
        if grain:
            row["is_cut"] = _is_cut(record[str(grain)], grain, period, last_day)
        rows.append(row)
    ys = [str(grain) if name == "grain" else name for name in card.encoding.ys]
    if len(ys) > 1:
        rows = [{**row, "series": known[y].label, "value": row[y]} for row in rows for y in ys]
        known["series"] = Column("series", "Figure", "text")
        known["value"] = Column("value", " / ".join(known[y].label for y in ys), known[ys[0]].format)
    ys = ["value"] if len(ys) > 1 else ys
    heights = [row[y] for row in rows for y in ys if isinstance(row[y], int | float)]
    return Frame(rows, known, grain, max(heights, default=None) if card.encoding.facet else None)


def _key(value: Any, column: Column, grain: Grain | None) -> Any:
    """What tells rows apart, as the chart has it: days stay days, so that they lie in time."""
    if column.format == "label" and isinstance(value, int):
        return value
    if isinstance(value, date) and column.format in {"period", "date"}:
        return value.isoformat()
    return told(value, column, grain)


def _is_cut(start: date, grain: Grain, period: Period | None, last_day: date | None) -> bool:
    end = _next(start, grain) - timedelta(days=1)
    if last_day is not None and end > last_day:
        return True
    return period is not None and (start < period.start or end > period.end)


def _next(start: date, grain: Grain) -> date:
    if grain is Grain.DAY:
        return start + timedelta(days=1)
    if grain is Grain.WEEK:
        return start + timedelta(days=7)
    months = {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.YEAR: 12}[grain]
    month = start.month - 1 + months
    return date(start.year + month // 12, month % 12 + 1, 1)


def _line(card: Card, frame: Frame) -> Any:
    x, (y, colour) = _x(card, frame), _y_and_colour(card, frame)
    value = frame.columns[y]
    ordered = colour is not None and frame.columns[colour].format == "date"
    names = _series(frame, colour)
    # A name at the end of each line reads better than a legend, where there is room for names.
    rows = _in_series(frame.rows, x, colour)
    is_short = max((len(str(name)) for name in names), default=0) <= LONGEST_NAME
    has_room = len(names) <= MOST_SERIES and is_short and _ends_are_apart(rows, y)
    labelled = colour is not None and has_room and not ordered
    encoded = alt.Chart(alt.InlineData(values=rows)).encode(
        x=_time_axis(x, frame) if x == str(frame.grain) else _number_axis(x, frame),
        y=alt.Y(
            f"{y}:Q",
            title=_value_title(value),
            scale=_value_scale(frame, from_zero=value.format != "share"),
            axis=alt.Axis(format=_axis_format(value)),
        ),
        tooltip=_tooltips(frame, [x, colour, y]),
    )
    if colour is not None:
        encoded = encoded.encode(color=_colour(colour, frame, ordered=ordered, legend=not labelled))
    # A period that is cut is no fall: no line leads to its point.
    whole = encoded.transform_filter("!datum.is_cut")
    layers = [whole.mark_line(strokeWidth=2, color=PALETTE[0])]
    if frame.grain:
        layers.append(whole.mark_point(size=36, filled=True, opacity=1, color=PALETTE[0]))
        if any(row["is_cut"] for row in rows):
            cut = encoded.transform_filter("datum.is_cut")
            layers.append(cut.mark_point(size=40, filled=False, opacity=1, color=PALETTE[0]))
    if labelled:
        last = encoded.transform_filter("datum.is_last")
        layers.append(last.mark_text(align="left", dx=8, fontSize=12).encode(text=f"{colour}:N"))
    return _sized(alt.layer(*layers), card)


def _bar(card: Card, frame: Frame) -> Any:
    x, (y, _) = _x(card, frame), _y_and_colour(card, frame)
    value = frame.columns[y]
    rows = [row for row in frame.rows if row[y] is not None]
    # Long names read best beside lying bars, in the order of the answer.
    names = [row[x] for row in rows]
    encoding = card.encoding
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y(f"{x}:N", sort=list(dict.fromkeys(names)), title=None, axis=alt.Axis(labelLimit=220)),
        x=alt.X(
            f"{y}:Q",
            title=_value_title(value),
            scale=_value_scale(frame),
            axis=alt.Axis(format=_axis_format(value), tickCount=5),
        ),
        tooltip=_tooltips(frame, [x, encoding.facet, y]),
    )
    bars = base.mark_bar(color=PALETTE[0])
    if encoding.colour:
        bars = bars.encode(color=_colour(encoding.colour, frame, legend=False))
    labels = base.mark_text(align="left", dx=4, color=INK, fontSize=12).encode(
        text=alt.Text(f"{y}:Q", format=_mark_format(value, rows))
    )
    height = ROW_HEIGHT * len(dict.fromkeys(names))
    return _sized(alt.layer(bars, labels), card, height=height)


def _stacked(card: Card, frame: Frame) -> Any:
    x, (y, colour) = _x(card, frame), _y_with_colour(card, frame)
    frame, order = _largest_series(frame, x, y, colour)
    value = frame.columns[y]
    domain = (
        _buckets(frame, x) if x == str(frame.grain) else list(dict.fromkeys(row[x] for row in frame.rows))
    )
    chart = (
        alt.Chart(alt.InlineData(values=[{**row, "place": order.index(row[colour])} for row in frame.rows]))
        .mark_bar()
        .encode(
            x=alt.X(f"{x}:O", title=None, scale=alt.Scale(domain=domain), axis=_bucket_axis(frame, x)),
            y=alt.Y(
                f"{y}:Q",
                title=_value_title(value),
                stack="zero",
                scale=alt.Scale(zero=True, nice=True),
                axis=alt.Axis(format=_axis_format(value)),
            ),
            color=_colour(colour, frame, names=order),
            order=alt.Order("place:Q"),
            opacity=alt.condition("datum.is_cut", alt.value(0.55), alt.value(1)),
            tooltip=_tooltips(frame, [x, colour, y]),
        )
    )
    return _sized(chart, card)


def _heatmap(card: Card, frame: Frame) -> Any:
    x, (y, colour) = _x(card, frame), _y_with_colour(card, frame)
    value = frame.columns[colour]
    down = frame.columns[y].format in {"date", "text"} or y == "iso_weekday"
    domain = _buckets(frame, x) if x == str(frame.grain) else sorted({row[x] for row in frame.rows})
    rows = sorted({row[y] for row in frame.rows}, reverse=not down)
    base = alt.Chart(alt.InlineData(values=frame.rows)).encode(
        x=alt.X(
            f"{x}:O",
            title=None if x == str(frame.grain) else frame.columns[x].label,
            scale=alt.Scale(domain=domain),
            axis=_bucket_axis(frame, x),
        ),
        y=alt.Y(
            f"{y}:O",
            title=None if y in {"iso_weekday", "location_name", "feed"} else frame.columns[y].label,
            sort=rows,
            axis=_bucket_axis(frame, y),
        ),
        tooltip=_tooltips(frame, [card.encoding.facet, y, x, colour]),
    )
    facets = 2 if card.encoding.facet else 1
    # About a number to a column of the grid fits into a line; the legend gives way to the numbers.
    is_labelled = len(frame.rows) <= MOST_LABELLED_CELLS and len(domain) * facets <= card.width + 2
    legend = alt.Legend(format=_axis_format(value), orient="top", direction="horizontal", gradientLength=160)
    cells = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color(
            f"{colour}:Q",
            title=value.title,
            scale=alt.Scale(scheme=SEQUENTIAL, zero=True),
            legend=None if is_labelled else legend,
        )
    )
    if frame.grain:
        cells = cells.encode(opacity=alt.condition("datum.is_cut", alt.value(0.55), alt.value(1)))
    layers = [cells]
    if is_labelled:
        middle = max((row[colour] or 0 for row in frame.rows), default=0) * 0.55
        layers.append(
            base.mark_text(fontSize=10).encode(
                text=alt.Text(f"{colour}:Q", format=".0%" if value.format == "share" else ".3~s"),
                color=alt.condition(f"datum['{colour}'] > {middle}", alt.value("white"), alt.value(INK)),
            )
        )
    height = 22 * len(rows) if len(rows) > 8 else 30 * len(rows)
    return _sized(alt.layer(*layers), card, height=height)


def _scatter(card: Card, frame: Frame) -> Any:
    x, (y, colour) = _x(card, frame), _y_and_colour(card, frame)
    label = card.encoding.label
    spread = [row[x] for row in frame.rows if row[x]]
    # One giant would press all others into a corner.
    is_wide = bool(spread) and min(spread) > 0 and max(spread) > MOST_SPREAD * min(spread)
    base = alt.Chart(alt.InlineData(values=[row for row in frame.rows if row[x] or not is_wide])).encode(
        x=alt.X(
            f"{x}:Q",
            title=f"{frame.columns[x].title}{', logarithmic' if is_wide else ''}",
            scale=alt.Scale(type="log", nice=False, padding=20) if is_wide else alt.Scale(zero=True),
            axis=alt.Axis(format=_axis_format(frame.columns[x]), tickCount=5),
        ),
        y=alt.Y(
            f"{y}:Q",
            title=frame.columns[y].title,
            axis=alt.Axis(format=_axis_format(frame.columns[y])),
            scale=alt.Scale(zero=True),
        ),
        tooltip=_tooltips(frame, [label, colour, x, y]),
    )
    points = base.mark_circle(size=70, opacity=0.85, color=PALETTE[0])
    if colour is not None:
        points = points.encode(color=_colour(colour, frame))
    # Names of the marks at the edges alone: in the crowd they would lie over one another.
    names = base.transform_filter(_outermost(frame.rows, x, y, str(label)))
    text = names.mark_text(align="left", dx=7, fontSize=11, color=INK).encode(text=f"{label}:N")
    return _sized(alt.layer(points, text), card)


def _outermost(rows: Sequence[Mapping[str, Any]], x: str, y: str, label: str, most: int = 3) -> Any:
    known = [row for row in rows if row[x] is not None and row[y] is not None]
    named: set[str] = set()
    for column in (x, y):
        ordered = sorted(known, key=lambda row: row[column])
        named |= {str(row[label]) for row in ordered[-most:]}
    return alt.FieldOneOfPredicate(field=label, oneOf=sorted(named))


def _x(card: Card, frame: Frame) -> str:
    return str(frame.grain) if card.encoding.x == "grain" else str(card.encoding.x)


def _y_and_colour(card: Card, frame: Frame) -> tuple[str, str | None]:
    ys = [str(frame.grain) if name == "grain" else name for name in card.encoding.ys]
    return ("value", "series") if len(ys) > 1 else (ys[0], card.encoding.colour)


def _y_with_colour(card: Card, frame: Frame) -> tuple[str, str]:
    """Of a kind of chart that has no picture without a colour, which its definition is held to name."""
    y, colour = _y_and_colour(card, frame)
    if colour is None:
        raise ValueError(f"card {card.name}: a {card.chart} needs a colour, or several y")
    return y, colour


def _time_axis(x: str, frame: Frame) -> Any:
    pattern = "%b %Y" if frame.grain is Grain.MONTH else "%d %b"
    # The marks of the axis are periods that there are: a week begins on its Monday.
    starts = _buckets(frame, x)
    step = -(-len(starts) // MOST_TICKS) or 1
    ticks = [_moment(start) for start in starts[::step]]
    return alt.X(
        f"{x}:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format=pattern, labelOverlap=True, grid=False, values=ticks),
    )


def _moment(day: str) -> alt.DateTime:
    start = date.fromisoformat(day)
    return alt.DateTime(year=start.year, month=start.month, date=start.day, utc=True)


def _number_axis(x: str, frame: Frame) -> Any:
    return alt.X(f"{x}:Q", title=frame.columns[x].label, axis=alt.Axis(format="d", grid=False, tickMinStep=1))


def _bucket_axis(frame: Frame, name: str) -> Any:
    """Bars and cells stand side by side: their periods are words, not moments."""
    column = frame.columns[name]
    if column.format in {"period", "date"}:
        pattern = "%b %Y" if frame.grain is Grain.MONTH or name.endswith("_month") else "%d %b"
        return alt.Axis(
            labelExpr=f"utcFormat(toDate(datum.value), '{pattern}')", labelOverlap=True, labelAngle=0
        )
    if name == "iso_weekday":
        return alt.Axis(labelExpr=f"{list(calendar.day_abbr)}[datum.value - 1]", labelAngle=0)
    return alt.Axis(labelAngle=0, labelOverlap=True)


def _buckets(frame: Frame, x: str) -> list[str]:
    """Every period from the first to the last, also those without a row: a gap is a finding."""
    if not frame.rows or frame.grain is None:
        return []
    days = sorted(date.fromisoformat(row[x]) for row in frame.rows)
    found = [days[0]]
    while found[-1] < days[-1]:
        found.append(_next(found[-1], frame.grain))
    return [day.isoformat() for day in found]


def _series(frame: Frame, colour: str | None) -> list[str]:
    return list(dict.fromkeys(row[colour] for row in frame.rows)) if colour else []


def _in_series(rows: Sequence[dict[str, Any]], x: str, colour: str | None) -> list[dict[str, Any]]:
    """The rows of lines; the last whole period of each says so."""
    ends: dict[Any, Any] = {}
    for row in rows:
        if not row.get("is_cut") and row[x] >= ends.get(row.get(colour or ""), row[x]):
            ends[row.get(colour or "")] = row[x]
    return [{"is_cut": False, **row, "is_last": ends.get(row.get(colour or "")) == row[x]} for row in rows]


def _ends_are_apart(rows: Sequence[Mapping[str, Any]], y: str) -> bool:
    """Whether names at the ends of the lines would not lie over one another."""
    ends = sorted(row[y] for row in rows if row["is_last"] and row[y] is not None)
    tallest = max((row[y] for row in rows if row[y] is not None), default=0)
    return all(later - former >= SMALLEST_GAP * tallest for former, later in pairwise(ends))


def _value_title(value: Column) -> str:
    """The unit of an axis; what is drawn stands above the chart already. Counts and per cents speak for themselves."""
    return value.label if value.format == "number" else UNITS.get(value.format, "")


def _value_scale(frame: Frame, *, from_zero: bool = True) -> Any:
    """Facets end at the same value; None lets the chart find its end."""
    if frame.highest is None:
        return alt.Scale(zero=from_zero, nice=True)
    return alt.Scale(domainMin=0, domainMax=frame.highest, nice=True)


def _largest_series(frame: Frame, x: str, y: str, colour: str) -> tuple[Frame, list[str]]:
    """The series by size. More than can be told apart go together, where their figures add up."""
    sizes: dict[str, float] = {}
    for row in frame.rows:
        sizes[row[colour]] = sizes.get(row[colour], 0) + (row[y] or 0)
    order = sorted(sizes, key=lambda name: -sizes[name])
    if colour == "series":
        return frame, _series(frame, colour)
    if len(order) <= MOST_SERIES or frame.columns[y].format not in ADDITIVE:
        return frame, order
    kept = order[: MOST_SERIES - 1]
    rest: dict[Any, dict[str, Any]] = {}
    rows = []
    for row in frame.rows:
        if row[colour] in kept:
            rows.append(row)
            continue
        gathered = rest.setdefault(row[x], {**row, colour: REST, y: 0})
        gathered[y] += row[y] or 0
    return replace(frame, rows=[*rows, *rest.values()]), [*kept, REST]


def _colour(
    name: str, frame: Frame, *, names: list[str] | None = None, ordered: bool = False, legend: bool = True
) -> Any:
    if ordered:
        pattern = "%b %Y" if name.endswith("_month") else "%d %b %Y"
        return alt.Color(
            f"{name}:O",
            title=frame.columns[name].label,
            scale=alt.Scale(scheme=ORDERED),
            legend=alt.Legend(labelExpr=f"utcFormat(toDate(datum.value), '{pattern}')"),
        )
    names = names or _series(frame, name)
    colours = [
        REST_COLOUR if one == REST else PALETTE[place % len(PALETTE)] for place, one in enumerate(names)
    ]
    return alt.Color(
        f"{name}:N",
        title=None,
        scale=alt.Scale(domain=names, range=colours),
        legend=alt.Legend(orient="top", direction="horizontal", columns=_legend_columns(names))
        if legend
        else None,
    )


def _legend_columns(names: Sequence[str]) -> int:
    longest = max((len(str(name)) for name in names), default=1)
    return max(1, min(4, LEGEND_LETTERS // longest))


def _tooltips(frame: Frame, names: Sequence[str | None]) -> list[Any]:
    return [_tooltip(frame, name) for name in names if name]


def _tooltip(frame: Frame, name: str) -> Any:
    column = frame.columns[name]
    if column.is_figure:
        return alt.Tooltip(f"{name}:Q", title=column.title, format=column.d3)
    return alt.Tooltip(f"{name}:N", title=column.label)


def _mark_format(column: Column, rows: Sequence[Mapping[str, Any]]) -> str:
    """Beside marks cents of thousands say nothing."""
    large = max((abs(row[column.name] or 0) for row in rows), default=0) >= 1_000
    return ",.0f" if column.format == "money" and large else column.d3


def _axis_format(column: Column) -> str:
    return {"share": ".1~%", "money": "~s", "count": "~s", "quantity": "~s"}.get(column.format, ",.2~f")


def _sized(chart: Any, card: Card, *, height: int | None = None) -> Any:
    """The chart as wide as its place."""
    return chart.properties(
        height=height or card.height * GRID_ROW_PIXELS,
        width="container",
        padding={"left": 5, "right": 10, "top": 5, "bottom": 5},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
