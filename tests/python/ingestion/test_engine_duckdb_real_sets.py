"""The two public data sets go in through their feed files alone, and every figure is exact."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from validation_cases import check

from ingestion.feed import load_feeds
from settings.home import PROJECT_ROOT, Home

REAL_SETS = Path(os.environ.get("TILLHOUSE_REAL_SETS", PROJECT_ROOT.parent / "shared" / "real"))
EXAMPLES = PROJECT_ROOT / "examples" / "feeds"

pytestmark = pytest.mark.skipif(
    not REAL_SETS.is_dir(),
    reason="the public data sets are not in the repository; TILLHOUSE_REAL_SETS names their folder",
)


def test_a_year_of_pizza(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    (feed,) = load_feeds(EXAMPLES / "pizzaplace.yml", home)
    content = (REAL_SETS / "pizzaplace" / "pizzaplace.csv").read_bytes()
    checked = check(home, feed, content, facts={"data_lines": 49_574, "has_quoted_newline": False})
    assert checked.outcome.rows_accepted == checked.outcome.rows_read == 49_574
    assert checked.outcome.rows_duplicate == 0, "the repeated lines are real sales"
    assert checked.outcome.control_totals["item_price"] == Decimal("817860.05")
    assert len(set(checked.values("order_id"))) == 21_350
    assert len(set(checked.values("item_name"))) == 91
    lines = [
        (r["order_id"], r["creation_time_utc"], r["item_name"], r["item_price"]) for r in checked.accepted
    ]
    assert len(lines) - len(set(lines)) == 954


def test_the_cdnow_sample(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    (feed,) = load_feeds(EXAMPLES / "cdnow_sample.yml", home)
    content = (REAL_SETS / "cdnow_sample" / "CDNOW_sample.txt").read_bytes()
    checked = check(home, feed, content, facts={"has_quoted_newline": False})
    assert checked.outcome.rows_accepted == checked.outcome.rows_read == 6_919
    assert checked.outcome.control_totals["item_price"] == Decimal("244091.94")
    assert len(set(checked.values("order_id"))) == 6_919
    assert len(set(checked.values("user_id"))) == 2_357
    assert set(checked.values("item_price_basis")) == {"line_total"}
