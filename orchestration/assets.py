"""The warehouse as Dagster assets: raw tables, dbt nodes, and what is published.

Assets are unpartitioned: the ledger in the warehouse says what is new, not a partition. dbt runs in this
process and reports one output and one aggregated check per model; an event per test was measured to cost as
much again as the build.

Dagster reads the annotations of its functions when they are defined, so this module does not postpone them.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_dbt import build_dbt_asset_specs
from pydantic import PrivateAttr

from ingestion.contract import load_contracts
from ingestion.feed import Feed
from ingestion.report import IngestionReport
from ingestion.warehouses import only_writer
from orchestration.dbt_runner import BuildReport, DbtRunner, NodeResult
from orchestration.pipeline import Pipeline, Replay, RunRequest
from orchestration.publish import public_models
from orchestration.translator import DBT_TESTS_CHECK, UNIQUE_ID_METADATA, TillhouseTranslator
from settings.errors import BusyError
from settings.home import Home

WAREHOUSE_POOL = "warehouse"  # one writer at a time: the embedded database has room for no second
OPS_TABLES = ("load_ledger", "load_entity_counts", "quarantine", "drift_events", "runs", "dbt_results")
CONSERVATION_CHECK = "rows_read_equal_rows_accounted_for"
PUBLISHED_KEY = dg.AssetKey(["published", "warehouse"])

Event = dg.MaterializeResult[Any] | dg.AssetCheckResult


# The daily run is due every 24 hours; what is two hours late warns, what missed half a day more fails.
FRESH_FOR = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=38))
# A reader's lock, a busy disk or a broken connection passes; a wrong file or a failed test does not.
TRANSIENT_ERRORS = (BusyError, ConnectionError, TimeoutError, duckdb.IOException, duckdb.TransactionException)
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
MOST_TAGGED_BATCHES = 50  # a tag is read by people; the ledger names every batch of a run


class WarehouseRun(dg.ConfigurableResource):  # type: ignore[type-arg]
    """One run over one home folder. Holds the writer's lock of its target from the first step to the last.

    Attributes:
        home, feeds, target, engine: empty for those of the environment, so that a schedule takes them too.
        all_checks: check all rows, also where nothing is new, and not only those that changed.
        as_of: a date, YYYY-MM-DD; empty for the latest order date of each system.
        reload_feed, reload_batch, reload_file: what to replay from bronze in place of loading new files.
        reload_all: replay every feed.
    """

    home: str = ""
    feeds: str = ""
    target: str = ""
    as_of: str = ""
    full_refresh: bool = False
    all_checks: bool = False
    engine: str = ""
    reload_feed: str = ""
    reload_batch: str = ""
    reload_file: str = ""
    reload_all: bool = False
    _pipeline: Pipeline = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseRun"]:
        with only_writer(self.named_target, self.home_folder):
            run_id = context.run.run_id if context.run else str(uuid.uuid4())
            self._pipeline = Pipeline(self.request(run_id))
            yield self

    @property
    def home_folder(self) -> Home:
        return Home(Path(self.home)) if self.home else Home.from_environment()

    @property
    def named_target(self) -> str:
        return self.target or os.environ.get("TILLHOUSE_TARGET") or "duckdb"

    @property
    def named_engine(self) -> str:
        return self.engine or os.environ.get("TILLHOUSE_ENGINE") or "duckdb"

    @property
    def pipeline(self) -> Pipeline:
        return self._pipeline

    def request(self, run_id: str) -> RunRequest:
        """What the run is asked to do, typed."""
        return RunRequest(
            home=self.home_folder,
            run_id=run_id,
            feeds=Path(self.feeds) if self.feeds else None,
            target=self.named_target,
            as_of=date.fromisoformat(self.as_of) if self.as_of else None,
            full_refresh=self.full_refresh,
            all_checks=self.all_checks,
            engine=self.named_engine,
            replay=Replay(
                feed=self.reload_feed or None,
                batch_id=self.reload_batch or None,
                object_name=self.reload_file or None,
                everything=self.reload_all,
            ),
        )


@contextmanager
def only_transient_errors_are_retried() -> Iterator[None]:
    """Let Dagster try a step again where that can help, and only there."""
    try:
        yield
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def landing_key(feed: Feed) -> dg.AssetKey:
    """The asset of a feed's files."""
    return dg.AssetKey(["landing", feed.name])


