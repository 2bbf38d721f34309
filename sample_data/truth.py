"""What is true about the files: counted while they are made, for tests to compare with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sample_data.plan import SamplePlan

# What the counts under `facts` mean. Where nothing else is said a fact counts good rows of its feed.
FACTS: Mapping[str, str] = {
    "orders": "orders told for the first time (restaurant: first lines of orders)",
    "newer_versions": "rows about something that an earlier delivery told, with a later updated_at",
    "older_versions": "rows beside which a newer version of the same thing stands in the same delivery",
    "stale_versions": "rows with an older updated_at than an earlier delivery has told",
    "conflicting_rows": "rows with the key and updated_at of an earlier row of the file, and other content",
    "late_orders": "orders that arrive one delivery or more after that of their business day",
    "late_lines": "first rows of the lines of late orders",
    "header_breaks": "orders whose total differs from lines - order discount + tax + shipping + tip",
    "guest_orders": "orders without a customer",
    "orders_of_unregistered_customers": "orders of customers who are in no customer file",
    "status_regressions": "rows that take a delivered order back to fulfilled",
    "order_lines": "lines told for the first time",
    "corrected_lines": "lines told again with other content",
    "lines_before_first_price": "lines of products that have no list price yet when they are ordered",
    "customers": "customers told for the first time",
    "payments": "payments told for the first time",
    "corrected_payments": "payments told again with a later status",
    "payments_failed": "payments that failed",
    "orphan_payments": "payments of orders that never arrive",
    "underpaid_orders": "orders of which less than the total was charged",
    "overpaid_orders": "orders of which more than the total was charged (before any later adjustment)",
    "returns": "returns",
    "refunds_above_net": "refunds that exceed the net sales of their line",
    "returns_after_30_days": "returns whose business date is more than 30 days after the order's",
    "counts": "stock counts",
    "listed": "rows of a full list",
    "excluded_rows": "rows that the feed's filter takes out",
    "orders_with_disagreeing_lines": "orders whose lines disagree about loyalty",
    "options": "options told for the first time",
    "corrected_options": "options that replace those of their line in an earlier delivery",
    "orphan_options": "options of lines that never arrive",
    "negative_options": "options that are discounts, among those told for the first time",
    "free_options": "options without a price, among those told for the first time",
}


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
    """One feed in one delivery. `facts` count what the rows are: see `FACTS`."""

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
