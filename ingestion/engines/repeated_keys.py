"""Which keys of a file occur more than once: told by sorting the keys' hashes, eight bytes a row.

A database would group them, which takes ten times the memory and several times the time.
"""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow

KEYS_AT_A_TIME = 1 << 25  # 256 MiB; where a file has more rows, its keys are gone through in parts
ROWS_FETCHED = 1 << 17

Hashes = npt.NDArray[np.uint64]


def repeated_hashes(
    connection: duckdb.DuckDBPyConnection, hash_sql: str, rows_sql: str, *, rows: int
) -> pyarrow.Table:
    """Hashes that more than one row has.

    Args:
        hash_sql: an expression over the rows of type ubigint, evenly spread over its range.
        rows_sql: what follows `from`: the rows with their condition.
        rows: how many they are at most.

    Returns:
        one column `key_hash`, ascending within a part, each hash once.
    """
    parts = max(1, -(-rows // KEYS_AT_A_TIME))
    # Of several parts one can have more rows than its share where keys are repeated, so there is room for half more.
    room = rows if parts == 1 else rows // parts * 3 // 2 + 2 * ROWS_FETCHED
    found: list[Hashes] = []
    for part in range(parts):
        chosen = f"select {hash_sql} as key_hash from {rows_sql}"
        if parts > 1:
            chosen = f"select key_hash from ({chosen}) where key_hash % {parts} = {part}"
        found.append(_repeated(connection.execute(chosen).to_arrow_reader(ROWS_FETCHED), room))
    return pyarrow.table({"key_hash": np.concatenate(found)})


def _repeated(batches: pyarrow.RecordBatchReader, room: int) -> Hashes:
    held = np.empty(room, dtype=np.uint64)
    count = 0
    repeated: Hashes = np.empty(0, dtype=np.uint64)
    for batch in batches:
        if count + len(batch) > room:
            again, count = _each_once(held, count)
            repeated = np.union1d(repeated, again)
        held[count : count + len(batch)] = batch.column(0).to_numpy()
        count += len(batch)
    again, _ = _each_once(held, count)
    return np.union1d(repeated, again)


def _each_once(held: Hashes, count: int) -> tuple[Hashes, int]:
    """Sort the first `count`, leave each of them once, and tell which there were more of and how many are left."""
    values = held[:count]
    values.sort()
    is_repeat = values[1:] == values[:-1]
    again = np.unique(values[1:][is_repeat])
    if not len(again):
        return again, count
    left = np.concatenate((values[:1], values[1:][~is_repeat]))
    held[: len(left)] = left
    return again, len(left)
