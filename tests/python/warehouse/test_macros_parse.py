"""One SQL for three engines: what every target renders is SQL that the target's grammar takes.

The adapters of Postgres and Redshift are not needed: dbt's Jinja is rendered here with the target's dispatch.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlglot
import yaml
from sqlglot import expressions
from target_rendering import TARGETS, TargetRenderer, macro_sources, model_paths

from settings.home import PROJECT_ROOT

# Words that run on DuckDB and are missing, or mean something else, on the other engine.
FOREIGN_WORDS = {
    "postgres": ("hugeint", "nfc_normalize", "qualify", "arg_max", "arg_min", "date_sub", "try_cast", "//"),
    "redshift": (
        "hugeint", "nfc_normalize", "arg_max", "arg_min", "date_sub", "//", "is distinct from",
        "is not distinct from", "generate_series", "isodow", "isoyear", "filter (", "lateral", 'collate "c"',
        "normalize(",
    ),
}  # fmt: skip

# A call of each macro that makes a piece of SQL, as an expression over columns a, b, c, d.
EXPRESSIONS = {
    "surrogate_key": (["a", "b"],),
    "normalised_text": ("a",),
    "text_order": ("a",),
    "money": ("a",),
    "rounded_money": ("a",),
    "exact_product": ("a", "b"),
    "multiply_money": ("a", "b"),
    "convert_money": ("a", "b"),
    "sum_money": ("a",),
    "sum_money_when": ("a > 0", "b"),
    "count_when": ("a > 0",),
    "count_distinct_when": ("a > 0", "b"),
    "any_true": ("a > 0",),
    "is_same": ("a", "b"),
    "divide": ("a", "b"),
    "change_rate": ("a", "b"),
    "integer_quotient": ("a", "b"),
    "integer_remainder": ("a", "b"),
    "local_timestamp": ("a", "b"),
    "business_date": ("a", "b"),
    "start_of": ("week", "a"),
    "add_days": ("a", 3),
    "days_between": ("a", "b"),
    "months_between": ("a", "b"),
    "iso_day_of_week": ("a",),
    "iso_year": ("a",),
    "iso_week": ("a",),
    "hour_of": ("a",),
    "microseconds_between": ("a", "b"),
    "hours_between": ("a", "b"),
    "version_rank": (["a", "b"], "c"),
}


@pytest.fixture(scope="module", params=TARGETS)
def renderer(request: pytest.FixtureRequest) -> TargetRenderer:
    return TargetRenderer(str(request.param))


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_macro_is_one_expression_of_every_engine(renderer: TargetRenderer, name: str) -> None:
    sql = renderer.macro(name, *EXPRESSIONS[name])
    statements = sqlglot.parse(f"select {sql} as answer from somewhere", read=renderer.target)
    assert len(statements) == 1
    assert isinstance(statements[0], expressions.Select)
    assert len(statements[0].expressions) == 1


def test_every_dispatched_macro_has_an_implementation_for_every_target(renderer: TargetRenderer) -> None:
    dispatched = {
        name
        for text in macro_sources().values()
        for name in re.findall(r"adapter\.dispatch\('(\w+)'\)", text)
    }
    assert dispatched
    for name in dispatched:
        renderer.dispatch(name)


def test_every_macro_is_described() -> None:
    described = {
        macro["name"]
        for path in (PROJECT_ROOT / "macros").rglob("*.yml")
        for macro in yaml.safe_load(path.read_text(encoding="utf-8"))["macros"]
        if macro.get("description", "").strip()
    }
    public = {name for name in macro_sources() if "__" not in name}
    assert public - described == set()
    assert described - public == set()


@pytest.mark.parametrize(
    "path", model_paths(), ids=lambda path: path.stem if isinstance(path, Path) else str(path)
)
def test_model_is_one_query_of_every_engine(renderer: TargetRenderer, path: Path) -> None:
    sql = renderer.model(path)
    statements = sqlglot.parse(sql, read=renderer.target)
    assert len(statements) == 1
    assert isinstance(statements[0], expressions.Query)
    assert not list(statements[0].find_all(expressions.Command))
    without_comments = re.sub(r"--[^\n]*", "", sql).lower()
    for word in FOREIGN_WORDS.get(renderer.target, ()):
        assert word not in without_comments, f"{word!r} is not a word of {renderer.target}"


def test_no_model_asks_the_clock_or_the_target() -> None:
    for path in model_paths():
        text = path.read_text(encoding="utf-8").lower()
        for word in ("current_date", "current_timestamp", "now()", "getdate", "target.name", "run_query"):
            assert word not in text, f"{path.name} uses {word}"
