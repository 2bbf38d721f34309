"""Broken and repeated rows, in known numbers, put between the good ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample_data.columns import overwrite
from sample_data.randomness import Integers, Mask
from sample_data.sources import Fault, Source


@dataclass(frozen=True)
class Soiled:
    """Rows as they are written.

    Attributes:
        rows: good, repeated and broken rows in the order of the file; all with the header's number of cells.
        misshapen: rows with fewer or more cells than the header, and their faults; they end the piece.
        exact_duplicates: repeated rows. bad_rows: rule → rows, `misshapen` included.
    """

    rows: pa.Table
    misshapen: tuple[tuple[pa.Table, Fault], ...] = ()
    exact_duplicates: int = 0
    bad_rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def written(self) -> int:
        return int(self.rows.num_rows + sum(rows.num_rows for rows, _ in self.misshapen))


def soil(
    rows: pa.Table,
    source: Source,
    rng: np.random.Generator,
    *,
    bad_share: float,
    duplicate_share: float,
    at_least_bad: int,
    at_least_duplicates: int,
    once: Mask | None,
) -> Soiled:
    """Add rows to a piece of a file. The good rows stay as they are.

    A broken row is a copy of a good one with an id of its own and one broken cell; so it is broken by one
    rule alone, and without it nothing is missing.

    Args:
        once: rows of which no copy is made.
    """
    count = rows.num_rows
    usable = np.flatnonzero(~once) if once is not None else np.arange(count)
    if not len(usable):
        return Soiled(rows)
    duplicates = 0
    if source.repeats and duplicate_share:
        duplicates = max(int(rng.binomial(count, duplicate_share)), at_least_duplicates)
    bad = 0
    if source.faults and bad_share:
        bad = max(int(rng.binomial(count, bad_share)), at_least_bad)
    if not duplicates and not bad:
        return Soiled(rows)
    doubled = rng.choice(usable, min(duplicates, len(usable)), replace=False)
    places = [np.arange(count, dtype=np.float64), doubled + 0.25 + rng.random(len(doubled)) * 50]
    parts = [rows, rows.take(pa.array(doubled))]
    models = rng.choice(usable, bad)
    numbers = rng.integers(10_000, 99_999) + np.arange(bad)
    first = int(rng.integers(0, len(source.faults))) if source.faults else 0
    misshapen = []
    tally: Counter[str] = Counter()
    for position, fault in enumerate(source.faults):
        mine = (np.arange(bad) + first) % len(source.faults) == position
        if not mine.any():
            continue
        broken = _broken(rows.take(pa.array(models[mine])), source, fault, numbers[mine])
        tally[fault.rule] += broken.num_rows
        if fault.cut or fault.surplus:
            misshapen.append((broken, fault))
        else:
            parts.append(broken)
            places.append(rng.random(broken.num_rows) * count)
    order = np.argsort(np.concatenate(places), kind="stable")
    return Soiled(
        rows=pa.concat_tables(parts).combine_chunks().take(pa.array(order)),
        misshapen=tuple(misshapen),
        exact_duplicates=len(doubled),
        bad_rows=dict(tally),
    )


def _broken(rows: pa.Table, source: Source, fault: Fault, numbers: Integers) -> pa.Table:
    key = rows.schema.get_field_index(source.key)
    marked = pc.binary_join_element_wise(rows.column(key), pa.array(numbers).cast(pa.string()), "-X")
    return overwrite(rows.set_column(key, source.key, marked), fault.cells)
