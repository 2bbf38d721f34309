"""What to generate: the plan of a sample, and the report of what was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from settings.errors import UsageError

SMALLEST, LARGEST = 100, 10_000_000
STORE_ZONE = "America/New_York"
RESTAURANT_ZONE = "America/Chicago"


@dataclass(frozen=True)
class SamplePlan:
    """A sample company: how much of it, over which days, delivered how often.

    Equal plans give equal bytes. Nothing depends on the clock.

    Attributes:
        orders: orders placed over both systems, exactly; dirty and excluded rows come on top.
        days: business days with trading, ending with `last_day`.
        deliveries: how many of the last days arrive as daily deliveries; the days before are the history.
        seed: any whole number from 0.
        last_day: the last business day.
        store_share: share of the orders that belong to the shop; the others are restaurant orders.
        products: shop products, at least 40.
        bad_rows: expected share of rows that break a rule, per feed. Far below the threshold at which a
            file is rejected whole (1 % and more than 100 rows).
        duplicate_rows: expected share of rows that are repeated within their file.
        currencies: ISO codes of the shop's orders; the first is by far the most frequent one. More than
            one needs rates in the seed `fx_rates`.
        history_file_orders: a history file of orders is split when it would hold more orders than this.
        extra_lines_per_order: how many lines an order has on average beyond the company's usual 2.4.
    """

    orders: int = 24_000
    days: int = 414
    deliveries: int = 14
    seed: int = 7
    last_day: date = date(2026, 10, 31)
    store_share: float = 0.55
    products: int = 120
    bad_rows: float = 0.0008
    duplicate_rows: float = 0.0008
    currencies: tuple[str, ...] = ("USD",)
    history_file_orders: int = 200_000
    extra_lines_per_order: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be generated.

        Raises:
            UsageError: naming the setting and its bounds.
        """
        _within("orders", self.orders, SMALLEST, LARGEST)
        _within("deliveries", self.deliveries, 0, 366)
        _within("days", self.days, self.deliveries + 1, 3_650)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("products", self.products, 40, 5_000)
        _within("store_share", self.store_share, 0.1, 0.9)
        _within("bad_rows", self.bad_rows, 0, 0.005)
        _within("duplicate_rows", self.duplicate_rows, 0, 0.05)
        _within("history_file_orders", self.history_file_orders, 1_000, LARGEST)
        _within("extra_lines_per_order", self.extra_lines_per_order, 0, 5)
        if not self.currencies or any(len(code) != 3 or not code.isupper() for code in self.currencies):
            raise UsageError(
                f"currencies {self.currencies!r} are not ISO 4217 codes",
                remedy="give codes of three capital letters, such as USD",
                rule="sample_plan",
            )

    @property
    def first_day(self) -> date:
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def history_days(self) -> int:
        """Days that arrive at once, as delivery 0."""
        return self.days - self.deliveries

    def delivery_day(self, delivery: int) -> date:
        """The last business day that a delivery covers."""
        return self.last_day - timedelta(days=self.deliveries - delivery)

    def delivery_stamp(self, delivery: int) -> str:
        """The day in the names of a delivery's files: its last business day."""
        return f"{self.delivery_day(delivery):%Y%m%d}"


@dataclass(frozen=True)
class SampleReport:
    """What was written.

    Attributes:
        files: how many files; `paths` names them in the order of writing.
        rows: data rows of all files.
        order_lines: rows of the order lines of both systems, dirt and repetitions included.
        bytes_written: size of all files.
    """

    files: int
    rows: int
    order_lines: int
    bytes_written: int
    paths: tuple[Path, ...] = field(repr=False)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(
            f"{name} is {value}; it must lie between {low} and {high}",
            remedy=f"choose another value for {name}",
            rule="sample_plan",
        )
