"""Rows of published marts that faces show as they are: fixed queries, bound values, one page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.semantic.engine import DUCKDB, Dialect, Statement
from serving.semantic.query import Value

# dbt builds into `marts`; on Postgres readers get a schema of their own.
SCHEMAS = {
    True: {"marts": "marts", "quality": "quality"},
    False: {"marts": "published_marts", "quality": "published_quality"},
}


@dataclass(frozen=True)
class MartQuery:
    """A query over published marts.

    Attributes:
        marts: the marts that it reads, for the access policy to judge.
        columns: what a row holds, in order.
        source: what stands behind `from`; the schemas are written `{marts}` and `{quality}`.
        filters: name of an argument → a condition with one `{}`; it is left out where the argument is not given.
        order: what makes the order of the rows total, so that pages fit together.
    """

    marts: tuple[str, ...]
    columns: tuple[str, ...]
    source: str
    order: str
    filters: Mapping[str, str] = field(default_factory=dict)

    def statement(
        self, dialect: Dialect, arguments: Mapping[str, Value | None], *, limit: int, offset: int
    ) -> Statement:
        """SQL for `limit` rows behind `offset` others, with its values apart.

        Raises:
            KeyError: for an argument that the query does not have.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        conditions = [
            self.filters[name].format(f"${position}") for position, name in enumerate(given, start=1)
        ]
        where = f" where {' and '.join(conditions)}" if conditions else ""
        source = self.source.format(**SCHEMAS[dialect is DUCKDB])
        page = f"limit ${len(given) + 1} offset ${len(given) + 2}"
        return Statement(
            f"select {', '.join(self.columns)} from {source}{where} order by {self.order} {page}",
            (*given.values(), limit, offset),
            tuple(column.rpartition(".")[2] for column in self.columns),
        )


INVENTORY_ALERTS = MartQuery(
    marts=("mart_inventory_alerts",),
    columns=(
        "source_system", "product_id", "product_name", "category", "snapshot_date", "available", "reorder_point",
        "is_stockout", "days_in_alert", "days_of_cover", "suggested_order_quantity",
    ),
    source="{marts}.mart_inventory_alerts",
    filters={
        "source_system": "source_system = {}",
        "category": "category = {}",
        "is_stockout": "is_stockout = {}",
    },
    order="is_stockout desc, suggested_order_quantity desc, product_key",
)  # fmt: skip

COHORT_VALUES = MartQuery(
    marts=("fct_cohort_ltv",),
    columns=(
        "source_system", "cohort_month", "mature_customers", "retention_rate", "ltv_total", "ltv_per_customer",
    ),
    source="{marts}.fct_cohort_ltv",
    filters={
        "horizon_days": "horizon_days = {}",
        "source_system": "source_system = {}",
        "smallest_group": "mature_customers >= {}",
        "smaller_than": "mature_customers < {}",
    },
    order="source_system, cohort_month",
)  # fmt: skip

LOCATION_RANKING = MartQuery(
    marts=("mart_location_performance",),
    columns=(
        "source_system", "location_id", "location_name", "region", "revenue_rank", "total_revenue", "revenue_share",
        "orders", "average_order_value", "orders_per_trading_day", "orders_per_week", "revenue_change_rate",
    ),
    source="{marts}.mart_location_performance",
    filters={"source_system": "source_system = {}", "region": "region = {}"},
    order="source_system, revenue_rank, location_key",
)  # fmt: skip

CUSTOMER_PROFILE = MartQuery(
    marts=("mart_customer_lifetime_value", "mart_customer_segments", "mart_churn_indicators"),
    columns=(
        "customer.source_system", "customer.customer_id", "value.lifetime_value_to_date", "value.clv_tier",
        "value.orders", "value.average_order_value", "value.first_order_date", "value.last_order_date",
        "segments.segment", "segments.r_score", "segments.f_score", "segments.m_score",
        "churn.days_since_last_order", "churn.activity_status", "churn.is_at_risk", "churn.overdue_ratio",
    ),
    source=(
        "{marts}.dim_customer as customer"
        " inner join {marts}.mart_customer_lifetime_value as value on customer.customer_key = value.customer_key"
        " inner join {marts}.mart_customer_segments as segments on customer.customer_key = segments.customer_key"
        " inner join {marts}.mart_churn_indicators as churn on customer.customer_key = churn.customer_key"
    ),
    filters={"customer_id": "customer.customer_id = {}", "source_system": "customer.source_system = {}"},
    order="customer.source_system",
)  # fmt: skip

AS_OF_DATES = MartQuery(
    marts=("dim_source_system",),
    columns=("source_system", "as_of_date"),
    source="{marts}.dim_source_system",
    order="source_system",
)

NEWEST_BATCH = MartQuery(
    marts=("quality_deliveries",),
    columns=("batch_id",),
    source="{quality}.quality_deliveries where loaded_at is not null",
    order="loaded_at desc, load_sequence desc, batch_id",
)

LOCATION_KEYS = MartQuery(
    marts=("dim_location",),
    columns=("location_key",),
    source="{marts}.dim_location",
    filters={"source_system": "source_system = {}", "location_id": "location_id = {}"},
    order="location_key",
)
