"""Load and build without the orchestrator: for tests that need their own homes and several runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

from ingestion.feed import load_feeds
from ingestion.report import IngestionReport
from ingestion.service import IngestionService
from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

# Tests of the models run elsewhere; here only what they compute is wanted.
COMPUTED = ("model", "seed", "snapshot")


@contextmanager
def environment_of(home: Home) -> Iterator[None]:
    former = dict(os.environ)
    os.environ.update(
        {
            HOME_VARIABLE: str(home.root),
            "DBT_PROFILES_DIR": str(PROJECT_ROOT),
            "TILLHOUSE_TOKEN_KEY": "a key for tests alone, not a secret",
        }
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


class Pipeline:
    """One home folder, loaded and built as often as a test likes; the project is parsed once.

    `select` and `exclude` narrow what dbt builds.
    """

    def __init__(
        self,
        home: Home,
        feeds: Path,
        *,
        as_of: date | None = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> None:
        self.home, self.feeds = home, feeds
        self.dbt = DbtRunner(
            BuildSettings(
                home, as_of=as_of, select=tuple(select), exclude=tuple(exclude), resource_types=COMPUTED
            )
        )
        self.runs = 0

    def run(self) -> IngestionReport:
        """Everything new in the landing folders → `warehouse.duckdb`."""
        self.runs += 1
        with environment_of(self.home):
            self.home.ensure()
            feeds = load_feeds(self.feeds, self.home)
            report = IngestionService(self.home, feeds).ingest(f"run-{self.runs}")
            self.dbt.build().require_success()
        return report


def seed_exchange_rates(home: Home, rates: Mapping[str, Sequence[tuple[date, Decimal]]]) -> None:
    """Put rates where the project's own (empty) seed goes; build with `exclude=["fx_rates"]` afterwards."""
    with environment_of(home):
        home.ensure()
        DbtRunner(
            BuildSettings(home, select=("fx_rates",), resource_types=("seed",))
        ).build().require_success()
    rows = [(day, currency, rate) for currency, known in rates.items() for day, rate in known]
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.executemany(
            "insert into seeds.fx_rates (rate_date, currency, rate) values (?, ?, ?)", rows
        )
