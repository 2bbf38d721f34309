"""What Metabase should hold: collections, cards, a model and its metrics, dashboards, and who may see what.

Everything follows from the dashboards' definitions, the published catalogue and the access policy. Nothing here knows
of a server: an object refers to others by keys, which become Metabase's numbers when it is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.access.authorisation import may_be_asked
from serving.access.policy import AccessPolicy, Kind, Role, RowRule
from serving.access.postgres import server_role
from serving.dashboards.definitions import (
    GRID_COLUMNS,
    Card,
    Chart,
    Dashboard,
    FilterName,
    load_dashboards,
)
from serving.marts import SCHEMAS, PublishedMart, published_marts
from serving.metabase.documentation import TableDocumentation
from serving.metabase.settings import DatabaseSettings
from serving.metabase.sql import (
    DEFAULT_GRAIN,
    DIMENSIONS,
    FROM_TAG,
    GRAIN_TAG,
    TO_TAG,
    CardSql,
    card_sql,
    metrics_sql,
    values_sql,
)
from serving.semantic import Catalogue, Grain, MetricQuery, SemanticClient
from serving.semantic.engine import DUCKDB

# Groups of people; programs have no log-in to Metabase.
SERVICE_PREFIX = "service_"
DATABASE_NAME = "tillhouse"
ROOT = "root"
MODEL = "model.daily_figures"
# Sums over days, systems, places and channels: no order is counted twice, since each has one of every kind.
ADDITIVE = (
    "total_order_amount", "gross_revenue", "discounts", "net_sales", "refunds", "net_revenue", "orders_placed",
    "orders", "units_sold",
)  # fmt: skip
# Of two of these, over all orders; a ratio with a condition of its own is none of the model.
RATIOS = ("average_order_size", "average_order_value", "discount_rate", "order_conversion_rate")
MODEL_DIMENSIONS = ("system", "location_name", "channel")
HEADING_ROWS = 2
FRESHNESS_WIDTH, FRESHNESS_ROWS = 24, 3
# Okabe and Ito's colours, which colour-blind readers can tell apart; in the order in which series get them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LABELS = {
    FROM_TAG: "From",
    TO_TAG: "To",
    GRAIN_TAG: "Periods of a",
    "system": "Source system",
    "location": "Location",
    "category": "Category",
    "channel": "Sales channel",
}
DISPLAYS = {
    Chart.NUMBER: "scalar",
    Chart.LINE: "line",
    Chart.BAR: "bar",
    Chart.STACKED_BAR: "bar",
    Chart.HEATMAP: "table",  # Metabase has no heat map; cells are shaded by their figure
    Chart.SCATTER: "scatter",
    Chart.TABLE: "table",
}


@dataclass(frozen=True)
class Reference:
    """Stands in a body for the number that Metabase gave to an object; `form` is how it is written there."""

    key: str
    form: str = "{}"


@dataclass(frozen=True)
class WantedCollection:
    """A folder; `readers` are the roles that may look into it."""

    key: str
    name: str
    description: str
    parent: str | None
    readers: frozenset[str]


@dataclass(frozen=True)
class WantedCard:
    """A question, a model or a metric.

    Attributes:
        body: what Metabase is told of it, with references, but for its name, description and collection.
    """

    key: str
    name: str
    description: str
    collection: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Placement:
    """A card's place on a dashboard, on a grid of 24 columns; `text` in place of a card for a text."""

    card: str | None
    column: int
    row: int
    width: int
    height: int
    tags: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class WantedDashboard:
    """Cards together, with the filters that narrow them."""

    key: str
    name: str
    description: str
    collection: str
    parameters: tuple[Mapping[str, Any], ...]
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class WantedGroup:
    """People of one role of the policy; `tables` are the marts that they may ask on their own."""

    role: str
    name: str
    tables: frozenset[str]


@dataclass(frozen=True)
class Wanted:
    """All of it. Each tuple is in the order in which it can be made."""

    database: DatabaseSettings
    tables: Mapping[tuple[str, str], TableDocumentation]
    collections: tuple[WantedCollection, ...]
    cards: tuple[WantedCard, ...]
    dashboards: tuple[WantedDashboard, ...]
    groups: tuple[WantedGroup, ...]


@dataclass
class _Making:
    client: SemanticClient
    policy: AccessPolicy
    catalogue: Catalogue
    people: tuple[Role, ...]
    collections: dict[str, WantedCollection] = field(default_factory=dict)
    cards: list[WantedCard] = field(default_factory=list)


