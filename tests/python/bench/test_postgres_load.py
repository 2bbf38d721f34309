"""Loading into Postgres is measured beside plain ingestion of the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SAMPLE_FEEDS
from postgres_server import PostgresDatabase

from bench.postgres_load import PLAIN_SCHEMA, measure_postgres_load
from ingestion.feed import load_feeds
from ingestion.service import IngestionService
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.errors import NotFoundError
from settings.home import Home


def test_one_delivery_is_loaded_in_both_ways(
    tmp_path: Path, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").ensure()
    generate(SamplePlan(orders=400, days=60, deliveries=2), home.landing)
    IngestionService(home, load_feeds(SAMPLE_FEEDS, home)).ingest("run-1")
    for name, value in postgres_database.environment.items():
        monkeypatch.setenv(name, value)
    figures = measure_postgres_load(home, "store.order_items")
    assert postgres_database.query("select count(*) from raw.store_order_items") == [(figures.rows,)]
    assert figures.rows > 100
    assert 0 < figures.share_of_plain == figures.loader_rows_per_second / figures.plain_rows_per_second
    left = "select count(*) from information_schema.schemata where schema_name = %s"
    assert postgres_database.query(left, [PLAIN_SCHEMA]) == [(0,)]
    with pytest.raises(NotFoundError, match="no delivery"):
        measure_postgres_load(home, "restaurant.nothing")
