"""Engines that run the validation program over one file."""

from __future__ import annotations

from pathlib import Path

from ingestion.engines.base import Engine
from settings.errors import ConfigurationError
from settings.home import Home

ENGINES = ("duckdb", "spark")


def make_engine(name: str, home: Home, work: Path | None = None) -> Engine:
    """The engine of this name, ready for any number of files; `close` it at the end.

    What does not fit into memory goes to `scratch/` of the home folder, what is only for now to `work` (`work/` of
    the home folder), which the caller clears.

    Raises:
        ConfigurationError: when there is no such engine, or what it needs is missing.
    """
    if name == "duckdb":
        from ingestion.engines.duckdb import DuckDBEngine

        return DuckDBEngine(home.root / "scratch")
    if name == "spark":
        from ingestion.engines.spark import SparkEngine

        return SparkEngine(work or home.root / "work", home.root / "scratch")
    raise ConfigurationError(
        f"there is no engine {name!r}", remedy=f"choose one of: {', '.join(ENGINES)}", rule="engine"
    )