def wanted(
    client: SemanticClient,
    policy: AccessPolicy,
    database: DatabaseSettings,
    documentation: Mapping[str, TableDocumentation],
    dashboards: Sequence[Dashboard] | None = None,
) -> Wanted:
    """What Metabase should hold over the warehouse that is published now.

    Raises:
        NotFoundError, UnavailableError: as the client.
        ConfigurationError: when a definition is wrong.
    """
    defined = load_dashboards() if dashboards is None else dashboards
    with client.warehouse.snapshot() as snapshot:
        marts = published_marts(snapshot, client.warehouse.dialect)
    people = tuple(role for name, role in sorted(policy.roles.items()) if not name.startswith(SERVICE_PREFIX))
    making = _Making(client, policy, client.catalogue(), people)
    making.collections[ROOT] = WantedCollection(
        ROOT,
        "tillhouse",
        "Dashboards, cards and metrics of the warehouse, written by `tillhouse metabase apply`. Changes here are"
        " restored; keep your own work in another collection.",
        None,
        frozenset(role.name for role in people),
    )
    _values(making, defined)
    _model_and_metrics(making)
    _freshness(making)
    pages = [_dashboard(making, one) for one in defined]
    schemas = SCHEMAS[client.warehouse.dialect is DUCKDB]
    return Wanted(
        database=database,
        tables={
            (schemas[mart.schema], mart.name): _published_columns(mart, documentation[mart.name])
            for mart in marts.values()
            if mart.name in documentation
        },
        collections=tuple(making.collections.values()),
        cards=tuple(making.cards),
        dashboards=tuple(pages),
        groups=tuple(
            WantedGroup(
                role.name,
                server_role(role.name),
                # Metabase knows no rows of one's own: whoever sees some locations alone asks nothing there.
                role.marts & marts.keys() if role.rows is RowRule.ALL else frozenset(),
            )
            for role in people
        ),
    )


def _published_columns(mart: PublishedMart, told: TableDocumentation) -> TableDocumentation:
    return TableDocumentation(
        told.description, {name: column for name, column in told.columns.items() if name in mart.columns}
    )


def readers_of_card(
    card: Card, dashboard: Dashboard, policy: AccessPolicy, catalogue: Catalogue
) -> frozenset[str]:
    """The roles that may see everything a card shows and can be narrowed by, of all locations."""
    dimensions = {*card.by, *(str(grain) for grain in card.grains)}
    if not card.mart:
        dimensions |= {one.dimension for one in card.conditions}
        dimensions |= {
            DIMENSIONS[name]
            for name in dashboard.filters
            if name in DIMENSIONS and name not in card.not_applied
        }
    return frozenset(
        name
        for name, role in policy.roles.items()
        if role.rows is RowRule.ALL
        and not name.startswith(SERVICE_PREFIX)
        and all(may_be_asked(metric, role, catalogue) for metric in card.metrics)
        and all(role.may_see(Kind.DIMENSIONS, dimension) for dimension in dimensions)
        and (not card.mart or role.may_see(Kind.MARTS, card.mart))
    )


def _collection(making: _Making, readers: frozenset[str]) -> str:
    """The key of the collection of what just these roles may see."""
    names = sorted(readers)
    key = f"for.{'+'.join(names) or 'nobody'}"
    if key not in making.collections:
        told = ", ".join(name.replace("_", " ") for name in names) or "administrators alone"
        making.collections[key] = WantedCollection(
            key, f"For {told}", f"What the access policy shows to: {told}.", ROOT, readers
        )
    return key


def _may_see_metrics(making: _Making, metrics: Iterable[str], dimensions: Iterable[str]) -> frozenset[str]:
    listed, told_by = tuple(metrics), tuple(dimensions)
    return frozenset(
        role.name
        for role in making.people
        if role.rows is RowRule.ALL
        and all(may_be_asked(metric, role, making.catalogue) for metric in listed)
        and all(role.may_see(Kind.DIMENSIONS, dimension) for dimension in told_by)
    )


def _values(making: _Making, dashboards: Sequence[Dashboard]) -> None:
    """A card for each filter whose values are chosen from a list."""
    used = {name for dashboard in dashboards for name in dashboard.filters}
    for name in (one for one in FilterName if one in used and one in DIMENSIONS):
        sql = values_sql(name, making.client)
        making.cards.append(
            WantedCard(
                f"values.{name}",
                f"Values of the filter {LABELS[name].lower()}",
                "What the filter of the dashboards offers.",
                _collection(making, _may_see_metrics(making, (), (DIMENSIONS[name],))),
                _native(sql, "table", {}),
            )
        )


