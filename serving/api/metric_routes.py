"""Metrics over HTTP: the catalogue, structured queries, and sales day by day."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from serving.access.authorisation import may_be_asked
from serving.access.policy import Kind
from serving.api.bodies import (
    Catalogue,
    DailyFigures,
    DailyPage,
    FilterBody,
    MetricBody,
    QueryAnswer,
    QueryBody,
)
from serving.api.dependencies import ANSWERS, Identified, Limit, Offset, System
from serving.semantic import Filter, Grain, MetricQuery, Operator, Ordering

DAILY_METRICS = (
    "gross_revenue", "discounts", "net_sales", "refunds", "net_revenue", "orders", "units_sold",
    "average_order_value",
)  # fmt: skip

router = APIRouter(tags=["metrics"], responses=ANSWERS)


@router.get("/metrics")
def metrics(response: Response, call: Identified) -> Catalogue:
    """What the caller's role may ask for: its metrics, and by what they may be grouped and filtered."""
    freshness = call.fresh(response, "metrics")
    catalogue, role = call.figures.catalogue(), call.caller.role
    return Catalogue(
        role=role.name,
        metrics=[
            MetricBody(
                name=info.name,
                label=info.label,
                description=info.description,
                kind=info.kind,
                format=info.format,
                owner=info.owner,
                grains=list(info.grains),
                needs_grain=info.needs_grain,
                dimensions=[
                    name
                    for name in call.figures.client.dimensions_of(info.name)
                    if role.may_see(Kind.DIMENSIONS, name)
                ],
            )
            for info in catalogue.public_metrics.values()
            if may_be_asked(info.name, role, catalogue)
        ],
        freshness=freshness,
    )


@router.post("/query")
def query(response: Response, call: Identified, body: QueryBody) -> QueryAnswer:
    """Metrics by dimensions and periods, filtered and sorted, a page at a time."""
    call.fresh(response, body.model_dump(mode="json"))
    return call.figures.query(call.caller, _read(body), call.work)


@router.get("/metrics/daily")
def daily(
    response: Response,
    call: Identified,
    *,
    first_day: Annotated[date | None, Query(description="From this day on")] = None,
    last_day: Annotated[date | None, Query(description="Up to this day, inclusive")] = None,
    system: System = None,
    location: Annotated[str | None, Query(max_length=500, description="Only this location")] = None,
    limit: Limit = 366,
    offset: Offset = 0,
) -> DailyPage:
    """Sales day by day, the newest first."""
    question = ("daily", first_day, last_day, system, location, limit, offset)
    freshness = call.fresh(response, question)
    conditions = (
        ("day", Operator.GREATER_OR_EQUAL, first_day),
        ("day", Operator.LESS_OR_EQUAL, last_day),
        ("system", Operator.EQUAL, system),
        ("location", Operator.EQUAL, location),
    )
    asked = MetricQuery(
        metrics=DAILY_METRICS,
        grain=Grain.DAY,
        filters=tuple(
            Filter(name, operator, (value,)) for name, operator, value in conditions if value is not None
        ),
        order_by=(Ordering("day", descending=True),),
        limit=limit,
        offset=offset,
    )
    found = call.figures.query(call.caller, asked, call.work)
    names = [column.name for column in found.columns]
    return DailyPage(
        days=[DailyFigures.model_validate(dict(zip(names, row, strict=True))) for row in found.rows],
        next_offset=found.next_offset,
        freshness=freshness,
    )


def _read(body: QueryBody) -> MetricQuery:
    return MetricQuery(
        metrics=tuple(body.metrics),
        group_by=tuple(body.group_by),
        grain=body.grain,
        filters=tuple(_filter(one) for one in body.filters),
        order_by=tuple(Ordering(one.column, one.descending) for one in body.order_by),
        limit=body.limit,
        offset=body.offset,
    )


def _filter(body: FilterBody) -> Filter:
    return Filter(body.dimension, body.operator, tuple(body.values))
