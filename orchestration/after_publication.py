"""What follows a publication: metrics are asked once, the report is written, Metabase is provisioned.

None of it can fail the warehouse. A face that fails says so by its check, which is shown as an error; the publication
stands, and the run has succeeded. What depends on a face that failed is skipped.

Dagster reads the annotations of its functions when they are defined, so this module does not postpone them.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration.assets import PUBLISHED_KEY, Event, WarehouseRun
from orchestration.exposures import FACES_GROUP, REPORT_EXPOSURE
from serving.metabase.settings import URL_VARIABLE, is_configured
from serving.semantic import SemanticClient
from serving.smoke import unanswered

logger = logging.getLogger(__name__)

FACE_CHECK = "works"
METRICS_KEY = dg.AssetKey([FACES_GROUP, "metrics"])
REPORT_KEY = dg.AssetKey([FACES_GROUP, REPORT_EXPOSURE])
METABASE_KEY = dg.AssetKey([FACES_GROUP, "metabase"])
PATH_METADATA, SKIPPED_METADATA = "path", "skipped"
MOST_NAMED = 5


class SkippedFaceError(Exception):
    """There is nothing to do for a face; the text says why."""


class SilentMetricsError(Exception):
    """Published metrics give no answer."""


def after_publication_assets() -> list[dg.AssetsDefinition]:
    """One asset a face, after the published warehouse."""
    return [
        _face(METRICS_KEY, [PUBLISHED_KEY], "Every published metric answers.", _ask_metrics),
        _face(REPORT_KEY, [METRICS_KEY], "The daily report of the latest day, one HTML file.", _write_report),
        _face(
            METABASE_KEY, [METRICS_KEY], "Dashboards and permissions on the Metabase server.", _apply_metabase
        ),
    ]


def _face(
    key: dg.AssetKey,
    deps: Sequence[dg.AssetKey],
    description: str,
    make: Callable[[WarehouseRun], Mapping[str, Any]],
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="_".join(key.path),
        specs=[dg.AssetSpec(key, deps=deps, group_name=FACES_GROUP, description=description, skippable=True)],
        check_specs=[dg.AssetCheckSpec(FACE_CHECK, asset=key)],
    )
    def face(context: dg.AssetExecutionContext, warehouse: WarehouseRun) -> Iterator[Event]:
        try:
            metadata = make(warehouse)
        except SkippedFaceError as reason:
            context.log.info(f"skipped: {reason}")
            yield dg.AssetCheckResult(
                asset_key=key, check_name=FACE_CHECK, passed=True, metadata={SKIPPED_METADATA: str(reason)}
            )
        except Exception as error:  # whatever it is, readers already see the marts
            context.log.exception(f"{key.to_user_string()} failed")
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=FACE_CHECK,
                passed=False,
                severity=dg.AssetCheckSeverity.ERROR,
                description=str(error) or type(error).__name__,
            )
        else:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
            yield dg.AssetCheckResult(asset_key=key, check_name=FACE_CHECK, passed=True)

    return face


def _ask_metrics(warehouse: WarehouseRun) -> Mapping[str, Any]:
    logger.info("asking every metric")
    try:
        with SemanticClient.open(warehouse.home_folder, warehouse.named_target) as client:
            asked = len(client.catalogue().public_metrics)
            failures = unanswered(client)
    except ModuleNotFoundError as error:
        raise _not_installed(error, "serving") from error
    if failures:
        named = "; ".join(f"{name}: {said}" for name, said in list(failures.items())[:MOST_NAMED])
        raise SilentMetricsError(f"{len(failures)} of {asked} metrics give no answer: {named}")
    return {"metrics": asked}


def _write_report(warehouse: WarehouseRun) -> Mapping[str, Any]:
    try:
        from serving.report.page import write_report
    except ModuleNotFoundError as error:
        raise _not_installed(error, "report") from error
    logger.info("writing the report")
    path = write_report(warehouse.home_folder, target=warehouse.named_target)
    return {PATH_METADATA: dg.MetadataValue.path(str(path))}


def _apply_metabase(warehouse: WarehouseRun) -> Mapping[str, Any]:
    if not is_configured():
        raise SkippedFaceError(f"{URL_VARIABLE} names no server")
    try:
        from serving.metabase.open import open_metabase
        from serving.metabase.provisioning import apply
    except ModuleNotFoundError as error:
        raise _not_installed(error, "metabase") from error
    logger.info("provisioning Metabase")
    server, wanted = open_metabase(warehouse.home_folder, warehouse.named_target)
    return {"changes": len(apply(server, wanted))}


def _not_installed(error: ModuleNotFoundError, extra: str) -> SkippedFaceError:
    return SkippedFaceError(f"{error.name} is not installed: install tillhouse[{extra}]")
