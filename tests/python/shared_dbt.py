"""dbt as the tests of one process share it: parsed once for each environment, and not traced while it works.

What dbt parses does not depend on the home folder, so tests over many homes need one parse. Coverage is measured
of this project's code alone; tracing the calls inside dbt, only to drop them, would double the time of a build.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest import mock

from orchestration import dbt_runner
from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import HOME_VARIABLE

# What the profile and the macros read while they parse, the database's name among it. Not the home.
READ_BY_PARSING = ("TILLHOUSE_", "DBT_")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Parse:
    """dbt's own manifest, and the JSON files that it writes of it."""

    manifest: Any
    files: Mapping[str, bytes]


@contextmanager
def dbt_shared_by_tests() -> Iterator[None]:
    """Let every runner take over what this process has parsed for its target, date and environment."""
    parse, invoke = DbtRunner._invoke_parse, DbtRunner._invoke
    parsed: dict[Key, Parse] = {}

    def parse_once(runner: DbtRunner) -> None:
        key, target = parse_key(runner.settings), runner.settings.home.dbt_target
        if key not in parsed:
            parse(runner)
            files = {path.name: path.read_bytes() for path in target.glob("*.json")}
            parsed[key] = Parse(runner.parsed, files)
            return
        runner.parsed = parsed[key].manifest
        target.mkdir(parents=True, exist_ok=True)
        for name, content in parsed[key].files.items():
            (target / name).write_bytes(content)

    def invoke_untraced(runner: DbtRunner, *words: Any, **named: Any) -> Any:
        _untrace_dbt()
        return invoke(runner, *words, **named)

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
    """What a parse depends on."""
    read = sorted(
        item
        for item in os.environ.items()
        if item[0].startswith(READ_BY_PARSING) and item[0] != HOME_VARIABLE
    )
    return (dbt_runner.PROJECT_ROOT, settings.target, settings.as_of, *read)


@untraced
def _untrace_dbt() -> None:
    from dbt.cli.main import dbtRunner

    if not hasattr(dbtRunner.invoke, "__wrapped__"):
        dbtRunner.invoke = untraced(dbtRunner.invoke)
