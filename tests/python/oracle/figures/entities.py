"""Delivered rows with where they came from, and the newest version of each key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from .contracts import CONTRACTS, Row

EARLIEST = datetime.min  # noqa: DTZ901  (naive UTC, like every moment here)


@dataclass(frozen=True)
class Version:
    """One accepted row of one delivery. `sequence` numbers the deliveries of a feed, `ordinal` the rows of a file."""

    row: Row
    sequence: int
    ordinal: int
    feed: str = "feed"
    timezone: str = "UTC"
    currency: str = "USD"
    is_full_extract: bool = False
    item_price_is_line_total: bool = False
    option_price_is_line_total: bool = False
    options_append: bool = False

    def text(self, name: str) -> str:
        value = self.row[name]
        assert isinstance(value, str), name
        return value

    def text_or_none(self, name: str) -> str | None:
        value = self.row.get(name)
        assert value is None or isinstance(value, str), name
        return value

    def number(self, name: str) -> Decimal:
        value = self.row[name]
        assert isinstance(value, Decimal), name
        return value

    def number_or_none(self, name: str) -> Decimal | None:
        value = self.row.get(name)
        assert value is None or isinstance(value, Decimal), name
        return value

    def moment(self, name: str) -> datetime:
        value = self.row[name]
        assert isinstance(value, datetime), name
        return value

    def moment_or_none(self, name: str) -> datetime | None:
        value = self.row.get(name)
        assert value is None or isinstance(value, datetime), name
        return value

    def day(self, name: str) -> date:
        value = self.row[name]
        assert isinstance(value, date), name
        return value

    def day_or_none(self, name: str) -> date | None:
        value = self.row.get(name)
        assert value is None or isinstance(value, date), name
        return value

    def flag(self, name: str) -> bool | None:
        value = self.row.get(name)
        assert value is None or isinstance(value, bool), name
        return value


@dataclass
class Delivered:
    """All accepted versions per entity, and how the rows of each file were accounted for."""

    versions: dict[str, list[Version]] = field(default_factory=lambda: defaultdict(list))
    # Products of the newest full catalogue, per feed.
    newest_extract_keys: dict[str, set[str]] = field(default_factory=dict)

    def add(self, entity: str, version: Version) -> None:
        self.versions[entity].append(version)

    def of(self, entity: str) -> list[Version]:
        return self.versions.get(entity, [])


def age(version: Version) -> tuple[datetime, int, int]:
    """What "latest" means: `updated_at` where the entity has one, then the delivery, then the row."""
    return (version.moment_or_none("updated_at") or EARLIEST, version.sequence, version.ordinal)


def latest_versions(entity: str, versions: Iterable[Version]) -> dict[tuple[object, ...], Version]:
    """The newest version per business key."""
    key_columns = CONTRACTS[entity].key
    newest: dict[tuple[object, ...], Version] = {}
    for version in versions:
        key = tuple(version.row[name] for name in key_columns)
        if key not in newest or age(version) > age(newest[key]):
            newest[key] = version
    return newest


def latest_options(versions: Iterable[Version]) -> dict[tuple[str, str], list[Version]]:
    """Options per line: those of the newest delivery that names the line, or of all deliveries in append mode."""
    by_line: dict[tuple[str, str], list[Version]] = defaultdict(list)
    for version in versions:
        by_line[version.text("order_id"), version.text("lineitem_id")].append(version)
    return {
        line: [
            option
            for option in options
            if option.options_append or option.sequence == max(other.sequence for other in options)
        ]
        for line, options in by_line.items()
    }
