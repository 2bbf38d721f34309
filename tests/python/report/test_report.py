"""The daily report: its figures are the marts', it stands alone, and it explains what it cannot show."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from serving.report.contents import Contents, gather
from serving.report.page import render, write_report
from serving.semantic import SemanticClient
from serving.semantic.published_duckdb import DuckDBPublished
from settings.errors import ConfigurationError
from settings.home import Home

if TYPE_CHECKING:
    from conftest import SampleRun

DAY = timedelta(days=1)
TAG = re.compile(r"<[^>]*>")


@pytest.fixture(scope="module")
def contents(sample_run: SampleRun) -> Contents:
    with SemanticClient.open(sample_run.home) as client:
        return gather(client)


@pytest.fixture(scope="module")
def page(contents: Contents) -> str:
    return render(contents)


@pytest.fixture
def changed(sample_run: SampleRun, tmp_path: Path) -> Iterator[Callable[..., SemanticClient]]:
    """A client of the sample company after some statements on a copy of what is published."""
    opened: list[SemanticClient] = []

    def client(*statements: str) -> SemanticClient:
        copy = tmp_path / "published.duckdb"
        shutil.copyfile(sample_run.published, copy)
        with duckdb.connect(str(copy)) as connection:
            for statement in statements:
                connection.execute(statement)
        opened.append(SemanticClient(DuckDBPublished(copy, sample_run.home.published_files)))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


def told(page: str) -> str:
    """What a reader reads, on one line."""
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(TAG.sub(" ", text)).split())


def rows(page: str, name: str) -> list[list[str]]:
    """Cells of the rows of tables whose first cell is this name."""
    found = [
        [told(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    ]
    return [cells for cells in found if cells and cells[0] == name]


def by_day(sample_run: SampleRun, day: date) -> dict[str, Any]:
    """A day's figures from the facts, without the semantic layer."""
    ((day_revenue, day_orders, units),) = sample_run.query(
        "select sum(net_revenue), sum(orders), sum(units) from marts.fct_revenue_daily where revenue_date = ?",
        [day],
    )
    ((sales, customers, new),) = sample_run.query(
        "select sum(net_sales_amount), count(distinct customer_key),"
        " count(distinct case when is_first_order then customer_key end)"
        " from marts.fct_orders where is_booked and order_date = ?",
        [day],
    )
    return {
        "Net revenue": f"{day_revenue:,.2f}",
        "Orders": f"{int(day_orders):,}",
        "Units sold": f"{units:,.0f}",
        "Average order value": f"{sales / day_orders:,.2f}",
        "Daily active customers": f"{customers:,}",
        "New customers": f"{new:,}",
    }


def test_the_report_is_of_the_latest_day_with_an_order(sample_run: SampleRun, contents: Contents) -> None:
    assert [(contents.day,)] == sample_run.query("select max(order_date) from marts.fct_orders")


@pytest.mark.parametrize(
    "label",
    ["Net revenue", "Orders", "Units sold", "Average order value", "Daily active customers", "New customers"],
)
def test_headlines_equal_the_marts(sample_run: SampleRun, contents: Contents, page: str, label: str) -> None:
    assert contents.day is not None
    (cells,) = rows(page, label)
    days = [contents.day, contents.day - DAY, contents.day - 7 * DAY]
    assert [cells[1], cells[2], cells[4]] == [by_day(sample_run, at)[label] for at in days]


def test_the_trend_equals_the_daily_mart(sample_run: SampleRun, contents: Contents) -> None:
    assert contents.day is not None
    found = dict(
        sample_run.query(
            "select revenue_date, sum(net_revenue) from marts.fct_revenue_daily where revenue_date > ?"
            " group by revenue_date",
            [contents.day - 91 * DAY],
        )
    )
    assert len(contents.trend) == 91
    assert dict(contents.trend) == {at: found.get(at, Decimal(0)) for at, _ in contents.trend}


