"""MetricFlow as the tests of one process share it: one engine for equal metrics, whichever copy a client opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest import mock

from serving.semantic import client
from serving.semantic.engine import SemanticEngine


@contextmanager
def engines_shared_by_tests() -> Iterator[None]:
    """Let clients of equal metrics have one engine, which keeps the SQL that it has made."""
    with mock.patch.object(client, "SemanticEngine", lru_cache(maxsize=8)(SemanticEngine)):
        yield
