"""Figures per customer, and per period over customers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from .book import Book, Order
from .exact import (
    ZERO,
    change_rate,
    each_day,
    month_start,
    months_between,
    next_month,
    quintile_scores,
    ratio,
    total,
    week_start,
    year_earlier,
)
from .revenue import MartRow, first_booked_dates

CHURN_PERIOD_DAYS = 90
AT_RISK_DAYS = 45
LAPSED_DAYS = 90
HORIZONS = (7, 30, 90)


@dataclass
class History:
    """What an identified customer booked and got back up to the as-of date."""

    system: str
    customer_id: str
    as_of: date
    orders: list[Order] = field(default_factory=list)
    refunds: list[tuple[date, Decimal]] = field(default_factory=list)

    @property
    def dates(self) -> list[date]:
        return sorted({order.order_date for order in self.orders})

    @property
    def first_date(self) -> date:
        return self.dates[0]

    @property
    def last_date(self) -> date:
        return self.dates[-1]

    @property
    def recency_days(self) -> int:
        return (self.as_of - self.last_date).days

    @property
    def net_sales(self) -> Decimal:
        return total([order.net for order in self.orders])

    @property
    def lifetime_value(self) -> Decimal:
        return self.net_sales - total([amount for _, amount in self.refunds])

    def spend(self, first: date, last: date) -> Decimal:
        """Net sales of the orders dated `first` to `last`, both included."""
        return total([order.net for order in self.orders if first <= order.order_date <= last])

    def value(self, first: date, last: date) -> Decimal:
        """Net sales minus eligible refunds dated `first` to `last`, both included."""
        return self.spend(first, last) - total(
            [amount for day, amount in self.refunds if first <= day <= last]
        )


def histories(book: Book) -> dict[str, dict[str, History]]:
    """Per source system and customer with a booked order up to the as-of date."""
    result: dict[str, dict[str, History]] = {system: {} for system in book.systems}
    for order in book.booked:
        as_of = book.as_of[order.system]
        if order.customer_id is not None and order.order_date <= as_of:
            known = result[order.system]
            if order.customer_id not in known:
                known[order.customer_id] = History(order.system, order.customer_id, as_of)
            known[order.customer_id].orders.append(order)
    for one in book.returns:
        if one.order is not None and one.order.customer_id is not None and one.eligible_amount:
            history = result[one.system].get(one.order.customer_id)
            if history is not None and one.return_date <= history.as_of:
                history.refunds.append((one.return_date, one.eligible_amount))
    return result


def lifetime_value(book: Book) -> list[MartRow]:
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        scores = quintile_scores({key: one.lifetime_value for key, one in known.items()})
        for customer_id, one in known.items():
            rows.append(
                {
                    "source_system": system,
                    "customer_id": customer_id,
                    "lifetime_value_to_date": one.lifetime_value,
                    "net_sales": one.net_sales,
                    "refunds": one.net_sales - one.lifetime_value,
                    "orders": len(one.orders),
                    "average_order_value": ratio(one.net_sales, len(one.orders)),
                    "first_order_date": one.first_date,
                    "last_order_date": one.last_date,
                    "lifespan_days": (one.last_date - one.first_date).days,
                    "clv_score": scores[customer_id],
                    "clv_tier": clv_tier(scores[customer_id]),
                    "as_of_date": one.as_of,
                }
            )
    return rows


def clv_tier(score: int) -> str:
    return {5: "High", 1: "Low"}.get(score, "Medium")


def segment(recency: int, frequency: int, monetary: int, orders: int) -> str:
    """First match wins."""
    rules = (
        ("VIP", recency >= 4 and frequency >= 4 and monetary >= 4),
        ("New", recency >= 4 and orders == 1),
        ("Churn Risk", recency <= 2 and frequency <= 2),
        ("Slipping", recency <= 2 and frequency >= 3),
        ("Loyal", frequency >= 4),
        ("Regular", True),
    )
    return next(name for name, matches in rules if matches)


def segments(book: Book) -> list[MartRow]:
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        recency = quintile_scores(
            {key: one.recency_days for key, one in known.items()}, smaller_is_worse=False
        )
        frequency = quintile_scores({key: len(one.orders) for key, one in known.items()})
        monetary = quintile_scores({key: one.lifetime_value for key, one in known.items()})
        for key, one in known.items():
            rows.append(
                {
                    "source_system": system,
                    "customer_id": key,
                    "recency_days": one.recency_days,
                    "frequency": len(one.orders),
                    "monetary": one.lifetime_value,
                    "r_score": recency[key],
                    "f_score": frequency[key],
                    "m_score": monetary[key],
                    "last_order_date": one.last_date,
                    "as_of_date": one.as_of,
                    "segment": segment(recency[key], frequency[key], monetary[key], len(one.orders)),
                }
            )
    return rows


def activity_status(days_since_last_order: int) -> str:
    if days_since_last_order <= AT_RISK_DAYS:
        return "active"
    return "slowing" if days_since_last_order <= LAPSED_DAYS else "lapsed"


def churn_indicators(book: Book) -> list[MartRow]:
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        for key, one in known.items():
            as_of, period = one.as_of, timedelta(days=CHURN_PERIOD_DAYS)
            last_period = one.spend(as_of - period + timedelta(days=1), as_of)
            previous_period = one.spend(as_of - 2 * period + timedelta(days=1), as_of - period)
            last_year = year_earlier(as_of)
            this_year_spend = one.spend(as_of.replace(month=1, day=1), as_of)
            last_year_spend = one.spend(last_year.replace(month=1, day=1), last_year)
            span, gaps = (one.last_date - one.first_date).days, len(one.dates) - 1
            rows.append(
                {
                    "source_system": system,
                    "customer_id": key,
                    "last_order_date": one.last_date,
                    "as_of_date": as_of,
                    "days_since_last_order": one.recency_days,
                    "average_days_between_orders": ratio(span, gaps),
                    "spend_last_period": last_period,
                    "spend_previous_period": previous_period,
                    "spend_change_rate": change_rate(last_period, previous_period),
                    "yoy_spend_change_rate": change_rate(this_year_spend, last_year_spend),
                    "is_at_risk": one.recency_days > AT_RISK_DAYS,
                    "activity_status": activity_status(one.recency_days),
                    # days / (span / gaps), as one division
                    "overdue_ratio": ratio(one.recency_days * gaps, span) if gaps else None,
                }
            )
    return rows


def cohort_ltv(book: Book) -> list[MartRow]:
    """Retention and lifetime value per cohort month and horizon, over the mature customers."""
    return _cohort_ltv(book, "cohort_month", month_start)


def cohort_ltv_weekly(book: Book) -> list[MartRow]:
    return _cohort_ltv(book, "cohort_week", week_start)


def _cohort_ltv(book: Book, name: str, bucket: Callable[[date], date]) -> list[MartRow]:
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        as_of = book.as_of[system]
        for cohort, members in _cohorts(known, bucket).items():
            for horizon in HORIZONS:
                reach = timedelta(days=horizon)
                mature = [one for one in members if one.first_date + reach <= as_of]
                retained = [
                    one
                    for one in mature
                    if any(one.first_date < day <= one.first_date + reach for day in one.dates)
                ]
                value = total([one.value(one.first_date, one.first_date + reach) for one in mature])
                rows.append(
                    {
                        "source_system": system,
                        name: cohort,
                        "horizon_days": horizon,
                        "cohort_customers": len(members),
                        "mature_customers": len(mature),
                        "retained_customers": len(retained),
                        "retention_rate": ratio(len(retained), len(mature)),
                        "ltv_total": value,
                        "ltv_per_customer": ratio(value, len(mature)),
                    }
                )
    return rows


def _cohorts(known: dict[str, History], bucket: Callable[[date], date]) -> dict[date, list[History]]:
    cohorts: dict[date, list[History]] = defaultdict(list)
    for one in known.values():
        cohorts[bucket(one.first_date)].append(one)
    return cohorts


def cohort_triangle(book: Book) -> list[MartRow]:
    """One row per cohort month and every month difference up to the as-of date."""
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        for cohort, members in _cohorts(known, month_start).items():
            month, cumulative = cohort, ZERO
            for number in range(months_between(cohort, book.as_of[system]) + 1):
                last = next_month(month) - timedelta(days=1)
                active = sum(any(month <= day <= last for day in one.dates) for one in members)
                value = total([one.value(month, last) for one in members])
                cumulative += value
                rows.append(
                    {
                        "source_system": system,
                        "cohort_month": cohort,
                        "month_number": number,
                        "cohort_customers": len(members),
                        "active_customers": active,
                        "retention_rate": ratio(active, len(members)),
                        "net_revenue": value,
                        "cumulative_net_revenue_per_customer": ratio(cumulative, len(members)),
                    }
                )
                month = next_month(month)
    return rows


PERIODS: dict[str, tuple[Callable[[date], date], Callable[[date], date]]] = {
    "day": (lambda day: day, lambda start: start + timedelta(days=1)),
    "week": (week_start, lambda start: start + timedelta(days=7)),
    "month": (month_start, next_month),
}


def known_since(book: Book) -> dict[tuple[str, str], date]:
    """When each customer became known: registered, or seen in a placed order, whichever came first."""
    since = {key: version.day("signup_date") for key, version in book.registered.items()}
    for order in book.orders:
        if order.customer_id is not None:
            key = (order.system, order.customer_id)
            since[key] = min(since.get(key, order.order_date), order.order_date)
    return since


def customer_metrics(book: Book) -> list[MartRow]:
    """One row per period from a system's first placed order to its last, whatever the as-of date."""
    since, firsts = known_since(book), first_booked_dates(book)
    rows: list[MartRow] = []
    for system in book.systems:
        as_of = book.as_of[system]
        days = [order.order_date for order in book.orders if order.system == system]
        for period_type, (bucket, following) in PERIODS.items():
            active: dict[date, set[str]] = defaultdict(set)
            for order in book.booked:
                if order.system == system and order.customer_id is not None:
                    active[bucket(order.order_date)].add(order.customer_id)
            previous: set[str] = set()
            for start in sorted({bucket(day) for day in each_day(min(days), max(days))}):
                end = following(start)
                now = active.get(start, set())
                known = sum(key[0] == system and day < end for key, day in since.items())
                new = sum(start <= firsts[system, customer] < end for customer in now)
                rows.append(
                    {
                        "period_type": period_type,
                        "period_start": start,
                        "period_end": end - timedelta(days=1),
                        "source_system": system,
                        "total_customers": known,
                        "active_customers": len(now),
                        "new_customers": new,
                        "repeat_customers": len(now) - new,
                        "retained_customers": len(now & previous),
                        "active_customer_share": ratio(len(now), known),
                        "period_retention_rate": ratio(len(now & previous), len(previous)),
                        "is_complete_period": end - timedelta(days=1) <= as_of,
                    }
                )
                previous = now
    return rows


