"""Every plan within its bounds can be generated; every other is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sample_files import Sample

from sample_data.files import DeliveryFile
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.errors import ConfigurationError, UsageError

pytest_plugins = ["sample_companies"]


def made(plan: SamplePlan, folder: Path) -> Sample:
    generate(plan, folder / "landing", truth=folder / "truth.json")
    return Sample(folder / "landing", json.loads((folder / "truth.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "plan",
    [
        SamplePlan(orders=100),
        SamplePlan(orders=100, days=1, deliveries=0),
        SamplePlan(orders=150, days=2, deliveries=1),
        SamplePlan(orders=400, days=30, deliveries=0, products=40),
        SamplePlan(orders=700, days=40, deliveries=39, seed=0),
        SamplePlan(
            orders=900, days=90, deliveries=6, last_day=date(2024, 3, 2), products=77, store_share=0.9
        ),
    ],
    ids=lambda plan: f"{plan.orders} orders, {plan.days} days, {plan.deliveries} deliveries",
)
def test_small_and_odd_plans(plan: SamplePlan, tmp_path: Path) -> None:
    """Exactly the planned orders arrive, dirt is as told, and at least five products are in alert."""
    sample = made(plan, tmp_path)
    ids = {row["ORDER_ID"] for row in sample.rows("restaurant_order_items")}
    assert len(sample.orders) + len(ids) == plan.orders
    for feed, files in sample.files.items():
        told = {file["name"]: file for part in sample.truth["feeds"][feed].values() for file in part["files"]}
        assert {file.path.name for file in files} == set(told)
        for file in files:
            assert dict(file.bad_rules) == told[file.path.name]["bad_rows"]
            assert file.rows == told[file.path.name]["rows"]
    assert len(sample.truth["products_in_alert"]) >= 5
    assert len({entry["product_id"] for entry in sample.truth["price_intervals"]}) == plan.products


def test_without_dirt_nothing_is_broken_or_repeated(tmp_path: Path) -> None:
    sample = made(SamplePlan(orders=500, days=60, deliveries=5, bad_rows=0, duplicate_rows=0), tmp_path)
    for files in sample.files.values():
        assert not any(file.bad_rules or file.exact_duplicates for file in files)
    assert sample.truth["totals"]["store_orders"]["bad_rows"] == {}


def test_one_currency_unless_several_are_asked_for(small: Sample, tmp_path: Path) -> None:
    assert {row["currency_code"] for row in small.rows("store_orders")} == {"USD"}
    assert {row["CURRENCY"] for row in small.rows("restaurant_order_items")} == {"USD"}
    several = made(SamplePlan(orders=600, days=50, deliveries=2, currencies=("USD", "EUR", "GBP")), tmp_path)
    codes = [row["currency_code"] for row in several.rows("store_orders")]
    assert set(codes) == {"USD", "EUR", "GBP"}
    assert codes.count("USD") > 0.7 * len(codes)
    versions: dict[str, set[str]] = {}
    for row in several.rows("store_orders"):
        versions.setdefault(row["order_number"], set()).add(row["currency_code"])
    assert all(len(codes) == 1 for codes in versions.values()), "an order keeps its currency"


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: SamplePlan(orders=99), "orders"),
        (lambda: SamplePlan(orders=10_000_001), "orders"),
        (lambda: SamplePlan(days=14, deliveries=14), "days"),
        (lambda: SamplePlan(seed=-1), "seed"),
        (lambda: SamplePlan(products=39), "products"),
        (lambda: SamplePlan(bad_rows=0.006), "bad_rows"),
        (lambda: SamplePlan(store_share=0.95), "store_share"),
        (lambda: SamplePlan(currencies=("usd",)), "currencies"),
        (lambda: SamplePlan(currencies=()), "currencies"),
    ],
)
def test_plans_out_of_bounds_name_the_setting(build: Callable[[], SamplePlan], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        build()


@pytest.mark.parametrize(("first", "last"), [(3, 2), (-1, 2), (0, 3), (3, None)])
def test_deliveries_that_the_plan_does_not_have(first: int, last: int | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="deliveries"):
        generate(
            SamplePlan(orders=100, days=10, deliveries=2), tmp_path, first_delivery=first, last_delivery=last
        )
    assert not list(tmp_path.iterdir())


def test_a_landing_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("a file, no folder")
    with pytest.raises(ConfigurationError, match="landing"):
        generate(SamplePlan(orders=100, days=10, deliveries=2), tmp_path / "landing")


@pytest.mark.parametrize("successes", [0, 12, 24], ids=["first list", "history of orders", "daily delivery"])
def test_a_failing_write_leaves_no_half_files(
    successes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full half way: complete files have their names, the others are gone."""
    write, calls = DeliveryFile.write, []

    def failing(self: DeliveryFile, *arguments: object) -> None:
        calls.append(self)
        if len(calls) > successes:
            raise OSError(28, "No space left on device")
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DeliveryFile, "write", failing)
    with pytest.raises(ConfigurationError, match="No space left"):
        generate(SamplePlan(orders=300, days=60, deliveries=2), tmp_path)
    assert not [path.name for path in tmp_path.rglob(".*")]


def test_files_are_private_and_the_report_counts_them(tmp_path: Path) -> None:
    report = generate(SamplePlan(orders=300, days=40, deliveries=2), tmp_path, truth=tmp_path / "truth.json")
    written = sorted(tmp_path.glob("*/*"))
    assert sorted(report.paths) == written
    assert report.files == len(written)
    assert report.bytes_written == sum(path.stat().st_size for path in written)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*written, tmp_path / "truth.json"])
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    totals = truth["totals"]
    assert report.order_lines == sum(
        totals[feed]["rows_delivered"] for feed in ("store_order_items", "restaurant_order_items")
    )
    repeated = sum(entry["rows"] for entry in truth["repeated_files"])
    assert report.rows == sum(total["rows_delivered"] for total in totals.values()) + repeated


def test_orders_have_as_many_more_lines_as_asked_for(tmp_path: Path) -> None:
    plan = SamplePlan(orders=2_000, days=60, deliveries=2)
    longer = replace(plan, extra_lines_per_order=0.65)
    lines = generate(plan, tmp_path / "usual").order_lines / plan.orders
    assert 2.3 < lines < 2.5
    assert 0.55 < generate(longer, tmp_path / "longer").order_lines / plan.orders - lines < 0.75