def test_contributions_equal_the_lines_of_the_two_days(sample_run: SampleRun, contents: Contents) -> None:
    assert contents.day is not None
    before, after = (
        dict(
            sample_run.query(
                "select source_system, sum(net_revenue) from marts.fct_revenue_daily where revenue_date = ?"
                " group by 1",
                [at],
            )
        )
        for at in (contents.day - DAY, contents.day)
    )
    (by_system,) = [one for one in contents.revenue_changes if one.dimension == "system"]
    assert {one.member: (one.before, one.after) for one in by_system.contributions} == {
        system: (before[system], after[system]) for system in after
    }
    changes = {one.change for one in contents.revenue_changes}
    assert changes == {sum(after.values()) - sum(before.values())}


def test_all_dimensions_but_those_that_cannot_explain_are_told(contents: Contents) -> None:
    assert {one.dimension for one in contents.revenue_changes} == {
        "category", "channel", "currency", "day_part", "discounted", "location_key", "loyalty", "region", "system",
    }  # fmt: skip


def test_rate_and_mix_tie_to_the_average_of_the_orders(sample_run: SampleRun, contents: Contents) -> None:
    change = contents.average_change
    assert change is not None
    assert contents.day is not None
    averages = [
        Fraction(sales) / count
        for at in (contents.day - DAY, contents.day)
        for sales, count in sample_run.query(
            "select sum(net_sales_amount), count(*) from marts.fct_orders where is_booked and order_date = ?",
            [at],
        )
    ]
    assert [change.before, change.after] == averages
    assert change.rate + change.mix == averages[1] - averages[0]
    # Orders hold lines of several categories, so these do not add up and cannot tell it.
    assert change.dimension not in {"category", "currency"}


def test_cohorts_scores_and_segments_equal_the_marts(sample_run: SampleRun, contents: Contents) -> None:
    cohorts = sample_run.query(
        "select source_system, cohort_month, month_number, active_customers / cohort_customers"
        " from marts.mart_cohort_triangle where cohort_customers >= 5"
    )
    assert {(one.system, one.cohort, one.month): one.retention for one in contents.cohorts} == {
        (system, cohort, month): rate for system, cohort, month, rate in cohorts
    }
    groups = {
        (system, recency, frequency): customers if customers >= 5 else None
        for system, recency, frequency, customers in sample_run.query(
            "select source_system, r_score, f_score, count(*) from marts.mart_customer_segments group by all"
        )
    }
    assert groups == {
        (system, *cell): customers
        for system, cells in contents.score_groups.items()
        for cell, customers in cells.items()
    }
    assert None in groups.values(), "the sample has a group that is too small to show"
    segments = sample_run.query(
        "select source_system, segment, count(*) from marts.mart_customer_segments group by all"
    )
    assert {
        (system, name): customers
        for system, named in contents.segments.items()
        for name, customers in named.items()
    } == {(system, name): customers if customers >= 5 else None for system, name, customers in segments}


