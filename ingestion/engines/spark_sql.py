"""The validation program in Spark's dialect: the same text, transpiled, and the few things said differently.

What a text means in DuckDB it must mean in Spark, so what differs without an error is put right here:

* A replacement names a group `$1`, not `\\1`.
* `\\s` knows one more character in Java.
* Java's matcher goes one call deeper for every round of a group that could match in several ways; a long run of
  digits would end it. Quantifiers that give nothing back run in a loop (`LOOPS`).
* DuckDB changes the case of a letter to one other letter; Java knows letters that become two (`ß`, `ﬆ`).
* Fields without a value stay in JSON.
* The key of tokens is a value in a table of one row, read by subqueries: a plan names the table, never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import sqlglot
from sqlglot import exp

from ingestion.validation import CUT_PATTERN, DIGIT_RUN_PATTERN, Functions

Change = Callable[[exp.Expr], exp.Expr]

KEY_VIEW = "tillhouse_token_key"
KEY_PARAMETERS = ("inner_pad", "outer_pad")

# DuckDB pattern → the same in Java, with quantifiers that give nothing back. The digits before the last four are
# those with four more behind them, so nothing needs to be given back there either.
_FOUR = "[0-9][ -]?[0-9][ -]?[0-9][ -]?[0-9]"
LOOPS: Mapping[str, str] = {
    DIGIT_RUN_PATTERN: f"{DIGIT_RUN_PATTERN}+",
    CUT_PATTERN: f"(?:[0-9][ -]?(?={_FOUR})){{9,}}+({_FOUR})",
}

_UPPER_FROM = "abcdefghijklmnopqrstuvwxyzıſ"
_UPPER_TO = "ABCDEFGHIJKLMNOPQRSTUVWXYZIS"


def spark_functions() -> Functions:
    """What the program writes differently for Spark from the start."""
    return Functions(
        utc_of_local=lambda value, zone: f"cast(to_utc_timestamp({value}, {zone}) as timestamp)",
        local_of_utc=lambda value, zone: f"cast(from_utc_timestamp({value}, {zone}) as timestamp)",
        takes_later_of_two=False,
        # ICU comes with Spark, which has no function for this itself.
        nfc=lambda value: f"reflect('com.ibm.icu.text.Normalizer', 'compose', {value}, false)",
        byte_length=lambda value: f"octet_length({value})",
        passes_luhn=lambda digits: f"luhn_check({digits})",
    )


@lru_cache(maxsize=64)
def spark_sql(program: str) -> str:
    """The text of a program in Spark's dialect. Parameters `$inner_pad`, `$outer_pad` read `KEY_VIEW`."""
    tree = sqlglot.parse_one(program, read="duckdb")
    for node in reversed(list(tree.walk())):  # the inner ones first: what is put in is not looked at again
        change = _change_of(node)
        if change is not None:
            node.replace(change(node))
    return tree.sql(dialect="spark")


def java_pattern(pattern: str) -> str:
    """A pattern of ours for Java's matcher."""
    return LOOPS.get(pattern, pattern).replace(r"\s", r"\t\n\f\r ")


def java_replacement(text: str) -> str:
    """A replacement (groups `\\1`, nothing else with a backslash) for Java's matcher."""
    return re.sub(r"\\([0-9])|\$", lambda found: f"${found[1]}" if found[1] is not None else r"\$", text)


def _change_of(node: exp.Expr) -> Change | None:
    if isinstance(node, exp.Anonymous):
        return _CHANGES_BY_NAME.get(node.name.lower())
    return _CHANGES.get(type(node))


def _lower(node: exp.Expr) -> exp.Expr:
    """`İ` becomes one letter, as in DuckDB."""
    inner = exp.Anonymous(
        this="replace", expressions=[node.this, exp.Literal.string("İ"), exp.Literal.string("i")]
    )
    return exp.Anonymous(this="lower", expressions=[inner])


def _upper(node: exp.Expr) -> exp.Expr:
    """Only words of ASCII letters are compared in upper case; these are all the letters that become one."""
    return exp.Anonymous(
        this="translate",
        expressions=[node.this, exp.Literal.string(_UPPER_FROM), exp.Literal.string(_UPPER_TO)],
    )


def _pattern(node: exp.Expr) -> exp.Expr:
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and pattern.is_string:
        pattern.replace(exp.Literal.string(java_pattern(pattern.this)))
    replacement = node.args.get("replacement")
    if isinstance(replacement, exp.Literal) and replacement.is_string:
        replacement.replace(exp.Literal.string(java_replacement(replacement.this)))
    return node


def _json(node: exp.Expr) -> exp.Expr:
    keep = exp.Anonymous(
        this="map", expressions=[exp.Literal.string("ignoreNullFields"), exp.Literal.string("false")]
    )
    return exp.Anonymous(this="to_json", expressions=[*node.expressions, keep])


def _parameter(node: exp.Expr) -> exp.Expr:
    name = node.name
    if name not in KEY_PARAMETERS:
        raise ValueError(f"the program has a parameter {name!r} that Spark is not given")
    return exp.select(exp.column(name)).from_(KEY_VIEW).subquery()


_CHANGES: Mapping[type[exp.Expr], Change] = {
    exp.Lower: _lower,
    exp.Upper: _upper,
    exp.RegexpLike: _pattern,
    exp.RegexpReplace: _pattern,
    exp.RegexpExtract: _pattern,
    exp.RegexpExtractAll: _pattern,
    exp.Placeholder: _parameter,
}
_CHANGES_BY_NAME: Mapping[str, Change] = {"to_json": _json}
