"""The true price intervals come back from `dim_product`, however the catalogue's deliveries fall into runs."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.home import Home

from .figures.deliveries import read_landing
from .figures.feed_files import read_feeds
from .figures.prices import PriceHistory
from .pipeline import Pipeline

pytestmark = pytest.mark.minutes

SAMPLE_FEEDS = Path(__file__).resolve().parents[3] / "examples" / "feeds" / "sample.yml"
CATALOGUE = "store_products"
DIM_PRODUCT = ("+dim_product",)
Interval = tuple[Any, ...]


@pytest.fixture(scope="module")
def small_company(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Interval]]:
    """A landing folder with few catalogue deliveries, and the intervals that they were made from."""
    folder = tmp_path_factory.mktemp("small_company")
    plan = SamplePlan(orders=200, days=130, deliveries=1, products=40)
    generate(plan, folder / "landing", truth=folder / "truth.json")
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    wrong_in = truth["catalogue_corrections"][0]["wrong_in"]
    names = [file.name for file in catalogue_files(folder / "landing")]
    assert [f"{CATALOGUE}_{stamp}.csv" for stamp in wrong_in] == [names[1]], "tests below count on it"
    return folder / "landing", true_intervals(truth)


def true_intervals(truth: dict[str, Any]) -> list[Interval]:
    return sorted(
        (
            one["product_id"],
            datetime.fromisoformat(one["valid_from"]),
            one["valid_to"] and datetime.fromisoformat(one["valid_to"]),
            one["name"],
            one["category"],
            Decimal(one["list_price"]),
            one["unit_cost"] and Decimal(one["unit_cost"]),
        )
        for one in truth["price_intervals"]
    )


def intervals_in(database: Path) -> list[Interval]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return sorted(
            connection.execute(
                "select product_id, valid_from, valid_to, product_name, category, list_price, unit_cost"
                " from marts.dim_product where source_system = 'store'"
            ).fetchall()
        )


def catalogue_files(landing: Path) -> list[Path]:
    return sorted((landing / CATALOGUE).iterdir())


def pipeline_with_orders(landing: Path, root: Path) -> Pipeline:
    """A home that has the orders (they give the as-of date) and no catalogue yet."""
    home = Home(root).ensure()
    shutil.copytree(landing / "store_orders", home.landing / "store_orders")
    (home.landing / CATALOGUE).mkdir()
    return Pipeline(home, SAMPLE_FEEDS, select=DIM_PRODUCT)


def deliver(pipeline: Pipeline, file: Path) -> None:
    shutil.copy(file, pipeline.home.landing / CATALOGUE / file.name)


def test_all_deliveries_in_one_run(sample_run: Any) -> None:
    assert intervals_in(sample_run.published) == true_intervals(sample_run.truth)


def test_the_recomputation_knows_them_too(small_company: tuple[Path, list[Interval]]) -> None:
    landing, truth = small_company
    landed = read_landing(read_feeds(SAMPLE_FEEDS, landing.parent))
    history = PriceHistory(landed.delivered.of("store.products"))
    found = [
        (
            one.product_id,
            one.valid_from,
            one.valid_to,
            one.product_name,
            one.category,
            one.list_price,
            one.unit_cost,
        )
        for one in history.intervals()
    ]
    assert sorted(found) == truth


def test_one_run_per_delivery(small_company: tuple[Path, list[Interval]], tmp_path: Path) -> None:
    landing, truth = small_company
    pipeline = pipeline_with_orders(landing, tmp_path / "home")
    for file in catalogue_files(landing):
        deliver(pipeline, file)
        pipeline.run()
    assert pipeline.runs == 4
    assert intervals_in(pipeline.home.warehouse) == truth


@pytest.mark.parametrize("late", [0, 1], ids=["the first", "the one with an error"])
def test_one_delivery_arrives_late(
    small_company: tuple[Path, list[Interval]], tmp_path: Path, late: int
) -> None:
    """A version known from the late delivery alone appears; an error in it that was put right stays right."""
    landing, truth = small_company
    pipeline = pipeline_with_orders(landing, tmp_path / "home")
    files = catalogue_files(landing)
    late_file = files[late]
    for file in files:
        if file != late_file:
            deliver(pipeline, file)
    pipeline.run()
    deliver(pipeline, late_file)
    pipeline.run()
    assert intervals_in(pipeline.home.warehouse) == truth