def test_stock_and_quality_equal_the_marts(sample_run: SampleRun, contents: Contents, page: str) -> None:
    alerts = sample_run.query(
        "select product_name, suggested_order_quantity from marts.mart_inventory_alerts"
        " order by is_stockout desc, suggested_order_quantity desc, product_key"
    )
    assert contents.alerts.products == len(alerts)
    listed = [(row["product_name"], row["suggested_order_quantity"]) for row in contents.alerts.rows]
    assert listed == alerts[:15]
    ((read, accepted, quarantined),) = sample_run.query(
        "select sum(rows_read), sum(rows_accepted), sum(rows_quarantined) from quality.quality_feed_days"
    )
    assert f"Of {read:,} rows ever read, {accepted:,} were accepted and {quarantined:,} (" in told(page)
    for feed, hours in sample_run.query("select feed, hours_behind from quality.quality_feed_freshness"):
        (cells,) = [cells for cells in rows(page, feed) if "." in cells[1]]
        assert cells[2] == (f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days")


def test_the_page_asks_nothing_of_any_other_place(page: str) -> None:
    assert "<script" not in page
    assert not re.search(r"https?://", page)
    assert all(
        source.startswith("data:image/svg+xml;base64,") for source in re.findall(r'src="([^"]*)"', page)
    )
    assert "default-src 'none'" in page
    images = re.findall(r"<img[^>]*>", page)
    assert len(images) > 10
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


def test_the_same_publication_gives_the_same_page(sample_run: SampleRun, page: str) -> None:
    with SemanticClient.open(sample_run.home) as client:
        assert render(gather(client)) == page


def test_names_from_files_are_text_and_nothing_else(changed: Callable[..., SemanticClient]) -> None:
    hostile = '<img src=x onerror="alert(1)"> $\\frac{1}{2$ {{ 7 * 7 }} 東京 \u202e'
    quoted = hostile.replace("'", "''")
    client = changed(
        f"update marts.dim_location set location_name = '{quoted}' || location_id",
        f"update marts.mart_inventory_alerts set product_name = '{quoted}'",
    )
    page = render(gather(client))
    assert "<img src=x" not in page
    assert html.escape(hostile, quote=False).split(" $")[0].replace('"', "&#34;") in page
    assert "{{ 7 * 7 }}" in page


def test_two_places_of_one_name_stay_apart(changed: Callable[..., SemanticClient]) -> None:
    contents = gather(changed("update marts.dim_location set location_name = 'Market'"))
    (by_place,) = [one for one in contents.revenue_changes if one.dimension == "location_key"]
    assert len(by_place.contributions) > 2
    assert all(str(one.member).startswith("Market (") for one in by_place.contributions)


def test_a_day_without_orders_says_so(sample_run: SampleRun, contents: Contents) -> None:
    assert contents.day is not None
    with SemanticClient.open(sample_run.home) as client:
        page = told(render(gather(client, contents.day + 30 * DAY)))
    assert "No order is dated" in page
    assert "The latest day with an order is" in page


def test_the_first_day_says_that_there_is_none_before(sample_run: SampleRun) -> None:
    ((first,),) = sample_run.query("select min(revenue_date) from marts.fct_revenue_daily")
    with SemanticClient.open(sample_run.home) as client:
        found = gather(client, first)
        page = told(render(found))
    assert "This is the first day on record" in page
    assert "There is no day before to compare with." in page
    assert "One day is no trend" in page
    assert all(one.before is None and one.week_before is None for one in found.headlines)


def test_a_system_whose_orders_end_earlier_is_named(
    changed: Callable[..., SemanticClient], contents: Contents
) -> None:
    assert contents.day is not None
    client = changed(
        f"update marts.dim_source_system set as_of_date = date '{contents.day - DAY}' where source_system = 'store'"
    )
    assert "Not every system has delivered this day: the orders end for store on" in told(
        render(gather(client))
    )


def test_a_warehouse_without_any_order_has_a_report(changed: Callable[..., SemanticClient]) -> None:
    emptied = (
        "dim_source_system", "fct_orders", "fct_returns", "fct_payments", "fct_revenue_daily",
        "mart_cohort_triangle", "mart_customer_segments", "mart_inventory_alerts", "mart_inventory_latest",
    )  # fmt: skip
    client = changed(*(f"delete from marts.{name}" for name in emptied))
    page = told(render(gather(client)))
    for sentence in (
        "No order is published yet",
        "No cohort has a month behind it yet",
        "No identified customer has a booked order yet.",
        "No product is below its reorder point",
    ):
        assert sentence in page
    assert "Headlines" not in page


def test_a_change_that_is_spread_is_said_to_be(contents: Contents) -> None:
    chosen = contents.revenue_change
    assert chosen is not None
    spread = replace(contents, revenue_change=replace(chosen, explaining=()))
    assert "It is spread" in told(render(spread))


def test_outcomes_of_tests_are_shown_once_a_run_has_recorded_them(contents: Contents) -> None:
    assert "Results of tests appear with the next publication" in told(render(contents))
    recorded = replace(contents, quality=replace(contents.quality, tests={"pass": 230, "warn": 2}))
    assert "Tests of the last recorded run: 230 pass, 2 warn." in told(render(recorded))


def test_a_folder_that_cannot_be_written_to_leaves_the_former_report(
    sample_run: SampleRun, tmp_path: Path
) -> None:
    former = tmp_path / "file"
    former.write_text("former", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report(Home(sample_run.home.root), output=former / "daily.html")
    assert former.read_text(encoding="utf-8") == "former"
