"""MetricFlow, wrapped: what knows of its Python interface, which is declared unstable, is here and in `renderers`.

The engine is built once a manifest; after that a query that is new takes tens of milliseconds and one of a known shape
none, since its SQL is kept. Values never enter the SQL: a condition is compiled with a mark in the value's place, and
the mark becomes a bound parameter of the database.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from serving.semantic.catalogue import (
    Catalogue,
    DimensionInfo,
    Kind,
    MetricInfo,
    direct_inputs,
    read_catalogue,
    simple_model,
)
from serving.semantic.query import Filter, Grain, MetricQuery, Operator, Value
from settings.errors import UsageError

if TYPE_CHECKING:
    from metricflow.engine.metricflow_engine import MetricFlowEngine

logger = logging.getLogger(__name__)

TIME = "metric_time"
_MARK = re.compile(r"'tillhouse value (\d+)'")
_OPEN_MARK = re.compile(r"'tillhouse (before|open|after) (\d+)'")
# A shape is a few kilobytes of SQL; dashboards and the API ask a few hundred.
KEPT_STATEMENTS = 1_000
_COMPARISONS = frozenset({Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL})
_MANY = frozenset({Operator.IN, Operator.NOT_IN})
_NULL_TESTS = frozenset({Operator.IS_NULL, Operator.IS_NOT_NULL})
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
MAXIMUM_VALUES = 1_000
MAXIMUM_LIMIT = 1_000_000


@dataclass(frozen=True)
class Dialect:
    """How one database's SQL is written.

    Attributes:
        engine: MetricFlow's name of it.
        text_order: what makes texts sort by their code points.
    """

    engine: str
    text_order: str = ""


DUCKDB = Dialect("DUCKDB")
POSTGRES = Dialect("POSTGRES", ' collate "C"')


@dataclass(frozen=True)
class Statement:
    """SQL with `$1`, `$2`, … in place of values, and those values."""

    sql: str
    parameters: tuple[Value, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class OpenCondition:
    """A condition that whoever runs the SQL later may leave out, for faces that keep SQL with places to fill in.

    Attributes:
        value: what stands in the value's place.
        before, after: what encloses the condition, from its `and` to its end; all three are ours, never a caller's.
    """

    dimension: str
    operator: Operator
    value: str
    before: str
    after: str


@dataclass(frozen=True)
class _Shape:
    """A query without its values."""

    query: MetricQuery
    counts: tuple[int, ...]
    open_conditions: tuple[OpenCondition, ...] = ()


@dataclass
class SemanticEngine:
    """Compiles queries over one published manifest. Safe to use from several threads."""

    manifest_text: str
    dialect: Dialect
    catalogue: Catalogue = field(init=False)
    _manifest: Mapping[str, Any] = field(init=False, repr=False)
    _engine: MetricFlowEngine = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _statements: OrderedDict[_Shape, str] = field(default_factory=OrderedDict, init=False, repr=False)
    _paths: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._manifest = json.loads(self.manifest_text)
        self.catalogue = read_catalogue(self._manifest)
        self._engine = _build(self.manifest_text, self.dialect)

    def dimensions_of(self, metric: str) -> tuple[str, ...]:
        """Names of the dimensions that a metric can be asked by and filtered on.

        Raises:
            UsageError: when there is no such metric.
        """
        info = self._metric(metric)
        leaves = (info.inputs | set(info.by_grain.values())) or {metric}
        paths = (
            frozenset.intersection(
                *(self._paths_of(leaf) for leaf in leaves if self.catalogue.metrics[leaf].kind == "simple")
            )
            if leaves != {metric}
            else self._paths_of(metric)
        )
        return tuple(name for name, one in self.catalogue.dimensions.items() if one.path in paths)

    def compile(
        self,
        query: MetricQuery,
        *,
        parts: tuple[str, ...] = (),
        open_conditions: tuple[OpenCondition, ...] = (),
    ) -> Statement:
        """SQL for a query, with its values apart.

        Args:
            parts: further metrics, also hidden ones, whose columns follow the query's; never a caller's words.
            open_conditions: conditions beside the query's, to be filled in or left out where the SQL runs.

        Raises:
            UsageError: when a name, a grain, an operator or a value is none that the query may have; the message says
                which are allowed.
        """
        self._require(query, tuple(one.dimension for one in open_conditions))
        query = replace(query, metrics=query.metrics + parts)
        filters = tuple(self._typed(one) for one in query.filters)
        values = tuple(value for one in filters for value in one.values)
        shape = _Shape(
            replace(query, filters=tuple(replace(one, values=()) for one in filters), limit=None, offset=0),
            tuple(len(one.values) for one in filters),
            open_conditions,
        )
        with self._lock:
            sql = self._statements.get(shape)
            if sql is None:
                sql = self._statements[shape] = self._render(query, filters, open_conditions)
                if len(self._statements) > KEPT_STATEMENTS:
                    self._statements.popitem(last=False)
            else:
                self._statements.move_to_end(shape)
        if query.limit is not None:
            sql += f"\nlimit ${len(values) + 1}"
            values += (query.limit,)
        if query.offset:
            sql += f"\noffset ${len(values) + 1}"
            values += (query.offset,)
        return Statement(sql, values, _columns(query))

    def _require(self, query: MetricQuery, open_dimensions: tuple[str, ...] = ()) -> None:
        if not query.metrics:
            raise UsageError(
                "the query names no metric", remedy="`tillhouse metrics` lists them", rule="metric"
            )
        repeated = {name for name in _columns(query) if _columns(query).count(name) > 1}
        if repeated:
            raise UsageError(
                f"the query names {', '.join(sorted(repeated))} twice",
                remedy="name each metric and dimension once",
                rule="repeated_name",
            )
        for name in query.metrics:
            metric = self._metric(name)
            if metric.needs_grain if query.grain is None else query.grain not in metric.grains:
                asked = f"by {query.grain}" if query.grain else "over all time"
                raise UsageError(
                    f"{name} cannot be asked {asked}",
                    remedy=f"group by one of {', '.join(metric.grains)}",
                    rule="grain",
                )
            allowed = self.dimensions_of(name)
            filtered = (*(one.dimension for one in query.filters), *open_dimensions)
            for dimension in (*query.group_by, *filtered):
                if dimension not in allowed and dimension not in set(Grain):
                    raise UsageError(
                        f"{name} has no dimension {dimension!r}",
                        remedy=f"use one of {', '.join(allowed)}, or a period: {', '.join(Grain)}",
                        rule="dimension",
                    )
            needed = metric.required_dimensions
            if needed and not set(needed) & set(query.group_by):
                raise UsageError(
                    f"{name} has a figure a {needed[0]} only",
                    remedy=f"group by {' or '.join(needed)}",
                    rule="required_dimension",
                )
        if set(query.group_by) & set(Grain):
            raise UsageError(
                "a period stands among the dimensions", remedy="name it as the grain", rule="grain"
            )
        for ordering in query.order_by:
            if ordering.column not in _columns(query):
                raise UsageError(
                    f"the result has no column {ordering.column!r} to sort by",
                    remedy=f"sort by one of {', '.join(_columns(query))}",
                    rule="order",
                )
        if not 0 < (query.limit or 1) <= MAXIMUM_LIMIT or query.limit == 0 or query.offset < 0:
            raise UsageError(
                f"limit {query.limit}, offset {query.offset} make no page",
                remedy=f"use a limit of 1 to {MAXIMUM_LIMIT} and an offset of 0 or more",
                rule="limit",
            )

    def _metric(self, name: str) -> MetricInfo:
        found = self.catalogue.public_metrics.get(name)
        if found is None:
            raise UsageError(
                f"there is no metric {name!r}",
                remedy=f"use one of {', '.join(self.catalogue.public_metrics)}",
                rule="metric",
            )
        return found

    def _typed(self, condition: Filter) -> Filter:
        kind = (
            Kind.DATE
            if condition.dimension in set(Grain)
            else self.catalogue.dimensions[condition.dimension].kind
        )
        operator, count = condition.operator, len(condition.values)
        allowed = [one for one in Operator if kind is Kind.DATE or one not in _COMPARISONS]
        expected = (
            count == 0 if operator in _NULL_TESTS
            else 1 <= count <= MAXIMUM_VALUES if operator in _MANY
            else count == 1
        )  # fmt: skip
        if operator not in allowed or not expected:
            raise UsageError(
                f"the filter on {condition.dimension} cannot be {operator} with {count} values",
                remedy=f"operators of a {kind} dimension: {', '.join(allowed)}; `in` takes up to"
                f" {MAXIMUM_VALUES} values, a null test none, the others one",
                rule="filter",
            )
        return replace(
            condition, values=tuple(_value(condition.dimension, kind, one) for one in condition.values)
        )

    def _paths_of(self, leaf: str) -> frozenset[str]:
        """MetricFlow's names of everything that a simple metric can be grouped by; the same over a semantic model."""
        models = {model["name"]: model for model in self._manifest["semantic_models"]}
        metric = next(one for one in self._manifest["metrics"] if one["name"] == leaf)
        if metric["type"] != "simple":
            return frozenset.intersection(*(self._paths_of(part) for part in direct_inputs(metric)))
        model = simple_model(metric, models)
        with self._lock:
            if model not in self._paths:
                found = self._engine.simple_dimensions_for_metrics([leaf])
                own = {
                    entity["name"] for entity in models[model]["entities"]
                }  # MetricFlow lists those of joins too
                self._paths[model] = frozenset(own | {one.dunder_name for one in found})
            return self._paths[model]

    def _render(
        self, query: MetricQuery, filters: tuple[Filter, ...], open_conditions: tuple[OpenCondition, ...]
    ) -> str:
        from metricflow.engine.metricflow_engine import MetricFlowQueryRequest
        from metricflow.sql.optimizer.optimization_levels import SqlOptimizationLevel
        from metricflow_semantics.errors.error_classes import InvalidQueryException

        asked = {name: self._routed(name, query.grain) for name in query.metrics}
        paths = {name: self.catalogue.dimensions[name].path for name in query.group_by}
        group_by = ([f"{TIME}__{query.grain}"] if query.grain else []) + list(paths.values())
        request = MetricFlowQueryRequest.create(
            metric_names=list(asked.values()),
            group_by_names=group_by,
            where_constraints=[*self._conditions(filters), *self._open_conditions(open_conditions)] or None,
            # Above it parts of a query share a table expression, which DuckDB reads whole: no filter gets in.
            sql_optimization_level=SqlOptimizationLevel.O4,
        )
        try:
            explained = self._engine.explain(request)
        except InvalidQueryException as error:
            periods = [one.dimension for one in filters if one.dimension in set(Grain)]
            if not periods:
                raise
            groups = all(
                period in self.catalogue.metrics[name].grains for name in asked for period in periods
            )
            raise UsageError(
                f"{', '.join(query.metrics)} {f'by {query.grain}' if query.grain else 'over all time'} cannot be"
                f" filtered by {' and '.join(periods)}",
                remedy=f"filter by a longer period{f', or group by {periods[0]}' if groups else ''}",
                rule="grain",
            ) from error
        inner = _MARK.sub(
            lambda found: f"${int(found[1]) + 1}", _without_comments(explained.sql_statement.sql)
        )
        texts = [{"before": one.before, "open": one.value, "after": one.after} for one in open_conditions]
        inner = _OPEN_MARK.sub(lambda found: texts[int(found[2])][found[1]], inner)
        selected = [f"cast({TIME}__{query.grain} as date) as {query.grain}"] if query.grain else []
        selected += [f"{path} as {name}" for name, path in paths.items()]
        selected += [
            f"{f'coalesce({metric}, 0)' if self.catalogue.metrics[name].is_zero_when_empty else metric} as {name}"
            for name, metric in asked.items()
        ]
        order = [(one.column, one.descending) for one in query.order_by]
        named = {column for column, _ in order}
        order += [(column, False) for column in _columns(query)[: -len(query.metrics)] if column not in named]
        sql = f"select {', '.join(selected)}\nfrom (\n{inner}\n) as answer"
        if group_by:
            # A growth rate would have a row for the period after the last.
            sql += "\nwhere " + " or ".join(f"{metric} is not null" for metric in asked.values())
        if order:
            sql += "\norder by " + ", ".join(
                f"{self._sorted(column, paths)}{' desc' if descending else ''} nulls last"
                for column, descending in order
            )
        return sql

    def _routed(self, name: str, grain: Grain | None) -> str:
        by_grain = self.catalogue.metrics[name].by_grain
        return by_grain[grain] if by_grain and grain else name

    def _sorted(self, column: str, paths: Mapping[str, str]) -> str:
        if column in paths and self.catalogue.dimensions[column].kind is Kind.TEXT:
            return f"{paths[column]}{self.dialect.text_order}"
        return paths.get(column, column)

    def _conditions(self, filters: tuple[Filter, ...]) -> Iterator[str]:
        """MetricFlow's `where` is raw SQL: it is put together here from names of the catalogue and marks alone."""
        position = 0
        for one in filters:
            marks = [f"'tillhouse value {position + number}'" for number in range(len(one.values))]
            position += len(marks)
            subject = self._subject(one.dimension)
            if one.operator in _NULL_TESTS:
                yield f"{subject} {one.operator}"
            elif one.operator in _MANY:
                yield f"{subject} {one.operator} ({', '.join(marks)})"
            else:
                yield f"{subject} {'<>' if one.operator is Operator.NOT_EQUAL else one.operator} {marks[0]}"

    def _open_conditions(self, conditions: tuple[OpenCondition, ...]) -> Iterator[str]:
        """Likewise, each true by itself and narrowed by what stands between two marks."""
        for position, one in enumerate(conditions):
            yield (
                f"true 'tillhouse before {position}' and {self._subject(one.dimension)} {one.operator}"
                f" 'tillhouse open {position}' 'tillhouse after {position}'"
            )

    def _subject(self, name: str) -> str:
        if name in set(Grain):
            return f"{{{{ TimeDimension('{TIME}', '{name}') }}}}"
        dimension = self.catalogue.dimensions[name]
        if "__" not in dimension.path:
            return f"{{{{ Entity('{dimension.path}') }}}}"
        return _time_or_category(dimension)


