"""One SQL for three engines: what dbt's own adapters make of the project for Postgres and Redshift is SQL there.

No server is needed, and none is asked: the host that the profile names cannot exist.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlglot
from sqlglot import expressions
from sqlglot.errors import ParseError

from settings.home import HOME_VARIABLE, PROJECT_ROOT

pytestmark = pytest.mark.minutes

# Patterns of what runs on DuckDB and is missing, or means something else, on the other engine.
FOREIGN_WORDS = {
    "postgres": ("hugeint", "nfc_normalize", "qualify", "arg_max", "arg_min", "date_sub", "try_cast", "//"),
    "redshift": (
        "hugeint", "nfc_normalize", "arg_max", "arg_min", "date_sub", "//", "is distinct from",
        "is not distinct from", "generate_series", "isodow", "isoyear", r"filter \(", "lateral", 'collate "c"',
        r"normalize\(", "distinct on", "range between",
        r"\bvarchar\b(?!\()",  # without a width it is cut at 256 bytes
    ),
}  # fmt: skip
# A call whose name the parser does not know for the engine is a slip, unless it stands here.
KNOWN_CALLS = {"postgres": {"json_each_text"}, "redshift": set[str]()}
# dbt calls it by itself, for every relation.
CALLED_BY_DBT = {"generate_schema_name", "get_incremental_touched_sql"}


@pytest.fixture(scope="module", params=sorted(FOREIGN_WORDS))
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def manifest(target: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The manifest that `dbt compile` leaves behind, with the SQL of every model, test and snapshot in it."""
    folder = tmp_path_factory.mktemp(target)
    # A program of its own: dbt keeps one adapter a process, and the other tests have that of DuckDB.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    finished = subprocess.run(
        [
            sys.executable, "-m", "dbt.cli.main", "--quiet", "--no-populate-cache", "--log-path", str(folder),
            "compile", "--no-introspect", "--target", target, "--target-path", str(folder),
            "--project-dir", str(PROJECT_ROOT), "--profiles-dir", str(PROJECT_ROOT),
        ],
        env={
            **inherited,
            HOME_VARIABLE: str(folder),
            f"TILLHOUSE_{target.upper()}_HOST": "nowhere.invalid",
            f"TILLHOUSE_{target.upper()}_PASSWORD": "no password",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    compiled: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return compiled


def compiled_nodes(manifest: Mapping[str, Any], *resource_types: str) -> Iterator[tuple[str, str]]:
    """Name and SQL of each node; a node that dbt left uncompiled has no SQL."""
    for node in manifest["nodes"].values():
        if node["resource_type"] in resource_types:
            yield node["name"], node.get("compiled_code") or ""


def problem(sql: str, target: str) -> str | None:
    """Why the text is not one query that the engine's grammar takes; None when it is."""
    try:
        statements = sqlglot.parse(sql, read=target)
    except ParseError as error:
        return str(error)
    if len(statements) != 1 or not isinstance(statements[0], expressions.Query):
        return "is not one query"
    query = statements[0]
    if query.find(expressions.Command):
        return "holds a statement that the parser takes as mere text"
    unknown = {call.name.lower() for call in query.find_all(expressions.Anonymous)} - KNOWN_CALLS[target]
    return f"calls {sorted(unknown)}" if unknown else None


def test_every_model_test_and_snapshot_is_one_query_of_the_engine(
    manifest: Mapping[str, Any], target: str
) -> None:
    nodes = list(compiled_nodes(manifest, "model", "test", "snapshot"))
    kinds = {node["resource_type"] for node in manifest["nodes"].values()}
    assert {"model", "test", "snapshot"} <= kinds
    problems = {name: found for name, sql in nodes if (found := problem(sql, target))}
    assert problems == {}


def test_no_statement_has_a_word_that_the_engine_lacks(manifest: Mapping[str, Any], target: str) -> None:
    found = [
        (name, word)
        for name, sql in compiled_nodes(manifest, "model", "test", "snapshot", "operation")
        for word in FOREIGN_WORDS[target]
        if re.search(word, re.sub(r"--[^\n]*", "", sql).lower())
    ]
    assert found == []


def test_source_tables_are_made_by_statements_of_the_engine(manifest: Mapping[str, Any], target: str) -> None:
    statements = [
        statement
        for _, sql in compiled_nodes(manifest, "operation")
        for statement in sqlglot.parse(sql, read=target)
        if statement is not None
    ]
    # On run end the change feed is pruned.
    assert {type(statement) for statement in statements} == {expressions.Create, expressions.Delete}
    tables = [
        statement.find(expressions.Table)
        for statement in statements
        if isinstance(statement, expressions.Create) and statement.args["kind"] == "TABLE"
    ]
    state = [table.name for table in tables if table is not None and table.db == "state"]
    assert sorted(state) == ["built", "changed", "watermark"]
    assert len(tables) - len(state) == len(manifest["sources"])


def test_every_macro_is_described_and_part_of_what_was_compiled(
    manifest: Mapping[str, Any], target: str
) -> None:
    own = {key: macro for key, macro in manifest["macros"].items() if macro["package_name"] == "tillhouse"}
    macros = {key: macro for key, macro in own.items() if macro["original_file_path"].startswith("macros/")}
    implementation = re.compile(r"^(default|duckdb|postgres|redshift)__")
    public = {key: macro for key, macro in macros.items() if not implementation.match(macro["name"])}
    assert [macro["name"] for macro in public.values() if not macro["description"].strip()] == []
    used: set[str] = set()
    ahead = [key for node in manifest["nodes"].values() for key in node["depends_on"]["macros"]]
    # dbt renders hooks when a model runs, and does not list what they call.
    hooks = "".join(
        hook["sql"]
        for node in manifest["nodes"].values()
        for kind in ("pre-hook", "post-hook")
        for hook in node.get("config", {}).get(kind, [])
    )
    ahead += [key for key, macro in public.items() if re.search(rf"\b{macro['name']}\(", hooks)]
    ahead += [key for key, macro in public.items() if macro["name"] in CALLED_BY_DBT]
    while ahead:
        key = ahead.pop()
        if key in own and key not in used:
            used.add(key)
            ahead += own[key]["depends_on"]["macros"]
    assert [macro["name"] for key, macro in public.items() if key not in used] == []
