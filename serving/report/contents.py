"""What the daily report says, gathered from one publication: metrics by the semantic client, rows of marts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from serving.access.policy import load_policy
from serving.marts import AS_OF_DATES, INVENTORY_ALERTS, MartQuery
from serving.report.changes import (
    AverageChange,
    DimensionChange,
    Part,
    average_told_by,
    most_concentrated,
    told_by,
)
from serving.report.rows import COHORT_TRIANGLE, LATEST_TESTS, QUARANTINE_RULES, SCORE_GROUPS
from serving.semantic import Catalogue, Filter, Grain, MetricInfo, MetricQuery, Operator, SemanticClient
from serving.semantic.published import PublicationStamp
from serving.semantic.query import Value
from settings.errors import UnavailableError

DAY = timedelta(days=1)
TREND_DAYS = 91  # thirteen whole weeks, so that every weekday is seen equally often
USUAL_DAYS = 28  # four of each weekday: what a change of a day usually is
AVERAGE_WEEKS = 26
COHORT_MONTHS = 13
MOST_ALERTS = 15
MOST_RULES = 10
MOST_ROWS = 10_000
ATTEMPTS = 3

HEADLINES = (
    "net_revenue",
    "orders",
    "average_order_value",
    "units_sold",
    "daily_active_customers",
    "new_customers",
    "discount_rate",
    "refunds",
    "payment_success_rate",
)
CHANGED, CHANGED_AVERAGE = "net_revenue", "average_order_value"
COUNTS = ("rows_read", "rows_accepted", "rows_quarantined", "quarantine_rate")
STOCK = ("inventory_alerts", "stockouts")
# All that the report reads, for lineage.
METRICS = (
    *HEADLINES,
    *COUNTS,
    *STOCK,
    "customers_by_segment",
    "freshness_hours",
    "missing_deliveries",
    "net_sales",
)
QUERIES = (AS_OF_DATES, COHORT_TRIANGLE, INVENTORY_ALERTS, LATEST_TESTS, QUARANTINE_RULES, SCORE_GROUPS)
# What explains a day must not be made of it: these follow from the order or its date, or name the same places again.
# Traits of customers (the policy names them) are those of the as-of date, and their groups of one day may be too small.
NOT_EXPLAINING = frozenset({"booked", "order_status", "location", "location_name"})
# A dimension whose members have a name beside the key that tells them apart.
NAMED_BY = {"location_key": "location_name"}


@dataclass(frozen=True)
class Headline:
    """A metric on the report's day, beside other days. Figures are None where the metric has none.

    Attributes:
        before, week_before: on the day before, and on the same weekday a week earlier.
        usual_change: median of the absolute changes from day to day over the four weeks before; None without any.
        series: of the last four weeks, oldest first.
    """

    metric: MetricInfo
    value: Any
    before: Any
    week_before: Any
    usual_change: Any
    series: tuple[tuple[date, Any], ...]

    @property
    def times_usual(self) -> float | None:
        """The change since the day before as a multiple of the usual one."""
        if self.value is None or self.before is None or not self.usual_change:
            return None
        return abs(float(self.value - self.before)) / float(self.usual_change)


@dataclass(frozen=True)
class CohortCell:
    """Of one cohort of first orders, `month` months later."""

    system: str
    cohort: date
    month: int
    customers: int
    retention: float


@dataclass(frozen=True)
class Freshness:
    """One entity of one feed.

    Attributes:
        hours: from its last delivery to the newest of all feeds.
    """

    feed: str
    entity: str
    hours: float
    rows_read: int
    rows_quarantined: int


@dataclass(frozen=True)
class Quality:
    """The state of the data, over everything that was delivered.

    Attributes:
        missing_deliveries: days of locations without one, in the four weeks up to the report's day.
        rules: feed, rule, column (None for a whole row) and rows that wait in quarantine, most first.
        tests: outcome → tests, of the run that recorded its tests last; empty where none has yet.
    """

    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    quarantine_rate: float | None
    missing_deliveries: int
    feeds: tuple[Freshness, ...]
    rules: tuple[tuple[str, str, str | None, int], ...]
    tests: Mapping[str, int]


@dataclass(frozen=True)
class Alerts:
    """Stock below its reorder point: how many products, how many of them out of stock, and the most urgent ones."""

    products: int
    stockouts: int
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Contents:
    """Everything that the page shows.

    Attributes:
        day: what the report is about; None where no order is published.
        as_of: latest business date with an order, per source system.
        trend: net revenue of each day, with 0 for days without.
        average_by_week: system → first day of a complete ISO week, average order value.
        score_groups: system → (recency score, frequency score) → customers; None for a group too small to show.
        segments: system → segment → customers; likewise.
        revenue_changes: net revenue's change since the day before by each dimension, the chosen one beside it.
        average_change: the average order value's change, where one is told.
    """

    day: date | None
    publication: PublicationStamp
    catalogue: Catalogue
    as_of: Mapping[str, date]
    headlines: tuple[Headline, ...]
    trend: tuple[tuple[date, Decimal], ...]
    average_by_week: Mapping[str, tuple[tuple[date, float], ...]]
    cohorts: tuple[CohortCell, ...]
    score_groups: Mapping[str, Mapping[tuple[int, int], int | None]]
    segments: Mapping[str, Mapping[str, int | None]]
    alerts: Alerts
    quality: Quality
    revenue_changes: tuple[DimensionChange, ...]
    revenue_change: DimensionChange | None
    average_change: AverageChange | None

    @property
    def has_orders(self) -> bool:
        """Whether the report's day has any."""
        return any(one.metric.name == "orders" and one.value for one in self.headlines)

    @property
    def has_day_before(self) -> bool:
        """Whether anything was ordered or refunded before the report's day."""
        return any(figure for day, figure in self.trend if self.day and day < self.day)

    @property
    def most_unusual(self) -> Headline | None:
        """The headline that moved furthest beyond its usual change."""
        told = [one for one in self.headlines if one.times_usual is not None]
        return max(told, key=lambda one: one.times_usual or 0.0, default=None)