def landing_assets(feeds: Sequence[Feed]) -> list[dg.AssetSpec]:
    """The files of each feed: delivered by others, so nothing here makes them; runs tell what they saw of them."""
    return [
        dg.AssetSpec(
            landing_key(feed),
            group_name="landing",
            description=f"Files of {feed.company}: " + ", ".join(part.entity for part in feed.entities),
            metadata={"location": feed.location, "feed_file": feed.source_path.name},
        )
        for feed in feeds
    ]


def ingestion_assets(feeds: Sequence[Feed]) -> dg.AssetsDefinition:
    """Raw and ops tables: loaded together, since one file's rows and its ledger row commit together."""
    raw_keys = {
        entity: dg.AssetKey(contract.raw_table.split(".")) for entity, contract in load_contracts().items()
    }
    delivered = {
        entity: [landing_key(feed) for feed in feeds if any(part.entity == entity for part in feed.entities)]
        for entity in raw_keys
    }
    everything = [landing_key(feed) for feed in feeds]
    ops_keys = [dg.AssetKey(["ops", name]) for name in OPS_TABLES]

    @dg.multi_asset(
        name="ingest",
        specs=[
            *(
                dg.AssetSpec(key, deps=delivered[entity], group_name="raw")
                for entity, key in raw_keys.items()
            ),
            *(dg.AssetSpec(key, deps=everything, group_name="ops") for key in ops_keys),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                CONSERVATION_CHECK, asset=dg.AssetKey(["ops", "load_entity_counts"]), blocking=True
            )
        ],
        pool=WAREHOUSE_POOL,
        retry_policy=RETRIES,
    )
    def ingest(context: dg.AssetExecutionContext, warehouse: WarehouseRun) -> Iterator[Event]:
        with only_transient_errors_are_retried():
            report = warehouse.pipeline.ingest()
        context.log.info(report.summary())
        context.instance.add_run_tags(context.run.run_id, batch_tags(report))
        for feed in feeds:
            context.log_event(landing_observation(feed, report))
        for key in raw_keys.values():
            yield dg.MaterializeResult(asset_key=key)
        for key in ops_keys:
            yield dg.MaterializeResult(asset_key=key)
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(["ops", "load_entity_counts"]),
            check_name=CONSERVATION_CHECK,
            passed=report.is_conserved,
            metadata={
                "rows_read": report.rows_read,
                "rows_accepted": report.rows_accepted,
                "rows_quarantined": report.rows_quarantined,
                "rows_duplicate": report.rows_duplicate,
                "rows_excluded": report.rows_excluded,
            },
        )

    return ingest


def batch_tags(report: IngestionReport) -> dict[str, str]:
    """The run's tags: how many batches it loaded, and which."""
    named = report.batch_ids[:MOST_TAGGED_BATCHES]
    tags = {"tillhouse/batch_count": str(len(report.batch_ids))}
    return tags | ({"tillhouse/batches": ",".join(named)} if named else {})


def landing_observation(feed: Feed, report: IngestionReport) -> dg.AssetObservation:
    """What a run saw of one feed's files."""
    batches = [batch for batch in report.batches if batch.feed == feed.name]
    return dg.AssetObservation(
        landing_key(feed),
        metadata={
            "files_loaded": sum(batch.status == "loaded" for batch in batches),
            "files_rejected": sum(batch.status == "rejected" for batch in batches),
            "rows_accepted": sum(batch.rows_accepted for batch in batches),
            "rows_quarantined": sum(batch.rows_quarantined for batch in batches),
        },
    )


