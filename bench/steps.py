"""The steps that are measured, each called in a process of its own by `bench.measure`.

A step works on the home folder of the environment and prints what it has to tell as one line of JSON, at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from bench import handwritten
from bench.day_steps import SAMPLE_FEEDS, WITHOUT_TESTS
from bench.measure import run_named_step
from bench.plans import BenchPlan
from bench.postgres_load import measure_postgres_load
from ingestion import operations
from ingestion.warehouses import only_writer
from ingestion.warehouses.postgres import connection_text
from orchestration.dbt_runner import BuildReport, DbtRunner
from orchestration.pipeline import Pipeline, RunRequest
from orchestration.publish import public_tables, publish
from orchestration.run import run_daily
from sample_data.generator import generate
from settings.home import Home
from settings.profile import read_target

PUBLIC_MARTS, QUALITY = "+path:models/marts", "path:models/quality"

Facts = dict[str, Any]


def step_generate(home: Home, words: Mapping[str, Any]) -> Facts:
    """Write the files of some deliveries: `plan`, `first`, `last`."""
    plan = BenchPlan(**words["plan"])
    report = generate(
        plan.sample, home.landing, first_delivery=int(words["first"]), last_delivery=int(words["last"])
    )
    return {"rows": report.order_lines, "files": report.files}


def step_ingest(home: Home, words: Mapping[str, Any]) -> Facts:
    return {"rows": Pipeline(_request(home, "bench-ingest", words)).ingest().rows_read}


def step_build_models(home: Home, words: Mapping[str, Any]) -> Facts:
    """Build all models without tests: what the public marts need, then the quality models."""
    settings = replace(
        _request(home, "bench-build", words).build_settings(),
        only_touched=False,
        resource_types=WITHOUT_TESTS,
    )
    runner = DbtRunner(settings)
    runner.parse()
    facts: Facts = {"nodes": {}}
    for part, select in (("marts_seconds", PUBLIC_MARTS), ("quality_seconds", QUALITY)):
        started = time.monotonic()
        report = runner.build((select,))
        report.require_success()
        facts[part] = round(time.monotonic() - started, 3)
        facts["nodes"].update(_models_seconds(report))
    return {"rows": operations.rows_loaded(home, target=settings.target), **facts}


def step_handwritten(home: Home, words: Mapping[str, Any]) -> Facts:
    """Make the marts by hand from the raw tables: `output` is the file to make."""
    seconds = handwritten.run(home.warehouse, Path(words["output"]), memory_limit=str(words["memory_limit"]))
    return {
        "rows": operations.rows_loaded(home),
        "marts": {mart: round(spent, 4) for mart, spent in seconds.items()},
        "sql_seconds": round(sum(seconds.values()), 3),
    }


def step_handwritten_postgres(home: Home, words: Mapping[str, Any]) -> Facts:
    with _postgres() as connection:
        seconds = handwritten.run_on_postgres(connection)
    return {
        "rows": operations.rows_loaded(home, target="postgres"),
        "marts": {mart: round(spent, 4) for mart, spent in seconds.items()},
        "sql_seconds": round(sum(seconds.values()), 3),
    }


def step_compare_postgres(home: Home, words: Mapping[str, Any]) -> Facts:
    """Fail where a mart on Postgres is not what the hand-written SQL gives."""
    with _postgres() as connection:
        handwritten.require_none(handwritten.differences_on_postgres(connection))
    return {"rows": 0}


def step_postgres_load(home: Home, words: Mapping[str, Any]) -> Facts:
    """Load what bronze holds of `entity` by its largest feed, and the database does not."""
    with only_writer("postgres", home):
        figures = measure_postgres_load(home, str(words["entity"]))
    return {
        "rows": figures.rows,
        "loader_rows_per_second": round(figures.loader_rows_per_second),
        "plain_rows_per_second": round(figures.plain_rows_per_second),
        "share_of_plain": round(figures.share_of_plain, 3),
    }


def step_compare(home: Home, words: Mapping[str, Any]) -> Facts:
    """Fail where a mart is not what the hand-written SQL gives."""
    handwritten.require_equal(home.warehouse, Path(words["output"]), memory_limit=str(words["memory_limit"]))
    return {"rows": 0}


def step_publish(home: Home, words: Mapping[str, Any]) -> Facts:
    request = _request(home, "bench-publish", words)
    runner = DbtRunner(request.build_settings())
    return {
        "rows": publish(
            home,
            public_tables(runner.manifest),
            run_id="bench",
            data_fingerprint="bench",
            project_fingerprint="bench",
            semantic_manifest=runner.semantic_manifest,
            target=request.target,
        ).rows
    }


def step_day_models(home: Home, words: Mapping[str, Any]) -> Facts:
    """Load what the landing holds, then build the models one at a time and without tests."""
    request = _request(home, f"bench-{datetime.now(UTC):%Y%m%dT%H%M%S}", words)
    rows = Pipeline(request).ingest().rows_read
    report = DbtRunner(
        replace(request.build_settings(), only_touched=False, resource_types=WITHOUT_TESTS)
    ).build()
    report.require_success()
    return {"rows": rows, "nodes": _models_seconds(report)}


def step_run_without_dagster(home: Home, words: Mapping[str, Any]) -> Facts:
    pipeline = Pipeline(_request(home, "bench-plain", words))
    rows = pipeline.ingest().rows_read
    pipeline.publish(pipeline.build())
    return {"rows": rows}


def step_run_with_dagster(home: Home, words: Mapping[str, Any]) -> Facts:
    return {"rows": run_daily(home, feeds=SAMPLE_FEEDS).row.rows_read}


STEPS: dict[str, Callable[[Home, Mapping[str, Any]], Facts]] = {
    "generate": step_generate,
    "ingest": step_ingest,
    "build_models": step_build_models,
    "handwritten": step_handwritten,
    "compare": step_compare,
    "postgres_load": step_postgres_load,
    "handwritten_postgres": step_handwritten_postgres,
    "compare_postgres": step_compare_postgres,
    "publish": step_publish,
    "day_models": step_day_models,
    "run_without_dagster": step_run_without_dagster,
    "run_with_dagster": step_run_with_dagster,
}


def _models_seconds(report: BuildReport) -> dict[str, float]:
    """Execution times of models, seeds and snapshots, as dbt has them."""
    return {
        result.name: round(result.seconds, 4)
        for result in report.results
        if result.resource_type in WITHOUT_TESTS
    }


def _request(home: Home, run_id: str, words: Mapping[str, Any]) -> RunRequest:
    return RunRequest(home=home, run_id=run_id, feeds=SAMPLE_FEEDS, target=_target(words))


def _target(words: Mapping[str, Any]) -> str:
    return str(words.get("target", "duckdb"))


@contextmanager
def _postgres() -> Iterator[Any]:
    """A connection to the database of the profile that commits every statement, with its times in UTC."""
    with closing(
        psycopg2.connect(connection_text(read_target("postgres")), options="-c timezone=UTC")
    ) as connection:
        connection.autocommit = True
        yield connection


if __name__ == "__main__":
    run_named_step(STEPS)
