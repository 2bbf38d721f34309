"""Whether every published metric answers: asked once each, in the shortest question that it takes."""

from __future__ import annotations

from serving.semantic.catalogue import MetricInfo
from serving.semantic.client import SemanticClient
from serving.semantic.query import MetricQuery
from settings.errors import TillhouseError


def unanswered(client: SemanticClient) -> dict[str, str]:
    """The public metrics that give no answer, with what was said; empty where all do.

    Raises:
        NotFoundError, UnavailableError: when nothing can be asked at all.
    """
    failures = {}
    for metric in client.catalogue().public_metrics.values():
        try:
            client.query(_shortest(metric))
        except TillhouseError as error:
            failures[metric.name] = error.problem
        except (
            Exception
        ) as error:  # whatever a database or MetricFlow raises is this metric's, not the others'
            failures[metric.name] = f"{type(error).__name__}: {error}"
    return failures


def _shortest(metric: MetricInfo) -> MetricQuery:
    return MetricQuery(
        (metric.name,),
        group_by=metric.required_dimensions[:1],
        grain=metric.grains[0] if metric.needs_grain else None,
        limit=1,
    )
