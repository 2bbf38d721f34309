"""What Dagster loads: assets, the daily job, its schedule, and a sensor on the landing folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import dagster as dg

from ingestion.feed import feeds_path, load_feeds
from ingestion.landing import open_store
from orchestration.assets import WarehouseRun, dbt_assets, ingestion_assets, published_asset
from orchestration.dbt_runner import BuildSettings, DbtRunner
from settings.errors import TillhouseError
from settings.home import Home

DAILY_JOB = "daily"
# After the last time zone's midnight has reached every delivery of the day; UTC, so no hour is missing or double.
DAILY_CRON = "0 12 * * *"
SENSOR_SECONDS = 60
MOST_ATTEMPTS = 3  # a landing folder that failed three times needs a person, not a fourth run


def build_definitions(manifest: Mapping[str, Any], warehouse: WarehouseRun | None = None) -> dg.Definitions:
    """All definitions over one dbt manifest.

    Args:
        manifest: dbt's manifest as a dictionary.
        warehouse: the resource that every step shares; by default configured from the environment.
    """
    job = dg.define_asset_job(
        DAILY_JOB,
        selection=dg.AssetSelection.all(),
        executor_def=dg.in_process_executor,  # the writer's lock is held by one process, first step to last
        description="Files in, tested marts out: ingest, build and test, publish.",
    )
    return dg.Definitions(
        assets=[ingestion_assets(), dbt_assets(manifest), published_asset(manifest)],
        jobs=[job],
        schedules=[
            dg.ScheduleDefinition(
                name="every_day", job=job, cron_schedule=DAILY_CRON, execution_timezone="UTC"
            )
        ],
        sensors=[landing_sensor(job)],
        resources={"warehouse": warehouse or WarehouseRun()},
        # Of runs started from the asset graph: what one step has tested, the next one publishes.
        executor=dg.in_process_executor,
    )


def landing_sensor(job: Any) -> dg.SensorDefinition:
    """Starts a run when the landing folders hold something that no run has tried yet."""

    @dg.sensor(
        name="new_deliveries",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def new_deliveries(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        home = Home.from_environment()
        try:
            listing = landing_fingerprint(home)
        except TillhouseError as error:
            return dg.SkipReason(str(error))
        seen, _, attempts_text = (context.cursor or "").partition(":")
        attempt = int(attempts_text or 0) + 1 if seen == listing else 1
        if seen == listing and (attempt > MOST_ATTEMPTS or not _last_run_failed(context.instance, job.name)):
            return dg.SkipReason("nothing new in the landing folders")
        context.update_cursor(f"{listing}:{attempt}")
        # Dagster remembers a run key for ever, after a failure too, so the key carries the attempt.
        return dg.RunRequest(run_key=f"{listing}:{attempt}")

    return new_deliveries


def landing_fingerprint(home: Home) -> str:
    """A hash over the names and versions of all that lies in the landing folders now."""
    digest = hashlib.sha256()
    for feed in load_feeds(feeds_path(home), home):
        for item in open_store(feed.location, home).list_objects(feed.glob).objects:
            digest.update(f"{feed.name}\x1f{item.name}\x1f{item.version}\n".encode())
    return digest.hexdigest()


def _last_run_failed(instance: dg.DagsterInstance, job_name: str) -> bool:
    runs = instance.get_runs(filters=dg.RunsFilter(job_name=job_name), limit=1)
    return bool(runs) and runs[0].status == dg.DagsterRunStatus.FAILURE


@dg.definitions
def defs() -> dg.Definitions:
    """Loaded by `dagster dev` and by Dagster's daemon."""
    return build_definitions(DbtRunner(BuildSettings(Home.from_environment())).parse())
