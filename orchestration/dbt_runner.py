"""dbt in this process: one parse, then builds that reuse its manifest.

Starting dbt as a program costs about two seconds an invocation in imports alone, and streaming its events
through Dagster's own client costs as much again as the build; calling it in process costs neither.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from ingestion.warehouses import TARGETS, open_warehouse
from ingestion.warehouses.base import StatementError, is_lost_connection
from settings.errors import BuildFailedError, ConfigurationError, TillhouseError, UnavailableError
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.profile import profiles_directory

CURRENCY_VARIABLE = "TILLHOUSE_REPORTING_CURRENCY"  # read by the macro reporting_currency
FAILED_STATUSES = frozenset({"error", "fail", "runtime error"})
NOT_RUN_STATUSES = frozenset({"skipped", "no-op"})


@dataclass(frozen=True)
class BuildSettings:
    """What one build is asked to do.

    `select` and `exclude` are dbt selectors; empty means everything.
    """

    home: Home
    target: str = "duckdb"
    as_of: date | None = None
    full_refresh: bool = False
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    resource_types: tuple[str, ...] = ()
    # Unit tests judge the code, not the data: CI runs them, a daily run need not.
    unit_tests: bool = False


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed, snapshot or test."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    severity: str
    failures: int | None
    seconds: float
    message: str
    tested_models: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.status in FAILED_STATUSES

    @property
    def warned(self) -> bool:
        return self.status == "warn"


@dataclass(frozen=True)
class BuildReport:
    """All results of one build, in the order in which they finished."""

    results: tuple[NodeResult, ...] = ()
    seconds: float = 0.0

    @property
    def failures(self) -> tuple[NodeResult, ...]:
        return tuple(result for result in self.results if result.failed)

    @property
    def warnings(self) -> tuple[NodeResult, ...]:
        return tuple(result for result in self.results if result.warned)

    @property
    def skipped(self) -> tuple[NodeResult, ...]:
        return tuple(result for result in self.results if result.status in NOT_RUN_STATUSES)

    def require_success(self) -> None:
        """Raise where a model or an error-level test failed.

        Raises:
            BuildFailedError: names the first failures and says that nothing was published.
            UnavailableError: when a connection broke, so that another try may pass.
        """
        if not self.failures:
            return
        lost = next((result for result in self.failures if is_lost_connection(result.message)), None)
        if lost:
            raise UnavailableError(
                f"the connection to the database server broke while {lost.name} was built: {lost.message.strip()}",
                remedy="the marts published before stay in place; see that the server runs, then run again",
                rule="server",
            )
        shown = "\n".join(f"    {result.name}: {result.message.strip()}" for result in self.failures[:5])
        more = f"\n    and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        raise BuildFailedError(
            f"{len(self.failures)} of {len(self.results)} models and tests failed:\n{shown}{more}",
            remedy="the marts published before stay in place; mend the cause, then `tillhouse run` again "
            "(`tillhouse status` shows the last results)",
            rule="build_failed",
        )


def dbt_arguments(command: str, settings: BuildSettings, *, profiles_dir: Path) -> list[str]:
    """The words of one dbt invocation. Pure: the same settings give the same words."""
    words = [
        command,
        "--project-dir", str(PROJECT_ROOT),
        "--profiles-dir", str(profiles_dir),
        "--target-path", str(settings.home.dbt_target),
        "--log-path", str(settings.home.logs),
        "--log-level", "none",
        "--target", settings.target,
    ]  # fmt: skip
    if settings.as_of is not None:
        words += ["--vars", json.dumps({"as_of_date": settings.as_of.isoformat()})]
    if command in {"build", "run", "seed", "snapshot", "test"}:
        if settings.select:
            words += ["--select", *settings.select]
        if settings.exclude:
            words += ["--exclude", *settings.exclude]
    if command == "build":
        for resource_type in settings.resource_types:
            words += ["--resource-type", resource_type]
        if not settings.unit_tests and "unit_test" not in settings.resource_types:
            words += ["--exclude-resource-type", "unit_test"]
        if settings.full_refresh:
            words.append("--full-refresh")
    return words


@dataclass
class DbtRunner:
    """dbt over one home folder. Parses once and keeps the manifest for later builds.

    `TILLHOUSE_HOME` is set in this process's environment, since the profile reads it from there.
    """

    settings: BuildSettings
    _manifest: Any = field(default=None, init=False, repr=False)

    def parse(self) -> Mapping[str, Any]:
        """Parse the project (incrementally where dbt can) and return the manifest as a dictionary.

        Raises:
            ConfigurationError: when the project does not parse.
        """
        self._invoke_parse()
        written: dict[str, Any] = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        return written

    @property
    def manifest_path(self) -> Path:
        return self.settings.home.dbt_target / "manifest.json"

    def build(self, select: tuple[str, ...] = ()) -> BuildReport:
        """Run `dbt build` and return what became of each node. Failures are in the report, not raised.

        Args:
            select: dbt selectors, in place of those of the settings.

        Raises:
            BuildFailedError: when dbt stopped before it ran a node (a bad selector).
            UnavailableError: when the database server cannot be reached.
        """
        if self._manifest is None:
            self._invoke_parse()
        outcome = self._invoke("build", manifest=self._manifest, select=select)
        if outcome.result is None:
            if is_lost_connection(str(outcome.exception)):
                raise UnavailableError(
                    f"the database server cannot be used: {outcome.exception}",
                    remedy="see that it runs, then run again",
                    rule="server",
                )
            raise BuildFailedError(
                f"dbt stopped before it ran anything: {outcome.exception}",
                remedy=f"read {self.settings.home.logs / 'dbt.log'}",
                rule="build_failed",
            )
        results = tuple(_node_results(outcome.result, self.settings))
        return BuildReport(results=results, seconds=outcome.result.elapsed_time)

    def _invoke_parse(self) -> None:
        outcome = self._invoke("parse", manifest=None)
        if not outcome.success:
            raise ConfigurationError(
                f"the dbt project does not parse: {outcome.exception}",
                remedy="mend the file that the message names",
                rule="project_does_not_parse",
            )
        self._manifest = outcome.result

    def _invoke(self, command: str, *, manifest: Any, select: tuple[str, ...] = ()) -> Any:
        # Imported here: dbt takes a second to import, and most commands of ours never need it.
        from dbt.cli.main import dbtRunner  # noqa: PLC0415  (see above)

        self.settings.home.ensure()
        os.environ[HOME_VARIABLE] = str(self.settings.home.root)
        settings = replace(self.settings, select=select) if select else self.settings
        words = dbt_arguments(command, settings, profiles_dir=profiles_directory())
        try:
            outcome = dbtRunner(manifest=manifest).invoke(words)
        finally:
            _release_connections()
        if outcome.exception is not None and not isinstance(outcome.exception, Exception):
            raise outcome.exception  # Ctrl-C, which dbt hands back as if it were a failure of the project
        return outcome


def _release_connections() -> None:
    """Close the database that dbt's adapter keeps open, so that the loader and readers may open it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415  (slow to import)
    from dbt.adapters.factory import cleanup_connections  # noqa: PLC0415  (slow to import)

    steps: list[Callable[[], None]] = [cleanup_connections, DuckDBConnectionManager.close_all_connections]
    for step in steps:  # dbt has no type hints here
        step()


