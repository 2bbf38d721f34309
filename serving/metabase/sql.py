"""A card's question as SQL with places for Metabase's filters, made by the same code that answers every other face.

Metabase fills `{{name}}` in as a bound value and leaves `[[ … ]]` out where the filter inside is not set. The
conditions and their places are written here from names of definitions; what a reader chooses never becomes SQL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from serving.access.policy import AccessPolicy
from serving.dashboards.definitions import AUTO, Card, Dashboard, FilterName
from serving.dashboards.questions import COLUMNS, PERIOD_COLUMNS, Filters, MartQuestion, ask
from serving.semantic import Grain, MetricQuery, Operator, SemanticClient
from serving.semantic.engine import OpenCondition, Statement
from serving.semantic.query import Value

PERIOD, GRAIN_TAG = "period", "grain"
FROM_TAG, TO_TAG = "from", "to"
DEFAULT_GRAIN = Grain.MONTH
# Places are chosen by their names, which people know; the definitions tell them apart by key.
DIMENSIONS = {
    FilterName.SYSTEM: "system",
    FilterName.LOCATION: "location_name",
    FilterName.CATEGORY: "category",
    FilterName.CHANNEL: "channel",
}
_PARAMETER = re.compile(r"\$(\d+)")
_MEANT_FOR_METABASE = ("{{", "}}", "[[", "]]", "\x00")


@dataclass(frozen=True)
class CardSql:
    """SQL with template tags.

    Attributes:
        tags: the names in it, in the order of a dashboard's filters.
        columns: of the answer; a period is called `period` whatever its length.
    """

    text: str
    tags: tuple[str, ...]
    columns: tuple[str, ...]


def card_sql(card: Card, dashboard: Dashboard, client: SemanticClient, policy: AccessPolicy) -> CardSql:
    """A card's SQL with all filters of its dashboard that it takes, each of them optional.

    A card whose periods follow the chosen ones has the tag `grain` (day, week or month) for that.
    Groups of customers that are too small for the access policy are left out, as in every face.
    """
    taken = [name for name in dashboard.filters if name not in card.not_applied]
    tags = tuple(
        tag for name in taken for tag in ((FROM_TAG, TO_TAG) if name is FilterName.PERIOD else (str(name),))
    )
    source = ask(card, dashboard, Filters()).source
    if isinstance(source, MartQuestion):
        further = tuple(_mart_condition(str(card.mart), name) for name in taken)
        statement = source.query.statement(
            client.warehouse.dialect, source.arguments, limit=source.limit, offset=0, further=further
        )
        return CardSql(with_literals(statement), tags, statement.columns)
    conditions = tuple(one for name in taken for one in _open_conditions(name))
    if card.grain != AUTO:
        text, columns = _of_metrics(source, conditions, client, policy)
        return CardSql(_sorted(text, source, columns), tags, columns)
    parts = []
    for grain in card.grains:
        asked = replace(source, grain=grain, order_by=(), limit=None)
        text, columns = _of_metrics(asked, conditions, client, policy)
        # A database does not run the parts whose length was not chosen: the condition holds for all rows or none.
        parts.append(f"select * from (\n{text}\n) as by_{grain} where {{{{{GRAIN_TAG}}}}} = '{grain}'")
    return CardSql(_sorted("\nunion all\n".join(parts), source, columns), (*tags, GRAIN_TAG), columns)


def values_sql(name: FilterName, client: SemanticClient) -> CardSql:
    """The values that a filter can have, by name."""
    dimension = DIMENSIONS[name]
    statement = client.explain(MetricQuery(("orders_placed",), (dimension,)))
    listed = f"select {dimension}\nfrom (\n{with_literals(statement)}\n) as listed"
    text = f"{listed}\nwhere {dimension} is not null order by 1"
    return CardSql(text, (), (dimension,))


def metrics_sql(query: MetricQuery, client: SemanticClient) -> CardSql:
    """A question to the metrics without any filter."""
    statement = client.explain(query)
    return CardSql(with_literals(statement), (), statement.columns)


def with_literals(statement: Statement) -> str:
    """SQL with its values in it. They are of definitions in this project, never a reader's.

    Raises:
        ValueError: for a value that Metabase would read as a place of its own.
    """
    return _PARAMETER.sub(lambda found: _literal(statement.parameters[int(found[1]) - 1]), statement.sql)


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    if any(mark in value for mark in _MEANT_FOR_METABASE):
        raise ValueError(f"{value!r} cannot stand in the SQL of a card: Metabase would read it as its own")
    quoted = value.replace("'", "''")
    return f"'{quoted}'"


def _open_conditions(name: FilterName) -> tuple[OpenCondition, ...]:
    if name is not FilterName.PERIOD:
        return (OpenCondition(DIMENSIONS[name], Operator.EQUAL, f"{{{{{name}}}}}", "[[", "]]"),)
    return tuple(
        OpenCondition(Grain.DAY, operator, f"cast({{{{{tag}}}}} as date)", "[[", "]]")
        for tag, operator in ((FROM_TAG, Operator.GREATER_OR_EQUAL), (TO_TAG, Operator.LESS_OR_EQUAL))
    )


def _mart_condition(mart: str, name: FilterName) -> str:
    """In the form of `MartQuery.statement`, where braces are doubled."""
    if name is FilterName.PERIOD:
        column = PERIOD_COLUMNS[mart]
        return (
            f"true [[and {column} >= cast({{{{{{{{{FROM_TAG}}}}}}}}} as date)]]"
            f" [[and {column} <= cast({{{{{{{{{TO_TAG}}}}}}}}} as date)]]"
        )
    tag = f"{{{{{{{{{name}}}}}}}}}"
    if name is FilterName.LOCATION:
        keys = f"select location_key from {{marts}}.dim_location where location_name = {tag}"
        return f"true [[and {COLUMNS[name]} in ({keys})]]"
    return f"true [[and {COLUMNS[name]} = {tag}]]"


def _of_metrics(
    query: MetricQuery, conditions: tuple[OpenCondition, ...], client: SemanticClient, policy: AccessPolicy
) -> tuple[str, tuple[str, ...]]:
    """SQL of a question to the metrics with `period` for its grain, and the names of its columns."""
    catalogue = client.catalogue()
    told_by = {*query.group_by, *(one.dimension for one in query.filters)}
    names_customers = told_by & policy.customer_dimensions or (
        query.grain and set(query.metrics) & policy.customer_metrics
    )
    counters = {name for metric in query.metrics for name in catalogue.metrics[metric].customers}
    parts = tuple(sorted(counters - set(query.metrics))) if names_customers else ()
    unsorted = replace(query, order_by=(), limit=None)
    statement = client.explain(unsorted, parts=parts, open_conditions=conditions)
    columns = ("period", *statement.columns[1:]) if query.grain else statement.columns
    shown = columns[: len(columns) - len(parts)]
    selected = ", ".join(f"{query.grain} as period" if one == "period" else one for one in shown)
    text = with_literals(statement)
    if not names_customers:
        return (
            text if selected == ", ".join(columns) else f"select {selected}\nfrom (\n{text}\n) as answer"
        ), shown
    text = _without_small_groups(text, tuple(sorted(counters)), policy.smallest_group)
    return f"select {selected}\nfrom (\n{text}\n) as answer", shown


def _without_small_groups(text: str, counters: Sequence[str], smallest: int) -> str:
    """The same rule as `serving.access.authorisation.without_small_groups`, in SQL.

    Groups of which some part has fewer customers than allowed go; where that is one alone, the next smallest goes too.
    """
    small = " or ".join(f"({one} > 0 and {one} < {smallest})" for one in counters)
    positive = ", ".join(f"nullif({one}, 0)" for one in counters)
    return (
        "select * from (\n"
        "select *, sum(case when is_small then 1 else 0 end) over () as small_groups,\n"
        "row_number() over (partition by is_small order by smallest_part nulls last) as place\n"
        "from (\n"
        f"select *, coalesce({small}, false) as is_small, least({positive}) as smallest_part\n"
        f"from (\n{text}\n) as counted\n) as judged\n) as ranked\n"
        "where not is_small and not (small_groups = 1 and place = 1 and smallest_part is not null)"
    )


def _sorted(text: str, query: MetricQuery, columns: Sequence[str]) -> str:
    own = {str(query.grain), "grain", *(str(grain) for grain in Grain)}
    order = [("period" if one.column in own else one.column, one.descending) for one in query.order_by]
    named = {column for column, _ in order}
    order += [(column, False) for column in columns[: -len(query.metrics)] if column not in named]
    sql = f"select *\nfrom (\n{text}\n) as answers"
    if order:
        sql += "\norder by " + ", ".join(
            f"{column}{' desc' if descending else ''} nulls last" for column, descending in order
        )
    return sql if query.limit is None else f"{sql}\nlimit {query.limit}"
