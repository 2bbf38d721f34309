"""Runs a sequence over a home folder of its own, and compares what it leaves with a rebuild from bronze."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Listed
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import duckdb
import yaml

from ingestion.feed import Feed, load_feeds
from ingestion.loader import WarehouseLoader
from ingestion.service import IngestionService
from ingestion.warehouses import open_warehouse
from ingestion.warehouses.base import Table
from ingestion.warehouses.duckdb import DuckDBWarehouse
from orchestration import publish_duckdb
from orchestration.dbt_runner import BuildSettings, DbtRunner
from orchestration.publication import PublicTable, Stamp, public_tables
from orchestration.publish import open_publisher
from orchestration.publish_duckdb import DuckDBPublisher, open_published
from orchestration.publish_postgres import reader_schema
from settings.errors import DataRejectedError, NotFoundError, TillhouseError
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home

from .company import RATES, SMALL_COMPANY, as_csv, feed_file, feed_of
from .script import NodeScript, Recorder, RunKilledError, Script
from .sequences import Action, Fault, Published, Run, SameName, Sequence

ARRIVED = 1_775_400_000  # every file's modification time, in epoch seconds: after all delivery times
SHOWN_ROWS = 5
CLOCK_COLUMNS = {"loaded_at"}  # a rebuild loads at another time
DATABASE_AT_WORK = "warehouse"
DATABASE_FILE = "database.json"  # in a home whose warehouse is on a server: the variables of its profile


class LoadKilledError(Exception):
    """The end of the process inside the transaction of a file."""


class IncrementalDiffersError(AssertionError):
    """Marts of an incremental warehouse that are not those of a rebuild from bronze."""


@contextmanager
def environment_of(home: Home) -> Iterator[None]:
    """The variables that the profile and the tokens are made with."""
    words = {
        HOME_VARIABLE: str(home.root),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        "TILLHOUSE_TOKEN_KEY": "a key for tests alone, not a secret",
        "TILLHOUSE_SCHEMA_PREFIX": "",
        "TILLHOUSE_REPORTING_CURRENCY": "",
    }
    database = home.root / DATABASE_FILE
    if database.exists():
        words |= json.loads(database.read_text(encoding="utf-8"))
    with mock.patch.dict(os.environ, words):
        yield


class DuckDBDatabase:
    """One connection to an embedded warehouse, with one thread: the tables are tiny."""

    def __init__(self, home: Home) -> None:
        self._connection = duckdb.connect(
            str(home.warehouse), config={"threads": 1, "preserve_insertion_order": False}
        )
        # A spawned process looks like a shell, where DuckDB shows how far a query is.
        self._connection.execute("set enable_progress_bar = false")

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def first_value(self, sql: str) -> object:
        row = self._connection.execute(sql).fetchone()
        return row[0] if row else None

    def relations(self) -> Mapping[tuple[str, str], str]:
        found = self._connection.execute(
            "select schema_name, table_name, 'table' from duckdb_tables() where not temporary"
            " union all select schema_name, view_name, 'view' from duckdb_views() where not internal"
        )
        return {(schema, name): kind for schema, name, kind in found.fetchall()}

    def rollback(self) -> None:
        with suppress(duckdb.Error):  # where no transaction is open
            self._connection.rollback()

    def split(self, sql: str) -> list[str]:
        return [statement.query for statement in self._connection.extract_statements(sql)]

    def close(self) -> None:
        self._connection.close()


class Builder(Protocol):
    """Builds the models of one home."""

    def build(self, home: Home, run: Run) -> bool:
        """Whether all models were built.

        Raises:
            RunKilledError: when the run was to end inside.
        """


@dataclass
class RecordedBuilder:
    """Builds by the statements that dbt sent once."""

    script: Script

    def build(self, home: Home, run: Run) -> bool:
        """See `Builder.build`."""
        fault = run.fault
        where = {"model": "fails_in", "killed": "killed_in"}.get(fault.at) if fault else None
        words: dict[str, Any] = {where: fault.model, "after": fault.after} if fault and where else {}
        database = DuckDBDatabase(home)
        try:
            return not self.script.run(database, full_refresh=run.full_refresh, **words)
        finally:
            database.close()


@dataclass
class DbtBuilder:
    """Builds by dbt itself. A model fails where the SQL that dbt sends for it is cut off."""

    manifest: Any
    settings: Mapping[str, Any]

    def build(self, home: Home, run: Run) -> bool:
        """See `Builder.build`."""
        from dbt.adapters.sql.connections import SQLConnectionManager

        runner = DbtRunner(BuildSettings(home, **self.settings), parsed=self.manifest)
        if run.full_refresh:
            anew = {**self.settings, "select": run.full_refresh, "full_refresh": True}
            again = DbtRunner(BuildSettings(home, **anew), parsed=self.manifest)
            again.build().require_success()
        fault = run.fault if run.fault and run.fault.at in {"model", "killed"} else None
        former, done = SQLConnectionManager.add_query, 0

        def add_query(manager: Any, sql: str, *args: Any, **words: Any) -> Any:
            nonlocal done
            name = manager.get_thread_connection().name
            if fault and name.endswith(f".{fault.model}"):
                done += 1
                if done > fault.after:
                    sql = "select this_model_was_made_to_fail"
            return former(manager, sql, *args, **words)

        with mock.patch.object(SQLConnectionManager, "add_query", add_query):
            report = runner.build()
        if not fault:
            report.require_success()
        elif fault.at == "killed":
            raise RunKilledError(fault.model)
        return not report.failures


class Server(Protocol):
    """A database server of the tests; see `postgres_server`."""

    def create_database(self, template: str = "template1") -> Any: ...

    def rename_database(self, former: str, name: str) -> None: ...

    def drop_database(self, database: Any) -> None: ...


@dataclass
class Homes:
    """Makes copies of homes, each with its database where the target has a server. `remove` them again."""

    server: Server | None = None
    _databases: dict[Path, Any] = field(default_factory=dict)

    def make(self, root: Path) -> Home:
        """An empty home."""
        home = Home(root).ensure()
        if self.server:
            self._give(root, self.server.create_database())
        return home

    def copy(self, home: Home, root: Path) -> Home:
        """The same state elsewhere."""
        shutil.copytree(home.root, root, ignore=shutil.ignore_patterns(DATABASE_FILE))
        if self.server:
            self._give(root, self.server.create_database(self._databases[home.root].name))
        return Home(root)

    @contextmanager
    def at(self, home: Home) -> Iterator[None]:
        """The environment of one home. On a server its database has one name meanwhile, whichever home it is.

        The models' SQL names the database, and their fingerprints with it.
        """
        if not self.server:
            with environment_of(home):
                yield
            return
        database = self._databases[home.root]
        at_work = {**database.environment, "TILLHOUSE_POSTGRES_DATABASE": DATABASE_AT_WORK}
        self.server.rename_database(database.name, DATABASE_AT_WORK)
        try:
            (home.root / DATABASE_FILE).write_text(json.dumps(at_work), encoding="utf-8")
            with environment_of(home):
                yield
        finally:
            self.server.rename_database(DATABASE_AT_WORK, database.name)
            (home.root / DATABASE_FILE).write_text(json.dumps(database.environment), encoding="utf-8")

    def remove(self, home: Home) -> None:
        """Remove a home with all that belongs to it."""
        shutil.rmtree(home.root, ignore_errors=True)
        if self.server and home.root in self._databases:
            self.server.drop_database(self._databases.pop(home.root))

    def _give(self, root: Path, database: Any) -> None:
        self._databases[root] = database
        (root / DATABASE_FILE).write_text(json.dumps(database.environment), encoding="utf-8")


@dataclass
class Property:
    """What examples share: a parsed project, its recorded statements, homes to start from. Close it."""

    root: Path
    manifest: Mapping[str, Any]
    script: Script
    dbt: DbtBuilder
    homes: Homes = field(default_factory=Homes)
    starts: dict[tuple[str, SameName], Home] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return "postgres" if self.homes.server else "duckdb"

    @property
    def builder(self) -> Builder:
        """The cheap one where there is one."""
        return self.dbt if self.homes.server else RecordedBuilder(self.script)

    @property
    def marts(self) -> list[PublicTable]:
        """Every table that is published; the tables about runs are not marts."""
        return [table for table in public_tables(self.manifest) if not table.schema.endswith("quality")]

    @property
    def quality(self) -> list[PublicTable]:
        """The tables of quality that are computed for what changed, and what is made of them."""
        names = {
            node["name"]
            for node in self.manifest["nodes"].values()
            if node["config"].get("incremental_strategy") == "touched"
        }
        names.add("quality_orphans")
        return [
            table
            for table in public_tables(self.manifest)
            if table.schema.endswith("quality") and table.name in names
        ]

    def check(self, sequence: Sequence, builder: Builder | None = None) -> None:
        """Run the sequence and compare.

        Raises:
            IncrementalDiffersError: names each mart that differs from a rebuild, with rows of both.
        """
        home = self.start(sequence, self._new_root())
        try:
            with self.homes.at(home):
                company = Company(home, self, builder or self.builder, sequence.same_name, sequence.published)
                for run in sequence.runs or (Run(),):
                    company.run(run)
            self.compare_with_rebuild(home, sequence)
        finally:
            self.homes.remove(home)

    def compare_with_rebuild(self, home: Home, sequence: Sequence) -> None:
        """Compare what a home holds with a rebuild from its bronze.

        Raises:
            IncrementalDiffersError: names each mart that differs, with rows of both.
        """
        rebuilt = self._rebuild(home, sequence)
        try:
            self._compare(home, rebuilt)
        finally:
            self.homes.remove(rebuilt)

    def close(self) -> None:
        for home in [*self.starts.values(), Home(self.root / "nothing")]:
            self.homes.remove(home)
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self, sequence: Sequence, root: Path) -> Home:
        """A new home with what the sequence starts from."""
        key = (sequence.start, sequence.same_name)
        if key not in self.starts:
            home = self.homes.copy(Home(self.root / "nothing"), self.root / "-".join(key))
            if sequence.start == "small_company":
                with self.homes.at(home):
                    Company(home, self, self.builder, sequence.same_name).run(Run(SMALL_COMPANY))
            self.starts[key] = home
        return self.homes.copy(self.starts[key], root)

    def _new_root(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root)) / "home"

    def _rebuild(self, home: Home, sequence: Sequence) -> Home:
        """A warehouse that knows nothing but bronze: every delivery replayed in its order, built in full."""
        rebuilt = self.homes.copy(Home(self.root / "nothing"), self._new_root())
        shutil.copytree(home.bronze, rebuilt.bronze, dirs_exist_ok=True)
        with self.homes.at(rebuilt):
            company = Company(rebuilt, self, self.builder, sequence.same_name)
            report = company.service.reload("rebuild")
            bad = [batch for batch in report.batches if batch.status != "loaded"]
            if bad:
                raise AssertionError(f"bronze cannot be replayed: {bad}")
            company.build(Run())
        return rebuilt

    def _compare(self, home: Home, rebuilt: Home) -> None:
        found = []
        with ExitStack() as stack:
            expected = tables_of(stack, self.target, rebuilt)
            built = tables_of(stack, self.target, home)
            read = published_tables(stack, self.target, home)
            for table in self.marts:
                for word, tables in (("published", read), ("incremental", built)):
                    said = _difference(tables(table), expected(table))
                    if said:
                        found.append(f"{table.schema}.{table.name} ({word}):\n{said}")
                        break
            for table in self.quality:
                said = _difference(_without_clock(built(table)), _without_clock(expected(table)))
                if said:
                    found.append(f"{table.schema}.{table.name} (incremental):\n{said}")
        if found:
            raise IncrementalDiffersError("\n".join(found))


@dataclass
class Company:
    """One home with the small company in it."""

    home: Home
    shared: Property
    builder: Builder
    same_name: SameName = "replace"
    published: Published = "tables"
    runs: int = 0

    def __post_init__(self) -> None:
        path = self.home.feeds / "small.yml"
        path.write_text(yaml.safe_dump(feed_file(self.same_name)), encoding="utf-8")
        self.feeds: list[Feed] = load_feeds(path, self.home)

    @property
    def service(self) -> IngestionService:
        return IngestionService(self.home, self.feeds, target=self.shared.target)

    def run(self, run: Run) -> None:
        """Deliver, load, build and publish; a fault ends the run where it says."""
        self.runs += 1
        run_id = f"run-{self.runs}"
        fault = run.fault
        try:
            for action in run.actions:
                self._act(action, run_id)
            with _loading_breaks_off(fault.after if fault and fault.at == "load" else None):
                report = self.service.ingest(run_id)
            failed = [batch for batch in report.batches if batch.status not in {"loaded", "duplicate"}]
            if failed:
                raise AssertionError(f"the company delivers nothing that is refused: {failed}")
            self._take_up_what_was_left(run_id)
            if fault and fault.at == "loaded":
                return
            is_complete = self.build(run)
        except (LoadKilledError, RunKilledError):
            return
        if is_complete:
            self._publish(run_id, fault if fault and fault.at == "publish" else None)

    def _publish(self, run_id: str, fault: Fault | None) -> None:
        if fault and not fault.after:
            return
        stamp = Stamp(run_id, "data", "project")
        if self.shared.target != "duckdb":
            # There the marks and the rows that readers see commit together.
            open_publisher(self.home, self.shared.target).publish(self.shared.marts, stamp)
            return
        sizes = {"least_part_rows": 1, "full_rows": 2} if self.published == "parts" else {}
        publisher = DuckDBPublisher(self.home, **sizes)
        with mock.patch.object(publish_duckdb, "advance") if fault else nullcontext():
            publisher.publish(self.shared.marts, stamp)

    def build(self, run: Run) -> bool:
        """Whether every model was built."""
        return self.builder.build(self.home, run)

    def _take_up_what_was_left(self, run_id: str) -> None:
        """Load from bronze what a broken run has left and whose file is gone, as the run's report asks for."""
        left = self._ask(
            "select batch_id from ops.load_ledger where status = 'pending' order by feed, load_sequence"
        )
        for (batch_id,) in left:
            with suppress(DataRejectedError):  # it never came as far as bronze, so there is nothing to load
                self.service.reload(run_id, batch_id=batch_id)

    def deliver(self, action: Action) -> None:
        """Put a file into the landing folder."""
        path = self.home.landing / feed_of(action.file) / action.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_csv(action.file, action.rows), encoding="utf-8")
        os.utime(path, (ARRIVED, ARRIVED))

    def _act(self, action: Action, run_id: str) -> None:
        if action.do == "deliver":
            self.deliver(action)
            return
        with suppress(NotFoundError, TillhouseError):  # what is not there, or already so, stays as it is
            batch = self._batch_of(action)
            if action.do == "withdraw":
                self.service.withdraw(batch, run_id)
            elif action.do == "accept":
                self.service.accept(batch, run_id)
            else:
                self.service.reload(run_id, batch_id=batch)

    def _batch_of(self, action: Action) -> str:
        status = "withdrawn" if action.do == "accept" else "loaded"
        rows = self._ask(
            "select batch_id from ops.load_ledger where object_name = ? and status = ?"
            " order by load_sequence desc, batch_id limit 1",
            [action.file, status],
        )
        if not rows:
            raise NotFoundError(f"no {status} delivery is named {action.file}")
        return str(rows[0][0])

    def _ask(self, sql: str, parameters: Listed[object] = ()) -> list[tuple[Any, ...]]:
        with closing(open_warehouse(self.shared.target, self.home, read_only=True)) as warehouse:
            return warehouse.query(sql, parameters).rows


