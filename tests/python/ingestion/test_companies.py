"""Two companies in one warehouse whose ids would meet are told so when they deliver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from shop import Shop, orders

from ingestion.feed import load_feeds
from ingestion.report import IngestionReport
from ingestion.service import IngestionService

OWN_IDS = {"id": {"compose": ["shop", "id"]}}


def feed_file(shop: Shop, company: str, entity: str = "store.orders", columns: Any = None) -> Path:
    (shop.home.landing / company).mkdir(exist_ok=True)
    feed = {
        "name": company,
        "location": f"file://landing/{company}",
        "entities": [{"entity": entity, "columns": columns or {}}],
    }
    path = shop.home.feeds / f"{company}.yml"
    path.write_text(yaml.safe_dump({"company": company, "feeds": [feed]}), encoding="utf-8")
    return path


def ingest(shop: Shop, *paths: Path) -> IngestionReport:
    feeds = [feed for path in paths for feed in load_feeds(path, shop.home)]
    return IngestionService(shop.home, feeds).ingest("run")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home")


def test_two_companies_in_one_raw_table_are_warned_of(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    north, south = feed_file(shop, "north"), feed_file(shop, "south")
    shop.deliver("a.csv", orders(range(2)), feed="north")
    assert ingest(shop, north, south).warnings == []
    shop.deliver("b.csv", orders(range(1, 3)), feed="south")
    (warning,) = ingest(shop, north, south).warnings
    assert "raw.store_orders" in warning
    assert "north" in warning
    assert "south" in warning
    assert warning in caplog.text
    assert ingest(shop, north, south).warnings == []  # nothing was loaded


def test_a_company_whose_feed_file_is_not_named_this_time_counts(shop: Shop) -> None:
    north, south = feed_file(shop, "north"), feed_file(shop, "south")
    shop.deliver("a.csv", orders(range(2)), feed="north")
    shop.deliver("b.csv", orders(range(1, 3)), feed="south")
    assert ingest(shop, north).warnings == []
    (warning,) = ingest(shop, south).warnings
    assert "north" in warning


def test_ids_that_the_feed_makes_distinct_are_no_reason_for_a_warning(shop: Shop) -> None:
    north, south = feed_file(shop, "north", columns=OWN_IDS), feed_file(shop, "south")
    for name in ("north", "south"):
        header, *lines = orders(range(2), updated=name).splitlines()
        table = [f"shop,{header}", *(f"{name},{line}" for line in lines)]
        shop.deliver("a.csv", "\n".join(table).replace(f",paid,{name}", ",paid,") + "\n", feed=name)
    report = ingest(shop, north, south)
    assert (report.files_loaded, report.warnings) == (2, [])


def test_two_feeds_of_one_company_are_no_reason_for_a_warning(shop: Shop) -> None:
    shop.add_feed("more_orders", "store.orders")
    shop.deliver("a.csv", orders(range(2)))
    shop.deliver("b.csv", orders(range(5, 7)), feed="more_orders")
    assert shop.run().warnings == []
