"""How MetricFlow's plans become SQL here: in its own words for the database, but for days."""

from __future__ import annotations

from metricflow.sql.render.duckdb_renderer import DuckDbSqlExpressionRenderer, DuckDbSqlPlanRenderer
from metricflow.sql.render.expr_renderer import DefaultSqlExpressionRenderer, SqlExpressionRenderResult
from metricflow.sql.render.postgres import PostgresSqlExpressionRenderer, PostgresSQLSqlPlanRenderer
from metricflow_semantic_interfaces.type_enums.time_granularity import TimeGranularity
from metricflow_semantics.sql.sql_exprs import SqlDateTruncExpression


class _DaysAsTheyAre(DefaultSqlExpressionRenderer):
    """Times of ours are dates: truncating one to its day would only hide from the database what it need not read."""

    def visit_date_trunc_expr(self, node: SqlDateTruncExpression) -> SqlExpressionRenderResult:
        if node.time_granularity is TimeGranularity.DAY:
            return self.render_sql_expr(node.arg)
        return super().visit_date_trunc_expr(node)


class _DuckDbExpressions(_DaysAsTheyAre, DuckDbSqlExpressionRenderer): ...


class _PostgresExpressions(_DaysAsTheyAre, PostgresSqlExpressionRenderer): ...


class DuckDbRenderer(DuckDbSqlPlanRenderer):
    EXPR_RENDERER = _DuckDbExpressions()


class PostgresRenderer(PostgresSQLSqlPlanRenderer):
    EXPR_RENDERER = _PostgresExpressions()
