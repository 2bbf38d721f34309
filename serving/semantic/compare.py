"""What a change of models or metrics moved: every metric of two published warehouses, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from serving.semantic.catalogue import MetricInfo
from serving.semantic.client import SemanticClient
from serving.semantic.query import Grain, MetricQuery

SLICES = ("system",)


@dataclass(frozen=True)
class Move:
    """One figure that differs.

    Attributes:
        slice: the period and dimensions that it is of, `all` for the figure over all time.
        before, after: the figure on either side; None where it has none.
    """

    metric: str
    slice: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """All differences, with the metrics that only one side has and the number of those that were compared."""

    compared: int
    moves: list[Move]
    removed: list[str]
    added: list[str]

    @property
    def moved_metrics(self) -> list[str]:
        return list(dict.fromkeys(move.metric for move in self.moves))


def compare(before: SemanticClient, after: SemanticClient, only: Sequence[str] = ()) -> Comparison:
    """Every metric over all time, and by month (or the shortest period that it has) and source system.

    Args:
        only: metrics to look at; empty for all.
    """
    former, newer = before.catalogue().public_metrics, after.catalogue().public_metrics
    wanted = [name for name in newer if name in former and (not only or name in only)]
    moves = [move for name in wanted for move in _moves(before, after, newer[name])]
    return Comparison(
        compared=len(wanted),
        moves=moves,
        removed=sorted(former.keys() - newer.keys()),
        added=sorted(newer.keys() - former.keys()),
    )


def _moves(before: SemanticClient, after: SemanticClient, metric: MetricInfo) -> Iterator[Move]:
    shared = set(before.dimensions_of(metric.name)) & set(after.dimensions_of(metric.name))
    for query in _queries(metric, shared):
        keys = len(query.group_by) + (query.grain is not None)
        old, new = ({row[:keys]: row[keys] for row in one.query(query).rows} for one in (before, after))
        for key in sorted(old.keys() | new.keys(), key=str):
            if old.get(key) != new.get(key):
                yield Move(
                    metric.name, ", ".join("none" if part is None else str(part) for part in key) or "all",
                    old.get(key), new.get(key),
                )  # fmt: skip


def _queries(metric: MetricInfo, dimensions: set[str]) -> Iterator[MetricQuery]:
    needed = tuple(name for name in metric.required_dimensions if name in dimensions)[-1:]
    if not metric.needs_grain:
        yield MetricQuery((metric.name,), needed)
    grain = Grain.MONTH if Grain.MONTH in metric.grains else metric.grains[0]
    slices = tuple(name for name in SLICES if name in dimensions)
    yield MetricQuery((metric.name,), (*slices, *needed), grain)