@contextmanager
def _loading_breaks_off(after: int | None) -> Iterator[None]:
    """End the run inside the transaction of a file, when so many files have been loaded."""
    if after is None:
        yield
        return
    former, done = WarehouseLoader.load, 0

    def load(loader: WarehouseLoader, batch: Any) -> None:
        nonlocal done
        former(loader, batch)
        done += 1
        if done > after:
            raise LoadKilledError(batch.entry.object_name)

    with mock.patch.object(WarehouseLoader, "load", load):
        yield


def tables_of(stack: ExitStack, target: str, home: Home) -> Callable[[PublicTable], Table]:
    """Reads the tables of a warehouse."""
    with environment_of(home):
        warehouse = stack.enter_context(closing(open_warehouse(target, home, read_only=True)))
    return lambda table: warehouse.query(f'select * from "{table.schema}"."{table.name}"')


def published_tables(stack: ExitStack, target: str, home: Home) -> Callable[[PublicTable], Table]:
    """Reads the tables that readers see."""
    if target != "duckdb":
        built = tables_of(stack, target, home)
        return lambda table: built(replace(table, schema=reader_schema(table.schema)))
    warehouse = DuckDBWarehouse(stack.enter_context(open_published(home)))
    return lambda table: warehouse.query(f'select * from "{table.schema}"."{table.name}"')


