"""From numbers to the text that a file holds. Every function formats a whole column at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sample_data.randomness import Integers, Mask

NEVER = np.int64(2**62)  # an event that does not happen; later than any other


def pick(words: Sequence[str | None], codes: NDArray[np.generic]) -> pa.Array:
    """The word of each code."""
    return pa.array(words, pa.string()).take(pa.array(codes))


def money(cents: Integers, *, keep: Mask | None = None) -> pa.Array:
    """Whole cents as text with two decimals; null where `keep` is false."""
    halves = np.empty((len(cents), 2), dtype=np.int64)
    halves[:, 0] = cents
    halves[:, 1] = cents >> 63
    exact = pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(halves)])
    return blank(exact.cast(pa.string()), keep)


def sparse_money(cents: Integers, *, otherwise: str | None) -> pa.Array:
    """Like `money` for columns that are mostly zero: zeros become `otherwise`."""
    present = cents != 0
    background = pa.array([otherwise], pa.string()).take(pa.array(np.zeros(len(cents), dtype=np.int8)))
    if not present.any():
        return background
    return pc.replace_with_mask(background, pa.array(present), money(cents[present]))


def numbers(values: Integers, *, keep: Mask | None = None) -> pa.Array:
    """Whole numbers as text."""
    return blank(pa.array(values).cast(pa.string()), keep)


def identifiers(prefix: str, values: Integers, *, keep: Mask | None = None) -> pa.Array:
    """A prefix and a number, as one text."""
    return blank(pc.binary_join_element_wise(prefix, pa.array(values).cast(pa.string()), ""), keep)


def timestamps(seconds: Integers) -> pa.Array:
    """Seconds since 1970 as `YYYY-MM-DD HH:MM:SS`; null where the event never happens."""
    happens = seconds < NEVER
    moments = np.where(happens, seconds, 0).astype("datetime64[s]")
    return blank(pa.array(moments).cast(pa.string()), None if happens.all() else happens)


def dates(days: NDArray[np.datetime64], *, pattern: str = "%Y-%m-%d") -> pa.Array:
    """Days as text."""
    return pc.strftime(pa.array(days.astype("datetime64[D]")), format=pattern)


def blank(texts: pa.Array, keep: Mask | None) -> pa.Array:
    """The texts, null where `keep` is false."""
    return texts if keep is None else pc.if_else(pa.array(keep), texts, pa.scalar(None, pa.string()))


def table(columns: Mapping[str, pa.Array]) -> pa.Table:
    """A table of text columns in the order given."""
    return pa.table({name: _whole(column) for name, column in columns.items()})


def overwrite(rows: pa.Table, cells: Mapping[str, str | None]) -> pa.Table:
    """The rows with the same text in the named columns of each of them."""
    for name, value in cells.items():
        constant = pa.array([value], pa.string()).take(pa.array(np.zeros(rows.num_rows, dtype=np.int8)))
        rows = rows.set_column(rows.schema.get_field_index(name), name, constant)
    return rows


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
