"""The sample looks like a business: who buys, when, what goes wrong. Bounds, not values."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from sample_files import NEW_YORK, Row, Sample, business_day, moment, net

pytest_plugins = ["sample_companies"]

BOOKED = {"paid", "shipped", "delivered", "returned"}
LAST_DAY = date(2026, 10, 31)


@pytest.fixture(scope="session")
def store_days(large: Sample) -> dict[str, list[date]]:
    """Business days of the booked orders of each shop customer."""
    days: dict[str, list[date]] = defaultdict(list)
    for order in large.orders.values():
        if order["customer_number"] and order["state"] in BOOKED:
            days[order["customer_number"]].append(business_day(order["placed_at"]))
    return days


@pytest.fixture(scope="session")
def restaurant_heads(large: Sample) -> list[Row]:
    """One line of each restaurant order."""
    return [lines[0] for lines in large.restaurant_orders.values()]


def local_time(row: Row) -> datetime:
    return datetime.fromisoformat(row["CREATION_TIME"])


def test_the_period_is_covered_to_its_last_day(large: Sample, restaurant_heads: list[Row]) -> None:
    shop = {business_day(order["placed_at"]) for order in large.orders.values()}
    restaurants = {local_time(row).date() for row in restaurant_heads}
    for days in (shop, restaurants):
        assert (min(days), max(days)) == (LAST_DAY - timedelta(days=413), LAST_DAY)
        assert len(days) >= 410


def test_few_customers_buy_much(store_days: dict[str, list[date]]) -> None:
    counts = sorted((len(days) for days in store_days.values()), reverse=True)
    top = sum(counts[: len(counts) // 5]) / sum(counts)
    assert 0.5 < top < 0.85
    assert 0.1 < counts.count(1) / len(counts) < 0.6
    assert max(counts) > 8 * sum(counts) / len(counts)


def test_customers_come_and_go(store_days: dict[str, list[date]]) -> None:
    firsts = Counter((min(days).year, min(days).month) for days in store_days.values())
    assert all(firsts[year, month] >= 20 for year, month in [(2025, 12), (2026, 3), (2026, 6), (2026, 9)])
    lapsed = sum((LAST_DAY - max(days)).days > 90 for days in store_days.values()) / len(store_days)
    active = sum((LAST_DAY - max(days)).days <= 45 for days in store_days.values()) / len(store_days)
    assert 0.2 < lapsed < 0.7
    assert 0.15 < active < 0.7


def test_members_of_the_loyalty_programme_buy_more(large: Sample, store_days: dict[str, list[date]]) -> None:
    member = {row["customer_number"]: row["club_member"] == "yes" for row in large.rows("store_customers")}
    orders: dict[bool, list[int]] = {True: [], False: []}
    for customer, days in store_days.items():
        orders[member.get(customer, False)].append(len(days))
    share = len(orders[True]) / len(store_days)
    assert 0.15 < share < 0.5
    assert sum(orders[True]) / len(orders[True]) > 1.2 * sum(orders[False]) / len(orders[False])
    sizes: dict[str, list[int]] = defaultdict(list)
    for number, order in large.orders.items():
        sizes[order["club_order"]].append(len(large.lines[number]))
    assert sum(sizes["true"]) / len(sizes["true"]) > 1.1 * sum(sizes["false"]) / len(sizes["false"])


def test_seasons_weekdays_and_holidays_show(large: Sample, restaurant_heads: list[Row]) -> None:
    shop = Counter(business_day(order["placed_at"]) for order in large.orders.values())
    food = Counter(local_time(row).date() for row in restaurant_heads)
    december = sum(count for day, count in shop.items() if (day.year, day.month) == (2025, 12))
    february = sum(count for day, count in shop.items() if (day.year, day.month) == (2026, 2))
    assert december / 31 > 1.3 * february / 28
    black_friday, week_before = date(2025, 11, 28), date(2025, 11, 21)
    assert shop[black_friday] > 1.6 * shop[week_before]
    by_weekday = Counter(dict.fromkeys(range(7), 0))
    for day, count in food.items():
        by_weekday[day.weekday()] += count
    assert max(by_weekday, key=by_weekday.__getitem__) == 5
    assert by_weekday[5] > 1.4 * by_weekday[0]
    assert food[date(2025, 12, 25)] < 0.5 * sum(food.values()) / len(food)


def test_day_parts_of_a_restaurant(restaurant_heads: list[Row]) -> None:
    hours = Counter(local_time(row).hour for row in restaurant_heads)
    lunch, afternoon, dinner = (
        sum(hours[h] for h in part) / len(part) for part in ([11, 12, 13], [15, 16], [17, 18, 19])
    )
    assert lunch > 1.8 * afternoon < dinner
    assert hours[3] < 0.05 * hours[12]
    assert set(hours) >= set(range(5, 24))


def test_thirty_places_of_unequal_size(large: Sample, restaurant_heads: list[Row]) -> None:
    shops = {row["location_id"] for row in large.rows("store_locations")}
    restaurants = {row["LOCATION_ID"]: row for row in large.rows("restaurant_locations")}
    assert len(shops) + len(restaurants) == 30
    assert {order["location_id"] for order in large.orders.values()} == shops
    sold = Counter(row["RESTAURANT_ID"] for row in restaurant_heads)
    assert sold.keys() == restaurants.keys()
    assert max(sold.values()) > 3 * min(sold.values())
    opened = {
        place: datetime.strptime(row["OPENED_ON"], "%d-%m-%Y").date()  # noqa: DTZ007  (the text has no zone)
        for place, row in restaurants.items()
    }
    assert all(local_time(row).date() >= opened[row["RESTAURANT_ID"]] for row in restaurant_heads)
    assert sum(day > LAST_DAY - timedelta(days=413) for day in opened.values()) == 4
    assert len({row["REGION"] for row in restaurants.values()}) >= 5


def test_options_of_all_kinds(large: Sample) -> None:
    """Free, paid and negative ones, several of one, and equal rows side by side."""
    lines = large.latest("restaurant_order_items")
    by_line: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in large.rows("restaurant_order_item_options"):
        by_line[row["ORDER_ID"], row["LINEITEM_ID"]].append(row)
    prices = [Decimal(row["OPTION_PRICE"]) for rows in by_line.values() for row in rows]
    assert min(prices) < 0 < max(prices)
    assert 0.3 < prices.count(Decimal(0)) / len(prices) < 0.8
    assert any(Decimal(row["OPTION_QUANTITY"]) > 1 for rows in by_line.values() for row in rows)
    twice = [
        rows
        for rows in by_line.values()
        if Counter((row["OPTION_NAME"], row["OPTION_PRICE"]) for row in rows)["Espresso Shot", "0.95"] == 2
    ]
    assert len(twice) > 50
    without = sum(key not in by_line for key in lines) / len(lines)
    assert 0.2 < without < 0.8
    for key, rows in by_line.items():
        if key in lines:
            item = Decimal(lines[key]["ITEM_PRICE"]) * Decimal(lines[key]["ITEM_QUANTITY"])
            discount = -sum(min(Decimal(row["OPTION_PRICE"]), Decimal(0)) for row in rows)
            assert discount <= item, "a discount never exceeds what the line costs"


def test_guests_and_identified_guests(large: Sample, restaurant_heads: list[Row]) -> None:
    store = sum(not order["customer_number"] for order in large.orders.values()) / len(large.orders)
    assert 0.05 < store < 0.2
    guests = sum(not row["USER_ID"] for row in restaurant_heads) / len(restaurant_heads)
    assert 0.25 < guests < 0.6
    assert all(row["IS_LOYALTY"] == "False" for row in restaurant_heads if not row["USER_ID"])


def test_statuses_and_payments(large: Sample) -> None:
    states = Counter(order["state"] for order in large.orders.values())
    assert set(states) == {"new", "paid", "shipped", "delivered", "returned", "canceled"}
    assert 0.01 < states["canceled"] / states.total() < 0.08
    assert states["delivered"] / states.total() > 0.7
    payments = large.latest("store_payments")
    results = Counter(row["result"] for row in payments.values())
    assert set(results) == {"settled", "declined", "open", "refund"}
    assert 0.85 < results["settled"] / (results["settled"] + results["declined"]) < 0.97
    by_order: dict[str, list[Row]] = defaultdict(list)
    for row in payments.values():
        by_order[row["order_number"]].append(row)
        assert bool(row["settled_at"]) == (row["result"] in {"settled", "refund"})
    retried = sum({"declined", "settled"} <= {row["result"] for row in rows} for rows in by_order.values())
    assert retried > 300
    classes: Counter[str] = Counter()
    for number, order in large.orders.items():
        rows = by_order[number]
        paid = sum(
            Decimal(row["amount_cents"]) / 100 for row in rows if row["result"] in {"settled", "refund"}
        )
        due = Decimal(order["grand_total"]) if order["state"] in BOOKED else Decimal(0)
        unpaid = bool(due) and not paid
        classes["unpaid" if unpaid else "matched" if paid == due else "over" if paid > due else "under"] += 1
    assert classes["matched"] > 0.95 * len(large.orders)
    assert min(classes["over"], classes["under"], classes["unpaid"]) >= 3


def test_discounts_of_the_shop(large: Sample) -> None:
    rows = [row for lines in large.lines.values() for row in lines]
    discounted = [row for row in rows if row["line_discount"]]
    assert 0.03 < len(discounted) / len(rows) < 0.4
    assert all(net(row) >= 0 for row in discounted)
    orders = large.orders.values()
    assert 0.05 < sum(bool(order["order_discount"]) for order in orders) / len(orders) < 0.2
    assert any(Decimal(row["quantity"]) == 0 for row in rows)
    assert any(Decimal(row["unit_price"]) == 0 for row in rows)


def test_returns_trail_the_sales(large: Sample) -> None:
    days = [
        (business_day(row["returned_at"]) - business_day(large.orders[row["order_number"]]["placed_at"])).days
        for row in large.rows("store_returns")
    ]
    assert 0.03 < len(days) / sum(map(len, large.lines.values())) < 0.08
    assert min(days) >= 1
    assert 0.05 < sum(day > 30 for day in days) / len(days) < 0.3
    assert {30, 31} <= set(days), "both sides of the refund window occur"
    daily = [
        file for file in large.files["store_returns"] if file.delivery_day > LAST_DAY - timedelta(days=14)
    ]
    for file in daily:
        assert all(business_day(row["returned_at"]) <= file.delivery_day for row in file.good)


def test_stock_alerts_at_the_last_count(large: Sample) -> None:
    """At least five products in alert, two without stock, one with exactly its reorder point."""
    last = [row for row in large.rows("store_inventory") if row["count_date"] == f"{LAST_DAY:%m/%d/%Y}"]
    available = [(int(row["on_hand"]) - int(row["allocated"]), int(row["reorder_point"])) for row in last]
    assert sum(stock < point for stock, point in available) >= 5
    assert sum(stock <= 0 for stock, _ in available) >= 2
    assert sum(stock == point for stock, point in available) >= 1
    assert sum(stock < point for stock, point in available) < len(last) / 4


def test_ids_are_text(large: Sample) -> None:
    """A reader that takes ids for numbers is found out."""
    sold = {row["sku"] for lines in large.lines.values() for row in lines}
    assert {"1E5", "00420"} <= sold
    assert all(number.startswith("0") for number in large.restaurant_orders)


def test_what_a_file_tells_is_not_younger_than_the_file(large: Sample) -> None:
    """The morning after, only what happened until midnight is known."""
    for file in large.files["store_orders"]:
        end = datetime(
            file.delivery_day.year, file.delivery_day.month, file.delivery_day.day, tzinfo=NEW_YORK
        )
        end += timedelta(days=1)
        assert all(moment(row["last_modified"]) < end for row in file.good), file.path.name
