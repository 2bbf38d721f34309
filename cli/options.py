"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Feeds = Annotated[
    Path | None,
    typer.Option(
        "--feeds",
        envvar="TILLHOUSE_FEEDS",
        help="A feed file or a folder of them. [default: TILLHOUSE_HOME/feeds]",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target", envvar="TILLHOUSE_TARGET", help="The warehouse: duckdb, or postgres of profiles.yml."
    ),
]
DEFAULT_TARGET = "duckdb"
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        envvar="TILLHOUSE_ENGINE",
        help="What validates the files: duckdb, or spark (docs/guides/spark.md).",
    ),
]
DEFAULT_ENGINE = "duckdb"
