"""Whether every published metric answers: asked once each, about the last days, in the shortest question it takes."""

from __future__ import annotations

from datetime import date, timedelta

from serving.marts import AS_OF_DATES
from serving.semantic.catalogue import MetricInfo
from serving.semantic.client import SemanticClient
from serving.semantic.query import Filter, Grain, MetricQuery, Operator
from settings.errors import TillhouseError

# A whole month is in them; the years before would cost minutes and tell no more.
LAST_DAYS = timedelta(days=62)
MOST_SYSTEMS = 100


def unanswered(client: SemanticClient) -> dict[str, str]:
    """The public metrics that give no answer, with what was said; empty where all do.

    Raises:
        NotFoundError, UnavailableError: when nothing can be asked at all.
    """
    failures = {}
    latest = _latest_date(client)
    for metric in client.catalogue().public_metrics.values():
        try:
            client.query(_shortest(metric, latest))
        except TillhouseError as error:
            failures[metric.name] = error.problem
        except (
            Exception
        ) as error:  # whatever a database or MetricFlow raises is this metric's, not the others'
            failures[metric.name] = f"{type(error).__name__}: {error}"
    return failures


def _latest_date(client: SemanticClient) -> date | None:
    """The latest day with an order; None where there is none."""
    statement = AS_OF_DATES.statement(client.warehouse.dialect, {}, limit=MOST_SYSTEMS, offset=0)
    place = statement.columns.index("as_of_date")
    with client.warehouse.snapshot() as snapshot:
        return max((row[place] for row in snapshot.run(statement)), default=None)


def _shortest(metric: MetricInfo, latest: date | None) -> MetricQuery:
    recent = (
        # Another metric for each period has no days; every one of them has months.
        (
            Filter(
                Grain.MONTH if metric.by_grain else metric.grains[0],
                Operator.GREATER_OR_EQUAL,
                (latest - LAST_DAYS,),
            ),
        )
        if latest is not None and metric.grains
        else ()
    )
    return MetricQuery(
        (metric.name,),
        group_by=metric.required_dimensions[:1],
        grain=metric.grains[0] if metric.needs_grain else None,
        filters=recent,
        limit=1,
    )
