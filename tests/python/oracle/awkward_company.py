"""A company whose files are awkward in every way that is allowed: made at random, the same for a seed.

The sample company behaves as companies do; this one does what they seldom do, and all of it at once: orders
without lines and lines without orders, refunds of everything, zero prices, versions out of order, lines that
disagree, nothing in places where something usually is. All rows pass the contracts.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

DELIVERIES = (date(2025, 3, 31), date(2025, 4, 1), date(2025, 4, 2))
FIRST_DAY, LAST_DAY = date(2023, 12, 20), date(2025, 3, 30)
LATEST = datetime(2025, 3, 30, 21)  # noqa: DTZ001  (naive UTC, like every moment here)
STORE_ZONE, RESTAURANT_ZONE = "Europe/Berlin", "America/New_York"

FEEDS = """
company: awkward
defaults:
  currency: USD
  delivery_time: {pattern: "_(\\\\d{8})", format: "%Y%m%d"}
feeds:
""" + "".join(
    f"""
  - name: {name}
    location: file://landing/{name}
    glob: "*.csv"
    business_timezone: {zone}
    delivery_mode: {mode}
    entities:
      - entity: {entity}
"""
    for name, entity, zone, mode in (
        ("orders", "store.orders", STORE_ZONE, "append"),
        ("lines", "store.order_items", STORE_ZONE, "append"),
        ("people", "store.customers", STORE_ZONE, "append"),
        ("payments", "store.payments", STORE_ZONE, "append"),
        ("catalogue", "store.products", STORE_ZONE, "full_extract"),
        ("returns", "store.returns", STORE_ZONE, "append"),
        ("stock", "store.inventory", STORE_ZONE, "append"),
        ("shops", "store.locations", STORE_ZONE, "append"),
        ("meals", "restaurant.order_items", RESTAURANT_ZONE, "append"),
        ("extras", "restaurant.order_item_options", RESTAURANT_ZONE, "append"),
    )
)

Row = dict[str, object]


class AwkwardCompany:
    """Writes `landing/<feed>/<feed>_<day>.csv` for each delivery."""

    def __init__(self, seed: int, currencies: Sequence[str] = ("USD",)) -> None:
        self.random = random.Random(seed)  # noqa: S311  (reproducible, no secret)
        self.currencies = currencies

    def write(self, root: Path) -> Path:
        """Write all files below `root`, a home folder; returns the feed file."""
        made = {
            "catalogue": self.catalogue(),
            "people": self.people(),
            "shops": [{"location_id": "12", "name": "Mitte"}, {"location_id": "never", "name": "Unopened"}],
            **self.store(),
            **self.restaurant(),
            "stock": self.stock(),
        }
        for feed, rows in made.items():
            self._deliver(root / "landing" / feed, feed, rows)
        feed_file = root / "awkward.yml"
        feed_file.write_text(FEEDS, encoding="utf-8")
        return feed_file

    def _deliver(self, folder: Path, feed: str, rows: list[Row]) -> None:
        """Each row comes in one delivery; some come again, changed or not, sooner or later."""
        folder.mkdir(parents=True)
        names = list(dict.fromkeys(name for row in rows for name in row))
        parts: list[list[Row]] = [[] for _ in DELIVERIES]
        for row in rows:
            first = row.pop("_delivery", None)
            parts[first if isinstance(first, int) else self.random.randrange(len(DELIVERIES))].append(row)
        for day, part in zip(DELIVERIES, parts, strict=True):
            self.random.shuffle(part)
            with (folder / f"{feed}_{day:%Y%m%d}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(part)

    # What there is

    def moment(self) -> datetime:
        """UTC; often within an hour of a local midnight, where days, weeks, months and years change."""
        day = FIRST_DAY + timedelta(days=self.random.randrange((LAST_DAY - FIRST_DAY).days))
        edge = self.random.choice([None, STORE_ZONE, RESTAURANT_ZONE])
        if edge is None:
            return datetime(day.year, day.month, day.day) + timedelta(seconds=self.random.randrange(86_400))  # noqa: DTZ001  (naive UTC, like every moment here)
        local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(edge))
        shift = timedelta(seconds=self.random.choice([-3600, -1, 0, 1, 3600]))
        return (local.astimezone(UTC) + shift).replace(tzinfo=None)

    def money(self, most: int = 50) -> str:
        return self.random.choice(
            [
                "0",
                "0.0001",
                f"{self.random.randrange(1, most)}",
                f"{self.random.randrange(1, most * 10_000) / 10_000}",
            ]
        )

    def quantity(self) -> str:
        return self.random.choice(["0", "1", "1", "1", "2", "3", "0.5", "1.3333"])

    def someone(self) -> str:
        """A few customers come all the time, most once; many orders are guests'."""
        return self.random.choice(
            ["", f"c{self.random.randrange(4)}", f"c{self.random.randrange(40):02d}", "0012"]
        )

    def product(self) -> str:
        return f"p{min(self.random.randrange(12), self.random.randrange(12))}"

    def catalogue(self) -> list[Row]:
        rows: list[Row] = []
        for number in range(10):  # p10 and p11 are sold without ever being listed
            starts = sorted(self.moment() for _ in range(self.random.randrange(1, 5)))
            if number == 3:
                starts.append(datetime(2026, 1, 1))  # noqa: DTZ001  (naive UTC; planned, after the as-of date)
            for start in starts:
                versions = self.random.choice([1, 1, 2])
                rows += [
                    {
                        "product_id": f"p{number}",
                        "name": self.random.choice(["Mug", "Mug", "Bowl, large"]),
                        "category": self.random.choice(["", "cups", "cups", "plates"]),
                        "price": self.random.choice(["9.99", "9.99", "10.5"]),
                        "unit_cost": self.random.choice(["", "4", "4", "4.3333"]),
                        "effective_at": start.isoformat(" "),
                        "_delivery": delivery,
                    }
                    for delivery in self.random.sample(range(len(DELIVERIES)), versions)
                ]
        return rows

    def people(self) -> list[Row]:
        return [
            {
                "id": customer,
                "email": self.random.choice(
                    ["", f"{customer}@example.com", f" {customer.upper()}@Example.com"]
                ),
                "region": self.random.choice(["", "north", "south"]),
                "signup_date": (self.moment() + timedelta(days=self.random.choice([0, 0, -900]))).date(),
                "is_loyalty": self.random.choice(["", "true", "false"]),
                "updated_at": self.random.choice(["", "2025-01-01 00:00:00", self.moment().isoformat(" ")]),
            }
            for customer in ["c0", "c1", "0012", *(f"c{number:02d}" for number in range(30, 60))]
            for _ in range(self.random.choice([1, 1, 2]))
        ]

    def store(self) -> dict[str, list[Row]]:
        orders: list[Row] = []
        lines: list[Row] = []
        payments: list[Row] = []
        returns: list[Row] = []
        for number in range(260):
            order_id = f"{number:05d}"
            placed = self.moment()
            currency = self.random.choice(self.currencies)
            for _ in range(self.random.choice([0, 1, 1, 1, 1, 1, 2, 3])):
                orders.append(self._header(order_id, placed, currency))
            kept = [f"{line}" for line in range(self.random.choice([0, 1, 1, 2, 3, 10]))]
            for line_id in kept:
                for _ in range(self.random.choice([1, 1, 1, 2])):
                    count, price = self.random.choice(["1", "2", "3"]), self.money()
                    discount = self.random.choice(["", "0", f"{float(price) / 4:.4f}", price])
                    lines.append(
                        {
                            "order_id": order_id,
                            "line_id": line_id,
                            "product_id": self.product(),
                            "quantity": count
                            if discount == price
                            else self.random.choice([count, self.quantity()]),
                            "unit_price": price,
                            "discount_amount": discount,
                        }
                    )
            returns += self._returns(order_id, [*kept, "99"], placed)
            payments += self._payments(order_id, placed)
        # No discount above the amount of its line, whatever quantity was drawn.
        for line in lines:
            most = float(str(line["quantity"])) * float(str(line["unit_price"]))
            if float(str(line["discount_amount"] or 0)) > most:
                line["discount_amount"] = "0"
        return {"orders": orders, "lines": lines, "payments": payments, "returns": returns}

    def _header(self, order_id: str, placed: datetime, currency: str) -> Row:
        return {
            "id": order_id,
            "customer_id": self.someone(),
            "total_amount": self.money(100),
            "currency": currency,
            "created_at": placed.isoformat(" "),
            "status": self.random.choice(
                ["created", "paid", "paid", "fulfilled", "delivered", "returned", "cancelled"]
            ),
            "updated_at": self.random.choice(["", "2025-01-01 00:00:00", "2025-02-01 00:00:00"]),
            "location_id": self.random.choice(["", "12", "web", "web"]),
            "is_loyalty": self.random.choice(["", "true", "false"]),
            "tax_amount": self.random.choice(["", self.money()]),
            "shipping_amount": self.random.choice(["", "4.9"]),
            "discount_amount": self.random.choice(["", "", "0", "0.01", "1", "0.0007"]),
            "tip_amount": "",
        }

    def _returns(self, order_id: str, line_ids: list[str], placed: datetime) -> list[Row]:
        rows: list[Row] = []
        for _ in range(self.random.choice([0, 0, 1, 2, 4])):
            days = self.random.choice([0, 1, 29, 30, 31, 200])
            back = min(placed + timedelta(days=days, seconds=self.random.choice([0, 3600])), LATEST)
            rows.append(
                {
                    "id": f"r{order_id}-{self.random.randrange(3)}",
                    "order_id": order_id,
                    "line_id": self.random.choice(line_ids),
                    "quantity": self.random.choice(["1", "0.5"]),
                    "refund_amount": self.random.choice(["0", "1", "3.3333", "1000"]),
                    "returned_at": back.isoformat(" "),
                    "reason": self.random.choice(["", "too small"]),
                }
            )
        return rows

    def _payments(self, order_id: str, placed: datetime) -> list[Row]:
        rows: list[Row] = []
        for number in range(self.random.choice([0, 1, 1, 2, 3])):
            status = self.random.choice(["succeeded", "succeeded", "failed", "pending", "refunded"])
            paid = placed + timedelta(
                microseconds=self.random.choice([0, 1, 10**6, 86_400_000_000, -5 * 10**6])
            )
            rows.append(
                {
                    "id": f"t{order_id}-{number}",
                    "order_id": order_id,
                    "amount": self.money(100),
                    "status": status,
                    "method": self.random.choice(["", "card", "voucher"]),
                    "created_at": self.random.choice(["", placed.isoformat(" ")]),
                    "paid_at": paid.isoformat(" ")
                    if status == "succeeded" or self.random.random() < 0.3
                    else "",
                }
            )
        return rows

    def stock(self) -> list[Row]:
        rows: list[Row] = []
        for number in range(12):
            days = self.random.sample(range(60), self.random.randrange(1, 20))
            rows += [
                {
                    "snapshot_date": LAST_DAY - timedelta(days=day),
                    "product_id": f"p{number}",
                    "on_hand": self.random.choice(["0", "5", "10", "7.5", "-2"]),
                    "allocated": self.random.choice(["0", "5", "2.5"]),
                    "reorder_point": self.random.choice(["0", "5", "2.5"]),
                }
                for day in days
                for _ in range(self.random.choice([1, 1, 1, 2]))
            ]
        return rows

    def restaurant(self) -> dict[str, list[Row]]:
        meals: list[Row] = []
        extras: list[Row] = []
        for number in range(260):
            order_id = f"{number:05d}"  # the same ids as the shop's, on purpose
            placed = self.moment()
            header = {
                "app_name": self.random.choice(["", "counter"]),
                "restaurant_id": self.random.choice(["12", "7", "7"]),
                "creation_time_utc": placed.isoformat(" "),
                "user_id": self.someone(),
                "is_loyalty": self.random.choice(["true", "false", "false"]),
                "currency": self.random.choice(self.currencies),
            }
            for line in range(self.random.choice([1, 1, 2, 3, 11])):
                if self.random.random() < 0.05:
                    later = placed + timedelta(seconds=self.random.choice([1, 7200]))
                    header = {**header, "creation_time_utc": later.isoformat(" "), "user_id": self.someone()}
                meals += [
                    {
                        **header,
                        "order_id": order_id,
                        "lineitem_id": f"{line}",
                        "item_category": self.random.choice(["", "mains", "mains", "drinks"]),
                        "item_name": self.random.choice(
                            ["Caf\u00e9", "Cafe\u0301", " Soup ", "Soup", "0012"]
                        ),
                        "item_price": self.money(),
                        "item_quantity": self.quantity(),
                    }
                    for _ in range(self.random.choice([1, 1, 1, 1, 2]))
                ]
                extras += self._extras(order_id, f"{line}")
        return {"meals": meals, "extras": extras}

    def _extras(self, order_id: str, line_id: str) -> list[Row]:
        rows: list[Row] = []
        for delivery in self.random.sample(range(len(DELIVERIES)), self.random.choice([0, 0, 1, 2])):
            for _ in range(self.random.choice([1, 1, 2, 3])):
                row: Row = {
                    "order_id": order_id,
                    "lineitem_id": self.random.choice([line_id, line_id, line_id, "unknown"]),
                    "option_group_name": "",
                    "option_name": self.random.choice(["shot", "coupon"]),
                    "option_price": self.random.choice(["0", "0.8", "0.3333", "-1.5", "-0.0001"]),
                    "option_quantity": self.random.choice(["1", "2", "0", "0.5", "1.3333"]),
                    "_delivery": delivery,
                }
                rows += [dict(row) for _ in range(self.random.choice([1, 1, 2]))]
        return rows