def _difference(found: Table, expected: Table) -> str:
    """Rows that only one of two tables has (`except all` both ways), empty when they are equal."""
    if found.columns != expected.columns:
        return f"  columns {found.columns}\n  rebuilt {expected.columns}"
    ours, theirs = Counter(found.rows), Counter(expected.rows)
    lines = []
    for word, rows in (("has", ours - theirs), ("lacks", theirs - ours)):
        lines += [f"  {word} {_told(found.columns, row)}" for row in sorted(rows, key=repr)[:SHOWN_ROWS]]
    return "\n".join(lines)


def _without_clock(table: Table) -> Table:
    kept = [place for place, name in enumerate(table.columns) if name not in CLOCK_COLUMNS]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=[tuple(row[place] for place in kept) for row in table.rows],
    )


def _told(columns: Listed[str], row: tuple[Any, ...]) -> str:
    cells = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
    hashes = {name for name, value in cells.items() if name.endswith("_key") and len(str(value)) == 32}
    return ", ".join(f"{name}={value}" for name, value in cells.items() if name not in hashes)


SETTINGS: Mapping[str, Any] = {
    "resource_types": ("model", "snapshot"),
    # Of quality what follows the feed, what that reads and what is made of it: the rest is about runs and files.
    "select": (
        *("path:models/staging", "path:models/intermediate", "path:models/marts", "path:snapshots"),
        "path:models/quality,config.materialized:incremental",
        *("quality_deliveries", "quality_orphans"),
    ),
}


