"""What goes in and out of the API, as pydantic models: they are its specification.

Exact decimals (money, quantities) are texts in JSON, so that no reader turns them into binary floats on the way;
ratios, shares and averages are numbers. Dates are YYYY-MM-DD, moments ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.semantic import Grain, Operator

MOST_ROWS = 10_000
MOST_OFFSET = 10_000_000
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$", examples=["net_revenue"])]
Text = Annotated[str, Field(max_length=500)]
SourceSystem = Literal["store", "restaurant"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterBody(_Body):
    """One condition; all conditions of a query hold."""

    dimension: Name = Field(
        description="A dimension, or a grain for the first day of a period", examples=["location"]
    )
    operator: Operator = Field(examples=["in"])
    values: list[Text | bool | int] = Field(
        default=[], max_length=1000, description="One for a comparison, any number for `in` and `not in`",
        examples=[["R01", "R02"]],
    )  # fmt: skip


class OrderingBody(_Body):
    """One column to sort by; nulls come last."""

    column: Name
    descending: bool = False


class QueryBody(_Body):
    """Metrics by dimensions and periods."""

    metrics: list[Name] = Field(min_length=1, max_length=20, examples=[["net_revenue", "orders"]])
    group_by: list[Name] = Field(default=[], max_length=8, examples=[["location"]])
    grain: Grain | None = Field(default=None, description="One row a period", examples=["month"])
    filters: list[FilterBody] = Field(default=[], max_length=20)
    order_by: list[OrderingBody] = Field(default=[], max_length=8)
    limit: int = Field(default=1000, ge=1, le=MOST_ROWS)
    offset: int = Field(default=0, ge=0, le=MOST_OFFSET)


class Freshness(BaseModel):
    """From what the figures were made."""

    published_at: datetime
    run_id: str
    as_of_dates: dict[str, date] = Field(
        description="Last day that counts, by source system", examples=[{"store": "2026-11-24"}]
    )
    newest_batch: str | None = Field(description="The delivery that was loaded last")


class Horizon(IntEnum):
    """Days after the first order that a cohort is looked at."""

    WEEK = 7
    MONTH = 30
    QUARTER = 90


Cell = Decimal | float | int | bool | date | datetime | str | None


class ColumnBody(BaseModel):
    """One column of an answer."""

    name: str
    label: str
    format: str = Field(
        description="money, count, quantity, share, ratio, hours, days, text, date or boolean"
    )


class QueryAnswer(BaseModel):
    """Rows in the order asked for, a list of cells each."""

    columns: list[ColumnBody]
    rows: list[list[Cell]]
    suppressed_rows: int = Field(description="Groups left out because too few customers share them")
    next_offset: int | None = Field(description="Where the next page begins; null on the last one")
    freshness: Freshness


class MetricBody(BaseModel):
    """One metric of the catalogue."""

    name: str
    label: str
    description: str
    kind: str = Field(description="simple, ratio, derived or cumulative")
    format: str
    owner: str
    grains: list[Grain]
    needs_grain: bool = Field(description="It has no figure over all time together")
    dimensions: list[str] = Field(description="By what this role may group and filter it")


class Catalogue(BaseModel):
    """What the caller's role may ask for."""

    role: str
    metrics: list[MetricBody]
    freshness: Freshness


class DailyFigures(BaseModel):
    """The sales of one day; refunds are dated by the return, the rest by the order."""

    day: date
    gross_revenue: Decimal | None
    discounts: Decimal | None
    net_sales: Decimal | None
    refunds: Decimal | None
    net_revenue: Decimal | None
    orders: int | None
    units_sold: Decimal | None
    average_order_value: float | None


class DailyPage(BaseModel):
    days: list[DailyFigures]
    next_offset: int | None
    freshness: Freshness


class CohortValue(BaseModel):
    """Lifetime value of the customers whose first booked order fell in one month."""

    source_system: str
    cohort_month: date
    mature_customers: int = Field(description="Customers observed for the whole horizon")
    retention_rate: float | None = Field(
        description="Share of them with another booked order within the horizon"
    )
    ltv_total: Decimal | None
    ltv_per_customer: float | None


class CohortPage(BaseModel):
    horizon_days: Horizon
    cohorts: list[CohortValue]
    suppressed_rows: int = Field(description="Cohorts left out because too few customers are in them")
    next_offset: int | None
    freshness: Freshness


class InventoryAlert(BaseModel):
    """A product below its reorder point at its latest count."""

    source_system: str
    product_id: str
    product_name: str | None
    category: str | None
    snapshot_date: date
    available: Decimal
    reorder_point: Decimal
    is_stockout: bool
    days_in_alert: int
    days_of_cover: float | None
    suggested_order_quantity: Decimal


class InventoryPage(BaseModel):
    alerts: list[InventoryAlert]
    next_offset: int | None
    freshness: Freshness


class RankedLocation(BaseModel):
    """A location's trade and its rank by total revenue within its source system; ties share a rank."""

    source_system: str
    location_id: str | None
    location_name: str | None
    region: str | None
    revenue_rank: int
    total_revenue: Decimal
    revenue_share: float | None
    orders: int
    average_order_value: float | None
    orders_per_trading_day: float | None
    orders_per_week: float | None
    revenue_change_rate: float | None = Field(description="Last 28 days against the 28 before")


class LocationPage(BaseModel):
    locations: list[RankedLocation]
    next_offset: int | None
    freshness: Freshness


class CustomerProfile(BaseModel):
    """Lifetime value, segment and churn of one customer with a booked order."""

    source_system: str
    customer_id: str
    lifetime_value_to_date: Decimal
    clv_tier: str
    orders: int
    average_order_value: float | None
    first_order_date: date
    last_order_date: date
    segment: str
    r_score: int
    f_score: int
    m_score: int
    days_since_last_order: int
    activity_status: str
    is_at_risk: bool
    overdue_ratio: float | None
    freshness: Freshness


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready"]
    published_at: datetime
