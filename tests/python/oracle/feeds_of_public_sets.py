"""The two public sets as this second implementation reads them; the project's own feed files are not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from .figures.deliveries import Landed, read_landing
from .figures.feed_files import read_feeds

PROJECT_ROOT = Path(__file__).resolve().parents[3]

PIZZAPLACE = """
company: pizzaplace
defaults: {business_timezone: America/New_York, currency: USD}
feeds:
  - name: pizzaplace_sales
    location: file://pizzaplace
    glob: "*.csv"
    naive_timezone: America/New_York
    entities:
      - entity: restaurant.order_items
        columns:
          restaurant_id: {constant: "1"}
          creation_time_utc: {compose: [date, time]}
          order_id: id
          is_loyalty: {constant: "false"}
          lineitem_id: {row_number: true}
          item_category: type
          item_name: {compose: [name, size]}
          item_price: price
          item_quantity: {constant: "1"}
"""

CDNOW = """
company: cdnow
defaults: {business_timezone: UTC, currency: USD}
feeds:
  - name: cdnow_sales
    location: file://cdnow_sample
    glob: "*.txt"
    format: whitespace
    header: false
    column_names: [customer, sample, day, quantity, value]
    timestamp_format: "%Y%m%d"
    item_price: line_total
    entities:
      - entity: restaurant.order_items
        columns:
          restaurant_id: {constant: "1"}
          creation_time_utc: day
          order_id: {row_number: true}
          user_id: customer
          is_loyalty: {constant: "false"}
          lineitem_id: {constant: "1"}
          item_category: {constant: music}
          item_name: {constant: CD}
          item_price: value
          item_quantity: quantity
"""


def public_sets() -> Path:
    """The folder of the two sets, from TILLHOUSE_REAL_DATA or beside the checkout; else the test is skipped."""
    named = os.environ.get("TILLHOUSE_REAL_DATA", "").strip()
    folder = Path(named).expanduser() if named else PROJECT_ROOT.parent / "shared" / "real"
    for needed in ("pizzaplace/pizzaplace.csv", "cdnow_sample/CDNOW_sample.txt"):
        if not (folder / needed).is_file():
            pytest.skip(f"the public set {needed} is not in {folder}: set TILLHOUSE_REAL_DATA to its folder")
    return folder


def read_public_set(feed_text: str, scratch: Path) -> Landed:
    feed_file = scratch / f"{yaml.safe_load(feed_text)['company']}.yml"
    feed_file.write_text(feed_text, encoding="utf-8")
    return read_landing(read_feeds(feed_file, public_sets()))
