"""A company small enough to count on one's fingers: builds `Delivered` from a few words per row."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from .figures.book import Book, build_book
from .figures.contracts import Reading, judge
from .figures.deliveries import Cells
from .figures.entities import Delivered, Version


class SmallCompany:
    """Collects text rows as a feed would deliver them; the business zone is UTC unless told."""

    def __init__(self, timezone: str = "UTC") -> None:
        self.delivered = Delivered()
        self.timezone = timezone
        self.rows = 0

    def deliver(self, entity: str, cells: Cells, sequence: int = 1) -> None:
        self.rows += 1
        row = judge(entity, cells, Reading())
        self.delivered.add(entity, Version(row, sequence, self.rows, timezone=self.timezone))

    def order(
        self,
        order_id: str,
        day: str,
        amount: str = "10",
        *,
        customer: str | None = "ann",
        status: str = "paid",
        sequence: int = 1,
        quantity: str = "1",
        **header: str,
    ) -> None:
        """A store order at noon with one line of one product, unless `day` brings its own time."""
        moment = day if " " in day else f"{day} 12:00:00"
        self.header(
            order_id,
            moment,
            customer=customer,
            status=status,
            sequence=sequence,
            total_amount=amount,
            **header,
        )
        self.line(order_id, "1", amount, sequence=sequence, quantity=quantity)

    def header(
        self,
        order_id: str,
        moment: str,
        *,
        customer: str | None = "ann",
        status: str = "paid",
        sequence: int = 1,
        **cells: str,
    ) -> None:
        self.deliver(
            "store.orders",
            {
                "id": order_id,
                "customer_id": customer,
                "total_amount": "0",
                "currency": "USD",
                "created_at": moment,
                "status": status,
                "location_id": "web",
                **cells,
            },
            sequence,
        )

    def line(
        self,
        order_id: str,
        line_id: str,
        price: str,
        *,
        product: str = "mug",
        quantity: str = "1",
        discount: str | None = None,
        sequence: int = 1,
    ) -> None:
        cells: Cells = {
            "order_id": order_id,
            "line_id": line_id,
            "product_id": product,
            "quantity": quantity,
            "unit_price": price,
            "discount_amount": discount,
        }
        self.deliver("store.order_items", cells, sequence)

    def send_back(self, return_id: str, order_id: str, moment: str, amount: str, line_id: str = "1") -> None:
        cells: Cells = {
            "id": return_id,
            "order_id": order_id,
            "line_id": line_id,
            "quantity": "1",
            "refund_amount": amount,
            "returned_at": moment,
        }
        self.deliver("store.returns", cells)

    def price(
        self,
        product: str,
        effective: str,
        price: str,
        *,
        cost: str | None = None,
        category: str | None = "cups",
        name: str = "Mug",
        sequence: int = 1,
    ) -> None:
        cells: Cells = {
            "product_id": product,
            "name": name,
            "category": category,
            "price": price,
            "unit_cost": cost,
            "effective_at": effective,
        }
        self.deliver("store.products", cells, sequence)

    def count(self, day: str, on_hand: str, allocated: str, reorder_point: str, product: str = "mug") -> None:
        cells: Cells = {
            "snapshot_date": day,
            "product_id": product,
            "on_hand": on_hand,
            "allocated": allocated,
            "reorder_point": reorder_point,
        }
        self.deliver("store.inventory", cells)

    def pay(
        self, payment_id: str, order_id: str, amount: str, status: str, paid_at: str | None = None
    ) -> None:
        cells: Cells = {
            "id": payment_id,
            "order_id": order_id,
            "amount": amount,
            "status": status,
            "method": "card",
            "created_at": "2026-03-01 12:30:00",
            "paid_at": paid_at,
        }
        self.deliver("store.payments", cells)

    def meal(self, order_id: str, line_id: str, price: str, quantity: str = "1", **cells: str | None) -> None:
        self.deliver(
            "restaurant.order_items",
            {
                "restaurant_id": "12",
                "creation_time_utc": "2026-03-01 12:00:00",
                "order_id": order_id,
                "user_id": "guido",
                "is_loyalty": "false",
                "currency": "USD",
                "lineitem_id": line_id,
                "item_category": "mains",
                "item_name": "Soup",
                "item_price": price,
                "item_quantity": quantity,
                **cells,
            },
        )

    def option(self, order_id: str, line_id: str, price: str, quantity: str = "1", sequence: int = 1) -> None:
        cells: Cells = {
            "order_id": order_id,
            "lineitem_id": line_id,
            "option_name": "extra",
            "option_price": price,
            "option_quantity": quantity,
        }
        self.deliver("restaurant.order_item_options", cells, sequence)

    def book(self, as_of: date | None = None) -> Book:
        return build_book(self.delivered, as_of=as_of)


def after(day: str, days: int) -> str:
    return (datetime.fromisoformat(day) + timedelta(days=days)).date().isoformat()