def gather(client: SemanticClient, day: date | None = None) -> Contents:
    """Everything for the report of a day; None for the latest with an order.

    Raises:
        NotFoundError: when nothing is published.
        UnavailableError: when the database cannot answer, or was published anew at every attempt.
    """
    for _ in range(ATTEMPTS):
        stamp = client.publication()
        contents = _Gathering(client).contents(day, stamp)
        if client.publication() == stamp:
            return contents
    raise UnavailableError(
        "the warehouse was published anew while the report was being gathered, each time",
        remedy="try again when no run goes on",
        rule="publication_changed",
    )


class _Gathering:
    def __init__(self, client: SemanticClient) -> None:
        self._client = client
        self._policy = load_policy()

    def contents(self, asked: date | None, stamp: PublicationStamp) -> Contents:
        catalogue = self._client.catalogue()
        as_of = {row["source_system"]: row["as_of_date"] for row in self._rows(AS_OF_DATES)}
        day = asked or max(as_of.values(), default=None)
        changes = self._changes(day) if day else []
        return Contents(
            day=day,
            publication=stamp,
            catalogue=catalogue,
            as_of=as_of,
            headlines=self._headlines(day, catalogue) if day else (),
            trend=self._trend(day) if day else (),
            average_by_week=self._average_by_week(day) if day else {},
            cohorts=self._cohorts(as_of),
            score_groups=self._score_groups(),
            segments=self._segments(),
            alerts=self._alerts(),
            quality=self._quality(day),
            revenue_changes=tuple(changes),
            revenue_change=most_concentrated(changes),
            average_change=self._average_change(day) if day else None,
        )

    def _rows(
        self, query: MartQuery, arguments: Mapping[str, Value | None] | None = None, limit: int = MOST_ROWS
    ) -> list[dict[str, Any]]:
        statement = query.statement(self._client.warehouse.dialect, arguments or {}, limit=limit, offset=0)
        with self._client.warehouse.snapshot() as snapshot:
            return [dict(zip(statement.columns, row, strict=True)) for row in snapshot.run(statement)]

    def _by_day(self, metrics: Sequence[str], first: date, last: date) -> dict[date, dict[str, Any]]:
        asked = MetricQuery(tuple(metrics), grain=Grain.DAY, filters=_between(first, last))
        return {record["day"]: record for record in self._client.query(asked).records()}

    def _headlines(self, day: date, catalogue: Catalogue) -> tuple[Headline, ...]:
        first = day - (USUAL_DAYS + 1) * DAY
        found = {name: self._by_day([name], first, day) for name in HEADLINES}

        def figure(name: str, at: date) -> Any:
            empty = 0 if catalogue.metrics[name].is_zero_when_empty else None
            return found[name].get(at, {}).get(name, empty)

        headlines = []
        for name in HEADLINES:
            # What is before the first day on record is no zero.
            known = [at for at in _days(first, day) if at >= min(found[name], default=day)]
            series = [(at, figure(name, at)) for at in known]
            past = [value for at, value in series if at < day]
            moves = [
                abs(after - before)
                for before, after in pairwise(past)
                if before is not None and after is not None
            ]
            headlines.append(
                Headline(
                    metric=catalogue.metrics[name],
                    value=figure(name, day),
                    before=figure(name, day - DAY) if day - DAY in known else None,
                    week_before=figure(name, day - 7 * DAY) if day - 7 * DAY in known else None,
                    usual_change=statistics.median(moves) if moves else None,
                    series=tuple(series[-USUAL_DAYS:]),
                )
            )
        return tuple(headlines)

    def _trend(self, day: date) -> tuple[tuple[date, Decimal], ...]:
        first = day - (TREND_DAYS - 1) * DAY
        found = self._by_day([CHANGED], first, day)
        known = [at for at in _days(first, day) if at >= min(found, default=day)]
        return tuple((at, found.get(at, {}).get(CHANGED, Decimal(0))) for at in known)

    def _average_by_week(self, day: date) -> dict[str, tuple[tuple[date, float], ...]]:
        last = day - (day.isoweekday() % 7) * DAY  # the Sunday that ends the last complete week
        first = last - (7 * AVERAGE_WEEKS - 1) * DAY
        asked = MetricQuery((CHANGED_AVERAGE,), ("system",), Grain.WEEK, _between(first, last))
        found: dict[str, list[tuple[date, float]]] = {}
        for record in self._client.query(asked).records():
            if record[CHANGED_AVERAGE] is not None:
                found.setdefault(record["system"], []).append((record["week"], record[CHANGED_AVERAGE]))
        return {system: tuple(sorted(points)) for system, points in sorted(found.items())}

    def _cohorts(self, as_of: Mapping[str, date]) -> tuple[CohortCell, ...]:
        if not as_of:
            return ()
        latest = max(as_of.values())
        months = latest.year * 12 + latest.month - 1 - (COHORT_MONTHS - 1)
        rows = self._rows(
            COHORT_TRIANGLE,
            {
                "first_cohort": date(months // 12, months % 12 + 1, 1),
                "smallest_group": self._policy.smallest_group,
            },
        )
        return tuple(
            CohortCell(
                row["source_system"], row["cohort_month"], row["month_number"], row["cohort_customers"],
                row["retention_rate"],
            )
            for row in rows
        )  # fmt: skip

    def _score_groups(self) -> dict[str, dict[tuple[int, int], int | None]]:
        found: dict[str, dict[tuple[int, int], int | None]] = {}
        for row in self._rows(SCORE_GROUPS):
            group = found.setdefault(row["source_system"], {})
            group[row["r_score"], row["f_score"]] = self._shown(row["customers"])
        return found

    def _segments(self) -> dict[str, dict[str, int | None]]:
        asked = MetricQuery(("customers_by_segment",), ("system", "segment"))
        found: dict[str, dict[str, int | None]] = {}
        for record in self._client.query(asked).records():
            found.setdefault(record["system"], {})[record["segment"]] = self._shown(
                record["customers_by_segment"]
            )
        return found

    def _shown(self, customers: int) -> int | None:
        """A number of customers, unless the group is too small for the access policy."""
        return customers if customers >= self._policy.smallest_group else None

    def _alerts(self) -> Alerts:
        totals = self._client.query(MetricQuery(STOCK)).records()
        rows = self._rows(INVENTORY_ALERTS, limit=MOST_ALERTS)
        return Alerts(
            products=totals[0]["inventory_alerts"] or 0 if totals else 0,
            stockouts=totals[0]["stockouts"] or 0 if totals else 0,
            rows=tuple(rows),
        )

    def _quality(self, day: date | None) -> Quality:
        (totals,) = self._client.query(MetricQuery(COUNTS)).records() or [dict.fromkeys(COUNTS)]
        by = ("feed", "feed_entity")
        counts = {
            (record["feed"], record["feed_entity"]): record
            for record in self._client.query(MetricQuery(("rows_read", "rows_quarantined"), by)).records()
        }
        feeds = [
            Freshness(
                feed=record["feed"],
                entity=record["feed_entity"],
                hours=record["freshness_hours"],
                rows_read=counts.get((record["feed"], record["feed_entity"]), {}).get("rows_read", 0),
                rows_quarantined=counts.get((record["feed"], record["feed_entity"]), {}).get(
                    "rows_quarantined", 0
                ),
            )
            for record in self._client.query(MetricQuery(("freshness_hours",), by)).records()
        ]
        recent = _between(day - (USUAL_DAYS - 1) * DAY, day) if day else ()
        missing = self._client.query(MetricQuery(("missing_deliveries",), filters=recent)).records()
        return Quality(
            rows_read=totals["rows_read"] or 0,
            rows_accepted=totals["rows_accepted"] or 0,
            rows_quarantined=totals["rows_quarantined"] or 0,
            quarantine_rate=totals["quarantine_rate"],
            missing_deliveries=missing[0]["missing_deliveries"] or 0 if missing else 0,
            feeds=tuple(sorted(feeds, key=lambda one: (-one.hours, one.feed, one.entity))),
            rules=tuple(
                (row["feed"], row["rule"], row["column_name"], row["quarantined_rows"])
                for row in self._rows(QUARANTINE_RULES, limit=MOST_RULES)
            ),
            tests={row["status"]: row["tests"] for row in self._rows(LATEST_TESTS)},
        )

    def _changes(self, day: date) -> list[DimensionChange]:
        """The change of net revenue by every dimension that can explain it."""
        changes = []
        for dimension in self._explaining_dimensions(CHANGED):
            before: dict[str | None, Decimal] = {}
            after: dict[str | None, Decimal] = {}
            for member, record in self._members((CHANGED,), dimension, day):
                (after if record["day"] == day else before)[member] = record[CHANGED]
            changes.append(told_by(dimension, before, after))
        return changes

    def _average_change(self, day: date) -> AverageChange | None:
        """The change of the average order value by the dimension whose members' mix moved it most.

        Only dimensions that no order has two members of can tell it: their orders add up.
        """
        metrics = ("net_sales", "orders")
        wholes = self._by_day(metrics, day - DAY, day)
        if not all(wholes.get(at, {}).get("orders") for at in (day - DAY, day)):
            return None
        told = []
        for dimension in self._explaining_dimensions(CHANGED_AVERAGE):
            parts: dict[date, dict[str | None, Part]] = {day - DAY: {}, day: {}}
            for member, record in self._members(metrics, dimension, day):
                if record["orders"] or record["net_sales"]:
                    parts[record["day"]][member] = Part(record["net_sales"], record["orders"])
            if all(_adds_up(parts[at].values(), wholes[at]) for at in parts):
                change = average_told_by(dimension, parts[day - DAY], parts[day])
                if change is not None and len(change.members) > 1:
                    told.append(change)
        return max(told, key=lambda one: abs(one.mix), default=None)

    def _explaining_dimensions(self, metric: str) -> list[str]:
        excluded = NOT_EXPLAINING | self._policy.customer_dimensions
        return [name for name in self._client.dimensions_of(metric) if name not in excluded]

    def _members(
        self, metrics: tuple[str, ...], dimension: str, day: date
    ) -> list[tuple[str | None, dict[str, Any]]]:
        """Figures of each member on the day and on the one before, with the member's name."""
        name = NAMED_BY.get(dimension)
        by = (dimension, name) if name else (dimension,)
        asked = MetricQuery(metrics, by, Grain.DAY, _between(day - DAY, day))
        records = self._client.query(asked).records()
        keys: dict[str, set[Any]] = {}
        for record in records:
            keys.setdefault(_text(record[name or dimension]) or "", set()).add(record[dimension])

        def member(record: Mapping[str, Any]) -> str | None:
            text = _text(record[name or dimension])
            if text is not None and len(keys[text]) > 1:
                return f"{text} ({record[dimension]})"  # two places of one name
            return text

        return [(member(record), record) for record in records]


def _adds_up(parts: Any, whole: Mapping[str, Any]) -> bool:
    listed = list(parts)
    return (
        all(part.count for part in listed)
        and sum(part.count for part in listed) == whole["orders"]
        and sum((part.amount for part in listed), Decimal(0)) == whole["net_sales"]
    )


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)


def _between(first: date, last: date) -> tuple[Filter, Filter]:
    return (
        Filter(Grain.DAY.value, Operator.GREATER_OR_EQUAL, (first,)),
        Filter(Grain.DAY.value, Operator.LESS_OR_EQUAL, (last,)),
    )


def _days(first: date, last: date) -> list[date]:
    return [first + number * DAY for number in range((last - first).days + 1)]