def _node_results(run_results: Any, settings: BuildSettings) -> Iterator[NodeResult]:
    for result in run_results.results:
        node = result.node
        resource_type = str(node.resource_type)
        depends_on = tuple(node.depends_on.nodes) if resource_type in {"test", "unit_test"} else ()
        attached = getattr(node, "attached_node", None)
        yield NodeResult(
            unique_id=node.unique_id,
            name=node.name,
            resource_type=resource_type,
            status=str(result.status),
            severity=str(getattr(node.config, "severity", "") or "").lower(),
            failures=result.failures,
            seconds=float(result.execution_time),
            message=message_of(result, settings),
            tested_models=(attached,) if attached else depends_on,
        )


def message_of(result: Any, settings: BuildSettings) -> str:
    """What dbt says; of a failed test also which rules are broken, and what its description says about that."""
    said = str(result.message or "")
    if str(result.status) != "fail":
        return said
    parts = [said, _broken_rules(result.node, settings), str(getattr(result.node, "description", "") or "")]
    return ". ".join(part.strip().rstrip(".") for part in parts if part.strip())


def _broken_rules(node: Any, settings: BuildSettings) -> str:
    """Names and row counts out of a `rules_hold` test: dbt tells only how many rules are broken."""
    metadata = getattr(node, "test_metadata", None)
    if metadata is None or metadata.name != "rules_hold" or settings.target not in TARGETS:
        return ""
    try:
        with closing(open_warehouse(settings.target, settings.home, read_only=True)) as warehouse:
            rows = warehouse.query(node.compiled_code).rows
    except (
        duckdb.Error,
        StatementError,
        TillhouseError,
    ):  # a profile with a file of its own, a server that went
        return ""
    return "broken: " + ", ".join(f"{rule} (in {count} rows)" for rule, count in rows)


def project_fingerprint(manifest: Mapping[str, Any], settings: BuildSettings) -> str:
    """One hash over all that decides what a build makes: code, configuration, seeds, variables, target.

    Two builds of the same data with the same fingerprint give the same marts.
    """
    digest = hashlib.sha256()
    for unique_id, node in sorted(manifest["nodes"].items()):
        config = node.get("config", {})
        parts = [
            unique_id, node.get("checksum", {}).get("checksum", ""), node.get("raw_code", ""),
            json.dumps(config, sort_keys=True, default=str), node.get("schema", ""),
        ]  # fmt: skip
        digest.update("\x1f".join(parts).encode())
        if node.get("checksum", {}).get("name") == "path":  # of a seed above 1 MiB dbt hashes the name alone
            digest.update((PROJECT_ROOT / node["original_file_path"]).read_bytes())
    for unique_id, macro in sorted(manifest["macros"].items()):
        digest.update(f"{unique_id}\x1f{macro['macro_sql']}".encode())
    variables = manifest.get("metadata", {}).get("vars", {})
    digest.update(json.dumps(variables, sort_keys=True, default=str).encode())
    project_file = (PROJECT_ROOT / "dbt_project.yml").read_bytes()
    digest.update(project_file)
    currency = os.environ.get(CURRENCY_VARIABLE, "")
    digest.update(f"{settings.target}\x1f{settings.as_of}\x1f{currency}".encode())
    return digest.hexdigest()