def _time_or_category(dimension: DimensionInfo) -> str:
    if dimension.kind is Kind.DATE:
        return f"{{{{ TimeDimension('{dimension.path}', 'day') }}}}"
    return f"{{{{ Dimension('{dimension.path}') }}}}"


def _columns(query: MetricQuery) -> tuple[str, ...]:
    return (*((str(query.grain),) if query.grain else ()), *query.group_by, *query.metrics)


def _value(dimension: str, kind: Kind, value: Value) -> Value:
    problem = ""
    if kind is Kind.DATE:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            problem = "write dates as YYYY-MM-DD"
    elif kind is Kind.BOOLEAN:
        if isinstance(value, bool):
            return value
        if str(value).lower() in BOOLEANS:
            return BOOLEANS[str(value).lower()]
        problem = "write true or false"
    elif isinstance(value, str) and "\x00" not in value:
        return value
    else:
        problem = "write a text"
    raise UsageError(
        f"{value!r} is no value of {dimension}, whose values are of type {kind}", remedy=problem, rule="value"
    )


def _without_comments(sql: str) -> str:
    """MetricFlow's SQL without its lines of explanation, which repeat names and would be parsed on every run."""
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("-- "))


def _build(manifest_text: str, dialect: Dialect) -> MetricFlowEngine:
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow.protocols.sql_client import SqlEngine
    from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    from serving.semantic.renderers import DuckDbRenderer, PostgresRenderer

    class Renderer:
        """All that the engine needs of a database while it only writes SQL."""

        sql_engine_type = SqlEngine[dialect.engine]
        sql_plan_renderer = DuckDbRenderer() if dialect is DUCKDB else PostgresRenderer()

        def render_bind_parameter_key(self, bind_parameter_key: str) -> str:
            # Of MetricFlow's interface; only who runs the SQL is asked for it, and that is not this client.
            raise NotImplementedError(bind_parameter_key)

    # Its warnings tell its own developers that a plan took a second.
    for name in ("metricflow", "metricflow_semantics"):
        logging.getLogger(name).setLevel(logging.ERROR)
    manifest = parse_manifest_from_dbt_generated_manifest(manifest_json_string=manifest_text)
    client: Any = Renderer()
    return MetricFlowEngine(SemanticManifestLookup(manifest), client)
