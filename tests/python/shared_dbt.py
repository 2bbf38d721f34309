"""dbt as tests share it: parsed once for each environment, whichever process needs it, and not traced while it works.

What dbt parses does not depend on the home folder, so tests over many homes need one parse. Coverage is measured
of this project's code alone; tracing the calls inside dbt, only to drop them, would double the time of a build.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from made_once import made_once

from orchestration import dbt_runner
from orchestration.dbt_runner import BuildSettings, DbtRunner

# Beginnings of what the profile and the macros read while they parse; nodes carry the name of their database. A date,
# the address of a server and the home are read when models are compiled and run.
READ_BY_PARSING = (
    "DBT_",
    "TILLHOUSE_POSTGRES_DATABASE",
    "TILLHOUSE_REDSHIFT_DATABASE",
    "TILLHOUSE_REPORTING_CURRENCY",
    "TILLHOUSE_SCHEMA_PREFIX",
)
Key = tuple[Any, ...]
PARSE, INVOKE = DbtRunner._invoke_parse, DbtRunner._invoke


@dataclass(frozen=True)
class Parse:
    """dbt's own manifest, and the JSON files that it writes of it."""

    manifest: Any
    files: Mapping[str, bytes]


@contextmanager
def dbt_shared_by_tests(folder: Path) -> Iterator[None]:
    """Let every runner take over what has been parsed for its target and environment.

    Args:
        folder: that the processes of this test run have in common.
    """
    parsed: dict[Key, Parse] = {}

    def parse_once(runner: DbtRunner) -> None:
        def parse() -> Parse:
            PARSE(runner)
            written = runner.settings.home.dbt_target.glob("*.json")
            return Parse(runner.parsed, {path.name: path.read_bytes() for path in written})

        key, target = parse_key(runner.settings), runner.settings.home.dbt_target
        if key not in parsed:
            name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
            parsed[key] = made_once(folder / f"parse_{name}.pickle", Parse, parse)
        runner.parsed = parsed[key].manifest
        target.mkdir(parents=True, exist_ok=True)
        for name, content in parsed[key].files.items():
            (target / name).write_bytes(content)

    def invoke_untraced(runner: DbtRunner, *words: Any, **named: Any) -> Any:
        _untrace_dbt()
        return INVOKE(runner, *words, **named)

    with (
        mock.patch.object(DbtRunner, "_invoke_parse", parse_once),
        mock.patch.object(DbtRunner, "_invoke", invoke_untraced),
    ):
        yield


def untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, run without the trace function of this thread and of threads that it starts."""

    @wraps(function)
    def call(*words: Any, **named: Any) -> Any:
        tracer, tracer_of_threads = sys.gettrace(), threading.gettrace()
        # All in one frame: the tracer counts calls and returns, and must see as many of both.
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]  # it takes None as sys.settrace does
        try:
            return function(*words, **named)
        finally:
            threading.settrace(tracer_of_threads)  # type: ignore[arg-type]  # as above
            sys.settrace(tracer)

    return call


def parse_key(settings: BuildSettings) -> Key:
    """What a parse depends on. An empty variable is as good as none."""
    read = sorted(item for item in os.environ.items() if item[0].startswith(READ_BY_PARSING) and item[1])
    return (str(dbt_runner.PROJECT_ROOT), settings.target, *read)


@untraced
def _untrace_dbt() -> None:
    from dbt.cli.main import dbtRunner

    if not hasattr(dbtRunner.invoke, "__wrapped__"):
        dbtRunner.invoke = untraced(dbtRunner.invoke)