def _model_and_metrics(making: _Making) -> None:
    metrics = [name for name in ADDITIVE if name in making.catalogue.public_metrics]
    sql = metrics_sql(MetricQuery(tuple(metrics), MODEL_DIMENSIONS, Grain.DAY), making.client)
    readers = _may_see_metrics(making, metrics, (*MODEL_DIMENSIONS, Grain.DAY))
    collection = _collection(making, readers)
    making.cards.append(
        WantedCard(
            MODEL,
            "Daily figures",
            "One row per day, source system, place and sales channel. The figures add up over rows.",
            collection,
            {**_native(sql, "table", {}), "type": "model"},
        )
    )
    additive = set(metrics)
    for name, metric in making.catalogue.public_metrics.items():
        numerator, _, denominator = metric.expression.partition(" / ")
        if name in additive:
            aggregation = _sum(name)
        elif name in RATIOS and {numerator, denominator} <= additive:
            aggregation = ["/", _sum(numerator), _sum(denominator)]
        else:
            continue
        query = {"source-table": Reference(MODEL, "card__{}"), "aggregation": [aggregation]}
        making.cards.append(
            WantedCard(
                f"metric.{name}",
                metric.label,
                metric.description,
                collection,
                {
                    "type": "metric",
                    "display": "scalar",
                    "dataset_query": {
                        "type": "query",
                        "database": Reference("database"),
                        "query": query,
                    },
                    "visualization_settings": {},
                },
            )
        )


def _sum(column: str) -> list[Any]:
    return ["sum", ["field", column, {"base-type": "type/Decimal"}]]


def _freshness(making: _Making) -> None:
    schema = SCHEMAS[making.client.warehouse.dialect is DUCKDB]["marts"]
    sql = CardSql(
        f"select source_system, as_of_date as orders_up_to from {schema}.dim_source_system order by source_system",
        (),
        ("source_system", "orders_up_to"),
    )
    readers = frozenset(
        role.name
        for role in making.people
        if role.rows is RowRule.ALL and role.may_see(Kind.MARTS, "dim_source_system")
    )
    making.cards.append(
        WantedCard(
            "freshness",
            "How fresh the figures are",
            "The latest business date with an order, per source system, in what is published now.",
            _collection(making, readers),
            _native(sql, "table", {}),
        )
    )


def _dashboard(making: _Making, dashboard: Dashboard) -> WantedDashboard:
    readers: frozenset[str] = frozenset()
    placements = [
        Placement(
            None,
            0,
            0,
            GRID_COLUMNS,
            HEADING_ROWS,
            text=f"**{dashboard.question}**\n\n{dashboard.description}",
        ),
        Placement("freshness", 0, HEADING_ROWS, FRESHNESS_WIDTH, FRESHNESS_ROWS),
    ]
    column, row, height = 0, HEADING_ROWS + FRESHNESS_ROWS, 0
    tags: dict[str, None] = {}
    for card in dashboard.cards:
        may_see = readers_of_card(card, dashboard, making.policy, making.catalogue)
        readers |= may_see
        sql = card_sql(card, dashboard, making.client, making.policy)
        key = f"card.{dashboard.name}.{card.name}"
        making.cards.append(
            WantedCard(
                key,
                card.title,
                _card_text(card),
                _collection(making, may_see),
                _native(sql, DISPLAYS[card.chart], _settings(card, sql, making.catalogue)),
            )
        )
        if column + card.width > GRID_COLUMNS:
            column, row, height = 0, row + height, 0
        placements.append(Placement(key, column, row, card.width, card.height, sql.tags))
        column, height = column + card.width, max(height, card.height)
        tags |= dict.fromkeys(sql.tags)
    own = [tag for tag in LABELS if tag in tags]
    return WantedDashboard(
        f"dashboard.{dashboard.name}",
        dashboard.title,
        f"{dashboard.question} Owner: {dashboard.owner}.",
        _collection(making, readers),
        tuple(_dashboard_parameter(dashboard.name, tag) for tag in own),
        tuple(placements),
    )


def _card_text(card: Card) -> str:
    """How to read the card, and where it differs from the other faces'."""
    text = card.text
    if card.not_applied:
        text += f" Not narrowed by: {', '.join(card.not_applied)}."
    if card.encoding.facet and card.chart is not Chart.TABLE:
        text += f" Choose one {card.encoding.facet.replace('_', ' ')} to read it."  # Metabase draws no small multiples
    return text


