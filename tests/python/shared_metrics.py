"""MetricFlow as the tests of one process share it: one engine for equal metrics, and not traced while it makes SQL.

Coverage is measured of this project's code alone; see `shared_dbt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

from shared_dbt import untraced

from serving.semantic import client
from serving.semantic.engine import SemanticEngine


@contextmanager
def engines_shared_by_tests() -> Iterator[None]:
    """Let clients of equal metrics have one engine, which keeps the SQL that it has made."""
    with mock.patch.object(client, "SemanticEngine", lru_cache(maxsize=8)(_untraced_engine)):
        yield


def _untraced_engine(*words: Any) -> SemanticEngine:
    made = SemanticEngine(*words)
    made._engine.explain = untraced(made._engine.explain)
    return made
