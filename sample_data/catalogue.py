"""The shop's products: what they are, what they cost when, and which of them are on sale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from sample_data.columns import money, pick, table, timestamps
from sample_data.randomness import Floats, Integers, Mask, stream
from sample_data.trading import TradingCalendar

CATEGORIES = ("Coffee & Tea", "Kitchen", "Home", "Garden", "Outdoor", "Books", "Toys", "Gifts")
BY_WEIGHT = 0  # sold in quarters of a kilogram: prices divide by four, so every line has whole cents
_NOUNS = (
    ("House Blend", "Espresso Roast", "Green Tea", "Earl Grey", "Decaf Roast", "Chai Mix"),
    ("Skillet", "Chef's Knife", "Cutting Board", "Kettle", "Mixing Bowl", "Pepper Mill"),
    ("Throw Blanket", "Desk Lamp", "Wall Clock", "Candle, Large", "Storage Basket", "Linen Towel"),
    ("Pruner", "Watering Can", "Seed Box", "Planter, Clay", "Garden Gloves", "Bird Feeder"),
    ("Day Pack", "Camp Stove", "Lantern", "Water Bottle", "Hammock", "Trail Map"),
    ("Cook Book", "Notebook", "Field Guide", "Crime Novel", "Atlas", "Year Planner"),
    ("Wooden Train", "Puzzle", "Kite", "Board Game", "Plush Bear", "Marble Run"),
    ("Gift Box", "Greeting Card", "Ribbon Set", "Mug", "Advent Calendar", "Photo Frame"),
)
_STYLES = (
    "Classic", "Little", "Nordic", "Hand-made", "Café", "Everyday", "Grand", "Copper", "Maple", "Blue",
    "Red", "Travel", "Studio", "Harbor", "Sunday", "Vintage", "Alpine", "Country", "Modern", "Señor",
)  # fmt: skip
_RENAMED = ("", " II", " III", " IV", " V", " VI")
_SEASONS = np.array([  # category × month
    (1.2, 1.1, 1.0, 0.9, 0.9, 0.8, 0.8, 0.8, 1.0, 1.1, 1.2, 1.3),
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 1.0, 1.0, 1.2, 1.4),
    (1.1, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0, 1.1, 1.2, 1.3),
    (0.4, 0.6, 1.3, 1.8, 1.9, 1.5, 1.1, 1.0, 0.9, 0.7, 0.5, 0.5),
    (0.6, 0.7, 0.9, 1.1, 1.4, 1.7, 1.7, 1.4, 1.0, 0.8, 0.8, 0.9),
    (1.0, 1.0, 0.9, 0.9, 0.9, 1.1, 1.2, 1.1, 1.1, 1.0, 1.1, 1.4),
    (0.7, 0.8, 0.8, 0.9, 0.9, 1.0, 1.0, 0.9, 0.9, 1.1, 1.7, 2.2),
    (0.6, 1.2, 0.8, 0.8, 1.2, 1.0, 0.7, 0.7, 0.8, 1.0, 1.6, 2.4),
])  # fmt: skip
_EXTRACT_EVERY_DAYS = 60  # of history; every daily delivery has its own extract
_PER_PRODUCT = np.int64(2**40)  # larger than any second count of the period


@dataclass(frozen=True)
class Extract:
    """One full list of products: drawn up at the end of a business day (index), part of a delivery."""

    day: int
    delivery: int


@dataclass(frozen=True)
class WrongBelief:
    """A catalogue row that was delivered with a wrong unit cost and put right by a later extract."""

    product: int
    version: int
    extracts: tuple[int, ...]
    wrong_cost: int


class Catalogue:
    """Products and their price versions.

    Prices change at most once between two extracts, so an extract that lists each product once, with the
    row that is in force, shows every version that ever was. Amounts are whole cents.
    """

    def __init__(self, calendar: TradingCalendar) -> None:
        self.calendar = calendar
        self.plan = calendar.plan
        self.count = self.plan.products
        self.extracts = self._extracts()
        self._lives()
        self._versions()

    def _extracts(self) -> list[Extract]:
        history = self.plan.history_days
        days = list(range(history - 1, -1, -_EXTRACT_EVERY_DAYS))[::-1]
        drawn = [Extract(day, 0) for day in days]
        return drawn + [Extract(history + n, n + 1) for n in range(self.plan.deliveries)]

    def _lives(self) -> None:
        """From when to when each product is sold, as indexes of days; a product's life is never empty."""
        rng = stream(self.plan.seed, "catalogue", "lives")
        everyone = np.arange(self.count)
        self.first_day = np.zeros(self.count, dtype=np.int64)
        self.end_day = np.full(self.count, self.plan.days, dtype=np.int64)  # first day on which it is gone
        shuffled = rng.permutation(everyone[4:])  # the first four have price histories of their own
        launched, gone = shuffled[: self.count // 10], shuffled[self.count // 10 : self.count // 10 + 6]
        history = self.plan.history_days
        if history > 1:
            self.first_day[launched] = rng.integers(1, history, len(launched))
            soonest = max(history // 2, self.extracts[0].day)  # every product is listed at least once
            self.end_day[gone[:4]] = rng.integers(soonest, history, 4) + 1
        if self.plan.deliveries >= 2:
            self.end_day[gone[4:]] = history + rng.integers(1, self.plan.deliveries, len(gone) - 4)
        # Sold some days before the catalogue knows a price: orders then precede the first version.
        self.early = int(launched[0])
        self.popularity = rng.permutation(1 / (everyone + 4.0) ** 0.85)
        self.category = everyone % len(CATEGORIES)
        self.style = (everyone // 48 + everyone * 7) % len(_STYLES)
        self.noun = (everyone // len(CATEGORIES)) % 6
        self.ids: list[str] = [f"P{number:05d}" for number in range(1, self.count + 1)]
        self.ids[10], self.ids[11] = "1E5", "00420"  # a reader that takes these for numbers is found out

    def _versions(self) -> None:
        """Build all versions, interval between extracts by interval, all products at once."""
        rng = stream(self.plan.seed, "catalogue", "versions")
        by_weight = self.category == BY_WEIGHT
        price = np.round(np.exp(rng.normal(7.6, 0.7, self.count)) / 10).astype(np.int64) * 10 + 99
        price = np.clip(_sellable(price, by_weight), 200, 40_000)
        cost = (price * rng.uniform(0.38, 0.62, self.count)).astype(np.int64)
        renamed = np.zeros(self.count, dtype=np.int64)
        category = self.category.copy()
        midnights = self.calendar.midnights
        effective = midnights[self.first_day] - np.where(
            self.first_day == 0, 86_400 * rng.integers(20, 400, self.count), 0
        )
        effective[self.early] = midnights[min(self.first_day[self.early] + 5, self.plan.days - 1)] + 32_400
        listed = self._extract_after(effective)
        first = (price.copy(), cost.copy(), renamed.copy(), category.copy())
        made = [(np.arange(self.count), effective, *first)]
        last_day = -1
        for number, extract in enumerate(self.extracts):
            days, last_day = np.arange(last_day + 1, extract.day + 1), extract.day
            history = extract.delivery == 0
            chance = rng.random(self.count)
            changes = chance < (0.38 if history else 0.05)
            changes[:2] = True  # two products whose price moves in every interval, also on following days
            # A first version fills its own interval; a product that is gone by the extract shows no change.
            changes &= (listed < number) & (self.end_day > extract.day)
            changes[2] = changes[3] = False  # kept for the wrong beliefs below
            changes[2] |= number == self._wrong_in(history=True)[0]
            changes[3] |= number == self._wrong_in(history=False)[0]
            chosen = np.flatnonzero(changes)
            if not len(chosen):
                continue
            when = midnights[rng.choice(days, len(chosen))] + rng.choice(
                np.array([0, 21_600, 32_400]), len(chosen)
            )
            kind = rng.random(len(chosen))
            kind[chosen < 4] = 0.5
            moved = np.where(rng.random(len(chosen)) < 0.7, 1, -1) * rng.uniform(0.03, 0.12, len(chosen))
            dearer = _sellable(np.round(price[chosen] * (1 + moved)).astype(np.int64), by_weight[chosen])
            price[chosen] = np.where(kind < 0.78, np.maximum(dearer, 100), price[chosen])
            costs = np.round(cost[chosen] * rng.uniform(0.97, 1.09, len(chosen))).astype(np.int64)
            cost[chosen] = np.where((kind > 0.4) & (kind < 0.88), costs, cost[chosen])
            renamed[chosen] += ((kind >= 0.88) & (kind < 0.92)) & (renamed[chosen] < len(_RENAMED) - 1)
            moved_category = (kind >= 0.92) & (kind < 0.95) & ~by_weight[chosen]
            category[chosen] = np.where(moved_category, category[chosen] % 7 + 1, category[chosen])
            # What is left of the range is issued again unchanged: equal neighbours are one interval.
            made.append((chosen, when, price[chosen], cost[chosen], renamed[chosen], category[chosen]))
        columns = [np.concatenate(parts) for parts in zip(*made, strict=True)]
        order = np.lexsort((columns[1], columns[0]))
        self.version_product, self.version_from, self.version_price, self.version_cost = (
            columns[n][order] for n in range(4)
        )
        self.version_renamed, self.version_category = columns[4][order], columns[5][order]
        self._version_keys = self.version_product * _PER_PRODUCT + self.version_from
        self.wrong_beliefs = self._wrong_beliefs()

    def _extract_after(self, moments: Integers) -> Integers:
        """The number of the first extract that can show a version of each moment."""
        ends = self.calendar.midnights[[extract.day + 1 for extract in self.extracts]]
        return np.searchsorted(ends, moments, side="right").astype(np.int64)

    def _wrong_in(self, *, history: bool) -> tuple[int, ...]:
        """Extracts that carry a wrong unit cost: one in the middle of history, two of the daily ones."""
        numbers = [n for n, extract in enumerate(self.extracts) if (extract.delivery == 0) == history]
        if history:
            return (numbers[len(numbers) // 2],) if len(numbers) >= 3 else (-1,)
        return (numbers[2], numbers[3]) if len(numbers) >= 6 else (-1,)

    def _wrong_beliefs(self) -> list[WrongBelief]:
        found = []
        for product, history in ((2, True), (3, False)):
            extracts = self._wrong_in(history=history)
            if extracts[0] < 0 or self.end_day[product] < self.plan.days:
                continue
            moment = self.calendar.midnights[self.extracts[extracts[0]].day + 1]
            version = int(self.versions_at(np.array([product]), np.array([moment - 1]))[0])
            found.append(WrongBelief(product, version, extracts, int(self.version_cost[version]) * 10))
        return found

    def versions_at(self, products: Integers, moments: Integers) -> Integers:
        """The version in force of each product at each moment (UTC seconds).

        Before a product's first version this is its first version: the till knows the coming price.
        """
        keys = products * _PER_PRODUCT + moments
        found = np.searchsorted(self._version_keys, keys, side="right") - 1
        return np.maximum(found, self._first_versions[products]).astype(np.int64)

    def priced(self, products: Integers, moments: Integers) -> Mask:
        """Whether the catalogue has a price of each product at each moment."""
        return np.asarray(moments >= self.version_from[self._first_versions[products]])

    @cached_property
    def _first_versions(self) -> Integers:
        return np.searchsorted(self.version_product, np.arange(self.count)).astype(np.int64)

    @cached_property
    def weights(self) -> Floats:
        """Relative sales of each product on each day. Shape (days, products)."""
        season = _SEASONS[self.category][:, self.calendar.months].T
        day = np.arange(self.plan.days)[:, None]
        on_sale = (day >= self.first_day) & (day < self.end_day)
        lift = 1 + 0.02 * self.promotions
        return np.asarray(season * self.popularity * on_sale * lift, dtype=np.float64)

    @cached_property
    def promotions(self) -> Integers:
        """Per cent off the line by day and product, 0 mostly: campaigns of one to three weeks."""
        rng = stream(self.plan.seed, "catalogue", "promotions")
        campaigns = max(1, self.count * self.plan.days // 180)
        percent = np.zeros((self.plan.days, self.count), dtype=np.int64)
        product = rng.integers(0, self.count, campaigns)
        start = rng.integers(0, self.plan.days, campaigns)
        length = rng.integers(7, 22, campaigns)
        size = rng.choice(np.array([10, 15, 20, 25, 30]), campaigns)
        offset = np.arange(22)[:, None]
        day = np.minimum(start + np.minimum(offset, length - 1), self.plan.days - 1)
        percent[day, product] = size
        return percent

    @cached_property
    def markdowns(self) -> Integers:
        """Per cent below the list price by day and product, 0 mostly: the last three weeks of the season."""
        rng = stream(self.plan.seed, "catalogue", "markdowns")
        marked = rng.random(self.count) < 0.15
        clearance = (self.calendar.months == 0) | (self.calendar.months == 7)
        return np.where(clearance[:, None] & marked, 20, 0).astype(np.int64)

    @cached_property
    def _cumulative(self) -> Floats:
        cumulative = np.cumsum(self.weights, axis=1)
        return np.asarray(np.arange(self.plan.days)[:, None] + cumulative / cumulative[:, -1:]).ravel()

    def choose(self, rng: np.random.Generator, day_index: Integers) -> Integers:
        """A product for each line, drawn from what is on sale on its day."""
        drawn = np.searchsorted(self._cumulative, day_index + rng.random(len(day_index)), side="right")
        return np.asarray(drawn - day_index * self.count, dtype=np.int64)

    def names(self, versions: Integers) -> pa.Array:
        """The product names of versions."""
        return pa.array(np.array(self._base_names, dtype=object)[self.version_product[versions]]
                        + np.array(_RENAMED, dtype=object)[self.version_renamed[versions]])  # fmt: skip

    @cached_property
    def _base_names(self) -> list[str]:
        styles, nouns = self.style.tolist(), self.noun.tolist()
        return [
            f"{_STYLES[style]} {_NOUNS[category][noun]}"
            for style, noun, category in zip(styles, nouns, self.category.tolist(), strict=True)
        ]

    def extract_rows(self, number: int) -> pa.Table:
        """The rows of a full extract, in the words of the source system."""
        extract = self.extracts[number]
        moment = self.calendar.midnights[extract.day + 1] - 1
        everyone = np.arange(self.count)
        there = self.priced(everyone, np.full(self.count, moment)) & (self.end_day > extract.day)
        versions = self.versions_at(everyone, np.full(self.count, moment))[there]
        cost = self.version_cost.copy()
        for belief in self.wrong_beliefs:
            if number in belief.extracts:
                cost[belief.version] = belief.wrong_cost
        return table(
            {
                "sku": pick(self.ids, self.version_product[versions]),
                "product_name": self.names(versions),
                "department": pick(CATEGORIES, self.version_category[versions]),
                "list_price": money(self.version_price[versions]),
                "unit_cost": money(cost[versions]),
                "effective_from": timestamps(self.version_from[versions]),
            }
        )

    def price_intervals(self, last_delivery: int) -> list[dict[str, Any]]:
        """The true half-open price intervals, as known after a delivery; equal neighbours are one.

        Returns:
            product_id, valid_from, valid_to (null when open; UTC, `YYYY-MM-DD HH:MM:SS`), name, category,
            list_price and unit_cost (decimal text), by product and time.
        """
        number = max(n for n, extract in enumerate(self.extracts) if extract.delivery <= last_delivery)
        moment = self.calendar.midnights[self.extracts[number].day + 1]
        known = np.flatnonzero(self.version_from < moment)
        cost = self.version_cost.copy()
        for belief in self.wrong_beliefs:
            if belief.extracts[0] <= number <= belief.extracts[-1]:
                cost[belief.version] = belief.wrong_cost
        content = np.stack([
            self.version_product, self.version_price, cost, self.version_renamed, self.version_category
        ])[:, known]  # fmt: skip
        fresh = np.ones(len(known), dtype=np.bool_)
        fresh[1:] = (content[:, 1:] != content[:, :-1]).any(axis=0)
        versions = known[fresh]
        product = self.version_product[versions]
        until = np.full(len(versions), 2**62, dtype=np.int64)
        follows = product[1:] == product[:-1]
        until[:-1][follows] = self.version_from[versions][1:][follows]
        rows: list[dict[str, Any]] = table(
            {
                "product_id": pick(self.ids, product),
                "valid_from": timestamps(self.version_from[versions]),
                "valid_to": timestamps(until),
                "name": self.names(versions),
                "category": pick(CATEGORIES, self.version_category[versions]),
                "list_price": money(self.version_price[versions]),
                "unit_cost": money(cost[versions]),
            }
        ).to_pylist()
        return rows

    def discontinued(self, last_delivery: int) -> list[str]:
        """Products that the newest extract no longer lists."""
        day = max(extract.day for extract in self.extracts if extract.delivery <= last_delivery)
        moment = self.calendar.midnights[day + 1] - 1
        everyone = np.arange(self.count)
        seen = self.priced(everyone, np.full(self.count, moment))
        return [self.ids[n] for n in np.flatnonzero(seen & (self.end_day <= day)).tolist()]

    def corrections(self) -> list[dict[str, Any]]:
        """The wrong beliefs, for the truth file."""
        return [
            {
                "product_id": self.ids[belief.product],
                "effective_at": timestamps(self.version_from[belief.version : belief.version + 1])[0].as_py(),
                "wrong_unit_cost": money(np.array([belief.wrong_cost]))[0].as_py(),
                "unit_cost": money(self.version_cost[belief.version : belief.version + 1])[0].as_py(),
                "wrong_in": [self.file_stamp(number) for number in belief.extracts],
            }
            for belief in self.wrong_beliefs
        ]

    def file_stamp(self, number: int) -> str:
        """The day in an extract's file name: its business day."""
        return str(self.calendar.days[self.extracts[number].day]).replace("-", "")


def _sellable(price: Integers, by_weight: Mask) -> Integers:
    """Prices that a till can charge: by weight in steps of four cents, else to the nearest 9 cents."""
    return np.where(by_weight, price // 4 * 4, price // 10 * 10 + 9).astype(np.int64)
