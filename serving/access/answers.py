"""Answers from one publication, as one viewer may see them: what the API and dashboards tell a person or program."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from serving.access.authorisation import LOCATION_KEY, authorise, without_small_groups
from serving.access.policy import AccessPolicy, Kind, Role, RowRule
from serving.marts import (
    AS_OF_DATES,
    CUSTOMER_GROUPS,
    LOCATION_KEYS,
    NEWEST_BATCH,
    Argument,
    MartQuery,
    PublishedMart,
    published_marts,
)
from serving.semantic import Catalogue, MetricQuery, SemanticClient
from serving.semantic.published import PublicationStamp, Snapshot
from settings.errors import AccessError, NotFoundError, UsageError

MOST_ROWS = 10_000


@dataclass(frozen=True)
class Viewer:
    """Who looks.

    Attributes:
        locations: `system:location id` of those that are assigned, where the role is limited to its locations.
    """

    role: Role
    locations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """From what figures were made.

    Attributes:
        as_of_dates: last day that counts, by source system.
        newest_batch: the delivery that was loaded last.
    """

    stamp: PublicationStamp
    as_of_dates: Mapping[str, date]
    newest_batch: str | None

    @property
    def published_at(self) -> datetime:
        return self.stamp.published_at


@dataclass(frozen=True)
class Answer:
    """Rows that a viewer may see.

    Attributes:
        suppressed_rows: groups left out because too few customers share them.
        is_cut: whether rows follow beyond the limit.
        seconds: spent in the database.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    suppressed_rows: int = 0
    is_cut: bool = False
    seconds: float = 0.0

    def records(self) -> list[dict[str, Any]]:
        """Each row by its columns' names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass
class Answers:
    """Answers questions of viewers. Safe to use from several threads.

    Attributes:
        timeout_seconds: the database may take this long for one statement.
    """

    client: SemanticClient
    policy: AccessPolicy
    timeout_seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _origins: dict[PublicationStamp, Origin] = field(default_factory=dict, init=False, repr=False)
    _marts: dict[PublicationStamp, dict[str, PublishedMart]] = field(
        default_factory=dict, init=False, repr=False
    )

    def origin(self) -> Origin:
        """From what the present publication was made.

        Raises:
            NotFoundError: when nothing is published.
        """
        with self.client.warehouse.snapshot() as snapshot:
            with self._lock:
                known = self._origins.get(snapshot.stamp)
            if known is not None:
                return known
            as_of = self._page(snapshot, AS_OF_DATES, {}, limit=10, offset=0)
            newest = self._page(snapshot, NEWEST_BATCH, {}, limit=1, offset=0)
            found = Origin(
                snapshot.stamp, {row[0]: row[1] for row in as_of}, newest[0][0] if newest else None
            )
            with self._lock:
                self._origins = {snapshot.stamp: found}
            return found

    def marts(self) -> Mapping[str, PublishedMart]:
        """All published marts, whoever may see them."""
        with self.client.warehouse.snapshot() as snapshot:
            with self._lock:
                known = self._marts.get(snapshot.stamp)
            if known is None:
                known = published_marts(snapshot, self.client.warehouse.dialect)
                with self._lock:
                    self._marts = {snapshot.stamp: known}
            return known

    def warm_up(self) -> None:
        """Read what is published, so that the first viewer does not wait for it; nothing where nothing is."""
        with suppress(NotFoundError):
            self.client.catalogue()

    def query(self, viewer: Viewer, query: MetricQuery) -> Answer:
        """The answer to a question about metrics.

        Raises:
            AccessError: when the viewer's role may not ask it.
            UsageError: when it names what does not exist, or an answer told by customers' traits is too long.
        """
        limit = query.limit or MOST_ROWS
        catalogue = self.client.catalogue()
        permit = authorise(
            query, viewer.role, self.policy, catalogue, location_keys=self.location_keys(viewer)
        )
        try:
            if permit.names_customers:
                found = self._by_customer_traits(permit.query, catalogue)
                page = found.rows[query.offset : query.offset + limit + 1]
                return replace(found, rows=page[:limit], is_cut=len(page) > limit)
            result = self.client.query(
                replace(permit.query, limit=limit + 1), timeout_seconds=self.timeout_seconds
            )
        except UsageError as error:
            if viewer.role.rows is RowRule.LOCATIONS and error.rule == "dimension":
                raise AccessError(
                    f"the role {viewer.role.name} sees its own locations alone, and "
                    "one of these metrics cannot be told by location",
                    remedy="ask for others",
                    rule="access_policy",
                ) from error
            raise
        return Answer(result.columns, result.rows[:limit], 0, len(result.rows) > limit, result.query_seconds)

    def _by_customer_traits(self, query: MetricQuery, catalogue: Catalogue) -> Answer:
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
        return Answer(result.columns[:shown], rows, suppressed, False, result.query_seconds)

    def rows(
        self,
        viewer: Viewer,
        query: MartQuery,
        arguments: Mapping[str, Argument | None],
        *,
        limit: int,
        offset: int = 0,
    ) -> Answer:
        """One page of a mart's rows. Groups of customers are shown whatever their size: see `groups`.

        Raises:
            AccessError: when the viewer's role may not see the marts, or is limited to its locations and these have
                none.
        """
        viewer.role.require(Kind.MARTS, query.marts)
        if viewer.role.rows is RowRule.LOCATIONS:
            query, arguments = self._of_own_locations(viewer, query, arguments)
        with self.client.warehouse.snapshot() as snapshot:
            started = time.perf_counter()
            rows = self._page(snapshot, query, arguments, limit=limit + 1, offset=offset)
            seconds = time.perf_counter() - started
        return Answer(query.names, rows[:limit], 0, len(rows) > limit, seconds)

    def groups(
        self, viewer: Viewer, query: MartQuery, arguments: Mapping[str, Argument | None], *, limit: int
    ) -> Answer:
        """Rows of a mart without the groups of customers that are too small to be shown, where its rows are such.

        Raises:
            AccessError: see `rows`.
        """
        size = CUSTOMER_GROUPS.get(query.marts[0]) if len(query.marts) == 1 else None
        if size is None:
            return self.rows(viewer, query, arguments, limit=limit)
        whole = replace(query, columns=(*query.columns, f"{size} as group_size"))
        found = self.rows(viewer, whole, arguments, limit=MOST_ROWS)
        kept, suppressed = without_small_groups(
            [row[:-1] for row in found.rows],
            [[row[-1] or 0] for row in found.rows],
            self.policy.smallest_group,
        )
        return Answer(query.names, kept[:limit], suppressed, len(kept) > limit or found.is_cut, found.seconds)

    def location_keys(self, viewer: Viewer) -> tuple[str, ...]:
        """Keys of the viewer's locations, where its role is limited to them."""
        if viewer.role.rows is not RowRule.LOCATIONS:
            return ()
        found: list[str] = []
        with self.client.warehouse.snapshot() as snapshot:
            for location in viewer.locations:
                system, _, location_id = location.partition(":")
                arguments = {"source_system": system, "location_id": location_id}
                found += [row[0] for row in self._page(snapshot, LOCATION_KEYS, arguments, limit=1, offset=0)]
        return tuple(found)

    def _of_own_locations(
        self, viewer: Viewer, query: MartQuery, arguments: Mapping[str, Argument | None]
    ) -> tuple[MartQuery, Mapping[str, Argument | None]]:
        known = self.marts()
        placeless = [name for name in query.marts if LOCATION_KEY not in known[name].columns]
        if placeless or len(query.marts) > 1:
            raise AccessError(
                f"the role {viewer.role.name} sees its own locations alone,"
                f" and {', '.join(placeless or query.marts)} cannot be told by location",
                remedy="ask for the metrics of these locations",
                rule="access_policy",
            )
        # A viewer without any location sees nothing: no location has an empty key.
        own = self.location_keys(viewer) or ("",)
        filters = {**query.filters, "own locations": f"{LOCATION_KEY} in ({{}})"}
        return replace(query, filters=filters), {**arguments, "own locations": own}

    def _page(
        self,
        snapshot: Snapshot,
        query: MartQuery,
        arguments: Mapping[str, Argument | None],
        *,
        limit: int,
        offset: int,
    ) -> list[tuple[Any, ...]]:
        statement = query.statement(self.client.warehouse.dialect, arguments, limit=limit, offset=offset)
        return snapshot.run(statement, timeout_seconds=self.timeout_seconds)
