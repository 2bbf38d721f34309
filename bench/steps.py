"""The steps that are measured, each called in a process of its own by `bench.measure`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace

from ingestion import operations
from orchestration.dbt_runner import DbtRunner
from orchestration.pipeline import Pipeline, RunRequest
from orchestration.publish import public_tables, publish
from orchestration.run import run_daily
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.home import PROJECT_ROOT, Home

SAMPLE_FEEDS = PROJECT_ROOT / "examples" / "feeds" / "sample.yml"
WITHOUT_TESTS = ("model", "seed", "snapshot")


def step_generate(home: Home, orders: int) -> int:
    return generate(SamplePlan(orders=orders), home.landing).order_lines


def step_ingest(home: Home, orders: int) -> int:
    return Pipeline(_request(home, "bench-ingest")).ingest().rows_read


def step_build_models(home: Home, orders: int) -> int:
    return _build(home, WITHOUT_TESTS)


def step_build_with_tests(home: Home, orders: int) -> int:
    return _build(home, ())


def step_publish(home: Home, orders: int) -> int:
    manifest = DbtRunner(_request(home, "bench-publish").build_settings()).parse()
    return publish(
        home, public_tables(manifest), run_id="bench", data_fingerprint="bench", project_fingerprint="bench"
    ).rows


def step_run_without_dagster(home: Home, orders: int) -> int:
    pipeline = Pipeline(_request(home, "bench-plain"))
    rows = pipeline.ingest().rows_read
    pipeline.publish(pipeline.build())
    return rows


def step_run_with_dagster(home: Home, orders: int) -> int:
    return run_daily(home, feeds=SAMPLE_FEEDS).row.rows_read


STEPS: dict[str, Callable[[Home, int], int]] = {
    "generate": step_generate,
    "ingest": step_ingest,
    "build_models": step_build_models,
    "build_with_tests": step_build_with_tests,
    "publish": step_publish,
    "run_without_dagster": step_run_without_dagster,
    "run_with_dagster": step_run_with_dagster,
}


def _request(home: Home, run_id: str) -> RunRequest:
    return RunRequest(home=home, run_id=run_id, feeds=SAMPLE_FEEDS)


def _build(home: Home, resource_types: tuple[str, ...]) -> int:
    settings = replace(_request(home, "bench-build").build_settings(), resource_types=resource_types)
    DbtRunner(settings).build().require_success()
    return operations.rows_loaded(home)


def main() -> None:
    """`python -m bench.steps STEP ORDERS`: run one step over the home folder of the environment."""
    name, orders = sys.argv[1], int(sys.argv[2])
    rows = STEPS[name](Home.from_environment().ensure(), orders)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
