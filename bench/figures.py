"""What follows from measurements: medians, ratios, and what grows with the history."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import Measurement

FACTS = (
    "fct_orders",
    "fct_order_items",
    "fct_returns",
    "fct_payments",
    "fct_inventory_daily",
    "fct_revenue_daily",
    "fct_sales_daily",
)
# Incremental models that the facts are made of.
BELOW_FACTS = (
    "stg_store__orders",
    "stg_store__order_items",
    "stg_store__payments",
    "stg_store__returns",
    "stg_store__inventory",
    "stg_restaurant__order_items",
    "stg_restaurant__order_item_options",
    "int_restaurant_orders_derived",
    "int_restaurant_options_totalled",
    "int_orders_united",
    "int_orders_sequenced",
    "int_order_discounts_shared",
    "int_order_items_priced",
)
LISTED_SHARE = 0.01  # of a day's SQL: what takes less is added up as one line

Seconds = Mapping[str, float]


def median_of(measurements: Sequence[Measurement]) -> Measurement:
    """The measurement in the middle by wall time, with the medians of time and CPU and the highest peak."""
    ordered = sorted(measurements, key=lambda measurement: measurement.seconds)
    middle = ordered[len(ordered) // 2]
    return Measurement(
        step=middle.step,
        seconds=statistics.median(measurement.seconds for measurement in measurements),
        cpu_seconds=statistics.median(measurement.cpu_seconds for measurement in measurements),
        peak_mib=max(measurement.peak_mib for measurement in measurements),
        rows=middle.rows,
        facts=middle.facts,
    )


def median_by_name(runs: Sequence[Seconds]) -> dict[str, float]:
    """Per name the median over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: statistics.median(run[name] for run in runs if name in run) for name in names}


def total(seconds: Seconds, names: Iterable[str] | None = None) -> float:
    """Seconds of the names given, or of all; a name that did not run counts 0."""
    return sum(seconds.values() if names is None else (seconds.get(name, 0.0) for name in names))


def ratio(numerator: float, denominator: float) -> float | None:
    """None where there is nothing to divide by."""
    return numerator / denominator if denominator else None


@dataclass(frozen=True)
class Growth:
    """One node's day on half and on the whole history. `share`: of the SQL of the whole history's day."""

    name: str
    half_seconds: float
    whole_seconds: float
    share: float

    @property
    def factor(self) -> float | None:
        return ratio(self.whole_seconds, self.half_seconds)


def growth(half: Seconds, whole: Seconds) -> list[Growth]:
    """Every node that takes a hundredth of the day, the dearest first, and the others as one line."""
    in_all = total(whole)
    rows = [
        Growth(name, half.get(name, 0.0), seconds, seconds / in_all if in_all else 0.0)
        for name, seconds in sorted(whole.items(), key=lambda item: -item[1])
    ]
    listed = [row for row in rows if row.share >= LISTED_SHARE]
    others = [row for row in rows if row.share < LISTED_SHARE]
    if others:
        listed.append(
            Growth(
                f"{len(others)} others",
                sum(row.half_seconds for row in others),
                sum(row.whole_seconds for row in others),
                sum(row.share for row in others),
            )
        )
    return listed


def against_hand(nodes: Seconds, by_hand: Seconds) -> list[tuple[str, float, float]]:
    """Per public mart the seconds of its model and of its statements by hand, the largest difference first.

    What several marts share (staging, intermediate models, seeds, the snapshot; by hand the temporary tables) is one
    line, `shared`. Models of quality have no counterpart and are left out.
    """
    marts = [name for name in by_hand if name in nodes]
    shared_models = sum(
        seconds for name, seconds in nodes.items() if name not in marts and not name.startswith("quality_")
    )
    rows = [(name, nodes[name], by_hand[name]) for name in marts]
    rows.append(("shared", shared_models, total(by_hand, [name for name in by_hand if name not in marts])))
    return sorted(rows, key=lambda row: row[2] - row[1])
