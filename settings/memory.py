"""What DuckDB may take of the machine's memory, wherever tillhouse opens a warehouse."""

from __future__ import annotations

import os
import re

from settings.errors import ConfigurationError

MEMORY_VARIABLE, DEFAULT_MEMORY = "TILLHOUSE_MEMORY_LIMIT", "2GB"  # as in profiles.yml
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