@dataclass(frozen=True)
class Recording:
    """What is made once and serves every example: a folder with an empty home, and the builds of the models."""

    home: Path
    manifest: Mapping[str, Any]
    parsed: Any
    script: Script

    def open(self) -> Property:
        """A place of its own for the examples of this process."""
        root = _root()
        shutil.copytree(self.home, root / "nothing")
        return Property(root, self.manifest, self.script, DbtBuilder(self.parsed, SETTINGS))


def record(folder: Path) -> Recording:
    """Parse the project and record its builds: about 25 seconds of one core.

    Args:
        folder: to be made; homes are put there.
    """
    home = Home(folder / "nothing").ensure()
    with environment_of(home):
        runner = _prepare(home, "duckdb")
    recorded = Home(folder / "recorded")
    shutil.copytree(home.root, recorded.root)
    return Recording(home.root, runner.manifest, runner.parsed, _record(recorded, runner))


def _root() -> Path:
    memory = Path("/dev/shm")  # noqa: S108  (homes in memory save the waiting for a disk)
    return Path(tempfile.mkdtemp(prefix="tillhouse-property-", dir=memory if memory.is_dir() else None))


def _prepare(home: Home, target: str) -> DbtRunner:
    """Make the tables that are there before the first delivery: seeds with rates, empty raw tables."""
    settings = BuildSettings(home, target=target, select=("resource_type:seed",), resource_types=("seed",))
    runner = DbtRunner(settings)
    runner.parse()
    runner.build().require_success()
    rows = [(day, currency, rate) for currency, known in RATES.items() for day, rate in known]
    with closing(open_warehouse(target, home)) as warehouse, warehouse.transaction():
        warehouse.execute_many(
            "insert into seeds.fx_rates (rate_date, currency, rate) values (?, ?, ?)", rows
        )
    path = home.feeds / "small.yml"
    path.write_text(yaml.safe_dump(feed_file("replace")), encoding="utf-8")
    # There is nothing yet, but it makes the tables.
    IngestionService(home, load_feeds(path, home), target=target).ingest("first")
    shutil.rmtree(home.dbt_target)
    return runner


