"""What a run may publish."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from postgres_server import PostgresDatabase

import orchestration.pipeline as pipeline_module
from ingestion import operations
from ingestion.warehouses import open_warehouse
from orchestration.dbt_runner import BuildReport, BuildSettings, DbtRunner, NodeResult
from orchestration.pipeline import Pipeline, RunRequest
from orchestration.publish import Publication
from settings.errors import BuildFailedError, UnavailableError
from settings.home import Home

FAILED = NodeResult("test.bridge", "bridge", "test", "fail", "error", 1, 0.1, "Got 1 result")
PUBLISHED = Publication("former", datetime(2026, 2, 1, tzinfo=UTC), "data", "project", tables=1, rows=1)
ORDERS = "id,customer_id,total_amount,currency,created_at,status\n1,C1,10.00,EUR,2026-02-01 10:00:00,paid\n"
SHOP_FEED = """
company: shop
feeds:
  - {name: orders, location: "file://landing/shop", glob: "*.csv", entities: [{entity: store.orders}]}
"""


@pytest.mark.parametrize(
    ("select", "report"),
    [((), BuildReport((FAILED,))), (("fct_orders",), BuildReport())],
    ids=["a failed build", "a part of the models"],
)
def test_only_a_whole_build_that_passed_is_published(
    select: tuple[str, ...], report: BuildReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DbtRunner, "build", lambda _, __: report)
    pipeline = Pipeline(RunRequest(home=Home(tmp_path), run_id="run"))
    with pytest.raises(BuildFailedError, match="not built and tested all"):
        pipeline.publish_tested()
    pipeline.build(select)
    with pytest.raises(BuildFailedError, match="not built and tested all"):
        pipeline.publish_tested()
    assert not pipeline.request.home.published.exists()


@pytest.mark.parametrize(
    ("keys", "words", "threads"),
    [
        (3, {}, 2),
        (4, {}, None),
        (3, {"all_checks": True}, None),
        (3, {"full_refresh": True}, None),
    ],
    ids=["a day", "years at once", "with all checks", "anew"],
)
def test_only_a_days_models_share_the_memory(
    keys: int, words: dict[str, bool], threads: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "MOST_KEYS_OF_A_DAY", 3)
    pipeline, built = pipeline_with_keys_waiting(tmp_path, keys, monkeypatch, **words)
    monkeypatch.setattr(pipeline_module, "read_publication", lambda *_, **__: PUBLISHED)
    pipeline.build()
    assert [settings.threads for settings in built] == [threads]
    assert [settings.only_touched for settings in built] == [not words]


def test_the_first_run_checks_all_rows_and_its_models_do_not_share_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, built = pipeline_with_keys_waiting(tmp_path, 0, monkeypatch)
    pipeline.build()
    assert [(settings.threads, settings.only_touched) for settings in built] == [(None, False)]


def test_the_profile_of_a_server_says_how_many_models_run_there(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, built = pipeline_with_keys_waiting(tmp_path, 3, monkeypatch, target="postgres")
    monkeypatch.setattr(pipeline_module, "read_publication", lambda *_, **__: PUBLISHED)
    pipeline.build()
    assert [(settings.threads, settings.only_touched) for settings in built] == [(None, True)]


def pipeline_with_keys_waiting(
    root: Path, keys: int, monkeypatch: pytest.MonkeyPatch, *, target: str = "duckdb", **words: bool
) -> tuple[Pipeline, list[BuildSettings]]:
    """A run behind its ingestion, and the settings that dbt gets."""
    built: list[BuildSettings] = []

    def build(runner: DbtRunner, select: tuple[str, ...]) -> BuildReport:
        built.append(runner.settings)
        return BuildReport()

    monkeypatch.setattr(DbtRunner, "build", build)
    home = Home(root).ensure()
    operations.start_run(home, "run", target=target)
    with closing(open_warehouse(target, home)) as warehouse, warehouse.transaction():
        warehouse.execute_many(
            "insert into state.changed (source, sequence, key) values ('raw.store_orders', 1, ?)",
            [(str(key),) for key in range(keys)],
        )
    return Pipeline(RunRequest(home=home, run_id="run", target=target, **words)), built


def test_a_run_on_postgres_keeps_its_memory_there(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledger, run and results of dbt are rows of the server; the embedded warehouse is not even made."""
    home = Home(tmp_path / "home").ensure()
    (home.landing / "shop").mkdir()
    (home.landing / "shop" / "orders.csv").write_text(ORDERS, encoding="utf-8")
    (home.feeds / "shop.yml").write_text(SHOP_FEED, encoding="utf-8")
    monkeypatch.setattr(DbtRunner, "build", lambda _, __: BuildReport((FAILED,)))
    pipeline = Pipeline(RunRequest(home=home, run_id="run", target="postgres"))
    report = pipeline.ingest()
    assert (report.files_loaded, report.rows_accepted) == (1, 1)
    built = pipeline.build()
    with pytest.raises(BuildFailedError):
        pipeline.require_success(built)
    query = postgres_database.query
    assert query("select id, total_amount from raw.store_orders") == [("1", Decimal("10.0000"))]
    assert query("select status, target, files_loaded, rows_accepted from ops.runs") == [
        ("failed", "postgres", 1, 1)
    ]
    assert query("select unique_id, failures, execution_seconds from ops.dbt_results") == [
        ("test.bridge", 1, 0.1)
    ]
    assert not home.warehouse.exists()


def test_a_broken_connection_while_models_are_built_may_be_tried_again() -> None:
    lost = replace(FAILED, message="Database Error in model x\n  server closed the connection unexpectedly")
    with pytest.raises(UnavailableError, match="while bridge was built"):
        BuildReport((FAILED, lost)).require_success()
    with pytest.raises(BuildFailedError):
        BuildReport((FAILED,)).require_success()
