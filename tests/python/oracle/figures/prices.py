"""Product price history: half-open intervals from every version ever delivered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from .entities import Version, latest_versions
from .exact import local_time


@dataclass(frozen=True)
class PriceInterval:
    product_id: str
    product_name: str
    category: str | None
    list_price: Decimal
    unit_cost: Decimal | None
    valid_from: datetime
    valid_to: datetime | None
    timezone: str = "UTC"

    def holds(self, moment: datetime) -> bool:
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)

    @property
    def attributes(self) -> tuple[str, str | None, Decimal, Decimal | None]:
        return (self.product_name, self.category, self.list_price, self.unit_cost)


class PriceHistory:
    """Intervals per product, oldest first, equal neighbours collapsed."""

    def __init__(self, catalogue_versions: Iterable[Version]) -> None:
        starts: dict[str, list[PriceInterval]] = defaultdict(list)
        for version in latest_versions("store.products", catalogue_versions).values():
            starts[version.text("product_id")].append(
                PriceInterval(
                    version.text("product_id"), version.text("name"), version.text_or_none("category"),
                    version.number("price"), version.number_or_none("unit_cost"),
                    version.moment("effective_at"), None, version.timezone,
                )
            )  # fmt: skip
        self.by_product: dict[str, list[PriceInterval]] = {}
        for product_id, intervals in starts.items():
            intervals.sort(key=lambda interval: interval.valid_from)
            kept: list[PriceInterval] = []
            for interval in intervals:
                if not kept or kept[-1].attributes != interval.attributes:
                    kept.append(interval)
            ends = [interval.valid_from for interval in kept[1:]] + [None]
            self.by_product[product_id] = [
                PriceInterval(
                    interval.product_id, interval.product_name, interval.category, interval.list_price,
                    interval.unit_cost, interval.valid_from, end, interval.timezone,
                )
                for interval, end in zip(kept, ends, strict=True)
            ]  # fmt: skip

    def at(self, product_id: str, moment: datetime) -> PriceInterval | None:
        """The interval that holds at `moment`; None before the first version and for unknown products."""
        return next((one for one in self.by_product.get(product_id, []) if one.holds(moment)), None)

    def current(self, product_id: str, as_of: date) -> PriceInterval | None:
        """The last interval that began by the end of the as-of date (a business date), else the first."""
        intervals = self.by_product.get(product_id)
        if not intervals:
            return None
        begun = [one for one in intervals if local_time(one.valid_from, one.timezone).date() <= as_of]
        return (begun or intervals[:1])[-1]

    def intervals(self) -> list[PriceInterval]:
        return [interval for intervals in self.by_product.values() for interval in intervals]
