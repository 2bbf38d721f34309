"""Which metrics and dimensions there are, as the published manifest tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from serving.semantic.query import Grain

ALL_GRAINS = tuple(Grain)


class Kind(StrEnum):
    """Type of a dimension's values."""

    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True)
class DimensionInfo:
    """A dimension by its name in queries.

    Attributes:
        path: its name in MetricFlow; never a caller's text.
        kind: type of its values.
    """

    name: str
    path: str
    kind: Kind
    label: str
    description: str


@dataclass(frozen=True)
class MetricInfo:
    """One definition.

    Attributes:
        kind: simple, ratio, derived or cumulative.
        format: how a figure reads: money, count, quantity, share, ratio, hours or days.
        owner: who answers for it.
        inputs: the metrics that it is made of, down to the simple ones.
        tables: the published tables that it is computed from, as schema.name.
        grains: the periods that it can be asked for; where `needs_grain`, it has no figure over all time.
        by_grain: of a metric that is another one per grain: those.
        is_zero_when_empty: a sum or count, which is 0 and not null where nothing is.
        required_dimensions: one of these has to be among the group-bys; empty asks for none.
        customers: metrics that count the customers behind a figure, one for each part; each can be told by whatever
            the part can.
    """

    name: str
    label: str
    description: str
    kind: str
    format: str
    owner: str
    inputs: frozenset[str]
    tables: frozenset[str]
    grains: tuple[Grain, ...] = ALL_GRAINS
    needs_grain: bool = False
    by_grain: Mapping[Grain, str] = field(default_factory=dict)
    required_dimensions: tuple[str, ...] = ()
    is_hidden: bool = False
    is_zero_when_empty: bool = False
    expression: str = ""
    customers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalogue:
    """All of it, by name. Hidden metrics are parts of others and cannot be asked for."""

    metrics: Mapping[str, MetricInfo]
    dimensions: Mapping[str, DimensionInfo]

    @property
    def public_metrics(self) -> dict[str, MetricInfo]:
        return {name: metric for name, metric in self.metrics.items() if not metric.is_hidden}


def read_catalogue(manifest: Mapping[str, Any]) -> Catalogue:
    """The catalogue of a semantic manifest (the content of dbt's semantic_manifest.json, as it is published)."""
    metrics = {metric["name"]: metric for metric in manifest["metrics"]}
    models = {model["name"]: model for model in manifest["semantic_models"]}
    dimensions = [dimension for model in models.values() for dimension in _dimensions(model)]
    counters = {
        simple_model(metric, models): name
        for name, metric in metrics.items()
        if _meta(metric).get("counts_customers")
    }
    return Catalogue(
        metrics={
            name: _metric(metric, metrics, models, counters) for name, metric in sorted(metrics.items())
        },
        dimensions={dimension.name: dimension for dimension in sorted(dimensions, key=lambda one: one.name)},
    )


def primary_entity(model: Mapping[str, Any]) -> str | None:
    """The entity under which MetricFlow finds the model's dimensions."""
    primary = [entity["name"] for entity in model["entities"] if entity["type"] == "primary"]
    named: str | None = model.get("primary_entity")
    return primary[0] if primary else named


def simple_model(metric: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """The semantic model that a simple metric aggregates, in either form of the YAML."""
    aggregation = metric["type_params"].get("metric_aggregation_params")
    if aggregation:
        return str(aggregation["semantic_model"])
    measure = metric["type_params"]["measure"]["name"]
    return next(
        name for name, model in models.items() if measure in {one["name"] for one in model["measures"]}
    )


def _dimensions(model: Mapping[str, Any]) -> Iterator[DimensionInfo]:
    entity = primary_entity(model)
    for dimension in model["dimensions"]:
        meta = (dimension.get("config") or {}).get("meta") or {}
        is_time = dimension["type"] == "time"
        if meta.get("hidden") or (is_time and not meta.get("public")):
            continue  # dates of events are asked for by grain
        yield DimensionInfo(
            name=dimension["name"],
            path=f"{entity}__{dimension['name']}",
            kind=Kind.DATE if is_time else Kind(meta.get("type", Kind.TEXT)),
            label=dimension.get("label") or dimension["name"],
            description=" ".join((dimension.get("description") or "").split()),
        )
    for entity_of_model in model["entities"]:
        meta = (entity_of_model.get("config") or {}).get("meta") or {}
        if meta.get("public"):
            yield DimensionInfo(
                name=meta["public"],
                path=entity_of_model["name"],
                kind=Kind.TEXT,
                label=entity_of_model.get("label") or entity_of_model["name"],
                description=" ".join((entity_of_model.get("description") or "").split()),
            )


def _metric(
    metric: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
    counters: Mapping[str, str],
) -> MetricInfo:
    meta = _meta(metric)
    by_grain = {Grain(grain): str(name) for grain, name in meta.get("by_grain", {}).items()}
    grains = tuple(Grain(grain) for grain in meta.get("grains", by_grain))
    inputs = frozenset(
        name for part in {metric["name"], *by_grain.values()} for name in _inputs(part, metrics)
    )
    leaves = [metrics[name] for name in inputs | {metric["name"]} if metrics[name]["type"] == "simple"]
    sources = {simple_model(leaf, models) for leaf in leaves}
    relations = [models[source]["node_relation"] for source in sources]
    return MetricInfo(
        name=metric["name"],
        label=metric.get("label") or metric["name"],
        description=" ".join((metric.get("description") or "").split()),
        kind=metric["type"],
        format=meta.get("format", "ratio"),
        owner=meta.get("owner", ""),
        inputs=inputs - {metric["name"]},
        tables=frozenset(f"{relation['schema_name']}.{relation['alias']}" for relation in relations),
        grains=grains or ALL_GRAINS,
        needs_grain=bool(meta.get("needs_grain")),
        by_grain=by_grain,
        required_dimensions=tuple(meta.get("required_dimensions", ())),
        is_hidden=bool(meta.get("hidden")),
        is_zero_when_empty=meta.get("fill_nulls_with") == 0,
        expression=_expression(metric),
        customers=frozenset(
            meta.get("customers") or (counters[source] for source in sources if source in counters)
        ),
    )


def _meta(metric: Mapping[str, Any]) -> Mapping[str, Any]:
    return (metric.get("config") or {}).get("meta") or {}


def _inputs(name: str, metrics: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """All metrics below this one, itself included."""
    found = {name}
    for part in direct_inputs(metrics[name]):
        found |= _inputs(part, metrics)
    return found


def direct_inputs(metric: Mapping[str, Any]) -> list[str]:
    """The metrics that one names in its definition."""
    params = metric["type_params"]
    parts = [params.get("numerator"), params.get("denominator"), *(params.get("metrics") or [])]
    parts.append((params.get("cumulative_type_params") or {}).get("metric"))
    return [part["name"] for part in parts if part]


def _expression(metric: Mapping[str, Any]) -> str:
    params = metric["type_params"]
    if metric["type"] == "ratio":
        return f"{_input(params['numerator'])} / {_input(params['denominator'])}"
    if metric["type"] == "cumulative":
        return f"all {_input(params['cumulative_type_params']['metric'])} up to the period's end"
    if metric["type"] == "simple":
        aggregation = params.get("metric_aggregation_params") or {"agg": "measure"}
        return f"{aggregation['agg']}({params.get('expr') or (params.get('measure') or {}).get('name')})"
    return str(params["expr"])


def _input(part: Mapping[str, Any]) -> str:
    return str(part.get("alias") or part["name"])