def parameter_id(dashboard: str, tag: str) -> str:
    """The id of a dashboard's filter: the same at every apply, eight hexadecimal digits as Metabase's own."""
    return hashlib.sha256(f"{dashboard}/{tag}".encode()).hexdigest()[:8]


def _dashboard_parameter(dashboard: str, tag: str) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "id": parameter_id(dashboard, tag),
        "name": LABELS[tag],
        "slug": tag,
        **_parameter_type(tag),
    }
    if tag not in {FROM_TAG, TO_TAG}:
        parameter["isMultiSelect"] = False  # a variable of SQL takes one value
    if tag == GRAIN_TAG:
        parameter |= {
            "default": [DEFAULT_GRAIN.value],
            "values_source_type": "static-list",
            "values_source_config": {"values": [[one] for one in ("day", "week", "month")]},
        }
    elif tag in set(DIMENSIONS):
        parameter |= {
            "values_query_type": "list",
            "values_source_type": "card",
            "values_source_config": {
                "card_id": Reference(f"values.{tag}"),
                "value_field": ["field", DIMENSIONS[FilterName(tag)], {"base-type": "type/Text"}],
            },
        }
    return parameter


def _parameter_type(tag: str) -> dict[str, str]:
    if tag in {FROM_TAG, TO_TAG}:
        return {"type": "date/single", "sectionId": "date"}
    return {"type": "string/=", "sectionId": "location" if tag == "location" else "string"}


def _native(sql: CardSql, display: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "question",
        "display": display,
        "dataset_query": {
            "type": "native",
            "database": Reference("database"),
            "native": {
                "query": sql.text,
                "template-tags": {tag: _template_tag(tag) for tag in sql.tags},
            },
        },
        "parameters": [_card_parameter(tag) for tag in sql.tags],
        "visualization_settings": dict(settings),
    }


def _template_tag(tag: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": parameter_id("card", tag),
        "name": tag,
        "display-name": LABELS[tag],
        "type": "date" if tag in {FROM_TAG, TO_TAG} else "text",
    }
    if tag == GRAIN_TAG:
        described |= {"required": True, "default": DEFAULT_GRAIN.value}
    return described


def _card_parameter(tag: str) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "id": parameter_id("card", tag),
        "name": LABELS[tag],
        "slug": tag,
        "type": "date/single" if tag in {FROM_TAG, TO_TAG} else "category",
        "target": ["variable", ["template-tag", tag]],
    }
    return parameter | ({"default": DEFAULT_GRAIN.value} if tag == GRAIN_TAG else {})


def _settings(card: Card, sql: CardSql, catalogue: Catalogue) -> dict[str, Any]:
    """How Metabase draws it: what goes on which axis, colours, and how figures read."""

    def named(column: str | None) -> str | None:
        return "period" if column == "grain" else column

    settings: dict[str, Any] = {}
    columns = {
        f'["name","{column}"]': form
        for column in sql.columns
        if (form := _column_settings(column, catalogue))
    }
    if columns:
        settings["column_settings"] = columns
    encoding = card.encoding
    if card.chart in {Chart.LINE, Chart.BAR, Chart.STACKED_BAR, Chart.SCATTER}:
        settings["graph.dimensions"] = [
            one for one in (named(encoding.x), named(encoding.colour)) if one is not None
        ]
        settings["graph.metrics"] = list(encoding.ys)
        if not encoding.colour:
            settings["series_settings"] = {
                name: {"color": colour} for name, colour in zip(encoding.ys, COLOURS, strict=False)
            }
    if card.chart is Chart.STACKED_BAR:
        settings["stackable.stack_type"] = "stacked"
    if card.chart is Chart.HEATMAP:
        settings["table.column_formatting"] = [
            {
                "columns": [encoding.colour],
                "type": "range",
                "colors": ["white", COLOURS[0]],
                "min_type": None,
                "max_type": None,
                "min_value": 0,
                "max_value": 100,
                "operator": "=",
                "value": "",
                "color": COLOURS[0],
                "highlight_row": False,
            }
        ]
    if card.chart is Chart.NUMBER:
        settings["scalar.field"] = sql.columns[-1]
    return settings


def _column_settings(column: str, catalogue: Catalogue) -> dict[str, Any]:
    metric = catalogue.metrics.get(column)
    form = metric.format if metric else "share" if column.endswith(("_rate", "_share")) else ""
    if form == "share":
        return {"number_style": "percent", "decimals": 1}
    if form in {"money", "ratio", "hours", "days"}:
        return {"number_style": "decimal", "decimals": 2}
    return {}
