"""What is true about the files: counted while they are made, for tests to compare with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sample_data.plan import SamplePlan


@dataclass
class FileTruth:
    """Rows of one file: `rows` = good + `exact_duplicates` + the sum of `bad_rows` + `excluded_rows`."""

    name: str
    rows: int = 0
    exact_duplicates: int = 0
    excluded_rows: int = 0
    bad_rows: Counter[str] = field(default_factory=Counter)


@dataclass
class DeliveryTruth:
    """One feed in one delivery. `facts` name what the good rows are; see `docs/guides/sample-data.md`."""

    files: list[FileTruth] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        bad: Counter[str] = Counter()
        for file in self.files:
            bad.update(file.bad_rows)
        return {
            "files": [{**asdict(file), "bad_rows": _sorted(file.bad_rows)} for file in self.files],
            "rows_delivered": sum(file.rows for file in self.files),
            "exact_duplicates": sum(file.exact_duplicates for file in self.files),
            "excluded_rows": sum(file.excluded_rows for file in self.files),
            "bad_rows": _sorted(bad),
            "facts": _sorted(self.facts),
        }


@dataclass
class Truth:
    """Everything known about the deliveries of one call of `generate`."""

    plan: SamplePlan
    first_delivery: int
    last_delivery: int
    feeds: dict[str, dict[int, DeliveryTruth]] = field(default_factory=dict)
    repeated_files: list[dict[str, Any]] = field(default_factory=list)
    catalogue: dict[str, Any] = field(default_factory=dict)

    def of(self, feed: str, delivery: int) -> DeliveryTruth:
        return self.feeds.setdefault(feed, {}).setdefault(delivery, DeliveryTruth())

    def as_json(self) -> dict[str, Any]:
        """The truth file's content; facts add up over deliveries under `totals`."""
        feeds: dict[str, Any] = {}
        totals: dict[str, Any] = {}
        for feed, deliveries in sorted(self.feeds.items()):
            parts = {str(number): part.as_json() for number, part in sorted(deliveries.items())}
            feeds[feed] = parts
            totals[feed] = _added_up(list(parts.values()))
        return {
            "plan": {**asdict(self.plan), "last_day": self.plan.last_day.isoformat()},
            "first_delivery": self.first_delivery,
            "last_delivery": self.last_delivery,
            "as_of_date": self.plan.delivery_day(self.last_delivery).isoformat(),
            "totals": totals,
            "feeds": feeds,
            "repeated_files": self.repeated_files,
            **self.catalogue,
        }

    def write(self, path: Path) -> None:
        """Write the truth file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.chmod(0o600)
        partial.replace(path)


def _added_up(parts: list[dict[str, Any]]) -> dict[str, Any]:
    bad: Counter[str] = Counter()
    facts: Counter[str] = Counter()
    for part in parts:
        bad.update(part["bad_rows"])
        facts.update(part["facts"])
    return {
        "files": sum(len(part["files"]) for part in parts),
        "rows_delivered": sum(part["rows_delivered"] for part in parts),
        "exact_duplicates": sum(part["exact_duplicates"] for part in parts),
        "excluded_rows": sum(part["excluded_rows"] for part in parts),
        "bad_rows": _sorted(bad),
        "facts": _sorted(facts),
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}
