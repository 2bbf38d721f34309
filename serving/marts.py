"""Rows of published marts that faces show as they are: fixed queries, bound values, one page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.semantic.engine import DUCKDB, Dialect, Statement
from serving.semantic.published import Snapshot
from serving.semantic.query import Value

Argument = Value | tuple[Value, ...]

# dbt builds into `marts`; on Postgres readers get a schema of their own.
SCHEMAS = {
    True: {"marts": "marts", "quality": "quality"},
    False: {"marts": "published_marts", "quality": "published_quality"},
}
# Marts whose rows are groups of customers, with the column that says of how many.
CUSTOMER_GROUPS = {
    "fct_cohort_ltv": "mature_customers",
    "fct_cohort_ltv_weekly": "mature_customers",
    "mart_cohort_triangle": "cohort_customers",
    "mart_loyalty_impact": "customers",
}
_COLUMNS = """
    select table_schema, table_name, column_name, lower(data_type) from information_schema.columns
    where table_schema in ($1, $2) order by table_schema, table_name, ordinal_position
"""


@dataclass(frozen=True)
class MartQuery:
    """A query over published marts.

    Attributes:
        marts: the marts that it reads, for the access policy to judge.
        columns: what a row holds, in order; `expression as name` where it is computed.
        source: what stands behind `from`; the schemas are written `{marts}` and `{quality}`.
        filters: name of an argument → a condition with one `{}`; it is left out where the argument is not given. Of an
            argument with several values all stand in its place, with commas between.
        order: what makes the order of the rows total, so that pages fit together.
        group_by: columns of which each combination makes one row; empty leaves the rows as they are.
    """

    marts: tuple[str, ...]
    columns: tuple[str, ...]
    source: str
    order: str
    filters: Mapping[str, str] = field(default_factory=dict)
    group_by: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns are called in the answer."""
        return tuple(column.rpartition(" as ")[2].rpartition(".")[2] for column in self.columns)

    def statement(
        self,
        dialect: Dialect,
        arguments: Mapping[str, Argument | None],
        *,
        limit: int,
        offset: int,
        further: tuple[str, ...] = (),
    ) -> Statement:
        """SQL for `limit` rows behind `offset` others, with its values apart.

        Args:
            further: conditions beside those of the arguments, with the schemas written as in `source`; never a
                caller's words.

        Raises:
            KeyError: for an argument that the query does not have.
        """
        values: list[Value] = []
        conditions = []
        for name, argument in arguments.items():
            if argument is None:
                continue
            own = argument if isinstance(argument, tuple) else (argument,)
            marks = [f"${len(values) + position}" for position in range(1, len(own) + 1)]
            conditions.append(self.filters[name].format(", ".join(marks)))
            values += own
        conditions += [condition.format(**SCHEMAS[dialect is DUCKDB]) for condition in further]
        where = f" where {' and '.join(conditions)}" if conditions else ""
        groups = f" group by {', '.join(self.group_by)}" if self.group_by else ""
        source = self.source.format(**SCHEMAS[dialect is DUCKDB])
        page = f"limit ${len(values) + 1} offset ${len(values) + 2}"
        return Statement(
            f"select {', '.join(self.columns)} from {source}{where}{groups} order by {self.order} {page}",
            (*values, limit, offset),
            self.names,
        )


@dataclass(frozen=True)
class PublishedMart:
    """A mart as it is published.

    Attributes:
        schema: `marts` or `quality`, whatever the database calls it.
        columns: name → type in the database's words, lower case, in their order.
    """

    name: str
    schema: str
    columns: Mapping[str, str]


def published_marts(snapshot: Snapshot, dialect: Dialect) -> dict[str, PublishedMart]:
    """All marts of a publication by name."""
    schemas = {own: schema for schema, own in SCHEMAS[dialect is DUCKDB].items()}
    found: dict[str, dict[str, str]] = {}
    places: dict[str, str] = {}
    for schema, mart, column, kind in snapshot.run(Statement(_COLUMNS, tuple(schemas), ())):
        places[mart] = schemas[schema]
        found.setdefault(mart, {})[column] = kind
    return {mart: PublishedMart(mart, places[mart], columns) for mart, columns in sorted(found.items())}


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
