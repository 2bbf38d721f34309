"""Daily stock counts: demand takes from the shelf, suppliers fill it up, some of them too late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sample_data.catalogue import Catalogue
from sample_data.columns import dates, numbers, pick, table
from sample_data.randomness import Integers, Mask, stream
from sample_data.trading import TradingCalendar

SHORT_PRODUCTS = 9  # whose supplier lets the shop wait before the last day
_LEAD_DAYS = 6


@dataclass(frozen=True)
class StockCounts:
    """Counts at the end of each day. All arrays have the shape (days, products).

    Attributes:
        counted: whether the product was counted that day: from its first day to its last.
    """

    on_hand: Integers
    allocated: Integers
    reorder_point: Integers
    counted: Mask


def stock_counts(calendar: TradingCalendar, catalogue: Catalogue) -> StockCounts:
    """Walk through the days for all products at once.

    At least five products are below their reorder point on the last day, two of them with nothing left,
    and one has exactly its reorder point, which is no alert.
    """
    plan, count = calendar.plan, catalogue.count
    rng = stream(plan.seed, "inventory")
    share = catalogue.weights / catalogue.weights.sum(axis=1, keepdims=True)
    demand = share * calendar.order_counts[:, None] * 3.2
    usual = np.maximum(demand.mean(axis=0), 0.02)
    reorder = np.maximum(np.ceil(usual * 12), 4).astype(np.int64)
    batch = np.maximum(np.ceil(usual * 30), 12).astype(np.int64)
    on_hand = (reorder + batch * rng.random(count)).astype(np.int64)
    arriving = np.zeros((plan.days + 90, count), dtype=np.int64)
    waiting = np.zeros(count, dtype=np.int64)
    result = np.zeros((plan.days, count), dtype=np.int64)
    last = plan.days - 1
    everyone = np.arange(count)
    for day in range(plan.days):
        on_hand += arriving[day]
        waiting = np.maximum(waiting - arriving[day], 0)
        on_hand = np.maximum(on_hand - rng.poisson(demand[day]), 0)
        due = (on_hand < reorder + _LEAD_DAYS * usual) & (waiting == 0)
        lead = np.where(rng.random(count) < 0.05, 16, rng.integers(2, _LEAD_DAYS + 1, count))
        np.add.at(arriving, (day + lead[due], everyone[due]), batch[due])
        waiting[due] = batch[due]
        result[day] = on_hand
    allocated = rng.binomial(result, 0.06)
    on_sale = np.flatnonzero((catalogue.first_day < max(1, plan.days // 2)) & (catalogue.end_day > last))
    short = on_sale[np.argsort(-catalogue.popularity[on_sale], kind="stable")][2 : 2 + SHORT_PRODUCTS]
    # The shelf of these empties over the last days; how far differs: from nothing left to exactly enough.
    available = (reorder[short] * np.linspace(0, 1, SHORT_PRODUCTS)).astype(np.int64)
    available[1] = 0
    available[1:-1] = np.minimum(available[1:-1], reorder[short][1:-1] - 1)
    available[-1] = reorder[short][-1]
    span = min(10, plan.days)
    allocated[-span:, short] = 1
    ahead = np.arange(span - 1, -1, -1)[:, None]
    result[-span:, short] = available + 1 + np.ceil(ahead * usual[short]).astype(np.int64)
    day_index = np.arange(plan.days)[:, None]
    counted = (day_index >= catalogue.first_day) & (day_index < catalogue.end_day)
    counted[:-1] &= rng.random((plan.days - 1, count)) >= 0.003  # some shelves are forgotten
    return StockCounts(result, allocated, np.broadcast_to(reorder, result.shape).copy(), counted)


def count_rows(calendar: TradingCalendar, catalogue: Catalogue, counts: StockCounts, days: range) -> pa.Table:
    """Rows of the stock file for these days, in the words of the source system."""
    day, product = np.nonzero(counts.counted[days.start : days.stop])
    day = day + days.start
    return table(
        {
            "count_date": dates(calendar.days[day], pattern="%m/%d/%Y"),
            "sku": pick(catalogue.ids, product),
            "on_hand": numbers(counts.on_hand[day, product]),
            "allocated": numbers(counts.allocated[day, product]),
            "reorder_point": numbers(counts.reorder_point[day, product]),
        }
    )


def in_alert(catalogue: Catalogue, counts: StockCounts, last_day: int) -> list[str]:
    """Products whose latest count up to a day (index) is below the reorder point."""
    counted = counts.counted[: last_day + 1]
    latest = last_day - np.argmax(counted[::-1], axis=0)
    product = np.flatnonzero(counted.any(axis=0))
    day = latest[product]
    available = counts.on_hand[day, product] - counts.allocated[day, product]
    return [catalogue.ids[n] for n in product[available < counts.reorder_point[day, product]].tolist()]
