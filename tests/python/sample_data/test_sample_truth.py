"""The truth file says what is in the files: each number is counted again from the files alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter

import pytest
from sample_files import KEYS, NEW_YORK, Row, Sample, business_day, moment, net

from sample_data.truth import FACTS

pytest_plugins = ["sample_companies"]


def fact(sample: Sample, feed: str, name: str) -> int:
    return int(sample.truth["totals"][feed]["facts"].get(name, 0))


@pytest.mark.parametrize("feed", sorted(KEYS))
def test_rows_of_every_file_are_accounted_for(small: Sample, feed: str) -> None:
    """Per file: rows, exact duplicates, excluded rows and bad rows by rule."""
    told = {
        file["name"]: file for delivery in small.truth["feeds"][feed].values() for file in delivery["files"]
    }
    assert sorted(told) == [file.path.name for file in small.files[feed]]
    for file in small.files[feed]:
        expected = told[file.path.name]
        assert dict(file.bad_rules) == expected["bad_rows"], file.path.name
        counted = (file.rows, file.exact_duplicates, file.excluded)
        assert counted == (expected["rows"], expected["exact_duplicates"], expected["excluded_rows"])


def test_the_dirt_is_there_and_below_the_threshold(large: Sample) -> None:
    """Every rule that the sample is meant to break is broken, and no file is rejected whole for it."""
    rules: Counter[str] = Counter()
    for feed, files in large.files.items():
        for file in files:
            rules.update(file.bad_rules)
            bad = file.bad_rules.total()
            assert bad <= 100 or bad <= 0.01 * file.rows, (feed, file.path.name)
    assert {
        "not_a_number", "not_a_timestamp", "not_a_date", "not_a_boolean", "not_finite", "missing_value",
        "future_date", "out_of_range", "unknown_currency", "discount_exceeds_amount", "too_many_decimals",
        "short_row", "long_row", "nonexistent_local_time",
    } == set(rules)  # fmt: skip
    assert sum(total["exact_duplicates"] for total in large.truth["totals"].values()) > 50


def test_repeated_files_hold_the_bytes_of_the_original(small: Sample) -> None:
    repeated = small.truth["repeated_files"]
    assert {entry["feed"] for entry in repeated} == {"store_returns", "store_orders", "store_payments"}
    for entry in repeated:
        folder = small.landing / entry["feed"]
        assert (folder / entry["name"]).read_bytes() == (folder / entry["same_as"]).read_bytes()
        assert entry["name"] != entry["same_as"]


def test_files_repeat_only_where_the_truth_says_so(small: Sample) -> None:
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for path in small.landing.glob("*/*"):
        by_content[path.read_bytes()].append(path.name)
    twins = {name for names in by_content.values() if len(names) > 1 for name in names}
    assert twins == {entry[key] for entry in small.truth["repeated_files"] for key in ("name", "same_as")}


def test_every_order_of_the_plan_arrives_once(small: Sample) -> None:
    store = {row["order_number"] for row in small.rows("store_orders")}
    restaurant = {row["ORDER_ID"] for row in small.rows("restaurant_order_items")}
    assert len(store) == fact(small, "store_orders", "orders")
    assert len(restaurant) == fact(small, "restaurant_order_items", "orders")
    assert len(store) + len(restaurant) == small.truth["plan"]["orders"]


def test_versions_of_orders(small: Sample) -> None:
    """Newer, older, out-of-date and contradicting versions are told apart by what earlier files said."""
    newest: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for file in small.files["store_orders"]:
        best: dict[str, str] = {}
        for row in file.good:
            best[row["order_number"]] = max(row["last_modified"], best.get(row["order_number"], ""))
        seen: set[tuple[str, str]] = set()
        for row in file.good:
            order, version = row["order_number"], row["last_modified"]
            if (order, version) in seen:
                counted["conflicting_rows"] += 1
            elif version < newest.get(order, ""):
                counted["stale_versions"] += 1
            elif version < best[order]:
                counted["older_versions"] += 1
            else:
                counted["newer_versions" if order in newest else "orders"] += 1
            seen.add((order, version))
        for order, version in best.items():
            newest[order] = max(version, newest.get(order, ""))
    assert all(
        counted[name] == fact(small, "store_orders", name)
        for name in ("orders", "newer_versions", "older_versions", "stale_versions", "conflicting_rows")
    )
    assert counted["newer_versions"] > 100
    assert min(counted["older_versions"], counted["stale_versions"], counted["conflicting_rows"]) >= 1


def test_late_orders(small: Sample) -> None:
    """An order is late when the first file that tells of it is of a later day than the order."""
    first_told: dict[str, tuple[date, str]] = {}
    for file in small.files["store_orders"]:
        for row in file.good:
            first_told.setdefault(row["order_number"], (file.delivery_day, row["placed_at"]))
    history_end = small.files["store_orders"][0].delivery_day
    late = sum(day > history_end and business_day(placed) < day for day, placed in first_told.values())
    assert late == fact(small, "store_orders", "late_orders") >= 1
    told: dict[str, tuple[date, str]] = {}
    for file in small.files["restaurant_order_items"]:
        for row in file.good:
            told.setdefault(row["ORDER_ID"], (file.delivery_day, row["CREATION_TIME"]))
    late = sum(day > history_end and date.fromisoformat(at[:10]) < day for day, at in told.values())
    assert late == fact(small, "restaurant_order_items", "late_orders") >= 1


def test_lines_and_options_that_come_again(small: Sample) -> None:
    for feed in ("store_order_items", "restaurant_order_items"):
        rows = list(small.rows(feed))
        distinct = len(small.latest(feed))
        assert distinct == fact(small, feed, "order_lines")
        assert len(rows) - distinct == fact(small, feed, "corrected_lines") >= 1
    lines = small.latest("restaurant_order_items")
    options = list(small.rows("restaurant_order_item_options"))
    orphans = sum((row["ORDER_ID"], row["LINEITEM_ID"]) not in lines for row in options)
    assert orphans == fact(small, "restaurant_order_item_options", "orphan_options") >= 1
    told_before: set[tuple[str, str]] = set()
    again = 0
    for file in small.files["restaurant_order_item_options"]:
        keys = [(row["ORDER_ID"], row["LINEITEM_ID"]) for row in file.good]
        again += sum(key in told_before for key in keys)
        told_before.update(keys)
    # A corrected line that had no options before is corrected, too; only the truth knows of it.
    assert 1 <= again <= fact(small, "restaurant_order_item_options", "corrected_options")


def total_of_lines(order: Row, lines: list[Row]) -> Decimal:
    extras = sum(Decimal(order[name] or 0) for name in ("sales_tax", "shipping", "tip"))
    return sum(map(net, lines), Decimal(0)) - Decimal(order["order_discount"] or 0) + extras


def test_headers_agree_with_their_lines_except_for_known_breaks(small: Sample) -> None:
    breaks = sum(
        Decimal(order["grand_total"]) != total_of_lines(order, small.lines[number])
        for number, order in small.orders.items()
    )
    assert breaks == fact(small, "store_orders", "header_breaks") >= 1
    assert small.lines.keys() == small.orders.keys(), "no line is without its order, no order without a line"


def test_money_is_whole_cents(small: Sample) -> None:
    """Line amounts, too, also of what is sold by weight; so header and lines can agree to the cent."""
    rows = list(small.rows("store_order_items"))
    for row in rows:
        worth = net(row)
        assert worth == worth.quantize(Decimal("0.01")) >= 0, row
    assert any("." in row["quantity"] for row in rows)
    for feed, columns in {
        "store_orders": ("grand_total", "sales_tax", "shipping", "order_discount", "tip"),
        "store_returns": ("refund",),
        "restaurant_order_items": ("ITEM_PRICE",),
        "restaurant_order_item_options": ("OPTION_PRICE",),
    }.items():
        for row in small.rows(feed):
            assert all(Decimal(row[name] or "0.00").as_tuple().exponent == -2 for name in columns), row


def test_payments_and_returns(small: Sample) -> None:
    payments = small.latest("store_payments")
    assert len(payments) == fact(small, "store_payments", "payments")
    rows = list(small.rows("store_payments"))
    assert len(rows) - len(payments) == fact(small, "store_payments", "corrected_payments") >= 1
    failed = sum(row["result"] == "declined" for row in rows)
    assert failed == fact(small, "store_payments", "payments_failed")
    orphans = sum(row["order_number"] not in small.orders for row in payments.values())
    assert orphans == fact(small, "store_payments", "orphan_payments") >= 1
    assert sum(1 for _ in small.rows("store_returns")) == fact(small, "store_returns", "returns")


def test_refunds_above_net_and_late_returns(small: Sample) -> None:
    above = beyond = 0
    for row in small.rows("store_returns"):
        order = small.orders[row["order_number"]]
        lines = small.lines[row["order_number"]]
        line = next(line for line in lines if line["line_number"] == row["line_number"])
        total = sum(map(net, lines), Decimal(0))
        share = Decimal(order["order_discount"] or 0) * net(line) / total if total else Decimal(0)
        above += Decimal(row["refund"]) > net(line) - share
        days = business_day(row["returned_at"]) - business_day(order["placed_at"])
        beyond += days > timedelta(days=30)
    assert beyond == fact(small, "store_returns", "returns_after_30_days") >= 1
    assert above == fact(small, "store_returns", "refunds_above_net") >= 1


def test_unregistered_customers_and_guests(small: Sample) -> None:
    registered = {row["customer_number"] for row in small.rows("store_customers")}
    assert len(registered) == fact(small, "store_customers", "customers")
    buyers = [order["customer_number"] for order in small.orders.values()]
    assert buyers.count("") == fact(small, "store_orders", "guest_orders")
    unknown = sum(bool(buyer) and buyer not in registered for buyer in buyers)
    assert unknown == fact(small, "store_orders", "orders_of_unregistered_customers") >= 1
    assert registered - set(buyers), "some customers have never ordered"


def test_status_steps_back_are_counted(small: Sample) -> None:
    """A later version of an order says an earlier status than the version before it."""
    steps = ["new", "paid", "shipped", "delivered", "returned"]
    told: dict[str, tuple[str, str]] = {}
    backwards = 0
    for row in small.rows("store_orders"):
        before = told.get(row["order_number"])
        if before and row["last_modified"] > before[0] and "canceled" not in (row["state"], before[1]):
            backwards += steps.index(row["state"]) < steps.index(before[1])
        if not before or row["last_modified"] >= before[0]:
            told[row["order_number"]] = (row["last_modified"], row["state"])
    assert backwards == fact(small, "store_orders", "status_regressions") >= 1


def test_price_intervals_follow_from_the_price_lists(small: Sample) -> None:
    """Last belief per product and time, equal neighbours joined: exactly the true intervals."""
    beliefs: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in small.rows("store_products"):
        content = (row["product_name"], row["department"], row["list_price"], row["unit_cost"])
        beliefs[row["sku"], row["effective_from"]] = content
    versions: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for (product, start), content in sorted(beliefs.items()):
        if not versions[product] or versions[product][-1][1] != content:
            versions[product].append((start, content))
    found = [
        {
            "product_id": product,
            "valid_from": start,
            "valid_to": parts[position + 1][0] if position + 1 < len(parts) else None,
            "name": content[0],
            "category": content[1],
            "list_price": content[2].replace(",", "."),
            "unit_cost": content[3].replace(",", "."),
        }
        for product, parts in versions.items()
        for position, (start, content) in enumerate(parts)
    ]
    order = itemgetter("product_id", "valid_from")
    assert sorted(found, key=order) == sorted(small.truth["price_intervals"], key=order)


def test_price_intervals_tile_without_gap_or_overlap(large: Sample) -> None:
    by_product: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for interval in large.truth["price_intervals"]:
        by_product[interval["product_id"]].append(interval)
    assert len(by_product) == large.truth["plan"]["products"]
    for product, intervals in by_product.items():
        assert intervals[-1]["valid_to"] is None, product
        for former, following in pairwise(intervals):
            assert former["valid_to"] == following["valid_from"] > former["valid_from"]
            content = ("name", "category", "list_price", "unit_cost")
            assert [former[key] for key in content] != [following[key] for key in content]
    assert max(map(len, by_product.values())) > 15
    versions = {(row["sku"], row["effective_from"]) for row in large.rows("store_products")}
    assert len(versions) > len(large.truth["price_intervals"]), "some versions repeat their neighbour"


def test_corrected_and_discontinued_products(large: Sample) -> None:
    files = large.files["store_products"]
    for correction in large.truth["catalogue_corrections"]:
        key = (correction["product_id"], correction["effective_at"])
        said = [
            (file.path.stem[-8:], row["unit_cost"].replace(",", "."))
            for file in files
            for row in file.good
            if (row["sku"], row["effective_from"]) == key
        ]
        wrong = [stamp for stamp, cost in said if cost == correction["wrong_unit_cost"]]
        assert wrong == correction["wrong_in"]
        assert said[-1][1] == correction["unit_cost"]
    assert len(large.truth["catalogue_corrections"]) == 2
    listed = {row["sku"] for row in files[-1].good}
    ever = {row["sku"] for row in large.rows("store_products")}
    assert sorted(ever - listed) == sorted(large.truth["discontinued_products"]) != []


def test_list_prices_are_what_the_till_charges(large: Sample) -> None:
    """Unit prices are the list price at the order's time, or a markdown of it; before the first they are counted."""
    intervals: dict[str, list[tuple[str, str, Decimal]]] = defaultdict(list)
    for entry in large.truth["price_intervals"]:
        until = entry["valid_to"] or "9999"
        intervals[entry["product_id"]].append((entry["valid_from"], until, Decimal(entry["list_price"])))
    unpriced = at_list = marked_down = 0
    for number, lines in large.lines.items():
        placed = large.orders[number]["placed_at"]
        for line in lines:
            prices = [price for start, until, price in intervals[line["sku"]] if start <= placed < until]
            if not prices:
                unpriced += 1
            elif Decimal(line["unit_price"]) == prices[0]:
                at_list += 1
            else:
                assert Decimal(line["unit_price"]) < prices[0]
                marked_down += 1
    assert unpriced == fact(large, "store_order_items", "lines_before_first_price") >= 1
    assert at_list > 20 * marked_down > 0


def test_products_in_alert_are_those_of_the_latest_count(large: Sample) -> None:
    latest: dict[str, tuple[date, Row]] = {}
    for row in large.rows("store_inventory"):
        month, day, year = map(int, row["count_date"].split("/"))
        latest[row["sku"]] = max(
            latest.get(row["sku"], (date.min, row)), (date(year, month, day), row), key=lambda pair: pair[0]
        )
    alert = sorted(
        product
        for product, (_, row) in latest.items()
        if int(row["on_hand"]) - int(row["allocated"]) < int(row["reorder_point"])
    )
    assert alert == sorted(large.truth["products_in_alert"])


def test_every_fact_is_explained(large: Sample) -> None:
    told = {name for total in large.truth["totals"].values() for name in total["facts"]}
    assert told == set(FACTS)


def test_some_orders_fall_on_another_day_in_utc(large: Sample) -> None:
    days = [(moment(row["placed_at"]), row) for row in large.orders.values()]
    other = sum(at.date() != at.astimezone(NEW_YORK).date() for at, _ in days)
    assert 0.05 < other / len(days) < 0.5
