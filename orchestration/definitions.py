"""What Dagster loads: assets, the daily job, its schedule, and a sensor on the landing folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from ingestion.feed import Feed, feeds_path, load_feeds
from ingestion.landing import open_store
from orchestration.after_publication import after_publication_assets
from orchestration.assets import WarehouseRun, dbt_assets, ingestion_assets, landing_assets, published_asset
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.exposures import face_assets
from settings.errors import TillhouseError
from settings.home import Home, keep_files_private

logger = logging.getLogger(__name__)

DAILY_JOB = "daily"
FULL_REFRESH_JOB = "full_refresh"
RELOAD_JOB = "reload"
# Early in the business day, and at an hour that no change to or from summer time skips or repeats.
WEEKLY_CHECKS_JOB = "weekly_checks"
DAILY_CRON = "0 6 * * *"
WEEKLY_CRON = "0 8 * * 0"  # after Sunday's daily run
ANY_WINTER_DAY = datetime(2026, 1, 15, tzinfo=UTC)
SENSOR_SECONDS = 60
MOST_ATTEMPTS = 3  # a landing folder that failed three times needs a person, not a fourth run


def build_definitions(
    manifest: Mapping[str, Any], feeds: Sequence[Feed] = (), runner: DbtRunner | None = None
) -> dg.Definitions:
    """All definitions over one dbt manifest and the feeds that deliver into the warehouse.

    What a run is asked to do is the configuration of its resource `warehouse`, given when it is launched.

    Args:
        manifest: dbt's manifest as a dictionary.
        feeds: for the landing assets and for the time zone of the schedule.
        runner: has parsed the project already, so a run with its settings need not.
    """
    daily = _job(DAILY_JOB, "Files in, tested marts out: ingest, build and test, publish.")
    full_refresh = _job(
        FULL_REFRESH_JOB,
        "The daily job, building every model anew even where nothing is new.",
        full_refresh=True,
    )
    reload = _job(
        RELOAD_JOB,
        "Replays from bronze what its configuration names (reload_feed, reload_batch or reload_file; else all), "
        "then builds, tests and publishes.",
        reload_all=True,
    )
    weekly_checks = _job(
        WEEKLY_CHECKS_JOB,
        "The daily job with every check on all rows, also where nothing is new.",
        all_checks=True,
    )
    followers = after_publication_assets()
    made = {key for follower in followers for key in follower.keys}
    return dg.Definitions(
        assets=[
            *landing_assets(feeds),
            ingestion_assets(feeds),
            dbt_assets(manifest, runner),
            published_asset(manifest),
            *(spec for spec in face_assets(manifest) if spec.key not in made),
            *followers,
        ],
        jobs=[daily, full_refresh, reload, weekly_checks],
        schedules=[
            dg.ScheduleDefinition(
                name="every_day",
                job=daily,
                cron_schedule=DAILY_CRON,
                execution_timezone=schedule_timezone(feeds),
            ),
            dg.ScheduleDefinition(
                name="every_week",
                job=weekly_checks,
                cron_schedule=WEEKLY_CRON,
                execution_timezone=schedule_timezone(feeds),
            ),
        ],
        sensors=[landing_sensor(daily)],
        resources={"warehouse": WarehouseRun.configure_at_launch()},
        # Of runs started from the asset graph: what one step has tested, the next one publishes.
        executor=dg.in_process_executor,
    )


def schedule_timezone(feeds: Sequence[Feed]) -> str:
    """The business time zone in which the day ends last, so that every feed's day is over; UTC without feeds."""
    zones = sorted({feed.business_timezone for feed in feeds})
    return min(zones, key=_offset, default="UTC")


def _offset(zone: str) -> timedelta:
    return ANY_WINTER_DAY.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def _job(name: str, description: str, **settings: Any) -> Any:
    """A job over all assets; its settings can be changed when it is launched."""
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.all(),
        config={"resources": {"warehouse": {"config": settings}}},
        executor_def=dg.in_process_executor,  # the writer's lock is held by one process, first step to last
        description=description,
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
        for state in open_store(feed, home).state(feed.glob):
            digest.update(f"{feed.name}\x1f{state}\n".encode())
    return digest.hexdigest()


def _last_run_failed(instance: dg.DagsterInstance, job_name: str) -> bool:
    runs = instance.get_runs(filters=dg.RunsFilter(job_name=job_name), limit=1)
    return bool(runs) and runs[0].status == dg.DagsterRunStatus.FAILURE


@dg.definitions
def defs() -> dg.Definitions:
    """Loaded by `dagster dev` and by Dagster's daemon."""
    keep_files_private()
    home = Home.from_environment()
    try:
        feeds = load_feeds(feeds_path(home), home)
    except TillhouseError as error:
        logger.warning("no landing assets: %s", error)
        feeds = []
    return build_definitions(DbtRunner(BuildSettings(home)).parse(), feeds)
