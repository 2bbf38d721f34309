"""Rows on their way: what arrives in which delivery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from sample_data.randomness import Integers, Mask


@dataclass(frozen=True)
class Delivered:
    """Rows of one feed that arrive in one delivery.

    Attributes:
        rows: text columns, in the words of the source system.
        facts: what the truth file tells about these rows: fact → number of rows.
        once: rows that must not be repeated, because repeating them would change what they mean.
    """

    feed: str
    delivery: int
    rows: pa.Table
    facts: Mapping[str, int] = field(default_factory=dict)
    once: Mask | None = None


def last_of_each_delivery(arrives: Integers, nowhere: int) -> Mask:
    """Which moments of each thing a delivery tells: the last one that falls into it.

    Args:
        arrives: delivery of each moment, shape (things, moments), moments in the order of time.
        nowhere: the delivery that never comes.
    """
    told = arrives < nowhere
    following = np.full(len(arrives), nowhere + 1)
    for column in range(arrives.shape[1] - 1, -1, -1):
        here = told[:, column].copy()
        told[:, column] &= arrives[:, column] != following
        following = np.where(here, arrives[:, column], following)
    return told


def by_delivery(
    nowhere: int,
    feed: str,
    *,
    rows: pa.Table,
    arrives: Integers,
    facts: Mapping[str, Mask],
    once: Mask | None = None,
) -> Iterator[Delivered]:
    """Cut rows into one piece per delivery, in their order; what never arrives is left out.

    Args:
        arrives: delivery of each row.
        facts: what holds of which rows; counted per piece.
    """
    if not len(arrives):
        return
    if arrives.min() != arrives.max():
        order = np.argsort(arrives, kind="stable")
        rows, arrives = rows.take(pa.array(order)), arrives[order]
        facts = {name: mask[order] for name, mask in facts.items()}
        once = None if once is None else once[order]
    edges = np.searchsorted(arrives, np.arange(nowhere + 1))
    for delivery in range(nowhere):
        start, stop = int(edges[delivery]), int(edges[delivery + 1])
        if stop > start:
            counts = {name: int(np.count_nonzero(mask[start:stop])) for name, mask in facts.items()}
            held = None if once is None else once[start:stop]
            yield Delivered(feed, delivery, rows.slice(start, stop - start), counts, held)
