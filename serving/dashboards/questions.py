"""What a card asks under the filters that a reader chose. No face is known here; all of them ask the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from serving.access.policy import AccessPolicy, Kind
from serving.dashboards.definitions import AUTO, DEFINITIONS, Card, Dashboard, FilterName
from serving.marts import Argument, MartQuery, PublishedMart
from serving.semantic import (
    Catalogue,
    Filter,
    Grain,
    MetricInfo,
    MetricQuery,
    Operator,
    Ordering,
    SemanticClient,
)
from settings.errors import ConfigurationError, UsageError

# What each filter narrows in a question to the metrics, and in the rows of a mart that have the column.
DIMENSIONS = {
    FilterName.SYSTEM: "system",
    FilterName.LOCATION: "location_key",
    FilterName.CATEGORY: "category",
    FilterName.CHANNEL: "channel",
}
COLUMNS = {
    FilterName.SYSTEM: "source_system",
    FilterName.LOCATION: "location_key",
    FilterName.CATEGORY: "category",
    FilterName.CHANNEL: "sales_channel",
}
# The date by which a mart's rows fall into the chosen period. Marts as of a date are not here: they have no period.
PERIOD_COLUMNS = {
    "fct_orders": "order_date",
    "fct_order_items": "order_date",
    "fct_returns": "return_date",
    "fct_payments": "payment_date",
    "fct_revenue_daily": "revenue_date",
    "fct_sales_daily": "sales_date",
    "fct_inventory_daily": "snapshot_date",
    "mart_payments_daily": "payment_date",
    "mart_payment_reconciliation": "order_date",
    "quality_feed_days": "delivery_date",
    "quality_missing_deliveries": "missing_date",
    "quality_order_breaks": "order_date",
    "quality_quarantine_by_rule": "delivery_date",
    "quality_deliveries": "delivery_date",
}
# Metrics over these tell the state at the as-of date, everything up to a day, or cohorts: no period is cut out of them.
TABLES_WITHOUT_PERIOD = frozenset(
    {
        "dim_customer", "fct_cohort_ltv", "fct_cohort_ltv_weekly", "fct_customer_metrics",
        "mart_churn_indicators", "mart_customer_lifetime_value", "mart_customer_segments",
        "mart_inventory_latest", "mart_location_performance", "quality_feed_freshness",
    }
)  # fmt: skip
# They look at the period before as well, which a condition on days would take away.
METRICS_WITHOUT_PERIOD = frozenset({"revenue_growth_rate", "period_retention_rate"})
# A chart with more points than this is read by weeks, then by months.
MOST_DAYS, MOST_DAYS_BY_WEEK = 35, 200
MOST_ROWS = 10_000
_FUNCTIONS = {
    "sum": "sum({})", "average": "avg({})", "minimum": "min({})", "maximum": "max({})", "count": "count({})",
}  # fmt: skip


@dataclass(frozen=True)
class Period:
    """Days from the first to the last, both included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise UsageError(
                f"the period ends on {self.end}, before it begins on {self.start}",
                remedy="choose an end that is not before the start",
                rule="period",
            )

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def previous(self) -> Period:
        """As many days, directly before."""
        length = timedelta(days=self.days)
        return Period(self.start - length, self.end - length)


@dataclass(frozen=True)
class Filters:
    """What a reader chose; empty leaves all.

    Attributes:
        locations: `location_key` of each.
    """

    period: Period | None = None
    systems: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def values(self, name: FilterName) -> tuple[str, ...]:
        """The chosen values of a filter other than the period."""
        return {
            FilterName.SYSTEM: self.systems,
            FilterName.LOCATION: self.locations,
            FilterName.CATEGORY: self.categories,
            FilterName.CHANNEL: self.channels,
        }[name]

    def is_set(self, name: FilterName) -> bool:
        """Whether the filter narrows anything."""
        return self.period is not None if name is FilterName.PERIOD else bool(self.values(name))


@dataclass(frozen=True)
class MartQuestion:
    """Rows of a mart, with the values of its conditions."""

    query: MartQuery
    arguments: Mapping[str, Argument]
    limit: int

    def narrowed(self, column: str, values: tuple[str, ...]) -> MartQuestion:
        """The same of the rows whose column has one of these values."""
        name = f"own {column}"
        query = replace(self.query, filters={**self.query.filters, name: f"{column} in ({{}})"})
        return replace(self, query=query, arguments={**self.arguments, name: values})


@dataclass(frozen=True)
class Question:
    """What a card asks.

    Attributes:
        source: the question itself.
        previous: the same of the period before, where the card compares.
        applied, not_applied: of the filters that are set, those that narrow the figure and those that do not.
    """

    source: MetricQuery | MartQuestion
    previous: MetricQuery | None
    applied: tuple[FilterName, ...]
    not_applied: tuple[FilterName, ...]


