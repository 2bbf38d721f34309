"""The daily work as three plain steps: ingest, build, publish. Dagster calls these; they know nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingestion import operations
from ingestion.feed import Feed, feeds_path, load_feeds
from ingestion.report import BatchResult, IngestionReport, summarise
from ingestion.service import IngestionService
from ingestion.warehouses import require_target
from orchestration.dbt_runner import BuildReport, BuildSettings, DbtRunner, project_fingerprint
from orchestration.publish import Publication, public_tables, publish, read_publication
from settings.crash_points import crash_point
from settings.errors import BuildFailedError, ConfigurationError, DataRejectedError
from settings.home import Home
from settings.retention import Retention

logger = logging.getLogger(__name__)

# A day's models are small, and most of their time is dbt's own. Those of a full build would share the memory, and so
# would those of a history that is delivered at once. A server has a limit for each statement, so its profile tells how
# many run at a time.
DAILY_THREADS = {"duckdb": 2}
# Touched orders, lines, payments ...: a day of ten thousand orders has about 60,000.
MOST_KEYS_OF_A_DAY = 1_000_000


class RunStatus(StrEnum):
    """How a run ended, as `ops.runs` has it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOTHING_NEW = "nothing_new"


@dataclass(frozen=True)
class Replay:
    """What a run reads again from bronze, in place of loading new files. All empty: nothing, load new files."""

    feed: str | None = None
    batch_id: str | None = None
    object_name: str | None = None
    everything: bool = False

    @property
    def is_asked_for(self) -> bool:
        return self.everything or any((self.feed, self.batch_id, self.object_name))


@dataclass(frozen=True)
class RunRequest:
    """What one run is asked to do."""

    home: Home
    run_id: str
    feeds: Path | None = None
    target: str = "duckdb"
    as_of: date | None = None
    full_refresh: bool = False
    all_checks: bool = False
    engine: str = "duckdb"
    replay: Replay = Replay()

    def build_settings(self) -> BuildSettings:
        return BuildSettings(
            home=self.home,
            target=self.target,
            as_of=self.as_of,
            full_refresh=self.full_refresh,
            only_touched=not (self.all_checks or self.full_refresh),
        )


