"""Dashboards as data: what each card asks, how it is drawn, and which rows stand behind it.

The files are in `definitions/`, one dashboard each. Nothing here knows of a face: Streamlit, Metabase and the report
read the same definitions and ask the same questions (`questions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from serving.semantic.query import Filter, Grain, Operator, Ordering
from settings.errors import ConfigurationError

DEFINITIONS = Path(__file__).with_name("definitions")
GRID_COLUMNS = 24
AUTO = "auto"  # the grain follows from the length of the chosen period

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Sentence = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Scalar = bool | int | str
Ordered = Annotated[str, StringConstraints(pattern=r"^-?[a-z][a-z0-9_]*$")]


class FilterName(StrEnum):
    """What a reader may narrow a dashboard by."""

    PERIOD = "period"
    SYSTEM = "system"
    LOCATION = "location"
    CATEGORY = "category"
    CHANNEL = "channel"


class Chart(StrEnum):
    """How a card is drawn."""

    NUMBER = "number"
    LINE = "line"
    BAR = "bar"
    STACKED_BAR = "stacked_bar"
    HEATMAP = "heatmap"
    SCATTER = "scatter"
    TABLE = "table"


class Maturity(StrEnum):
    """How settled a dashboard is, in dbt's words for exposures."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


# What a chart has to be told besides its source.
REQUIRED_ENCODINGS = {
    Chart.LINE: ("x", "y"),
    Chart.BAR: ("x", "y"),
    Chart.STACKED_BAR: ("x", "y"),
    Chart.HEATMAP: ("x", "y", "colour"),
    Chart.SCATTER: ("x", "y", "label"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Encoding(_Strict):
    """Which column of the answer is drawn where.

    Attributes:
        x, y: columns; several y are drawn together, told apart by colour. `grain` is the period.
        colour: a column that tells the marks apart, or the value of a heat map's cell.
        facet: one small chart a value, on one scale.
        label: written beside each mark.
    """

    x: str | None = None
    y: str | list[str] | None = None
    colour: str | None = None
    facet: str | None = None
    label: str | None = None

    @property
    def ys(self) -> tuple[str, ...]:
        """The columns of the y axis."""
        return () if self.y is None else (self.y,) if isinstance(self.y, str) else tuple(self.y)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are drawn."""
        return (*(one for one in (self.x, self.colour, self.facet, self.label) if one), *self.ys)


class Aggregate(_Strict):
    """A column over the rows that share the card's other columns."""

    name: Slug
    function: Literal["sum", "average", "minimum", "maximum", "count"]
    column: Slug


class Card(_Strict):
    """One figure or picture: a question to the metrics, or rows of a published mart.

    Attributes:
        text: how to read it.
        metrics, by, grain: of a question to the metrics. A grain `auto` follows from the chosen period.
        compare: the same figure of the period before, beside it.
        mart, columns, aggregate: of rows of a mart; with aggregates one row for each group of the columns.
        where: fixed conditions: a value, a list of values, or an operator with its value.
        order_by: columns of the answer, or of the mart where nothing is aggregated; a minus sorts downwards.
        not_applied: filters of the dashboard that this figure cannot take; faces say so beside it.
        width, height: on a grid of 24 columns.
        drill: the mart whose rows stand behind the figure.
        empty: what is said where no row is good news.
    """

    name: Slug
    title: Sentence
    text: Sentence
    chart: Annotated[Chart, Field(strict=False)]
    metrics: tuple[Slug, ...] = Field(default=(), strict=False)
    by: tuple[Slug, ...] = Field(default=(), strict=False)
    grain: Literal["auto", "day", "week", "month", "quarter", "year"] | None = None
    compare: Literal["previous_period"] | None = None
    mart: Slug | None = None
    columns: tuple[Slug, ...] = Field(default=(), strict=False)
    aggregate: tuple[Aggregate, ...] = Field(default=(), strict=False)
    where: dict[Slug, Scalar | list[Scalar] | dict[str, Scalar | list[Scalar]]] = {}
    order_by: tuple[Ordered, ...] = Field(default=(), strict=False)
    limit: int | None = Field(default=None, ge=1, le=10_000)
    not_applied: tuple[Annotated[FilterName, Field(strict=False)], ...] = Field(default=(), strict=False)
    encoding: Encoding = Encoding()
    width: int = Field(ge=3, le=GRID_COLUMNS)
    height: int = Field(ge=2, le=20)
    drill: Slug | None = None
    empty: Sentence | None = None

    @property
    def result_columns(self) -> tuple[str, ...]:
        """Columns of the answer; the period of a question to the metrics is called `grain`."""
        if self.mart is not None:
            return (*self.columns, *(one.name for one in self.aggregate))
        return (*(("grain",) if self.grain else ()), *self.by, *self.metrics)

    @property
    def orderings(self) -> tuple[Ordering, ...]:
        """`order_by` with its directions."""
        return tuple(Ordering(one.removeprefix("-"), one.startswith("-")) for one in self.order_by)

    @property
    def conditions(self) -> tuple[Filter, ...]:
        """`where` as filters."""
        return tuple(one for column, value in self.where.items() for one in _conditions(column, value))

    @property
    def grains(self) -> tuple[Grain, ...]:
        """The lengths of period that the card may be asked for."""
        if self.grain is None:
            return ()
        return (Grain.DAY, Grain.WEEK, Grain.MONTH) if self.grain == AUTO else (Grain(self.grain),)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.metrics) == bool(self.mart):
            raise ValueError("a card has either `metrics` or a `mart`")
        foreign = ("columns", "aggregate") if self.metrics else ("by", "grain", "compare")
        given = [name for name in foreign if getattr(self, name)]
        if given:
            source = "metrics" if self.metrics else "a mart"
            raise ValueError(f"a card of {source} has no {' and no '.join(f'`{name}`' for name in given)}")
        if self.mart and not self.columns:
            raise ValueError("a card of a mart names its `columns`")
        return self

    @model_validator(mode="after")
    def _conditions_can_be_read(self) -> Self:
        _ = self.conditions
        return self

    @model_validator(mode="after")
    def _a_number_is_one_figure(self) -> Self:
        if self.chart is Chart.NUMBER and (len(self.metrics) != 1 or self.by or self.grain):
            raise ValueError("a number is one metric, without `by` and `grain`")
        if self.compare and self.chart is not Chart.NUMBER:
            raise ValueError("only a number is compared with the previous period")
        if self.compare and FilterName.PERIOD in self.not_applied:
            raise ValueError("a figure that does not follow the period has none before it")
        return self

    @model_validator(mode="after")
    def _drawn_columns_are_in_the_answer(self) -> Self:
        missing = [
            name for name in REQUIRED_ENCODINGS.get(self.chart, ()) if not getattr(self.encoding, name)
        ]
        if missing:
            raise ValueError(f"a {self.chart} needs encoding {', '.join(missing)}")
        unknown = sorted(set(self.encoding.columns) - set(self.result_columns))
        if unknown:
            raise ValueError(
                f"encoding names {', '.join(unknown)}; the answer has {', '.join(self.result_columns)}"
            )
        # A mart's rows may be sorted by what is not shown, so that their order is total; groups may not.
        sorted_by = {one.column for one in self.orderings}
        if not self.mart or self.aggregate:
            unknown = sorted(sorted_by - set(self.result_columns))
            if unknown:
                raise ValueError(
                    f"order_by names {', '.join(unknown)}; the answer has {', '.join(self.result_columns)}"
                )
        return self


class Dashboard(_Strict):
    """Cards that answer one question together.

    Attributes:
        order: its place among the dashboards, from 1.
        question: what it answers, one sentence.
        owner: the dbt group whose owner answers for it.
        filters: what a reader may narrow it by.
    """

    name: Slug
    title: Sentence
    order: int = Field(ge=1)
    question: Sentence
    description: Sentence
    owner: Sentence
    maturity: Annotated[Maturity, Field(strict=False)]
    filters: tuple[Annotated[FilterName, Field(strict=False)], ...] = Field(strict=False)
    cards: tuple[Card, ...] = Field(min_length=1, strict=False)

    def card(self, name: str) -> Card:
        """The card of this name.

        Raises:
            KeyError: when there is none.
        """
        return {card.name: card for card in self.cards}[name]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        repeated = _repeated(card.name for card in self.cards)
        if repeated:
            raise ValueError(f"two cards are called {', '.join(repeated)}")
        return self

    @model_validator(mode="after")
    def _only_own_filters_are_not_applied(self) -> Self:
        for card in self.cards:
            foreign = sorted(set(card.not_applied) - set(self.filters))
            if foreign:
                raise ValueError(
                    f"card {card.name}: not_applied names {', '.join(foreign)};"
                    f" the dashboard has the filters {', '.join(self.filters)}"
                )
        return self


def load_dashboards(folder: Path = DEFINITIONS) -> tuple[Dashboard, ...]:
    """All dashboards of a folder, in their order.

    Names of metrics, dimensions, marts and columns are held to what is published by `questions.require_published`.

    Raises:
        ConfigurationError: when a file breaks the form; the message names file, card and what is possible.
    """
    dashboards = [_read(path) for path in sorted(folder.glob("*.yml"))]
    if not dashboards:
        raise ConfigurationError(
            f"no dashboard is defined in {folder}", remedy="add a file", rule="dashboard"
        )
    dashboards.sort(key=lambda one: one.order)
    for former, later in pairwise(dashboards):
        if former.order == later.order:
            raise ConfigurationError(
                f"the dashboards {former.name} and {later.name} both have order {former.order}",
                remedy="give each its own place",
                rule="dashboard",
            )
    return tuple(dashboards)


def _read(path: Path) -> Dashboard:
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
        dashboard = Dashboard.model_validate(text)
    except (OSError, yaml.YAMLError) as error:
        raise _unusable(path, str(error)) from error
    except ValidationError as error:
        raise _unusable(path, "; ".join(_told(one, text) for one in error.errors())) from error
    if dashboard.name != path.stem:
        raise _unusable(path, f"it is called {dashboard.name}, its file {path.stem}")
    return dashboard


def _unusable(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"the dashboard {path.name} cannot be used: {problem}",
        remedy="compare it with docs/guides/dashboards.md",
        rule="dashboard",
    )


def _told(error: Any, text: Any) -> str:
    """A finding of pydantic with the card's name in place of its number, and the keys that there are."""
    where = list(error["loc"])
    model: type[BaseModel] = Dashboard
    named = ""
    if len(where) > 1 and where[0] == "cards":
        card = text["cards"][where[1]]
        name = card.get("name", where[1] + 1) if isinstance(card, dict) else where[1] + 1
        named, where, model = f"card {name}: ", where[2:], Card
    if where and where[0] == "encoding":
        model = Encoding
    if where and where[0] == "aggregate":
        model = Aggregate
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"there is no such key; there are {', '.join(model.model_fields)}"
    key = ".".join(str(one) for one in where)
    return f"{named}{key + ': ' if key else ''}{message}"


def _conditions(column: str, value: Any) -> Iterable[Filter]:
    if isinstance(value, dict):
        for sign, operand in value.items():
            if sign not in set(Operator):
                raise ValueError(f"where {column}: {sign!r} is none of {', '.join(Operator)}")
            yield Filter(column, Operator(sign), tuple(operand) if isinstance(operand, list) else (operand,))
    elif isinstance(value, list):
        yield Filter(column, Operator.IN, tuple(value))
    else:
        yield Filter(column, Operator.EQUAL, (value,))


def _repeated(names: Iterable[str]) -> Sequence[str]:
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})
