"""The part of a feed file that decides what the delivered rows mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml


@dataclass(frozen=True)
class FeedEntity:
    entity: str
    columns: Mapping[str, Mapping[str, Any]]
    exclude: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Feed:
    """One feed of a company, with the company's defaults filled in."""

    name: str
    folder: Path
    glob: str
    settings: Mapping[str, Any]
    entities: tuple[FeedEntity, ...] = field(default=())

    def setting(self, name: str, default: Any = None) -> Any:
        return self.settings.get(name, default)

    def delivered_at(self, file_name: str) -> datetime | None:
        """Delivery time in the file name, naive UTC; a bare date stands for the end of that local day."""
        declared = self.setting("delivery_time")
        if declared is None:
            return None
        found = re.search(declared["pattern"], file_name)
        assert found, f"{self.name}: no delivery time in {file_name}"
        moment = datetime.strptime(found.group(1), declared["format"])  # noqa: DTZ007  (the text has no zone)
        if not any(directive in declared["format"] for directive in ("%H", "%I", "%T", "%X")):
            moment = datetime.combine(moment.date(), time.max)
        zone = ZoneInfo(self.setting("business_timezone", "UTC"))
        return moment.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)


def read_feeds(path: Path, home: Path) -> list[Feed]:
    """All feeds of one feed file; relative locations are below `home`."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    defaults = document.get("defaults", {})
    feeds = []
    for one in document["feeds"]:
        settings = {**defaults, **one}
        location = str(settings["location"]).removeprefix("file://")
        feeds.append(
            Feed(
                one["name"], home / location, settings.get("glob", "*"), settings,
                tuple(_entity(entity) for entity in one["entities"]),
            )
        )  # fmt: skip
    return feeds


def _entity(document: Mapping[str, Any]) -> FeedEntity:
    columns = {
        name: {"column": mapping} if isinstance(mapping, str) else dict(mapping)
        for name, mapping in document.get("columns", {}).items()
    }
    exclude = {
        name: (words,) if isinstance(words, str) else tuple(words)
        for name, words in document.get("exclude", {}).items()
    }
    return FeedEntity(document["entity"], columns, exclude)
