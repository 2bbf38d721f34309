"""What DuckDB may take of the machine's memory, wherever tillhouse opens a warehouse, and how Python tidies its own."""

from __future__ import annotations

import gc
import os
import re

from settings.errors import ConfigurationError

MEMORY_VARIABLE, DEFAULT_MEMORY = "TILLHOUSE_MEMORY_LIMIT", "2GB"  # as in profiles.yml
# Python looks for garbage after so many new objects, and at those that stayed after so many looks. Its own numbers are
# 700, 10 and 10.
GARBAGE_THRESHOLDS = (200_000, 50, 1_000)
AS_DUCKDB_READS_IT = re.compile(r"\d+(\.\d+)?\s*([kmgt]i?b|b)", re.IGNORECASE)


def memory_limit() -> str:
    """The limit as DuckDB reads it ("2GB"), beyond which it spills to disk. A process may need twice as much.

    Raises:
        ConfigurationError: when the environment holds something else.
    """
    limit = os.environ.get(MEMORY_VARIABLE) or DEFAULT_MEMORY
    if not AS_DUCKDB_READS_IT.fullmatch(limit):
        raise ConfigurationError(
            f"{MEMORY_VARIABLE} is {limit!r}, which is no amount of memory",
            remedy="give a number with its unit: 2GB, 512MiB",
            rule="memory_limit",
        )
    return limit


def look_for_garbage_rarely() -> None:
    """Spare this process most of its searches for garbage; for runs, which end.

    Imported modules, dbt's manifest and Dagster's definitions live as long as the run, and each search goes through
    many of them for nothing. Measured over a day's run: 3.2 s in 3,136 searches, and 1.5 s with these numbers from
    dbt's start on.
    """
    gc.set_threshold(*GARBAGE_THRESHOLDS)