@contextmanager
def open_property() -> Iterator[Property]:
    """Record, and clear everything away in the end."""
    with tempfile.TemporaryDirectory() as folder:
        shared = record(Path(folder)).open()
        try:
            yield shared
        finally:
            shared.close()


@contextmanager
def open_property_on(server: Server) -> Iterator[Property]:
    """The same with a database for each home, built by dbt itself."""
    homes, root = Homes(server), _root()
    nothing = homes.make(root / "nothing")
    with homes.at(nothing):
        runner = _prepare(nothing, "postgres")
    models = [
        NodeScript(key, node["schema"], node["name"], frozenset())
        for key, node in runner.manifest["nodes"].items()
        if node["resource_type"] == "model" and not node["schema"].endswith("quality")
    ]
    builder = DbtBuilder(runner.parsed, {**SETTINGS, "target": "postgres"})
    shared = Property(root, runner.manifest, Script(models, [], []), builder, homes)
    try:
        yield shared
    finally:
        shared.close()


def _record(home: Home, parsed: DbtRunner) -> Script:
    recorder = Recorder(parsed.manifest)
    with environment_of(home), recorder.listening():
        for variant in ("absent", "refreshed", "standing"):
            settings = BuildSettings(home, **SETTINGS, full_refresh=variant == "refreshed")
            recorder.keep(variant, DbtRunner(settings, parsed=parsed.parsed).build())
    database = DuckDBDatabase(home)
    try:
        return recorder.script(database)
    finally:
        database.close()
