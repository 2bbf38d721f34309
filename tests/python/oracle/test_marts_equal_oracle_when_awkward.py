"""The marts equal the recomputation for files that are as awkward as the contracts allow.

They come in two runs; the second brings a delivery that is older than the newest of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from settings.home import Home

from .awkward_company import DELIVERIES, FIRST_DAY, LAST_DAY, AwkwardCompany
from .compared_marts import COMPARED, Compared, compare, compare_customers
from .figures.book import Book, ExchangeRates, build_book
from .figures.deliveries import Landed, read_landing
from .figures.exact import each_day
from .figures.feed_files import read_feeds
from .pipeline import Pipeline, seed_exchange_rates
from .warehouse import Warehouse, summary

pytestmark = pytest.mark.minutes

SEED = 20
# Every day has a rate of the one currency; of the other the latest before the day counts.
RATES = {
    "EUR": [
        (day, Decimal("1.05") + Decimal(day.toordinal() % 97) / 1000) for day in each_day(FIRST_DAY, LAST_DAY)
    ],
    "JPY": [(FIRST_DAY - timedelta(days=1), Decimal("0.00714286")), (date(2024, 7, 1), Decimal("0.0062"))],
}
# Not the last day: what lies after it must not enter the figures that depend on it.
AS_OF = date(2025, 1, 31)


@dataclass(frozen=True)
class Awkward:
    landed: Landed
    book: Book
    warehouse: Warehouse


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awkward]:
    home = Home(tmp_path_factory.mktemp("awkward") / "home").ensure()
    feeds = AwkwardCompany(SEED, ("USD", *RATES)).write(home.root)
    landed = read_landing(read_feeds(feeds, home.root))
    seed_exchange_rates(home, RATES)
    pipeline = Pipeline(home, feeds, as_of=AS_OF, exclude=["fx_rates"])
    late = _hold_back(home.landing, DELIVERIES[1])
    reports = [pipeline.run()]
    for held, place in late.items():
        held.rename(place)
    reports.append(pipeline.run())
    assert sum(report.rows_quarantined for report in reports) == landed.count("quarantined") == 0
    with Warehouse(home.warehouse) as warehouse:
        yield Awkward(landed, build_book(landed.delivered, ExchangeRates(rates=RATES), AS_OF), warehouse)


def _hold_back(landing: Path, day: date) -> dict[Path, Path]:
    """Take a delivery out of the landing folders: where its files are now → where they belong."""
    held = {}
    for place in sorted(landing.glob(f"*/*_{day:%Y%m%d}.csv")):
        aside = landing.parent / "held_back" / place.name
        aside.parent.mkdir(exist_ok=True)
        held[place.rename(aside)] = place
    assert held
    return held


@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.mart)
def test_mart_equals_the_recomputation(compared: Compared, awkward: Awkward) -> None:
    found = compare(compared, awkward.book, awkward.landed, awkward.warehouse)
    assert not found, summary(found)


def test_customers_equal_the_recomputation(awkward: Awkward) -> None:
    found = compare_customers(awkward.book, awkward.warehouse)
    assert not found, summary(found)


def test_lines_without_a_header_are_kept_apart(awkward: Awkward) -> None:
    rows = awkward.warehouse.rows("fct_order_items", "has_missing_header")
    orphans = awkward.book.orphan_lines
    assert orphans
    assert {(row["order_id"], row["line_id"]) for row in rows} == {
        (version.text("order_id"), version.text("line_id")) for version in orphans
    }
