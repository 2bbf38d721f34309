"""Payments per day and method, and per order against what was due."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from .book import Book, ExchangeRates, Order
from .entities import Delivered, latest_versions
from .exact import ZERO, local_time, product, ratio, stored, total
from .revenue import MartRow

NO_METHOD = "unknown"
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Payment:
    payment_id: str
    order_id: str
    transaction_amount: Decimal
    status: str
    method: str | None
    created_at: datetime | None
    paid_at: datetime | None
    timezone: str
    order: Order | None
    currency: str | None
    rates: ExchangeRates

    @property
    def exchange_rate(self) -> Decimal | None:
        """Of the order date; of the payment date where no order is known."""
        if self.order is not None:
            return self.order.exchange_rate
        if self.currency == self.rates.reporting_currency:
            return Decimal(1)
        if self.currency is None or self.payment_date is None:
            return None
        return self.rates.on(self.currency, self.payment_date)

    @property
    def amount(self) -> Decimal | None:
        """In the reporting currency; None where the currency of an unknown order cannot be told."""
        rate = self.exchange_rate
        return None if rate is None else stored(product(self.transaction_amount, rate))

    @property
    def is_succeeded(self) -> bool:
        return self.status == "succeeded" or (self.status == "refunded" and self.paid_at is not None)

    @property
    def payment_date(self) -> date | None:
        moment = self.paid_at or self.created_at
        if moment is not None:
            return local_time(moment, self.timezone).date()
        return self.order.order_date if self.order else None

    @property
    def processing_time(self) -> timedelta | None:
        """From the order to the payment; None without either."""
        if not self.is_succeeded or self.paid_at is None or self.order is None:
            return None
        return self.paid_at - self.order.ordered_at


def payments(book: Book, delivered: Delivered) -> list[Payment]:
    orders = {order.order_id: order for order in book.orders if order.system == "store"}
    currencies = {order.currency for order in orders.values()}
    only_currency = currencies.pop() if len(currencies) == 1 else None
    found = []
    for version in latest_versions("store.payments", delivered.of("store.payments")).values():
        order = orders.get(version.text("order_id"))
        found.append(
            Payment(
                version.text("id"), version.text("order_id"), version.number("amount"), version.text("status"),
                version.text_or_none("method"), version.moment_or_none("created_at"),
                version.moment_or_none("paid_at"), version.timezone, order,
                order.currency if order else only_currency, book.rates,
            )
        )  # fmt: skip
    return found


def payments_daily(book: Book, delivered: Delivered) -> list[MartRow]:
    groups: dict[tuple[date | None, str], list[Payment]] = defaultdict(list)
    for payment in payments(book, delivered):
        groups[payment.payment_date, payment.method or NO_METHOD].append(payment)
    rows: list[MartRow] = []
    for (day, method), found in groups.items():
        succeeded = [one for one in found if one.is_succeeded]
        by_status = {
            word: sum(one.status == word for one in found) for word in ("failed", "pending", "refunded")
        }
        times = [one.processing_time for one in succeeded if one.processing_time is not None]
        rows.append(
            {
                "source_system": "store",
                "payment_date": day,
                "method": method,
                "payments": len(found),
                "succeeded": len(succeeded),
                **by_status,
                "payment_amount": _paid(succeeded),
                "payment_success_rate": ratio(len(succeeded), len(succeeded) + by_status["failed"]),
                "average_processing_hours": ratio(
                    sum(times, timedelta()) // MICROSECOND, len(times) * (HOUR // MICROSECOND)
                ),
            }
        )
    return rows


def classify(expected: Decimal, paid: Decimal) -> str:
    if paid == expected:
        return "matched"
    if paid == 0:
        return "unpaid"
    return "underpaid" if paid < expected else "overpaid"


def payment_reconciliation(book: Book, delivered: Delivered) -> list[MartRow]:
    """One row per store order, and one per unknown order that payments name."""
    named: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments(book, delivered):
        named[payment.order_id].append(payment)
    rows: list[MartRow] = []
    for order in book.orders:
        if order.system == "store":
            expected = (order.header_total or ZERO) if order.is_booked else ZERO
            found = named.pop(order.order_id, [])
            word = classify(expected, _paid(found))
            header = {"order_status": order.status, "order_date": order.order_date}
            rows.append({**_reconciled(order.order_id, expected, found, word), **header})
    rows.extend(
        {
            **_reconciled(order_id, ZERO, found, "payment_without_order"),
            "order_status": None,
            "order_date": None,
        }
        for order_id, found in named.items()
    )
    return rows


def _paid(found: list[Payment]) -> Decimal:
    return total([one.amount for one in found if one.is_succeeded and one.amount is not None])


def _reconciled(order_id: str, expected: Decimal, found: list[Payment], classification: str) -> MartRow:
    paid = _paid(found)
    return {
        "payments": len(found),
        "succeeded_payments": sum(one.is_succeeded for one in found),
        "source_system": "store",
        "order_id": order_id,
        "expected_amount": expected,
        "paid_amount": paid,
        "difference": paid - expected,
        "classification": classification,
    }
