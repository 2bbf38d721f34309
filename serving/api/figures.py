"""What the API answers from: metrics and marts of one publication, as one caller may see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.access.answers import MOST_ROWS, Answers, Viewer
from serving.api.bodies import ColumnBody, Freshness, QueryAnswer
from serving.api.callers import Caller
from serving.marts import MartQuery
from serving.semantic import Catalogue, MetricQuery, SemanticClient
from serving.semantic.query import Value


@dataclass
class Work:
    """Seconds that a request spent in the database, and what it asked for, for the audit line."""

    sql_seconds: float = 0.0
    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    rows: int | None = None


@dataclass
class Figures:
    """Answers questions of callers in the bodies of the API. Safe to use from several threads."""

    answers: Answers

    @property
    def client(self) -> SemanticClient:
        return self.answers.client

    @property
    def smallest_group(self) -> int:
        return self.answers.policy.smallest_group

    def etag(self, caller: Caller, question: object) -> str:
        """Names an answer: the same publication, question and sight give the same tag."""
        stamp = self.client.publication()
        seen = (
            stamp.run_id, stamp.published_at.isoformat(), stamp.manifest_fingerprint, caller.role.name,
            sorted(caller.role.metrics), sorted(caller.role.dimensions), sorted(caller.role.marts),
            caller.key.locations, self.smallest_group, question,
        )  # fmt: skip
        return f'"{hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()[:32]}"'

    def freshness(self) -> Freshness:
        """From what the present publication was made."""
        origin = self.answers.origin()
        return Freshness(
            published_at=origin.published_at,
            run_id=origin.stamp.run_id,
            as_of_dates=dict(origin.as_of_dates),
            newest_batch=origin.newest_batch,
        )

    def catalogue(self) -> Catalogue:
        """All metrics and dimensions of the present publication."""
        return self.client.catalogue()

    def query(self, caller: Caller, query: MetricQuery, work: Work) -> QueryAnswer:
        """The answer to a question about metrics, as the caller may see it.

        Raises:
            AccessError, UsageError: see `Answers.query`.
        """
        catalogue = self.client.catalogue()
        work.metrics = query.metrics
        work.dimensions = (*((query.grain,) if query.grain else ()), *query.group_by)
        found = self.answers.query(_viewer(caller), query)
        work.sql_seconds += found.seconds
        work.rows = len(found.rows)
        return QueryAnswer(
            columns=[self._column(name, catalogue) for name in found.columns],
            rows=[list(row) for row in found.rows],
            suppressed_rows=found.suppressed_rows,
            next_offset=query.offset + (query.limit or MOST_ROWS) if found.is_cut else None,
            freshness=self.freshness(),
        )

    def mart_rows(
        self,
        caller: Caller,
        query: MartQuery,
        arguments: Mapping[str, Value | None],
        work: Work,
        *,
        limit: int,
        offset: int = 0,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """One page of a mart's rows by their columns' names, and where the next page begins.

        Raises:
            AccessError: see `Answers.rows`.
        """
        found = self.answers.rows(_viewer(caller), query, arguments, limit=limit, offset=offset)
        work.sql_seconds += found.seconds
        work.rows = len(found.rows)
        return found.records(), offset + limit if found.is_cut else None

    @staticmethod
    def _column(name: str, catalogue: Catalogue) -> ColumnBody:
        if name in catalogue.metrics:
            metric = catalogue.metrics[name]
            return ColumnBody(name=name, label=metric.label, format=metric.format)
        if name in catalogue.dimensions:
            dimension = catalogue.dimensions[name]
            return ColumnBody(name=name, label=dimension.label, format=dimension.kind)
        return ColumnBody(name=name, label=name.capitalize(), format="date")


def _viewer(caller: Caller) -> Viewer:
    return Viewer(caller.role, caller.key.locations)
