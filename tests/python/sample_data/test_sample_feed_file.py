"""`examples/feeds/sample.yml` reads every file of the sample, and quarantine holds what the truth says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.feed import load_feeds
from ingestion.report import IngestionReport
from ingestion.service import IngestionService
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.home import PROJECT_ROOT, Home

PLAN = SamplePlan(orders=1_500, days=75, deliveries=3, seed=3, bad_rows=0.004, duplicate_rows=0.004)
FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"


@dataclass
class Loaded:
    home: Home
    truth: dict[str, Any]
    report: IngestionReport

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("loaded")
    home = Home(folder / "home").ensure()
    generate(PLAN, home.landing, truth=folder / "truth.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLHOUSE_TOKEN_KEY", "a key for tests alone, not a secret")
        report = IngestionService(home, load_feeds(FEEDS, home)).ingest("sample")
    return Loaded(home, json.loads((folder / "truth.json").read_text(encoding="utf-8")), report)


def test_every_file_is_loaded_and_repeated_files_are_known(loaded: Loaded) -> None:
    told = {
        (feed, file["name"])
        for feed, deliveries in loaded.truth["feeds"].items()
        for part in deliveries.values()
        for file in part["files"]
    }
    repeated = {(entry["feed"], entry["name"]) for entry in loaded.truth["repeated_files"]}
    assert repeated
    ledger = loaded.query("select feed, object_name, status from ops.load_ledger")
    assert {(feed, name) for feed, name, status in ledger if status == "loaded"} == told
    assert {(feed, name) for feed, name, status in ledger if status == "duplicate"} == repeated
    assert len(ledger) == len(told) + len(repeated)
    assert not loaded.report.blocking


def test_quarantine_by_file_and_rule_is_the_truth(loaded: Loaded) -> None:
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for feed, name, rule, rows in loaded.query(
        "select feed, source_file, rule, count(*) from ops.quarantine group by all"
    ):
        found[feed, Path(name).name][rule] = rows
    told = {
        (feed, file["name"]): file["bad_rows"]
        for feed, deliveries in loaded.truth["feeds"].items()
        for part in deliveries.values()
        for file in part["files"]
        if file["bad_rows"]
    }
    assert dict(found) == told
    assert len({rule for rules in told.values() for rule in rules}) >= 12


def test_duplicates_and_excluded_rows_are_the_truth(loaded: Loaded) -> None:
    for feed, total in loaded.truth["totals"].items():
        ((read, duplicates, excluded, accepted),) = loaded.query(
            "select sum(rows_read), sum(rows_duplicate), sum(rows_excluded), sum(rows_accepted)"
            f" from ops.load_entity_counts where feed = '{feed}'"
        )
        bad = sum(total["bad_rows"].values())
        assert (read, duplicates, excluded) == (
            total["rows_delivered"], total["exact_duplicates"], total["excluded_rows"]
        )  # fmt: skip
        assert accepted == read - duplicates - excluded - bad, feed
    ((conflicts,),) = loaded.query("select sum(rows_conflicting) from ops.load_entity_counts")
    assert conflicts == loaded.truth["totals"]["store_orders"]["facts"]["conflicting_rows"]


def test_every_word_of_the_company_is_mapped(loaded: Loaded) -> None:
    for name in ("store_orders", "store_payments"):
        statuses = {status for (status,) in loaded.query(f"select distinct status from raw.{name}")}
        assert "unmapped" not in statuses
        assert len(statuses) >= 4
    assert loaded.query("select count(*) from raw.restaurant_order_items where app_name = 'DEVELOPMENT'") == [
        (0,)
    ]


def test_no_column_of_the_sample_is_left_over(loaded: Loaded) -> None:
    """Each column of each file has its place in a contract."""
    assert (
        loaded.query("select feed, kind, column_name from ops.drift_events where kind = 'column_added'") == []
    )
    for (table,) in loaded.query(
        "select table_name from information_schema.tables where table_schema = 'raw'"
    ):
        assert loaded.query(f"select count(*) from raw.{table} where _rescued is not null") == [(0,)], table


def test_local_times_and_cents_are_read_as_meant(loaded: Loaded) -> None:
    """Restaurant times are of Chicago, payments are in cents: they agree with dates and totals elsewhere."""
    hours = Counter(
        hour
        for (hour,) in loaded.query(
            "select extract(hour from timezone('America/Chicago', timezone('UTC', creation_time_utc)))"
            " from raw.restaurant_order_items"
        )
    )
    assert hours[12] > 20 * max(hours[3], 1)
    ((agreeing, payments),) = loaded.query(
        """
        with latest as (
            select id, total_amount from raw.store_orders
            qualify row_number() over (partition by id order by updated_at desc, _load_sequence desc) = 1
        ), paid as (
            select order_id, sum(amount) as amount from (
                select order_id, amount from raw.store_payments where status = 'succeeded'
                qualify row_number() over (partition by id order by _load_sequence desc) = 1
            ) group by order_id
        )
        select count(*) filter (where amount = total_amount), count(*) from paid join latest on id = order_id
        """
    )
    assert agreeing > 0.97 * payments > 0


def test_no_card_number_or_address_is_stored(loaded: Loaded) -> None:
    ((cards, longest),) = loaded.query(
        "select count(printed_card_last_four), max(length(printed_card_last_four)) from raw.restaurant_order_items"
    )
    assert (cards > 100, longest) == (True, 4)
    ((tokens, addresses),) = loaded.query(
        "select count(email_token), count(*) filter (where contains(email_token, '@')) from raw.store_customers"
    )
    assert (tokens > 50, addresses) == (True, 0)
    assert loaded.query(
        "select count(*) from ops.quarantine where regexp_matches(raw_row, '9999[0-9]{12}')"
    ) == [(0,)]
    assert loaded.query("select count(*) from ops.quarantine where contains(raw_row, '@')") == [(0,)]
