"""dbt in this process: one parse, then builds that reuse its manifest.

Starting dbt as a program costs about two seconds an invocation in imports alone, and streaming its events
through Dagster's own client costs as much again as the build; calling it in process costs neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from ingestion.warehouses.base import is_lost_connection
from orchestration.plain_arguments import note_plain_arguments
from settings.errors import BuildFailedError, ConfigurationError, UnavailableError
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.memory import look_for_garbage_rarely
from settings.profile import profiles_directory

CURRENCY_VARIABLE = "TILLHOUSE_REPORTING_CURRENCY"  # read by the macro reporting_currency
CHECKS_VARIABLE = "TILLHOUSE_CHECKS"  # read by macros/checks/touched_rows.sql
FAILED_STATUSES = frozenset({"error", "fail", "runtime error"})
NOT_RUN_STATUSES = frozenset({"skipped", "no-op"})
WEEKLY_TESTS = "tag:weekly"  # they scan the history, and so wait for the weekly run
CHECKS_SUFFIX = "_checks_hold"  # a test that packs the checks of a table is called by the table's name

Query = Callable[[str], Sequence[tuple[Any, ...]]]


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
    # Checks look at the rows that changed since they last passed, and tests tagged `weekly` are left out; CI and the
    # weekly run look at all.
    only_touched: bool = False
    # How many models are built at a time; None: what the profile says.
    threads: int | None = None


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, seed, snapshot or test, or of one check of a test that packs many."""

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
        exclude = [*settings.exclude, *([WEEKLY_TESTS] if settings.only_touched else [])]
        if exclude:
            words += ["--exclude", *exclude]
    # The runner writes the manifest where it is new, and what became of each node goes into `ops.dbt_results`.
    words.append("--no-write-json")
    if command == "build":
        for resource_type in settings.resource_types:
            words += ["--resource-type", resource_type]
        if not settings.unit_tests and "unit_test" not in settings.resource_types:
            words += ["--exclude-resource-type", "unit_test"]
        if settings.full_refresh:
            words.append("--full-refresh")
        if settings.threads is not None:
            words += ["--threads", str(settings.threads)]
    return words


@dataclass
class DbtRunner:
    """dbt over one home folder. Parses once and keeps the manifest for later builds.

    `TILLHOUSE_HOME` is set in this process's environment, since the profile reads it from there.
    """

    settings: BuildSettings
    parsed: Any = field(default=None, repr=False)  # dbt's own manifest
    written: Mapping[str, Any] | None = field(default=None, repr=False)  # the same as a dictionary
    metrics: Mapping[str, Any] | None = field(default=None, repr=False)  # dbt's semantic manifest

    def parse(self) -> Mapping[str, Any]:
        """Parse the project (incrementally where dbt can) and return the manifest as a dictionary.

        Raises:
            ConfigurationError: when the project does not parse.
        """
        self._invoke_parse()
        self.written = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        self.metrics = json.loads(
            self.manifest_path.with_name("semantic_manifest.json").read_text(encoding="utf-8")
        )
        return self.manifest

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest as a dictionary, parsed where that has not been done."""
        return self.written if self.written is not None else self.parse()

    @property
    def semantic_manifest(self) -> Mapping[str, Any]:
        """Semantic models and metrics as MetricFlow reads them, parsed where that has not been done."""
        if self.metrics is None:
            self.parse()
        return self.metrics or {}

    def parses_like(self, settings: BuildSettings) -> bool:
        """Whether the manifest is one that these settings would give."""
        mine, theirs = self.settings, settings
        return (mine.home, mine.target, mine.as_of) == (theirs.home, theirs.target, theirs.as_of)

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
        if self.parsed is None:
            self._invoke_parse()
        note_plain_arguments(self.parsed)
        with _connections_released():
            outcome = self._invoke("build", manifest=self.parsed, select=select)
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
            results = tuple(node_results(outcome.result, partial(query_adapter, self.parsed)))
        return BuildReport(results=results, seconds=outcome.result.elapsed_time)

    def _invoke_parse(self) -> None:
        with _connections_released():
            outcome = self._invoke("parse", manifest=None)
        if not outcome.success:
            raise ConfigurationError(
                f"the dbt project does not parse: {outcome.exception}",
                remedy="mend the file that the message names",
                rule="project_does_not_parse",
            )
        self.parsed = outcome.result
        if not self._manifest_is_current():
            self._write_manifest()

    def _manifest_is_current(self) -> bool:
        """Whether the files tell what was parsed: dbt keeps its own copy as it is where nothing changed."""
        kept = self.manifest_path.with_name("partial_parse.msgpack")
        return (
            self.manifest_path.exists()
            and kept.exists()
            and self.manifest_path.stat().st_mtime_ns >= kept.stat().st_mtime_ns
        )

    def _write_manifest(self) -> None:
        """Write the manifest and what dbt makes of it. The manifest comes last, so that it stands for the others."""
        from dbt.parser.manifest import write_manifest

        write: Callable[[Any, str], None] = write_manifest  # dbt has no type hints here
        folder = self.manifest_path.parent
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            write(self.parsed, scratch)
            files = sorted(Path(scratch).iterdir(), key=lambda file: file.name == self.manifest_path.name)
            for file in files:
                file.replace(folder / file.name)

    def _invoke(self, command: str, *, manifest: Any, select: tuple[str, ...] = ()) -> Any:
        look_for_garbage_rarely()
        from dbt.cli.main import dbtRunner

        self.settings.home.ensure()
        os.environ[HOME_VARIABLE] = str(self.settings.home.root)
        settings = replace(self.settings, select=select) if select else self.settings
        words = dbt_arguments(command, settings, profiles_dir=profiles_directory())
        with _rhythm(settings):
            outcome = dbtRunner(manifest=manifest).invoke(words)
        if outcome.exception is not None and not isinstance(outcome.exception, Exception):
            raise outcome.exception  # Ctrl-C, which dbt hands back as if it were a failure of the project
        return outcome


@contextmanager
def _rhythm(settings: BuildSettings) -> Iterator[None]:
    """Tell the macros of `macros/checks/` what to look at. A variable of dbt would make it parse the project anew."""
    former = os.environ.get(CHECKS_VARIABLE)
    if settings.only_touched:
        os.environ[CHECKS_VARIABLE] = "touched"
    try:
        yield
    finally:
        if settings.only_touched and former is None:
            del os.environ[CHECKS_VARIABLE]
        elif former is not None:
            os.environ[CHECKS_VARIABLE] = former


@contextmanager
def _connections_released() -> Iterator[None]:
    """Close the database that dbt's adapter keeps open, so that the loader and readers may open it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import cleanup_connections

    steps: list[Callable[[], None]] = [cleanup_connections, DuckDBConnectionManager.close_all_connections]
    try:
        yield
    finally:
        for step in steps:  # dbt has no type hints here
            step()


