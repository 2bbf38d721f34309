"""The mark by which an object in Metabase is known as ours, and whether it is as it was written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

MARK = re.compile(r"\s*\[tillhouse:(?P<key>[a-z0-9_.+]+)#(?P<fingerprint>[0-9a-f]{8})\]\s*$")
# Metabase adds to most of what it is given; these it keeps as they are, so anything more in them is a change by hand.
KEPT_AS_GIVEN = frozenset({"visualization_settings", "template-tags"})


def marked(description: str, key: str, definition: Mapping[str, Any]) -> str:
    """A description with the mark at its end: the key, and the fingerprint of what is being written."""
    return f"{description}\n\n[tillhouse:{key}#{fingerprint(definition)}]"


def fingerprint(definition: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that change with a definition; it may hold dataclasses."""
    text = json.dumps(definition, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields in which an object on the server is not as wanted."""
    return tuple(name for name, value in wanted.items() if not _is_as(value, found.get(name), name))


def _is_as(wanted: Any, found: Any, name: str = "") -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping) or (name in KEPT_AS_GIVEN and wanted.keys() != found.keys()):
            return False
        # What stands inside of settings is kept as given too.
        inside = name if name == "visualization_settings" else ""
        return all(_is_as(value, found.get(key), inside or key) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(_is_as(one, other, name) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)
