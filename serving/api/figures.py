"""What the API answers from: metrics and marts of one publication, as one caller may see them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from serving.access.authorisation import authorise, without_small_groups
from serving.access.policy import AccessPolicy, Kind, RowRule
from serving.api.bodies import MOST_ROWS, ColumnBody, Freshness, QueryAnswer
from serving.api.callers import Caller
from serving.marts import AS_OF_DATES, LOCATION_KEYS, NEWEST_BATCH, MartQuery
from serving.semantic import Catalogue, MetricQuery, SemanticClient
from serving.semantic.published import PublicationStamp, Snapshot
from serving.semantic.query import Value
from settings.errors import AccessError, NotFoundError, UsageError


@dataclass
class Work:
    """Seconds that a request spent in the database, and what it asked for, for the audit line."""

    sql_seconds: float = 0.0
    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    rows: int | None = None


@dataclass
class Figures:
    """Answers questions of callers. Safe to use from several threads.

    Attributes:
        timeout_seconds: the database may take this long for one statement.
    """

    client: SemanticClient
    policy: AccessPolicy
    timeout_seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _freshness: dict[PublicationStamp, Freshness] = field(default_factory=dict, init=False, repr=False)

    def etag(self, caller: Caller, question: object) -> str:
        """Names an answer: the same publication, question and sight give the same tag."""
        stamp = self.client.publication()
        seen = (
            stamp.run_id, stamp.published_at.isoformat(), stamp.manifest_fingerprint, caller.role.name,
            sorted(caller.role.metrics), sorted(caller.role.dimensions), sorted(caller.role.marts),
            caller.key.locations, self.policy.smallest_group, question,
        )  # fmt: skip
        return f'"{hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()[:32]}"'

    def freshness(self) -> Freshness:
        """From what the present publication was made."""
        with self.client.warehouse.snapshot() as snapshot:
            with self._lock:
                known = self._freshness.get(snapshot.stamp)
            if known is not None:
                return known
            as_of = self._rows(snapshot, AS_OF_DATES, {}, limit=10, offset=0)
            newest = self._rows(snapshot, NEWEST_BATCH, {}, limit=1, offset=0)
            found = Freshness(
                published_at=snapshot.stamp.published_at,
                run_id=snapshot.stamp.run_id,
                as_of_dates={row[0]: row[1] for row in as_of},
                newest_batch=newest[0][0] if newest else None,
            )
            with self._lock:
                self._freshness = {snapshot.stamp: found}
            return found

    def warm_up(self) -> None:
        """Read what is published, so that the first caller does not wait for it; nothing where nothing is."""
        with suppress(NotFoundError):
            self.client.catalogue()

    def catalogue(self) -> Catalogue:
        """All metrics and dimensions of the present publication."""
        return self.client.catalogue()

    def query(self, caller: Caller, query: MetricQuery, work: Work) -> QueryAnswer:
        """The answer to a question about metrics, as the caller may see it.

        Raises:
            AccessError: when the caller's role may not ask it.
            UsageError: when it names what does not exist, or an answer told by customers' traits is too long.
        """
        limit = query.limit or MOST_ROWS
        catalogue = self.client.catalogue()
        work.metrics = query.metrics
        work.dimensions = (*((query.grain,) if query.grain else ()), *query.group_by)
        permit = authorise(
            query, caller.role, self.policy, catalogue, location_keys=self._location_keys(caller)
        )
        try:
            if permit.names_customers:
                rows, columns, suppressed = self._by_customer_traits(permit.query, catalogue, work)
                rows = rows[query.offset : query.offset + limit + 1]
            else:
                result = self.client.query(
                    replace(permit.query, limit=limit + 1), timeout_seconds=self.timeout_seconds
                )
                work.sql_seconds += result.query_seconds
                rows, columns, suppressed = result.rows, result.columns, 0
        except UsageError as error:
            if caller.role.rows is RowRule.LOCATIONS and error.rule == "dimension":
                raise AccessError(
                    f"the role {caller.role.name} sees its own locations alone, and "
                    "one of these metrics cannot be told by location",
                    remedy="ask for others",
                    rule="access_policy",
                ) from error
            raise
        page = rows[:limit]
        work.rows = len(page)
        return QueryAnswer(
            columns=[self._column(name, catalogue) for name in columns],
            rows=[list(row) for row in page],
            suppressed_rows=suppressed,
            next_offset=query.offset + limit if len(rows) > limit else None,
            freshness=self.freshness(),
        )

    def _by_customer_traits(
        self, query: MetricQuery, catalogue: Catalogue, work: Work
    ) -> tuple[list[tuple[Any, ...]], tuple[str, ...], int]:
        """All rows but those of small groups: which are small can be told of all of them together only."""
        counters = frozenset[str]().union(
            *(catalogue.metrics[name].customers for name in query.metrics if name in catalogue.metrics)
        )
        if not counters:
            raise AccessError(
                "how many customers are behind these metrics is not known, so they are not told by traits of customers",
                remedy="ask by other dimensions",
                rule="small_groups",
            )
        parts = tuple(sorted(counters - set(query.metrics)))
        result = self.client.query(
            replace(query, limit=MOST_ROWS + 1, offset=0), parts=parts, timeout_seconds=self.timeout_seconds
        )
        work.sql_seconds += result.query_seconds
        if len(result.rows) > MOST_ROWS:
            raise UsageError(
                f"more than {MOST_ROWS} groups of customers",
                remedy="ask for fewer dimensions or a shorter time",
                rule="too_many_groups",
            )
        shown = len(result.columns) - len(parts)
        counted = [result.columns.index(name) for name in sorted(counters)]
        rows, suppressed = without_small_groups(
            [row[:shown] for row in result.rows],
            [[row[position] or 0 for position in counted] for row in result.rows],
            self.policy.smallest_group,
        )
        return rows, result.columns[:shown], suppressed

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
            AccessError: when the caller's role may not see the marts.
        """
        caller.role.require(Kind.MARTS, query.marts)
        if caller.role.rows is not RowRule.ALL:
            raise AccessError(
                f"the role {caller.role.name} sees its own locations alone",
                remedy="ask /query for the metrics of these locations",
                rule="access_policy",
            )
        with self.client.warehouse.snapshot() as snapshot:
            started = time.perf_counter()
            rows = self._rows(snapshot, query, arguments, limit=limit + 1, offset=offset)
            work.sql_seconds += time.perf_counter() - started
        names = [column.rpartition(".")[2] for column in query.columns]
        page = [dict(zip(names, row, strict=True)) for row in rows[:limit]]
        work.rows = len(page)
        return page, offset + limit if len(rows) > limit else None

    def _rows(
        self,
        snapshot: Snapshot,
        query: MartQuery,
        arguments: Mapping[str, Value | None],
        *,
        limit: int,
        offset: int,
    ) -> list[tuple[Any, ...]]:
        statement = query.statement(self.client.warehouse.dialect, arguments, limit=limit, offset=offset)
        return snapshot.run(statement, timeout_seconds=self.timeout_seconds)

    def _location_keys(self, caller: Caller) -> tuple[str, ...]:
        if caller.role.rows is not RowRule.LOCATIONS:
            return ()
        found: list[str] = []
        with self.client.warehouse.snapshot() as snapshot:
            for location in caller.key.locations:
                system, _, location_id = location.partition(":")
                arguments = {"source_system": system, "location_id": location_id}
                found += [row[0] for row in self._rows(snapshot, LOCATION_KEYS, arguments, limit=1, offset=0)]
        return tuple(found)

    @staticmethod
    def _column(name: str, catalogue: Catalogue) -> ColumnBody:
        if name in catalogue.metrics:
            metric = catalogue.metrics[name]
            return ColumnBody(name=name, label=metric.label, format=metric.format)
        if name in catalogue.dimensions:
            dimension = catalogue.dimensions[name]
            return ColumnBody(name=name, label=dimension.label, format=dimension.kind)
        return ColumnBody(name=name, label=name.capitalize(), format="date")
