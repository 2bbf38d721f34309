"""The SQL of every card runs on the published warehouse, with and without its filters, and gives the figures of the
other faces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from serving.access.authorisation import without_small_groups
from serving.access.policy import AccessPolicy
from serving.dashboards.definitions import Card, Dashboard, FilterName, load_dashboards
from serving.dashboards.questions import Filters, MartQuestion, Period, ask
from serving.metabase.desired import MODEL, Wanted
from serving.metabase.sql import CardSql, card_sql, values_sql, with_literals
from serving.semantic import Grain, MetricQuery, SemanticClient
from serving.semantic.engine import Statement

if TYPE_CHECKING:
    from conftest import SampleRun

pytestmark = pytest.mark.minutes

DASHBOARDS = load_dashboards()
CARDS = [(dashboard, card) for dashboard in DASHBOARDS for card in dashboard.cards]
NAMES = [f"{dashboard.name}.{card.name}" for dashboard, card in CARDS]
EVERY_FILTER = {
    "from": date(2026, 8, 1),
    "to": date(2026, 9, 30),
    "system": "store",
    "location": "Web store",
    "category": "Books",
    "channel": "online",
    "grain": "week",
}


def filled(sql: str, values: Mapping[str, Any]) -> Statement:
    """What Metabase sends to the database: places of values that are not given are left out, the others are bound."""
    kept = re.sub(
        r"\[\[(.*?)\]\]",
        lambda found: found[1] if set(re.findall(r"\{\{(\w+)\}\}", found[1])) <= values.keys() else "",
        sql,
        flags=re.DOTALL,
    )
    parameters: list[Any] = []

    def bound(found: re.Match[str]) -> str:
        parameters.append(values[found[1]])
        return f"${len(parameters)}"

    return Statement(re.sub(r"\{\{(\w+)\}\}", bound, kept), tuple(parameters), ())


def rows(client: SemanticClient, sql: CardSql, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with client.warehouse.snapshot() as snapshot:
        return snapshot.run(filled(sql.text, {"grain": "month", **values}))


@pytest.mark.parametrize(("dashboard", "card"), CARDS, ids=NAMES)
def test_a_card_runs_with_and_without_its_filters(
    dashboard: Dashboard, card: Card, client: SemanticClient, policy: AccessPolicy
) -> None:
    sql = card_sql(card, dashboard, client, policy)
    assert set(re.findall(r"\{\{(\w+)\}\}", sql.text)) == set(sql.tags)
    found = rows(client, sql, {})
    assert all(len(row) == len(sql.columns) for row in found)
    narrowed = rows(client, sql, EVERY_FILTER)
    assert len(narrowed) <= max(len(found), 62)  # weeks of two months, at most one a category or feed
    assert set(card.encoding.columns) - {"grain"} <= set(sql.columns)


UNTOLD = [
    (dashboard, card)
    for dashboard, card in CARDS
    if not card.by or not {"segment", "clv_tier", "activity_status", "loyalty_member"} & set(card.by)
]


@pytest.mark.parametrize(
    ("dashboard", "card"), UNTOLD, ids=[f"{dashboard.name}.{card.name}" for dashboard, card in UNTOLD]
)
def test_a_card_gives_the_figures_of_the_other_faces(
    dashboard: Dashboard, card: Card, client: SemanticClient, policy: AccessPolicy
) -> None:
    period = Period(EVERY_FILTER["from"], EVERY_FILTER["to"])
    question = ask(card, dashboard, Filters(period=period, systems=("store",)))
    sql = card_sql(card, dashboard, client, policy)
    values = {name: EVERY_FILTER[name] for name in ("from", "to", "system") if name in sql.tags}
    if isinstance(question.source, MartQuestion):
        source = question.source
        with client.warehouse.snapshot() as snapshot:
            expected = snapshot.run(
                source.query.statement(
                    client.warehouse.dialect, source.arguments, limit=source.limit, offset=0
                )
            )
    else:
        expected = client.query(question.source).rows
        values["grain"] = str(question.source.grain)
    found = rows(client, sql, values)
    if set(card.metrics) & policy.customer_metrics:
        # Cohorts too small to show are left out here.
        assert set(found) <= set(expected)
    else:
        assert found == expected


def test_groups_of_few_customers_are_left_out_as_in_the_api(
    client: SemanticClient, policy: AccessPolicy
) -> None:
    (dashboard,) = [one for one in DASHBOARDS if one.name == "segments"]
    strict = replace(policy, smallest_group=40)
    card = next(
        card for card in dashboard.cards if card.metrics == ("customers_by_segment",) and "segment" in card.by
    )
    sql = card_sql(card, dashboard, client, strict)
    answer = client.query(MetricQuery(card.metrics, card.by))
    counts = [(row[-1],) for row in answer.rows]
    shown, left_out = without_small_groups(answer.rows, counts, 40)
    assert left_out > 0
    assert sorted(rows(client, sql, {})) == sorted(shown)


@pytest.mark.parametrize("smallest", [1, 3, 5, 8, 20])
def test_the_rule_for_small_groups_is_the_same_in_sql(client: SemanticClient, smallest: int) -> None:
    from serving.metabase.sql import _without_small_groups  # noqa: PLC0415

    groups = [("a", 4, 0), ("b", 30, 9), ("c", 0, 0), ("d", 7, 7), ("e", 12, 2), ("f", 19, 19)]
    for cut in range(1, len(groups) + 1):
        some = groups[:cut]
        values = ", ".join(f"('{name}', {first}, {second})" for name, first, second in some)
        text = f"select * from (values {values}) as listed (name, first, second)"
        sql = f"select name from (\n{_without_small_groups(text, ('first', 'second'), smallest)}\n) as shown"
        with client.warehouse.snapshot() as snapshot:
            found = {row[0] for row in snapshot.run(Statement(sql, (), ()))}
        expected, _ = without_small_groups(
            [(name,) for name, _, _ in some], [(first, second) for _, first, second in some], smallest
        )
        assert found == {row[0] for row in expected}


@pytest.mark.parametrize("hostile", ["'", "'; drop table x; --", "]] or true --", "{{system}}", "\\", "%"])
def test_what_a_reader_chooses_is_a_value(client: SemanticClient, policy: AccessPolicy, hostile: str) -> None:
    dashboard = DASHBOARDS[0]
    card = dashboard.card("net_revenue_by_location")
    assert rows(client, card_sql(card, dashboard, client, policy), {"category": hostile}) == []


def test_a_value_of_a_definition_that_metabase_would_read_is_refused() -> None:
    assert with_literals(Statement("select $1, $2", ("it's", True), ())) == "select 'it''s', true"
    for text in ("{{x}}", "[[and true]]"):
        with pytest.raises(ValueError, match="Metabase would read it"):
            with_literals(Statement("select $1", (text,), ()))


def test_filters_offer_the_names_that_there_are(client: SemanticClient, sample_run: SampleRun) -> None:
    names = [row[0] for row in rows(client, values_sql(FilterName.LOCATION, client), {})]
    ordered = sample_run.query(
        "select distinct location_name from marts.fct_orders inner join marts.dim_location using (location_key)"
        " order by 1"
    )
    assert set(names) >= {name for (name,) in ordered} - {None}
    assert names == sorted(names)


def test_metrics_over_the_model_are_the_semantic_layers(client: SemanticClient, everything: Wanted) -> None:
    cards = {card.key: card for card in everything.cards}
    model = cards[MODEL].body["dataset_query"]["native"]["query"]
    metrics = {key.removeprefix("metric."): card for key, card in cards.items() if key.startswith("metric.")}
    assert {"net_revenue", "orders", "average_order_value", "discount_rate"} <= metrics.keys()
    with client.warehouse.snapshot() as snapshot:
        for name, card in metrics.items():
            (aggregation,) = card.body["dataset_query"]["query"]["aggregation"]
            sql = f"select {as_sql(aggregation)} from (\n{model}\n) as daily_figures"
            ((figure,),) = snapshot.run(Statement(sql, (), ()))
            ((expected,),) = client.query(MetricQuery((name,))).rows
            if isinstance(expected, float):
                assert figure == pytest.approx(expected, rel=1e-12)
            else:
                assert Decimal(figure) == Decimal(expected)


def as_sql(clause: Any) -> str:
    """Metabase's query language, as far as metrics use it."""
    operator, *arguments = clause
    if operator == "field":
        return str(arguments[0])
    inner = [as_sql(one) for one in arguments]
    if operator == "sum":
        return f"sum({inner[0]})"
    assert operator == "/"
    return f"cast({inner[0]} as double precision) / cast({inner[1]} as double precision)"


def test_periods_are_days_weeks_or_months_as_chosen(client: SemanticClient, policy: AccessPolicy) -> None:
    dashboard = DASHBOARDS[0]
    sql = card_sql(dashboard.card("net_revenue_trend"), dashboard, client, policy)
    for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH):
        expected = client.query(MetricQuery(("net_revenue",), ("system",), grain)).rows
        assert rows(client, sql, {"grain": str(grain)}) == expected