@dataclass
class Pipeline:
    """One run's steps, in order. A step that fails is written to `ops.runs` before its error goes on."""

    request: RunRequest
    _runner: DbtRunner | None = field(default=None, init=False, repr=False)
    _has_passed: bool = field(default=False, init=False, repr=False)

    @property
    def runner(self) -> DbtRunner:
        if self._runner is None:
            self._runner = DbtRunner(self.request.build_settings())
        return self._runner

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.runner.manifest

    def reuse(self, parsed: DbtRunner) -> None:
        """Take over what another runner has parsed, where it was asked for the same target, date and home."""
        if self._runner is None and parsed.parses_like(self.request.build_settings()):
            self._runner = replace(parsed, settings=self.request.build_settings())

    def ingest(self) -> IngestionReport:
        """Load every new file of the feeds, or replay from bronze what the request names.

        Raises:
            ConfigurationError: when a feed file is wrong, or there is none.
            DataRejectedError: when a delivery of a required feed was rejected or is missing; what else could
                be loaded has been, and nothing will be published.
        """
        require_target(self.request.target)
        Retention.from_environment()  # a mistake in it is told before any work is done
        operations.start_run(self.request.home, self.request.run_id, target=self.request.target)
        crash_point("run_noted")
        logger.info("loading new files")
        with self._recorded():
            feeds = require_feeds(self.request.home, self.request.feeds)
            service = IngestionService(
                self.request.home, feeds, engine=self.request.engine, target=self.request.target
            )
            report = (
                self._replay(service)
                if self.request.replay.is_asked_for
                else service.ingest(self.request.run_id)
            )
            crash_point("all_loaded")
            operations.record_ingestion(
                self.request.home, self.request.run_id, report, target=self.request.target
            )
            crash_point("ingestion_noted")
            if report.blocking:
                raise DataRejectedError(
                    "a required feed is not complete, so nothing is published: "
                    + "; ".join(_sentence(batch) for batch in report.blocking),
                    remedy="deliver the file again, or take the rejected one with `tillhouse accept <batch>`",
                    rule="required_feed",
                )
            return report

    def _replay(self, service: IngestionService) -> IngestionReport:
        wanted = self.request.replay
        run_id = self.request.run_id
        if wanted.object_name is None:
            return service.reload(run_id, feed=wanted.feed, batch_id=wanted.batch_id)
        batches = operations.batches_of_file(
            self.request.home, wanted.object_name, feed=wanted.feed, target=self.request.target
        )
        reports = [service.reload(run_id, batch_id=batch_id) for batch_id in batches]
        return summarise(
            [batch for report in reports for batch in report.batches],
            files_seen=len(reports),
            files_duplicate=0,
            blocking=[batch for report in reports for batch in report.blocking],
        )

    def is_current(self) -> bool:
        """Whether readers already see just these deliveries through just these models."""
        published = read_publication(self.request.home, target=self.request.target)
        return (
            published is not None
            and not self.request.full_refresh
            and not self.request.all_checks
            and published.data_fingerprint
            == operations.data_fingerprint(self.request.home, target=self.request.target)
            and published.project_fingerprint == self._project_fingerprint()
        )

    def _retain(self) -> None:
        """Drop what is older than the retention settings allow; what readers see is safe by then."""
        request = self.request
        service = IngestionService(request.home, (), engine=request.engine, target=request.target)
        report = service.retain(Retention.from_environment(), request.run_id)
        if report.rows_cut or report.deliveries_dropped:
            logger.info(
                "retention: %d rows in quarantine cut, bronze of %d files dropped",
                report.rows_cut,
                report.deliveries_dropped,
            )

    def finish_unchanged(self) -> None:
        """Note that there was nothing to build."""
        with self._recorded():
            self._retain()
        operations.finish_run(
            self.request.home,
            self.request.run_id,
            status=RunStatus.NOTHING_NEW,
            target=self.request.target,
        )

    def build(self, select: tuple[str, ...] = ()) -> BuildReport:
        """Build and test all models, or those selected; the results become rows of `ops.dbt_results`.

        The report may hold failures: call its `require_success`, or `publish`, which does.
        """
        logger.info("building and testing the models")
        with self._recorded():
            self._has_passed = False
            self._runner = replace(self.runner, settings=self._settings_for_what_waits())
            report = self.runner.build(select)
            crash_point("marts_built")
            self._has_passed = not select and not report.failures
            operations.record_dbt_results(
                self.request.home,
                self.request.run_id,
                [
                    (
                        result.unique_id, result.resource_type, result.name, result.status, result.severity,
                        result.failures, result.seconds, result.message[:2000],
                    )
                    for result in report.results
                ],
                target=self.request.target,
            )  # fmt: skip
        return report

    def _settings_for_what_waits(self) -> BuildSettings:
        """The runner's, as far as the state of the warehouse lets them be a day's."""
        home, target = self.request.home, self.request.target
        settings = replace(self.runner.settings, threads=None)
        if read_publication(home, target=target) is None:
            # Nothing has passed yet that a daily run's checks could go on from.
            return replace(settings, only_touched=False)
        if (
            settings.only_touched
            and target in DAILY_THREADS
            and operations.keys_waiting(home, target=target) <= MOST_KEYS_OF_A_DAY
        ):
            return replace(settings, threads=DAILY_THREADS[target])
        return settings

    def require_success(self, report: BuildReport) -> None:
        """Note and raise what failed.

        Raises:
            BuildFailedError: when a model or an error-level test failed.
        """
        with self._recorded():
            report.require_success()

    def fail(self, error: BaseException) -> None:
        """Note that the run failed, and why."""
        operations.finish_run(
            self.request.home,
            self.request.run_id,
            status=RunStatus.FAILED,
            message=str(error) or type(error).__name__,
            target=self.request.target,
        )

    def publish(self, report: BuildReport) -> Publication:
        """Let readers see what was built.

        Raises:
            BuildFailedError: when a model or an error-level test failed; the former marts stay.
        """
        with self._recorded():
            report.require_success()
            return self.publish_tested()

    def publish_tested(self) -> Publication:
        """Publish what this run has built and tested.

        Raises:
            BuildFailedError: when it has not built everything: then the warehouse may hold what a failed run left.
        """
        if not self._has_passed:
            raise BuildFailedError(
                "this run has not built and tested all models, so nothing is published",
                remedy="run the job `daily`, or `tillhouse run`; single models become visible with the next whole run",
                rule="not_tested",
            )
        logger.info("publishing the marts")
        publication = publish(
            self.request.home,
            public_tables(self.manifest),
            run_id=self.request.run_id,
            data_fingerprint=operations.data_fingerprint(self.request.home, target=self.request.target),
            project_fingerprint=self._project_fingerprint(),
            semantic_manifest=self.runner.semantic_manifest,
            target=self.request.target,
        )
        logger.info("the marts are published")
        crash_point("published")
        self._retain()
        operations.finish_run(
            self.request.home,
            self.request.run_id,
            status=RunStatus.SUCCEEDED,
            published_at=publication.published_at,
            as_of_date=self.request.as_of,
            target=self.request.target,
        )
        return publication

    def _project_fingerprint(self) -> str:
        return project_fingerprint(self.manifest, self.request.build_settings())

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # Ctrl-C too: a run that ended must not look as if it went on
            self.fail(error)
            raise


def require_feeds(home: Home, named: Path | None = None) -> list[Feed]:
    """The feeds that a run reads.

    Raises:
        ConfigurationError: when a feed file is wrong, or there is none.
    """
    path = feeds_path(home, named)
    feeds = load_feeds(path, home)
    if not feeds:
        raise ConfigurationError(
            f"there is no feed file in {path}",
            remedy="put one there (docs/guides/feed-files.md), name one with --feeds, or `tillhouse demo`",
            rule="feed_file",
        )
    return feeds


def _sentence(batch: BatchResult) -> str:
    return f"{batch.feed}: {batch.object_name or 'no delivery'} {batch.message or batch.rule or ''}".strip()
