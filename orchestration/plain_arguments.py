"""The arguments of dbt's tests that hold no Jinja, told to dbt before it runs them.

dbt makes a template of every text among a test's arguments, also of one that is nothing but text, and keeps what came
of it: of a day's build that was a twelfth of the processor time. A text without a brace is its own value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Of a line break Jinja makes another, or drops it.
RENDERED = frozenset("{}\n\r")


def note_plain_arguments(manifest: Any) -> None:
    """Put them where dbt looks for what it has rendered.

    Args:
        manifest: dbt's own.
    """
    from dbt.clients import jinja

    rendered: dict[str, Any] = jinja._render_cache
    for node in manifest.nodes.values():
        metadata = getattr(node, "test_metadata", None)
        if metadata is not None:
            rendered.update((text, text) for text in plain_texts(metadata.kwargs))


def plain_texts(value: Any) -> Iterator[str]:
    """The texts without Jinja among the values of nested mappings and lists."""
    if isinstance(value, str):
        if RENDERED.isdisjoint(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from plain_texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from plain_texts(inner)
