"""dbt over many home folders with one parse: what it parses does not depend on the folder."""

from __future__ import annotations

import functools
import os
import tempfile
from datetime import date
from pathlib import Path

from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import Home

READ_BY_PARSING = ("TILLHOUSE_REPORTING_CURRENCY", "TILLHOUSE_SCHEMA_PREFIX")


def make_runner(settings: BuildSettings) -> DbtRunner:
    """A runner that takes over the project as this process has parsed it for this target, date and environment."""
    variables = tuple(os.environ.get(name, "") for name in READ_BY_PARSING)
    return DbtRunner(settings, parsed=_parsed(settings.target, settings.as_of, variables))


@functools.cache
def _parsed(target: str, as_of: date | None, _: tuple[str, ...]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        runner = DbtRunner(BuildSettings(Home(Path(folder)), target=target, as_of=as_of))
        runner.parse()
        return runner.parsed
