"""Metrics of the published warehouse: structured questions in, exact numbers out."""

from serving.semantic.catalogue import Catalogue, DimensionInfo, MetricInfo
from serving.semantic.client import QueryResult, SemanticClient
from serving.semantic.query import Filter, Grain, MetricQuery, Operator, Ordering

__all__ = [
    "Catalogue",
    "DimensionInfo",
    "Filter",
    "Grain",
    "MetricInfo",
    "MetricQuery",
    "Operator",
    "Ordering",
    "QueryResult",
    "SemanticClient",
]
