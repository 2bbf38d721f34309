"""Which hashes occur more than once, counted against Python's own counter."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import duckdb
import numpy as np
import pyarrow
import pytest

from ingestion.engines import repeated_keys
from ingestion.engines.repeated_keys import repeated_hashes

FEW = 1_000  # keys at a time, in place of millions


def some_hashes(rows: int, different: int, seed: int) -> list[int]:
    drawn = np.random.default_rng(seed)
    keys = drawn.integers(0, 2**64, size=different, dtype=np.uint64)
    return [int(value) for value in drawn.choice(keys, size=rows)]


def found_among(hashes: list[int]) -> list[int]:
    rows = pyarrow.table({"h": pyarrow.array(hashes, "uint64")})
    with closing(duckdb.connect()) as connection:
        connection.register("given", rows)
        return repeated_hashes(connection, "h", "given where true", rows=len(hashes))["key_hash"].to_pylist()


@pytest.mark.parametrize(
    "hashes",
    [
        [],
        [7],
        [7, 7],
        [0, 2**64 - 1, 0],
        some_hashes(500, 400, seed=1),
        some_hashes(FEW, FEW * 100, seed=2),
        some_hashes(FEW + 1, FEW * 100, seed=3),
        some_hashes(20 * FEW, 12 * FEW, seed=4),
        [5] * (10 * FEW) + list(range(3 * FEW)),
    ],
    ids=["none", "one", "twice", "edges", "few", "all at once", "two parts", "many parts", "one key mostly"],
)
def test_the_repeated_are_those_that_a_counter_finds(
    hashes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated_keys, "KEYS_AT_A_TIME", FEW)
    monkeypatch.setattr(repeated_keys, "ROWS_FETCHED", 100)
    expected = sorted(value for value, times in Counter(hashes).items() if times > 1)
    found = found_among(hashes)
    assert sorted(found) == expected
    assert len(found) == len(set(found))


def test_a_part_with_more_rows_than_room_keeps_one_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows of one remainder: they fall into one part, whatever the number of parts."""
    monkeypatch.setattr(repeated_keys, "KEYS_AT_A_TIME", FEW)
    monkeypatch.setattr(repeated_keys, "ROWS_FETCHED", 100)
    parts = 4
    hashes = [parts * (value % 700) for value in range(parts * FEW)]
    assert sorted(found_among(hashes)) == [parts * value for value in range(700)]
