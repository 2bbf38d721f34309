"""The dashboards in a real Chromium: no errors, filters that act, figures of the semantic layer, no way out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from conftest import SampleRun
from playwright.sync_api import Locator, Page, sync_playwright

from bench.browsing import CHROMIUM, MILLISECONDS, NO_CHROMIUM, dashboards_of, launch, settle
from serving.dashboards.definitions import Chart, FilterName, load_dashboards
from serving.dashboards.figures import written
from serving.semantic import Filter, Grain, MetricQuery, Operator

from .metrics import Metrics

DASHBOARDS = load_dashboards()
SHOWN_DAYS = 91  # the period of a page that names none
# Streamlit looks for its own server below the page's path first, and then where it is.
PROBE = re.compile(r"/_stcore/(health|host-config)$")

pytestmark = [pytest.mark.minutes, pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)]


@dataclass
class Reader:
    """Somebody at the dashboards, and what the browser complained of."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, path: str = "") -> None:
        """Go to an address as if it had been typed."""
        self.page.goto(f"{self.address}/{path}")
        settle(self.page)

    def turn_to(self, title: str) -> None:
        """Go to a page by its link at the side."""
        self.page.get_by_test_id("stSidebarNavLink").filter(
            has_text=re.compile(f"{re.escape(title)}$")
        ).click()
        self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for(timeout=MILLISECONDS)
        settle(self.page)

    def card(self, dashboard: str, card: str) -> Locator:
        return self.page.locator(f".st-key-card-{dashboard}-{card}")

    def number(self, dashboard: str, card: str) -> str:
        return self.card(dashboard, card).get_by_test_id("stMetricValue").inner_text(timeout=MILLISECONDS)


@pytest.fixture(scope="module")
def address(sample_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("dashboards") / "log"
    with dashboards_of(sample_run.home, "analyst", log) as found:
        yield found


@pytest.fixture(scope="module")
def reader(address: str) -> Iterator[Reader]:
    with sync_playwright() as play:
        browser = launch(play)
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, timezone_id="America/Los_Angeles")
        found = Reader(page, address)

        def asked(request: Any) -> None:
            if urlsplit(request.url).scheme in {"http", "https", "ws", "wss"}:
                found.hosts.add(str(urlsplit(request.url).hostname))

        def said(message: Any) -> None:
            if message.type == "error" and not PROBE.search(message.location.get("url", "")):
                found.complaints.append(f"{message.text} {message.location}")

        page.on("request", asked)
        page.on("websocket", lambda socket: found.hosts.add(str(urlsplit(socket.url).hostname)))
        page.on("console", said)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.open()
        yield found
        browser.close()


@pytest.fixture(autouse=True)
def nothing_went_wrong(reader: Reader) -> Iterator[None]:
    """No test of this file leaves an error on the page or in the console, or asks another machine."""
    reader.complaints.clear()
    yield
    assert reader.complaints == []
    assert reader.page.get_by_test_id("stException").count() == 0
    assert reader.hosts == {"127.0.0.1"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: str(one.name))
def test_every_page_shows_all_its_cards_with_the_figures_of_the_semantic_layer(
    reader: Reader, metrics: Metrics, dashboard: Any
) -> None:
    reader.turn_to(dashboard.title)
    for card in dashboard.cards:
        place = reader.card(dashboard.name, card.name)
        place.wait_for(timeout=MILLISECONDS)
        if card.chart is Chart.NUMBER:
            follows = FilterName.PERIOD in dashboard.filters and FilterName.PERIOD not in card.not_applied
            value = metrics.figure(card.metrics[0], metrics.days(SHOWN_DAYS) if follows else ())
            form = metrics.client.catalogue().metrics[card.metrics[0]].format
            assert reader.number(dashboard.name, card.name) == written(value, form), card.name
        elif card.chart is Chart.TABLE:
            place.locator("[data-testid=stDataFrame], [data-testid=stAlert]").first.wait_for(
                timeout=MILLISECONDS
            )
        else:
            place.locator("[data-testid=stVegaLiteChart] .marks").first.wait_for(timeout=MILLISECONDS)
    errors = reader.page.locator("[data-testid=stAlertContentError], [data-testid=stAlertContentWarning]")
    assert errors.count() == 0, errors.all_inner_texts()


def location_of(metrics: Metrics) -> tuple[str, str]:
    """A location of the restaurant as an address names it, and its key."""
    rows = metrics.client.query(
        MetricQuery(("orders",), ("location", "location_key"), filters=(equal("system", "restaurant"),))
    ).rows
    return f"restaurant:{rows[0][0]}", str(rows[0][1])


def equal(dimension: str, value: str) -> Filter:
    return Filter(dimension, Operator.EQUAL, (value,))


