"""Random numbers that depend on what they are for, never on what was drawn before.

Each purpose (seed, name, block) has its own stream. So a block of days can be generated without the
blocks before it, and a new anomaly in one entity does not change the bytes of another.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for this purpose."""
    words = [crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))


def some(rng: np.random.Generator, eligible: Mask, rate: float, *, at_least: int = 0) -> Mask:
    """Mark about `rate` of the eligible positions, but at least `at_least` where so many are eligible."""
    positions = np.flatnonzero(eligible)
    wanted = min(max(int(rng.binomial(len(positions), rate)), at_least), len(positions))
    marked = np.zeros(len(eligible), dtype=np.bool_)
    marked[rng.choice(positions, size=wanted, replace=False)] = True
    return marked


def weighted(rng: np.random.Generator, weights: Floats, size: int) -> Integers:
    """Positions drawn with replacement, in proportion to the weights."""
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    return np.asarray(np.minimum(drawn, len(weights) - 1), dtype=np.int64)
