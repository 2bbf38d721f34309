"""The second implementation against examples that were worked out by hand, both sides of every edge."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from .figures import customers, discounts, inventory, locations, payments, revenue
from .figures.contracts import BrokenRuleError, Reading, judge, naive_local_to_utc
from .figures.exact import (
    change_rate,
    day_part,
    largest_remainder,
    quintile_scores,
    ratio,
    stored,
    week_start,
    year_earlier,
)
from .small_company import SmallCompany, after

D = Decimal
Rows = list[dict[str, Any]]


def only(rows: Rows, **wanted: object) -> dict[str, Any]:
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


# Arithmetic


def test_rounding_is_half_away_from_zero() -> None:
    assert [stored(D(text)) for text in ("0.00005", "-0.00005", "0.00004999")] == [
        D("0.0001"),
        D("-0.0001"),
        0,
    ]


def test_a_ratio_is_one_division_and_null_over_zero() -> None:
    assert ratio(D("0.10"), 3) == 0.1 / 3
    assert ratio(1, 0) is None
    assert change_rate(D(3), D(4)) == -0.25
    assert change_rate(D(3), D(0)) is None


def test_quintile_scores_of_ten_values_and_of_ties() -> None:
    assert list(quintile_scores({n: n for n in range(10)}).values()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    # Three of five share the lowest value: nobody is worse, all three score 1; the fourth has three below it.
    assert quintile_scores({"a": 1, "b": 1, "c": 1, "d": 2, "e": 3}) == {
        "a": 1,
        "b": 1,
        "c": 1,
        "d": 4,
        "e": 5,
    }
    assert quintile_scores({"late": 90, "soon": 1}, smaller_is_worse=False) == {"late": 1, "soon": 3}
    assert quintile_scores({"alone": 7}) == {"alone": 1}


def test_largest_remainder_adds_up_and_gives_the_rest_to_the_largest_fraction() -> None:
    assert largest_remainder(D(10), [D(1), D(1), D(1)]) == [D("3.3334"), D("3.3333"), D("3.3333")]
    assert largest_remainder(D("0.0002"), [D(1), D(5), D(4)]) == [0, D("0.0001"), D("0.0001")]
    assert largest_remainder(D(1), [D(0), D(0)]) == [0, 0]
    assert sum(largest_remainder(D("7.77"), [D("1.1"), D("2.3"), D("9.99"), D(0)])) == D("7.77")


@pytest.mark.parametrize(
    ("hour", "part"),
    [(0, "overnight"), (4, "overnight"), (5, "breakfast"), (10, "breakfast"), (11, "lunch"), (14, "lunch"),
     (15, "afternoon"), (16, "afternoon"), (17, "dinner"), (20, "dinner"), (21, "late_night"), (23, "late_night")],
)  # fmt: skip
def test_day_part_edges(hour: int, part: str) -> None:
    assert day_part(hour) == part


def test_calendar_edges() -> None:
    assert week_start(date(2021, 1, 3)) == date(2020, 12, 28)  # Sunday of ISO week 2020-W53
    assert week_start(date(2024, 12, 30)) == date(2024, 12, 30)  # Monday of ISO week 2025-W01
    assert year_earlier(date(2024, 2, 29)) == date(2023, 2, 28)


def test_local_times_in_the_gap_have_no_utc_and_the_overlap_means_the_earlier() -> None:
    with pytest.raises(BrokenRuleError):
        naive_local_to_utc(datetime.fromisoformat("2026-03-08T02:30"), "America/New_York")
    assert naive_local_to_utc(
        datetime.fromisoformat("2026-11-01T01:30"), "America/New_York"
    ) == datetime.fromisoformat("2026-11-01T05:30")


# Contracts


@pytest.mark.parametrize(
    ("name", "text"),
    [("quantity", "-1"), ("quantity", "1000000"), ("unit_price", "NaN"), ("unit_price", "1e3"),
     ("unit_price", "1.00005"), ("product_id", " "), ("discount_amount", "20.0001"), ("unit_price", "100000000")],
)  # fmt: skip
def test_a_line_that_breaks_a_rule_is_out(name: str, text: str) -> None:
    good = {"order_id": "1", "line_id": "1", "product_id": "p", "quantity": "2", "unit_price": "10"}
    assert judge("store.order_items", {**good, "discount_amount": "20"}, Reading())["discount_amount"] == 20
    with pytest.raises(BrokenRuleError):
        judge("store.order_items", {**good, name: text}, Reading())


def test_an_event_a_day_after_its_file_arrived_is_out() -> None:
    cells = {"id": "1", "total_amount": "1", "created_at": "2026-03-02 12:00:00", "status": "paid"}
    arrived = Reading(arrived_at=datetime.fromisoformat("2026-03-01T12:00"))
    assert judge("store.orders", cells, arrived)["created_at"] == datetime.fromisoformat("2026-03-02T12:00")
    with pytest.raises(BrokenRuleError):
        judge("store.orders", {**cells, "created_at": "2026-03-02 12:00:01"}, arrived)


# Versions


def test_the_highest_update_time_wins_over_the_later_delivery() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", status="paid", updated_at="2026-03-02 00:00:00", sequence=1)
    company.order("1", "2026-03-01", status="created", updated_at="2026-03-01 00:00:00", sequence=2)
    assert [order.status for order in company.book().orders] == ["paid"]
    company.order("1", "2026-03-01", status="cancelled", updated_at="2026-03-02 00:00:00", sequence=2)
    assert [order.status for order in company.book().orders] == ["cancelled"]


def test_options_of_a_line_are_those_of_the_newest_delivery_and_repetitions_are_real() -> None:
    company = SmallCompany()
    company.meal("1", "1", "10")
    company.option("1", "1", "5")
    for _ in range(2):
        company.option("1", "1", "0.80", sequence=2)
    company.option("1", "1", "-1.50", "2", sequence=2)
    (order,) = company.book().orders
    assert (order.gross, order.discount, order.net) == (D("11.60"), D(3), D("8.60"))


# Line money


def test_option_quantity_is_not_multiplied_by_the_item_quantity() -> None:
    company = SmallCompany()
    company.meal("1", "1", "10", "3")
    company.option("1", "1", "1", "2")
    assert company.book().orders[0].gross == 32


def test_an_order_discount_is_shared_by_what_is_left_of_each_line() -> None:
    company = SmallCompany()
    company.header("1", "2026-03-01 12:00:00", discount_amount="10")
    company.line("1", "a", "30", discount="10")
    company.line("1", "b", "10")
    a, b = company.book().orders[0].lines
    assert (a.discount, b.discount) == (D("10") + D("6.6667"), D("3.3333"))
    assert company.book().orders[0].net == 20


def test_list_price_and_cost_are_those_at_the_time_of_the_order() -> None:
    company = SmallCompany()
    company.price("mug", "2026-02-01 00:00:00", "9", cost="4")
    company.price("mug", "2026-03-01 12:00:00", "12")
    for number, moment in enumerate(("2026-01-31 23:59:59", "2026-03-01 11:59:59", "2026-03-01 12:00:00")):
        company.order(str(number), moment, "10", quantity="2")
    before, old, new = (order.lines[0] for order in company.book().orders)
    assert (before.list_price_amount, before.cost, before.category) == (None, None, None)
    assert (old.list_price_amount, old.cost) == (18, 8)
    assert (new.list_price_amount, new.cost) == (24, None)


def test_price_intervals_collapse_equal_neighbours_and_take_corrections() -> None:
    company = SmallCompany()
    company.price("mug", "2026-01-01 00:00:00", "9", sequence=1)
    company.price("mug", "2026-01-05 00:00:00", "9", sequence=2)
    company.price("mug", "2026-01-09 00:00:00", "10", sequence=2)
    company.price("mug", "2026-01-03 00:00:00", "8", sequence=3)  # arrives late
    company.order("1", "2026-03-01")
    spans = [
        (one.list_price, one.valid_from.day, one.valid_to and one.valid_to.day)
        for one in company.book().prices.intervals()
    ]
    assert spans == [(9, 1, 3), (8, 3, 5), (9, 5, 9), (10, 9, None)]
    company.price("mug", "2026-01-03 00:00:00", "9", sequence=4)  # taken back
    assert [one.list_price for one in company.book().prices.intervals()] == [9, 10]


# Returns


def test_a_refund_counts_up_to_day_30_and_not_on_day_31() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10")
    company.order("2", "2026-03-01", "10")
    company.send_back("r1", "1", "2026-03-31 23:59:59", "4")
    company.send_back("r2", "2", "2026-04-01 00:00:00", "4")
    first, second = company.book().returns
    assert (first.is_eligible, first.eligible_amount) == (True, 4)
    assert (second.is_eligible, second.eligible_amount) == (False, 0)


def test_refunds_of_a_line_stop_at_its_net_sales_in_the_order_of_time() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10")
    company.send_back("b", "1", "2026-03-02 10:00:00", "7")
    company.send_back("a", "1", "2026-03-03 10:00:00", "7")
    company.send_back("c", "1", "2026-03-04 10:00:00", "1")
    assert [(one.return_id, one.eligible_amount) for one in company.book().returns] == [
        ("b", 7),
        ("a", 3),
        ("c", 0),
    ]


def test_no_refund_for_a_cancelled_or_an_unknown_order() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10", status="cancelled")
    company.send_back("a", "1", "2026-03-02 10:00:00", "7")
    company.send_back("b", "2", "2026-03-02 10:00:00", "7")
    assert [one.eligible_amount for one in company.book().returns] == [0, 0]


# Revenue


def test_the_bridge_takes_each_part_by_its_own_date_in_the_business_zone() -> None:
    company = SmallCompany("America/New_York")
    company.order("1", "2026-03-01 04:59:59", "10")  # 28 February there
    company.order("2", "2026-03-01 05:00:00", "20", status="created")
    company.order("3", "2026-03-01 05:00:00", "30", customer=None)
    company.send_back("r", "1", "2026-03-01 12:00:00", "4")
    rows: Rows = revenue.revenue_daily(company.book())
    february, march = only(rows, revenue_date=date(2026, 2, 28)), only(rows, revenue_date=date(2026, 3, 1))
    assert (february["net_revenue"], february["new_customers"], february["orders"]) == (10, 1, 1)
    assert (march["total_order_amount"], march["orders_placed"], march["orders"]) == (50, 2, 1)
    assert (march["net_sales"], march["refunds"], march["net_revenue"]) == (30, 4, 26)
    assert (march["customers"], march["average_order_value"]) == (0, 30.0)


def test_orders_are_distinct_within_a_sales_row_of_any_length() -> None:
    company = SmallCompany()
    company.price("mug", "2026-01-01 00:00:00", "9")
    company.order("1", "2026-03-02")
    company.line("1", "2", "5")
    company.order("2", "2026-03-08")
    assert [row["orders"] for row in revenue.sales_daily(company.book())] == [1, 1]
    assert [(row["orders"], row["net_sales"]) for row in revenue.sales_weekly(company.book())] == [(2, 25)]


# Customers


def test_at_risk_and_activity_edges() -> None:
    company = SmallCompany()
    for customer, days in (("d45", 45), ("d46", 46), ("d90", 90), ("d91", 91)):
        company.order(customer, after("2026-06-30", -days), customer=customer)
    rows: Rows = customers.churn_indicators(company.book(date(2026, 6, 30)))
    found = {row["customer_id"]: (row["is_at_risk"], row["activity_status"]) for row in rows}
    assert found == {
        "d45": (False, "active"), "d46": (True, "slowing"), "d90": (True, "slowing"), "d91": (True, "lapsed"),
    }  # fmt: skip


def test_spend_windows_touch_and_do_not_overlap() -> None:
    company = SmallCompany()
    for days, amount in ((0, "1"), (89, "2"), (90, "4"), (179, "8"), (180, "16")):
        company.order(str(days), after("2026-12-31", -days), amount)
    row = only(customers.churn_indicators(company.book()), customer_id="ann")
    assert (row["spend_last_period"], row["spend_previous_period"]) == (3, 12)
    assert row["spend_change_rate"] == -0.75
    assert row["average_days_between_orders"] == 180 / 4
    assert row["overdue_ratio"] == 0.0


def test_year_over_year_compares_the_same_dates() -> None:
    company = SmallCompany()
    for day, amount in (
        ("2024-12-31", "100"),
        ("2025-01-01", "3"),
        ("2025-03-01", "1"),
        ("2025-03-02", "50"),
        ("2026-03-01", "6"),
    ):
        company.order(day, day, amount)
    assert only(customers.churn_indicators(company.book()), customer_id="ann")["yoy_spend_change_rate"] == 0.5


def test_a_second_order_on_the_first_day_does_not_retain_and_day_n_does() -> None:
    company = SmallCompany()
    for customer, gap in (("same", 0), ("seven", 7), ("eight", 8)):
        company.order(f"{customer}-1", "2026-03-01", customer=customer)
        company.order(f"{customer}-2", after("2026-03-01", gap), customer=customer)
    row = only(customers.cohort_ltv(company.book(date(2026, 4, 1))), horizon_days=7)
    assert (row["mature_customers"], row["retained_customers"], row["ltv_total"]) == (3, 1, 50)


def test_a_customer_is_mature_on_day_n() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01")
    for day, mature in (("2026-03-07", 0), ("2026-03-08", 1)):
        row = only(customers.cohort_ltv(company.book(date.fromisoformat(day))), horizon_days=7)
        assert (row["cohort_customers"], row["mature_customers"]) == (1, mature)
        assert row["retention_rate"] == (0.0 if mature else None)


def test_refunds_leave_the_cohort_value_only_within_the_horizon() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10")
    company.send_back("a", "1", "2026-03-08 10:00:00", "3")
    company.send_back("b", "1", "2026-03-09 10:00:00", "2")
    rows: Rows = customers.cohort_ltv(company.book(date(2026, 6, 30)))
    assert [row["ltv_total"] for row in rows] == [7, 5, 5]


def test_segments_take_the_first_rule_that_matches() -> None:
    assert customers.segment(4, 4, 4, 9) == "VIP"
    assert customers.segment(4, 4, 3, 9) == "Loyal"
    assert customers.segment(4, 1, 1, 1) == "New"
    assert customers.segment(4, 1, 1, 2) == "Regular"
    assert customers.segment(2, 2, 5, 1) == "Churn Risk"
    assert customers.segment(2, 3, 5, 3) == "Slipping"
    assert customers.segment(3, 3, 3, 3) == "Regular"


def test_the_triangle_has_every_month_and_refunds_fall_where_they_happened() -> None:
    company = SmallCompany()
    company.order("1", "2026-01-31", "10")
    company.order("2", "2026-03-01", "5")
    company.send_back("a", "1", "2026-02-02 10:00:00", "4")
    rows: Rows = customers.cohort_triangle(company.book())
    assert [(row["active_customers"], row["net_revenue"]) for row in rows] == [(1, 10), (0, -4), (1, 5)]
    assert [row["cumulative_net_revenue_per_customer"] for row in rows] == [10.0, 6.0, 11.0]


def test_period_retention_is_measured_on_the_period_before() -> None:
    company = SmallCompany()
    for number, (customer, day) in enumerate(
        (
            ("a", "2026-01-05"),
            ("b", "2026-01-06"),
            ("a", "2026-02-05"),
            ("c", "2026-02-06"),
            ("c", "2026-02-07"),
        )
    ):
        company.order(str(number), day, customer=customer)
    rows: Rows = customers.customer_metrics(company.book())
    february = only(rows, period_type="month", period_start=date(2026, 2, 1))
    assert (february["active_customers"], february["new_customers"], february["repeat_customers"]) == (
        2,
        1,
        1,
    )
    assert (february["period_retention_rate"], february["active_customer_share"]) == (0.5, 2 / 3)
    assert february["is_complete_period"] is False
    assert only(rows, period_type="month", period_start=date(2026, 1, 1))["is_complete_period"] is True


def test_membership_is_the_customers_own_flag_before_loyal_orders() -> None:
    company = SmallCompany()
    for customer, flag in (("yes", "true"), ("no", "false"), ("unsaid", "")):
        company.deliver("store.customers", {"id": customer, "signup_date": "2026-01-01", "is_loyalty": flag})
        company.order(customer, "2026-03-01", customer=customer, is_loyalty="true")
    row = only(customers.loyalty_impact(company.book()), member_group="member")
    assert (row["customers"], row["orders"], row["revenue_share"]) == (2, 2, 2 / 3)


# Locations and discounts


def test_locations_with_equal_revenue_share_a_rank() -> None:
    company = SmallCompany()
    for place, amount in (("a", "10"), ("b", "30"), ("c", "10"), ("d", "5")):
        company.order(place, "2026-03-01", amount, location_id=place)
    rows: Rows = locations.location_performance(company.book())
    assert {row["location_id"]: row["revenue_rank"] for row in rows} == {"a": 2, "b": 1, "c": 2, "d": 4}


def test_the_last_28_days_end_on_the_as_of_date() -> None:
    company = SmallCompany()
    for days, amount in ((0, "1"), (27, "2"), (28, "4"), (55, "8"), (56, "16")):
        company.order(str(days), after("2026-12-31", -days), amount)
    row = only(locations.location_performance(company.book()), location_id="web")
    assert (row["revenue_last_28_days"], row["revenue_change_rate"]) == (3, -0.75)
    assert (row["trading_days"], row["orders_per_week"]) == (5, 5 * 7 / 57)


def test_before_and_after_are_28_days_each_around_the_first_discount() -> None:
    company = SmallCompany()
    company.header("first", "2026-03-29 12:00:00")
    company.line("first", "1", "10", discount="1")
    for days, amount in ((-29, "1"), (-28, "2"), (-1, "4"), (27, "8"), (28, "16")):
        company.order(str(days), after("2026-03-29", days), amount)
    row = only(discounts.discount_before_after(company.book()), product_id="mug")
    assert (row["orders_before"], row["net_sales_before"]) == (2, 6)
    assert (row["orders_after"], row["net_sales_after"]) == (2, 17)
    assert (row["is_fully_observed"], row["orders_change_rate"]) == (True, 0.0)
    short = only(discounts.discount_before_after(company.book(date(2026, 4, 24))), product_id="mug")
    assert (short["is_fully_observed"], short["orders_change_rate"]) == (False, None)


# Payments and inventory


@pytest.mark.parametrize(
    ("paid", "classification"),
    [("10", "matched"), ("9.99", "underpaid"), ("10.01", "overpaid"), (None, "unpaid")],
)
def test_reconciliation_classes(paid: str | None, classification: str) -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10")
    company.pay("f", "1", "10", "failed")
    if paid:
        company.pay("p", "1", paid, "refunded", "2026-03-01 13:00:00")
    company.pay("o", "unknown", "3", "succeeded", "2026-03-01 13:00:00")
    rows: Rows = payments.payment_reconciliation(company.book(), company.delivered)
    assert only(rows, order_id="1")["classification"] == classification
    assert only(rows, order_id="unknown")["classification"] == "payment_without_order"


def test_a_refunded_payment_succeeded_only_if_it_was_paid() -> None:
    company = SmallCompany()
    company.order("1", "2026-03-01", "10")
    company.pay("a", "1", "10", "refunded", "2026-03-01 13:30:00")
    company.pay("b", "1", "10", "refunded")
    company.pay("c", "1", "10", "failed")
    row = only(payments.payments_daily(company.book(), company.delivered), method="card")
    assert (row["payments"], row["payment_amount"], row["payment_success_rate"]) == (3, 10, 0.5)
    assert row["average_processing_hours"] == 1.5


def test_equal_to_the_reorder_point_is_no_alert() -> None:
    company = SmallCompany()
    company.order("1", "2026-02-05", quantity="7")
    company.order("2", "2026-02-04", quantity="100")
    for day, on_hand in (("2026-03-01", "9"), ("2026-03-02", "10"), ("2026-03-03", "9"), ("2026-03-04", "2")):
        company.count(day, on_hand, "2", "8")
    company.count("2026-03-04", "10", "2", "8", product="bowl")
    rows: Rows = inventory.inventory_daily(company.book(), company.delivered)
    assert [row["is_alert"] for row in rows] == [True, False, True, True, False]
    assert [row["is_stockout"] for row in rows] == [False, False, False, True, False]
    # 28 days ending on 3 March begin on 4 February, those ending on 4 March a day later.
    assert [row["units_sold_28_days"] for row in rows if row["product_id"] == "mug"] == [107, 107, 107, 7]
    assert rows[2]["days_of_cover"] == 7 * 28 / 107
    assert (rows[3]["days_of_cover"], rows[4]["days_of_cover"]) == (0.0, None)
    alert = only(inventory.inventory_alerts(company.book(), company.delivered), product_id="mug")
    assert (alert["days_in_alert"], alert["suggested_order_quantity"]) == (2, 8)