def ask(card: Card, dashboard: Dashboard, filters: Filters) -> Question:
    """What the card asks under these filters.

    Filters that the dashboard does not have, or that the card declares as not applied, leave the figure as it is.
    """
    wanted = [name for name in FilterName if filters.is_set(name)]
    applied = tuple(name for name in wanted if name in dashboard.filters and name not in card.not_applied)
    not_applied = tuple(name for name in wanted if name not in applied)
    if card.mart is not None:
        return Question(_mart_question(card, card.mart, filters, applied), None, applied, not_applied)
    query = _metric_query(card, filters, applied)
    previous = None
    if card.compare and filters.period is not None and FilterName.PERIOD in applied:
        previous = _metric_query(card, replace(filters, period=filters.period.previous), applied)
    return Question(query, previous, applied, not_applied)


def rows_behind(
    card: Card,
    dashboard: Dashboard,
    filters: Filters,
    marts: Mapping[str, PublishedMart],
    *,
    limit: int = MOST_ROWS,
) -> Question:
    """All columns of the rows that stand behind a figure, newest first, under the same filters.

    Raises:
        UsageError: when the card has no such rows.
    """
    if card.drill is None or card.drill not in marts:
        raise UsageError(f"no rows stand behind {card.title}", remedy="look at another card", rule="drill")
    mart = marts[card.drill]
    takes = filters_of_mart(mart)
    asked = ask(card, dashboard, filters)
    applied = tuple(name for name in asked.applied if name in takes)
    conditions, arguments = _mart_conditions(mart.name, filters, applied)
    newest = PERIOD_COLUMNS.get(mart.name)
    order = [f"{newest} desc nulls last"] if newest else []
    order += [column for column in mart.columns if column != newest]
    query = MartQuery(
        marts=(mart.name,),
        columns=tuple(mart.columns),
        source=_source(mart.name),
        filters=conditions,
        order=", ".join(order),
    )
    set_filters = (*asked.applied, *asked.not_applied)
    return Question(
        MartQuestion(query, arguments, limit),
        None,
        applied,
        tuple(one for one in set_filters if one not in applied),
    )


def grain_of(card: Card, period: Period | None) -> Grain | None:
    """The length of the card's periods; `auto` takes days for a month, weeks for half a year, else months."""
    if card.grain != AUTO:
        return Grain(card.grain) if card.grain else None
    if period is None or period.days > MOST_DAYS_BY_WEEK:
        return Grain.MONTH
    return Grain.DAY if period.days <= MOST_DAYS else Grain.WEEK


def filters_of_metrics(
    metrics: Sequence[str], catalogue: Catalogue, dimensions: Mapping[str, Sequence[str]]
) -> frozenset[FilterName]:
    """The filters that all of these metrics can take.

    Args:
        dimensions: of each metric, as `SemanticClient.dimensions_of` tells them.
    """
    taken = {
        name
        for name, dimension in DIMENSIONS.items()
        if all(dimension in dimensions[metric] for metric in metrics)
    }
    if all(follows_period(catalogue.metrics[metric]) for metric in metrics):
        taken.add(FilterName.PERIOD)
    return frozenset(taken)


def follows_period(metric: MetricInfo) -> bool:
    """Whether a figure can be told of a period alone."""
    # Readers of Postgres have schemas of their own.
    names = {table.rpartition(".")[2] for table in metric.tables}
    return not names & TABLES_WITHOUT_PERIOD and metric.name not in METRICS_WITHOUT_PERIOD


def filters_of_mart(mart: PublishedMart) -> frozenset[FilterName]:
    """The filters whose columns a mart has."""
    taken = {name for name, column in COLUMNS.items() if column in mart.columns}
    return frozenset(taken | ({FilterName.PERIOD} if mart.name in PERIOD_COLUMNS else set()))


@dataclass(frozen=True)
class _Published:
    """What there is to ask for."""

    client: SemanticClient
    catalogue: Catalogue
    marts: Mapping[str, PublishedMart]


def require_published(
    dashboards: Iterable[Dashboard],
    client: SemanticClient,
    marts: Mapping[str, PublishedMart],
    policy: AccessPolicy,
) -> None:
    """Refuse dashboards that name what is not published, or say wrongly which filters a card takes.

    Raises:
        ConfigurationError: naming file, card and what is possible, for everything that is wrong.
    """
    shown = {name for role in policy.roles.values() for name in role.allowed(Kind.MARTS)}
    published = _Published(
        client, client.catalogue(), {name: mart for name, mart in marts.items() if name in shown}
    )
    problems = [
        f"{dashboard.name}.yml, card {card.name}: {problem}"
        for dashboard in dashboards
        for card in dashboard.cards
        if (problem := _problem(card, dashboard, published))
    ]
    if problems:
        raise ConfigurationError(
            "dashboards ask for what is not published:\n  " + "\n  ".join(problems),
            remedy=f"correct the files in {DEFINITIONS.name}/, or publish the marts again with `tillhouse run`",
            rule="dashboard",
        )