def dbt_assets(manifest: Mapping[str, Any], runner: DbtRunner | None = None) -> dg.AssetsDefinition:
    """One asset a model, seed and snapshot, each with one check that sums up its tests.

    Args:
        manifest: dbt's manifest as a dictionary.
        runner: has parsed the project already, so a run with its settings need not.
    """
    translator = TillhouseTranslator()
    public = {translator.get_asset_key(node) for node in public_models(manifest)}
    specs = [
        spec.replace_attributes(skippable=True, freshness_policy=FRESH_FOR if spec.key in public else None)
        for spec in build_dbt_asset_specs(manifest=manifest, dagster_dbt_translator=translator)
    ]
    unique_ids = {spec.metadata[UNIQUE_ID_METADATA]: spec.key for spec in specs}
    tested = sorted(nodes_under_test(manifest) & set(unique_ids))

    @dg.multi_asset(
        name="dbt_build",
        specs=specs,
        check_specs=[dg.AssetCheckSpec(DBT_TESTS_CHECK, asset=unique_ids[unique_id]) for unique_id in tested],
        can_subset=True,
        pool=WAREHOUSE_POOL,
        retry_policy=RETRIES,
    )
    def dbt_build(context: dg.AssetExecutionContext, warehouse: WarehouseRun) -> Iterator[Event]:
        pipeline = warehouse.pipeline
        if runner is not None:
            pipeline.reuse(runner)
        wanted = {
            unique_id: key for unique_id, key in unique_ids.items() if key in context.selected_asset_keys
        }
        is_whole = len(wanted) == len(unique_ids)
        selectors = () if is_whole else tuple(dbt_selector(manifest["nodes"][name]) for name in wanted)
        with only_transient_errors_are_retried():
            if is_whole and pipeline.is_current():
                context.log.info("nothing new: readers already see these deliveries through these models")
                pipeline.finish_unchanged()
                return
            report = pipeline.build(selectors)
        checked = [
            unique_id
            for unique_id in tested
            if dg.AssetCheckKey(unique_ids[unique_id], DBT_TESTS_CHECK) in context.selected_asset_check_keys
        ]
        yield from build_events(report, wanted, checked)
        with only_transient_errors_are_retried():
            pipeline.require_success(report)

    return dbt_build


def dbt_selector(node: Mapping[str, Any]) -> str:
    """The dbt selector that means this node and no other."""
    return "fqn:" + ".".join(node["fqn"])


def nodes_under_test(manifest: Mapping[str, Any]) -> set[str]:
    """The ids of nodes that at least one data or unit test looks at."""
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    tests += list(manifest.get("unit_tests", {}).values())
    return {unique_id for test in tests for unique_id in models_under_test(test)}


def models_under_test(test: Mapping[str, Any]) -> tuple[str, ...]:
    """The node that a test is attached to, else all that it reads."""
    attached = test.get("attached_node")
    return (attached,) if attached else tuple(test["depends_on"]["nodes"])


def build_events(
    report: BuildReport, unique_ids: Mapping[str, dg.AssetKey], tested: Sequence[str]
) -> Iterator[Event]:
    """Dagster's events for a build: an output for each node that was made, then a check for each that was tested."""
    made: set[str] = set()
    for result in report.results:  # as they finished: Dagster wants parents before children
        if result.unique_id in unique_ids and result.status == "success":
            made.add(result.unique_id)
            yield dg.MaterializeResult(
                asset_key=unique_ids[result.unique_id], metadata={"seconds": result.seconds}
            )
    by_model: dict[str, list[NodeResult]] = {}
    for result in report.results:
        for unique_id in result.tested_models:
            by_model.setdefault(unique_id, []).append(result)
    for unique_id in tested:
        if unique_id in made:
            yield _aggregated_check(unique_ids[unique_id], by_model.get(unique_id, []))


def _aggregated_check(key: dg.AssetKey, results: Sequence[NodeResult]) -> dg.AssetCheckResult:
    failed = [result for result in results if result.failed]
    warned = [result for result in results if result.warned]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=DBT_TESTS_CHECK,
        passed=not failed and not warned,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        metadata={
            "tests": len(results),
            "failed": ", ".join(result.name for result in failed) or "none",
            "warned": ", ".join(result.name for result in warned) or "none",
        },
    )


def published_asset(manifest: Mapping[str, Any]) -> dg.AssetsDefinition:
    """What readers see. It follows all marts and quality models, and nothing else makes it."""
    translator = TillhouseTranslator()
    public = [translator.get_asset_key(node) for node in public_models(manifest)]

    @dg.asset(
        key=PUBLISHED_KEY,
        deps=sorted(public),
        group_name="published",
        pool=WAREHOUSE_POOL,
        retry_policy=RETRIES,
        freshness_policy=FRESH_FOR,
    )
    def published_warehouse(warehouse: WarehouseRun) -> dg.MaterializeResult[Any]:
        with only_transient_errors_are_retried():
            publication = warehouse.pipeline.publish_tested()
        return dg.MaterializeResult(
            metadata={
                "tables": publication.tables,
                "rows": publication.rows,
                "published_at": publication.published_at.isoformat(),
            }
        )

    return published_warehouse