def query_adapter(manifest: Any, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the warehouse that the last invocation of dbt has worked on, whatever its engine.

    Raises:
        UnavailableError: when it cannot be asked any more.
    """
    from dbt.adapters import factory
    from dbt_common.exceptions import DbtBaseException

    find: Callable[[str], Any] = factory.get_adapter_by_type  # dbt has no type hints here
    adapter = find(manifest.metadata.adapter_type)
    try:
        with adapter.connection_named("broken_checks"):
            _, table = adapter.execute(sql, fetch=True)
    except DbtBaseException as error:
        raise UnavailableError(
            f"a test found broken rows, and the warehouse does not say which: {error}",
            remedy="see that it can be reached, then run again",
            rule="server",
        ) from error
    return [tuple(row) for row in table.rows]


def node_results(run_results: Any, query: Query) -> Iterator[NodeResult]:
    """What became of each node; of a test that packs many checks, what became of each check.

    Args:
        run_results: of dbt.
        query: gives the rows of an SQL text; asked only about tests that found something.
    """
    for result in run_results.results:
        node = result.node
        resource_type = str(node.resource_type)
        if resource_type == "exposure":
            continue  # dbt lists them, and there is nothing of them to run
        depends_on = tuple(node.depends_on.nodes) if resource_type in {"test", "unit_test"} else ()
        attached = getattr(node, "attached_node", None)
        whole = NodeResult(
            unique_id=node.unique_id,
            name=node.name,
            resource_type=resource_type,
            status=str(result.status),
            severity=str(getattr(node.config, "severity", "") or "").lower(),
            failures=result.failures,
            seconds=float(result.execution_time),
            message=message_of(result),
            tested_models=(attached,) if attached else depends_on,
        )
        checks = checks_of(node)
        yield from check_results(whole, checks, node, query) if checks else [whole]


def checks_of(node: Any) -> Mapping[str, Mapping[str, str]]:
    """The checks that a `checks_hold` test packs: their names, each with its severity and remedy."""
    checks: Mapping[str, Mapping[str, str]] = (getattr(node.config, "meta", None) or {}).get("checks", {})
    return checks


def check_results(
    whole: NodeResult, checks: Mapping[str, Mapping[str, str]], node: Any, query: Query
) -> Iterator[NodeResult]:
    """One result a check. The seconds of their common scan are shared among them."""
    broken: dict[str, int] = {}
    if whole.status in {"fail", "warn"}:  # dbt tells only how many checks are broken
        broken = {str(name): int(rows) for name, _, rows in query(node.compiled_code)}
    table = node.name.removesuffix(CHECKS_SUFFIX)
    for name, told in checks.items():
        status, message = whole.status, whole.message
        if whole.status in {"fail", "warn", "pass"}:
            status, message = "pass", ""
        if name in broken:
            status = "warn" if told["severity"] == "warn" else "fail"
            said = f"{broken[name]} {'row breaks' if broken[name] == 1 else 'rows break'} it"
            message = ". ".join(filter(None, (said, told["remedy"].strip().rstrip("."))))
        yield replace(
            whole,
            unique_id=f"{whole.unique_id}.{name}",
            name=f"{table}.{name}",
            status=status,
            severity=told["severity"],
            failures=None if status not in {"pass", "fail", "warn"} else broken.get(name, 0),
            seconds=whole.seconds / len(checks),
            message=message,
        )


def message_of(result: Any) -> str:
    """What dbt says; of a failed test also what its description says."""
    said = str(result.message or "")
    if str(result.status) != "fail":
        return said
    parts = [said, str(getattr(result.node, "description", "") or "")]
    return ". ".join(part.strip().rstrip(".") for part in parts if part.strip())


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
    semantics = {**manifest.get("semantic_models", {}), **manifest.get("metrics", {})}
    for _, semantic in sorted(semantics.items()):
        told = {name: value for name, value in semantic.items() if name != "created_at"}
        digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    variables = manifest.get("metadata", {}).get("vars", {})
    digest.update(json.dumps(variables, sort_keys=True, default=str).encode())
    project_file = (PROJECT_ROOT / "dbt_project.yml").read_bytes()
    digest.update(project_file)
    currency = os.environ.get(CURRENCY_VARIABLE, "")
    digest.update(f"{settings.target}\x1f{settings.as_of}\x1f{currency}".encode())
    return digest.hexdigest()
