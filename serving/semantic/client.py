"""Metrics of the published warehouse, for every face: command line, API, dashboards, reports."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Context, Decimal
from types import TracebackType
from typing import Any, Self

from serving.semantic.catalogue import Catalogue
from serving.semantic.engine import OpenCondition, SemanticEngine, Statement
from serving.semantic.published import (
    PublicationStamp,
    PublishedWarehouse,
    Snapshot,
    open_published_warehouse,
)
from serving.semantic.query import MetricQuery
from settings.home import Home

# Exact figures have so many places; Postgres gives a zero of its own, or a count that it summed, with none.
PLACES, WIDE = Decimal("0.0001"), Context(prec=64)
# The one that readers see, and the former one while its queries end.
KEPT_ENGINES = 2


@dataclass(frozen=True)
class QueryResult:
    """The answer to a query.

    Attributes:
        columns: the grain, the dimensions and the metrics, by the names that the query gave.
        rows: money and quantities as Decimal, counts as int, ratios as float, dates as date.
        formats: of each column that is a metric, how it reads (see `MetricInfo.format`).
        publication: what was asked.
        statement: the SQL that ran, with its values apart.
        compile_seconds, query_seconds: time spent on making the SQL, and in the database.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    formats: dict[str, str]
    publication: PublicationStamp
    statement: Statement
    compile_seconds: float
    query_seconds: float

    def records(self) -> list[dict[str, Any]]:
        """Each row by its columns' names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass
class SemanticClient:
    """Answers structured queries from what is published. Safe to use from several threads.

    A newly published warehouse, with the metrics that came with it, is taken up by the next query; queries that run
    go on with theirs.
    """

    warehouse: PublishedWarehouse
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _engines: OrderedDict[str, SemanticEngine] = field(default_factory=OrderedDict, init=False, repr=False)

    @classmethod
    def open(cls, home: Home, target: str = "duckdb") -> Self:
        """A client of what is published from a home folder."""
        return cls(open_published_warehouse(home, target))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections."""
        self.warehouse.close()

    def publication(self) -> PublicationStamp:
        """What is published now.

        Raises:
            NotFoundError, UnavailableError: see `PublishedWarehouse`.
        """
        with self.warehouse.snapshot() as snapshot:
            return snapshot.stamp

    def catalogue(self) -> Catalogue:
        """The metrics and dimensions that are published now."""
        with self.warehouse.snapshot() as snapshot:
            return self._engine(snapshot).catalogue

    def dimensions_of(self, metric: str) -> tuple[str, ...]:
        """Names of the dimensions that a metric can be asked by and filtered on.

        Raises:
            UsageError: when there is no such metric.
        """
        with self.warehouse.snapshot() as snapshot:
            return self._engine(snapshot).dimensions_of(metric)

    def query(
        self, query: MetricQuery, *, parts: tuple[str, ...] = (), timeout_seconds: float | None = None
    ) -> QueryResult:
        """The answer to a query.

        Args:
            query: names and values; see `MetricQuery`.
            parts: further metrics, also hidden ones, whose columns follow the query's; never a caller's words.
            timeout_seconds: the database may take this long.

        Raises:
            UsageError: when the query names what is not allowed; the message says what is.
            NotFoundError: when nothing is published.
            UnavailableError: when the database cannot answer, or not in time.
        """
        with self.warehouse.snapshot() as snapshot:
            engine = self._engine(snapshot)
            started = time.perf_counter()
            statement = engine.compile(query, parts=parts)
            compiled = time.perf_counter()
            rows = snapshot.run(statement, timeout_seconds=timeout_seconds)
            ended = time.perf_counter()
            formats = {name: engine.catalogue.metrics[name].format for name in query.metrics + parts}
            return QueryResult(
                columns=statement.columns,
                rows=_alike_everywhere(statement.columns, rows, formats),
                formats={name: formats[name] for name in query.metrics},
                publication=snapshot.stamp,
                statement=statement,
                compile_seconds=compiled - started,
                query_seconds=ended - compiled,
            )

    def explain(
        self,
        query: MetricQuery,
        *,
        parts: tuple[str, ...] = (),
        open_conditions: tuple[OpenCondition, ...] = (),
    ) -> Statement:
        """The SQL of a query, which does not run; see `SemanticEngine.compile`."""
        with self.warehouse.snapshot() as snapshot:
            return self._engine(snapshot).compile(query, parts=parts, open_conditions=open_conditions)

    def _engine(self, snapshot: Snapshot) -> SemanticEngine:
        fingerprint = snapshot.stamp.manifest_fingerprint
        with self._lock:
            engine = self._engines.get(fingerprint)
            if engine is None:
                engine = self._engines[fingerprint] = SemanticEngine(
                    snapshot.manifest(), self.warehouse.dialect
                )
                while len(self._engines) > KEPT_ENGINES:
                    self._engines.popitem(last=False)
            return engine


def _alike_everywhere(
    columns: tuple[str, ...], rows: list[tuple[Any, ...]], formats: dict[str, str]
) -> list[tuple[Any, ...]]:
    """The figures in one form, whatever database gave them: counts as int, exact ones with all their places."""
    counts = [formats.get(column) == "count" for column in columns]

    def alike(value: Any, is_count: bool) -> Any:
        if not isinstance(value, Decimal):
            return value
        if is_count:
            return int(value)
        return value.quantize(PLACES, context=WIDE) if int(value.as_tuple().exponent) > -4 else value

    if not any(isinstance(value, Decimal) for row in rows for value in row):
        return rows
    return [tuple(map(alike, row, counts)) for row in rows]