def is_member(book: Book, system: str, customer_id: str) -> bool:
    """The customer's own flag where the feed supplies one, else any loyal booked order up to the as-of date."""
    registered = book.registered.get((system, customer_id))
    if registered is not None and registered.flag("is_loyalty") is not None:
        return bool(registered.flag("is_loyalty"))
    return any(
        order.is_loyalty
        for order in book.booked
        if order.system == system
        and order.customer_id == customer_id
        and order.order_date <= book.as_of[system]
    )


def loyalty_impact(book: Book) -> list[MartRow]:
    rows: list[MartRow] = []
    for system, known in histories(book).items():
        groups: dict[str, list[History]] = defaultdict(list)
        for key, one in known.items():
            groups["member" if is_member(book, system, key) else "non_member"].append(one)
        whole = total([one.net_sales for one in known.values()])
        for group, members in groups.items():
            orders = sum(len(one.orders) for one in members)
            net_sales = total([one.net_sales for one in members])
            rows.append(
                {
                    "source_system": system,
                    "member_group": group,
                    "customers": len(members),
                    "orders": orders,
                    "net_sales": net_sales,
                    "average_spend_per_customer": ratio(net_sales, len(members)),
                    "average_order_value": ratio(net_sales, orders),
                    "repeat_rate": ratio(sum(len(one.orders) >= 2 for one in members), len(members)),
                    "orders_per_customer": ratio(orders, len(members)),
                    "average_lifetime_value": ratio(
                        total([one.lifetime_value for one in members]), len(members)
                    ),
                    "revenue_share": ratio(net_sales, whole),
                }
            )
    return rows


def loyalty_orders(book: Book) -> list[MartRow]:
    groups: dict[tuple[str, str], list[Order]] = defaultdict(list)
    for order in book.booked:
        if order.order_date <= book.as_of[order.system]:
            group = "guest" if order.customer_id is None else "loyal" if order.is_loyalty else "other"
            groups[order.system, group].append(order)
    rows: list[MartRow] = []
    for (system, group), orders in groups.items():
        net_sales = total([order.net for order in orders])
        rows.append(
            {
                "source_system": system,
                "order_group": group,
                "orders": len(orders),
                "net_sales": net_sales,
                "average_order_value": ratio(net_sales, len(orders)),
                "units_per_order": ratio(total([order.units for order in orders]), len(orders)),
                "discount_rate": ratio(
                    total([order.discount for order in orders]), total([order.gross for order in orders])
                ),
            }
        )
    return rows