def test_every_filter_of_the_address_acts_and_gives_the_figure_of_the_semantic_layer(
    reader: Reader, metrics: Metrics
) -> None:
    name, key = location_of(metrics)
    period = metrics.days(SHOWN_DAYS)
    whole = written(metrics.figure("net_revenue", period), "money")
    asked: list[tuple[str, tuple[Filter, ...]]] = [
        ("period=28d", metrics.days(28)),
        ("period=all", ()),
        ("system=store", (*period, equal("system", "store"))),
        (f"location={name}", (*period, equal("location_key", key))),
        ("category=Pizza", (*period, equal("category", "Pizza"))),
        ("channel=KIOSK&channel=online", (*period, Filter("channel", Operator.IN, ("KIOSK", "online")))),
        ("system=restaurant&category=Subs&period=28d",
         (*metrics.days(28), equal("system", "restaurant"), equal("category", "Subs"))),
    ]  # fmt: skip
    for query, filters in asked:
        reader.open(f"revenue?{query}")
        expected = written(metrics.figure("net_revenue", filters), "money")
        assert reader.number("revenue", "net_revenue") == expected, query
        assert expected != whole, query


def test_a_filter_that_is_chosen_stands_in_the_address_on_every_page(
    reader: Reader, metrics: Metrics
) -> None:
    reader.open()
    box = reader.page.get_by_role("combobox", name=re.compile("System"))
    box.click()
    reader.page.get_by_role("option", name="store", exact=True).click()
    expected = metrics.figure("orders", (*metrics.days(SHOWN_DAYS), equal("system", "store")))
    place = reader.card("home", "orders").get_by_test_id("stMetricValue")
    place.filter(has_text=re.compile(f"^{re.escape(written(expected, 'count'))}$")).wait_for(
        timeout=MILLISECONDS
    )
    assert urlsplit(reader.page.url).query == "system=store"
    reader.page.keyboard.press("Escape")
    reader.turn_to("Payments")
    assert urlsplit(reader.page.url).query == "system=store"
    assert urlsplit(reader.page.url).path == "/payments"


def test_an_address_that_cannot_be_read_is_told_and_the_page_stands(reader: Reader, metrics: Metrics) -> None:
    picture = "![x](https://elsewhere.example/x.png)"
    reader.open(f"revenue?period=2026-13-01..x&system={quote(picture)}&category=%3Cscript%3E&what=ever")
    told = reader.page.get_by_test_id("stAlertContentWarning").all_inner_texts()
    assert len(told) == 3
    assert "is no period" in told[0]
    assert picture in told[1]
    assert "'<script>'" in told[2]
    expected = written(metrics.figure("net_revenue", metrics.days(SHOWN_DAYS)), "money")
    assert reader.number("revenue", "net_revenue") == expected


def test_a_filter_that_a_figure_cannot_take_is_told_beside_it(reader: Reader) -> None:
    reader.open("?channel=KIOSK")
    assert "not applied: period, channel" in reader.card("home", "inventory_alerts").inner_text()
    assert "not applied" not in reader.card("home", "orders").inner_text()


def test_rows_stand_behind_a_figure_under_the_same_filters(
    reader: Reader, metrics: Metrics, sample_run: SampleRun
) -> None:
    reader.open("payments?period=28d")
    first, last = (one.values[0] for one in metrics.days(28))
    ((expected,),) = sample_run.query(
        "select count(*) from marts.mart_payment_reconciliation where order_date between ? and ?",
        [first, last],
    )
    reader.card("payments", "unreconciled_orders").get_by_role("button", name="Rows").click()
    dialog = reader.page.get_by_role("dialog")
    dialog.get_by_test_id("stDataFrame").wait_for(timeout=MILLISECONDS)
    assert f"{expected:,} rows" in dialog.inner_text()
    with reader.page.expect_download(timeout=MILLISECONDS) as download:
        dialog.get_by_role("button", name="CSV").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == expected + 1
    reader.page.keyboard.press("Escape")


def test_what_is_drawn_can_be_had_as_a_file(reader: Reader, metrics: Metrics) -> None:
    reader.open("revenue")
    with reader.page.expect_download(timeout=MILLISECONDS) as download:
        reader.card("revenue", "bridge_trend").get_by_role("button", name="CSV").click()
    names = ("gross_revenue", "net_sales", "net_revenue")
    expected = metrics.client.query(
        MetricQuery(names, grain=Grain.WEEK, filters=metrics.days(SHOWN_DAYS))
    ).rows
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["week", *names]
    assert rows[1:] == [[str(value) for value in row] for row in expected]


def test_a_figure_says_what_it_is_from_what_it_is_made_and_how_fresh_it_is(reader: Reader) -> None:
    reader.open()
    reader.card("home", "average_order_value").get_by_role("button", name="About").click()
    told = reader.page.get_by_test_id("stPopoverBody").inner_text(timeout=MILLISECONDS)
    for part in (
        "net_sales / orders",
        "marts.fct_orders",
        "owner: Revenue Analytics",
        "published",
        "error level passed",
    ):
        assert part in told
    reader.page.keyboard.press("Escape")