def _problem(card: Card, dashboard: Dashboard, published: _Published) -> str:
    """What is wrong with a card; empty where nothing is."""
    for mart in (card.mart, card.drill):
        if mart is not None and mart not in published.marts:
            return (
                f"there is no published mart {mart} that the access policy allows;"
                f" there are {', '.join(published.marts)}"
            )
    problem = (
        _problem_of_rows(card, published.marts[card.mart])
        if card.mart
        else _problem_of_query(card, published)
    )
    if problem:
        return problem
    if card.mart:
        takes = filters_of_mart(published.marts[card.mart])
    else:
        dimensions = {name: published.client.dimensions_of(name) for name in card.metrics}
        takes = filters_of_metrics(card.metrics, published.catalogue, dimensions)
    expected = [name for name in dashboard.filters if name not in takes]
    if set(card.not_applied) == set(expected):
        return ""
    return f"not_applied has to be [{', '.join(expected)}]: it can take {', '.join(sorted(takes)) or 'no filter'}"


def _problem_of_rows(card: Card, mart: PublishedMart) -> str:
    named = {
        *card.columns,
        *(one.column for one in card.aggregate),
        *(one.dimension for one in card.conditions),
    }
    named |= set() if card.aggregate else {one.column for one in card.orderings}
    unknown = sorted(named - set(mart.columns))
    if unknown:
        return f"{mart.name} has no column {', '.join(unknown)}; it has {', '.join(mart.columns)}"
    return ""


def _problem_of_query(card: Card, published: _Published) -> str:
    query = _metric_query(card, Filters(), ())
    for grain in card.grains or (None,):
        try:
            published.client.explain(replace(query, grain=grain, order_by=_orderings(card, grain)))
        except UsageError as error:
            return f"{error.problem}; {error.remedy}"
    return ""


def _metric_query(card: Card, filters: Filters, applied: Sequence[FilterName]) -> MetricQuery:
    grain = grain_of(card, filters.period)
    conditions = list(card.conditions)
    for name in applied:
        if name is not FilterName.PERIOD:
            conditions.append(Filter(DIMENSIONS[name], Operator.IN, filters.values(name)))
        elif filters.period is not None:
            conditions.append(Filter(Grain.DAY, Operator.GREATER_OR_EQUAL, (filters.period.start,)))
            conditions.append(Filter(Grain.DAY, Operator.LESS_OR_EQUAL, (filters.period.end,)))
    return MetricQuery(
        metrics=card.metrics,
        group_by=card.by,
        grain=grain,
        filters=tuple(conditions),
        order_by=_orderings(card, grain),
        limit=card.limit,
    )


def _orderings(card: Card, grain: Grain | None) -> tuple[Ordering, ...]:
    return tuple(
        replace(one, column=str(grain)) if one.column == "grain" and grain else one for one in card.orderings
    )


def _mart_question(card: Card, mart: str, filters: Filters, applied: Sequence[FilterName]) -> MartQuestion:
    conditions, arguments = _mart_conditions(mart, filters, applied)
    for number, one in enumerate(card.conditions):
        many = one.operator in {Operator.IN, Operator.NOT_IN}
        name = f"where {number}"
        conditions[name] = f"{one.dimension} {one.operator} {'({})' if many else '{}'}"
        arguments[name] = one.values if many else one.values[0]
    order = [f"{one.column}{' desc' if one.descending else ''} nulls last" for one in card.orderings]
    order += [
        f"{column} nulls last" for column in card.columns if column not in {o.column for o in card.orderings}
    ]
    query = MartQuery(
        marts=(mart,),
        columns=(
            *card.columns,
            *(f"{_FUNCTIONS[one.function].format(one.column)} as {one.name}" for one in card.aggregate),
        ),
        source=_source(mart),
        filters=conditions,
        order=", ".join(order),
        group_by=card.columns if card.aggregate else (),
    )
    return MartQuestion(query, arguments, card.limit or MOST_ROWS)


def _mart_conditions(
    mart: str, filters: Filters, applied: Sequence[FilterName]
) -> tuple[dict[str, str], dict[str, Argument]]:
    conditions: dict[str, str] = {}
    arguments: dict[str, Argument] = {}
    for name in applied:
        if name is not FilterName.PERIOD:
            conditions[name] = f"{COLUMNS[name]} in ({{}})"
            arguments[name] = filters.values(name)
        elif filters.period is not None:
            conditions |= {"from": f"{PERIOD_COLUMNS[mart]} >= {{}}", "to": f"{PERIOD_COLUMNS[mart]} <= {{}}"}
            arguments |= {"from": filters.period.start, "to": filters.period.end}
    return conditions, arguments


def _source(mart: str) -> str:
    return f"{{{'quality' if mart.startswith('quality_') else 'marts'}}}.{mart}"
