"""dbt's own statements, recorded once and run again many times.

A build of the models costs dbt five seconds of rendering and bookkeeping, its statements a tenth of that. What dbt
sends depends on three things alone: whether a model's table is there, whether it is asked or forced to be built anew,
and the answers to the questions that the models ask of `state`. So three builds are recorded (`absent`, `standing`,
`refreshed`), the questions are asked again before each use of a recording, and each model gets the statements that
dbt would have sent. `test_recorded_statements_do_what_dbt_does` holds the two to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestration.dbt_runner import BuildReport

READS = ("select", "describe", "with", "show")
START, END = "-on-run-start-", "-on-run-end-"


class ModelFailedError(Exception):
    """A model that a fault made fail."""


class RunKilledError(Exception):
    """The end of the process, as far as a recorded build can tell."""


class Database(Protocol):
    """What a recorded build needs of a connection: statements as dbt sends them, one transaction at a time."""

    def execute(self, sql: str) -> None: ...

    def first_value(self, sql: str) -> object:
        """The first value of the first row; None where there is no row."""

    def relations(self) -> Mapping[tuple[str, str], str]:
        """`table` or `view` for the schema and name of each."""

    def rollback(self) -> None: ...

    def split(self, sql: str) -> list[str]:
        """The single statements of a text."""


@dataclass
class NodeScript:
    """The statements of one node: when its table is absent, when it stands, when it is to be built anew."""

    unique_id: str
    schema: str
    name: str
    depends_on: frozenset[str]
    absent: list[str] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    # What a standing model asks of `state`, and what it is told when it can go on from what it holds.
    questions: dict[str, object] = field(default_factory=dict)


@dataclass
class Script:
    """A recorded project."""

    nodes: list[NodeScript]
    before: list[str]
    after: list[str]

    @property
    def models(self) -> list[str]:
        return [node.name for node in self.nodes]

    def run(
        self,
        database: Database,
        *,
        full_refresh: Iterable[str] = (),
        fails_in: str = "",
        killed_in: str = "",
        after: int = 0,
    ) -> list[str]:
        """Build every model in the recorded order, as dbt does. Returns the models that failed or were skipped.

        Args:
            full_refresh: models that are built anew, as `--full-refresh --select` does.
            fails_in: the model that fails; what depends on it is skipped.
            killed_in: the model in which the run ends.
            after: how many statements of the failing model are done by then.

        Raises:
            RunKilledError: when the run ended in `killed_in`.
        """
        for schema in sorted({node.schema for node in self.nodes}):
            database.execute(f'create schema if not exists "{schema}"')
        for statement in self.before:
            database.execute(statement)
        there = database.relations()
        asked_for = set(full_refresh)
        lost: set[str] = set()
        for node in self.nodes:
            if node.depends_on & lost:
                lost.add(node.unique_id)
                continue
            statements = [
                *_leftovers(node, there),
                *self._statements(node, database, there, asked_for),
            ]
            if node.name in {fails_in, killed_in}:
                single = [part for statement in statements for part in database.split(statement)]
                for statement in single[:after]:
                    database.execute(statement)
                database.rollback()
                if node.name == killed_in:
                    raise RunKilledError(node.name)
                lost.add(node.unique_id)
                continue
            for statement in statements:
                database.execute(statement)
        for statement in self.after:
            database.execute(statement)
        return [node.name for node in self.nodes if node.unique_id in lost]

    def _statements(
        self, node: NodeScript, database: Database, there: Mapping[tuple[str, str], str], asked_for: set[str]
    ) -> list[str]:
        if (node.schema, node.name) not in there:
            return node.absent
        if node.name in asked_for:
            return node.refreshed
        goes_on = all(database.first_value(question) == answer for question, answer in node.questions.items())
        return node.standing if goes_on else node.refreshed


@dataclass
class Recorder:
    """Collects what dbt sends while builds run in this process."""

    manifest: Mapping[str, Any]
    _sent: list[tuple[str, str]] = field(default_factory=list)
    _nodes: dict[str, NodeScript] = field(default_factory=dict)
    _before: list[str] = field(default_factory=list)
    _after: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear every statement of the builds inside."""
        from dbt.adapters.sql.connections import SQLConnectionManager

        former = SQLConnectionManager.add_query
        sent = self._sent

        def add_query(manager: Any, sql: str, auto_begin: bool = True, *args: Any, **words: Any) -> Any:
            connection = manager.get_thread_connection()
            if auto_begin and not connection.transaction_open:
                manager.begin()  # as the original would, but heard before what it is for
            sent.append((connection.name, sql))
            return former(manager, sql, auto_begin, *args, **words)

        SQLConnectionManager.add_query = add_query
        try:
            yield
        finally:
            SQLConnectionManager.add_query = former

    def keep(self, variant: str, report: BuildReport) -> None:
        """File what was heard since the last call under `absent`, `standing` or `refreshed`."""
        report.require_success()
        heard: dict[str, list[str]] = {}
        for connection, sql in self._sent:
            heard.setdefault(connection, []).append(_without_header(sql))
        self._sent.clear()
        for result in report.results:
            if result.resource_type == "operation":
                continue
            node = self._nodes.setdefault(result.unique_id, self._node(result.unique_id))
            statements = heard.get(result.unique_id, [])
            setattr(node, variant, [sql for sql in statements if not _is_read(sql)])
            if variant == "standing":
                asked = [sql for sql in statements if _is_read(sql) and re.search(r"\bstate\.", sql)]
                node.questions = dict.fromkeys(asked)
        self._before = _of_hooks(heard, START)
        self._after = _of_hooks(heard, END)

    def script(self, database: Database) -> Script:
        """What was recorded.

        Args:
            database: in the state after the standing build, where every model could go on.
        """
        for node in self._nodes.values():
            node.questions = {sql: database.first_value(sql) for sql in node.questions}
        return Script(list(self._nodes.values()), self._before, self._after)

    def _node(self, unique_id: str) -> NodeScript:
        node = self.manifest["nodes"][unique_id]
        return NodeScript(
            unique_id=unique_id,
            schema=node["schema"],
            name=node.get("alias") or node["name"],
            depends_on=frozenset(node["depends_on"]["nodes"]),
        )


def _leftovers(node: NodeScript, there: Mapping[tuple[str, str], str]) -> list[str]:
    """Remove what a killed build left under the names that dbt uses on the way, as dbt does where it finds them."""
    return [
        f'drop {there[node.schema, name]} "{node.schema}"."{name}"'
        for name in (f"{node.name}__dbt_tmp", f"{node.name}__dbt_backup")
        if (node.schema, name) in there
    ]


def _of_hooks(heard: Mapping[str, Sequence[str]], kind: str) -> list[str]:
    return [
        sql
        for connection, statements in heard.items()
        if kind in connection
        for sql in statements
        if not _is_read(sql)
    ]


def _without_header(sql: str) -> str:
    return re.sub(r"^\s*/\* \{.*?\} \*/", "", sql, count=1, flags=re.DOTALL)


def _is_read(sql: str) -> bool:
    bare = re.sub(r"^(\s|/\*.*?\*/|--[^\n]*\n)+", "", sql, flags=re.DOTALL)
    return not bare or bare.lower().startswith(READS)
