"""Published marts over HTTP, where a program wants their rows: cohorts, stock, locations, one customer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from serving.api.bodies import (
    MOST_ROWS,
    CohortPage,
    CohortValue,
    CustomerProfile,
    Horizon,
    InventoryAlert,
    InventoryPage,
    LocationPage,
    RankedLocation,
)
from serving.api.dependencies import ANSWERS, Identified, Limit, Offset, System, Word
from serving.api.figures import Work
from serving.api.problems import describe, problem_of
from serving.marts import COHORT_VALUES, CUSTOMER_PROFILE, INVENTORY_ALERTS, LOCATION_RANKING

router = APIRouter(responses=ANSWERS)


@router.get("/ltv/{days}", tags=["customers"])
def lifetime_value(
    response: Response,
    call: Identified,
    days: Annotated[Horizon, Path(description="Days after the first order")],
    *,
    system: System = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> CohortPage:
    """Lifetime value and retention of each monthly cohort within 7, 30 or 90 days after the first order."""
    freshness = call.fresh(response, ("ltv", days, system, limit, offset))
    smallest = call.figures.smallest_group
    chosen = {"horizon_days": days, "source_system": system}
    rows, next_offset = call.figures.mart_rows(
        call.caller,
        COHORT_VALUES,
        {**chosen, "smallest_group": smallest},
        call.work,
        limit=limit,
        offset=offset,
    )
    small, _ = call.figures.mart_rows(
        call.caller, COHORT_VALUES, {**chosen, "smaller_than": smallest}, Work(), limit=MOST_ROWS
    )
    return CohortPage(
        horizon_days=days,
        cohorts=[CohortValue.model_validate(row) for row in rows],
        suppressed_rows=len(small),
        next_offset=next_offset,
        freshness=freshness,
    )


@router.get("/inventory/alerts", tags=["inventory"])
def inventory_alerts(
    response: Response,
    call: Identified,
    *,
    system: System = None,
    category: Word = None,
    is_stockout: bool | None = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> InventoryPage:
    """Products below their reorder point at their latest count, the most urgent first."""
    freshness = call.fresh(response, ("alerts", system, category, is_stockout, limit, offset))
    rows, next_offset = call.figures.mart_rows(
        call.caller,
        INVENTORY_ALERTS,
        {"source_system": system, "category": category, "is_stockout": is_stockout},
        call.work,
        limit=limit,
        offset=offset,
    )
    return InventoryPage(
        alerts=[InventoryAlert.model_validate(row) for row in rows],
        next_offset=next_offset,
        freshness=freshness,
    )


@router.get("/locations/ranking", tags=["locations"])
def location_ranking(
    response: Response,
    call: Identified,
    *,
    system: System = None,
    region: Word = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> LocationPage:
    """Locations by total revenue, the best first, within their source system."""
    freshness = call.fresh(response, ("ranking", system, region, limit, offset))
    rows, next_offset = call.figures.mart_rows(
        call.caller,
        LOCATION_RANKING,
        {"source_system": system, "region": region},
        call.work,
        limit=limit,
        offset=offset,
    )
    return LocationPage(
        locations=[RankedLocation.model_validate(row) for row in rows],
        next_offset=next_offset,
        freshness=freshness,
    )


@router.get(
    "/customers/{customer_id:path}",
    tags=["customers"],
    responses=describe(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def customer(
    response: Response,
    call: Identified,
    customer_id: Annotated[str, Path(min_length=1, max_length=500, description="The source system's own id")],
    *,
    system: System = None,
) -> CustomerProfile:
    """Lifetime value, segment and churn of one customer with a booked order."""
    freshness = call.fresh(response, ("customer", customer_id, system))
    rows, _ = call.figures.mart_rows(
        call.caller,
        CUSTOMER_PROFILE,
        {"customer_id": customer_id, "source_system": system},
        call.work,
        limit=2,
    )
    if not rows:
        raise problem_of(
            HTTPStatus.NOT_FOUND,
            "no customer of this id has a booked order",
            rule="customer",
            remedy="ask with the id that the source system gives its customer",
        )
    if len(rows) > 1:
        raise problem_of(
            HTTPStatus.CONFLICT,
            "both source systems have a customer of this id",
            rule="customer",
            remedy="say which: ?system=store or ?system=restaurant",
        )
    return CustomerProfile.model_validate({**rows[0], "freshness": freshness})
