"""Customers who asked to be forgotten: the list of them, and how a delivery's rows lose them.

An erased customer's rows stay, so that no figure changes, but nothing personal in them does: the id gives way to a
pseudonym (a keyed hash, the same in every row and every later delivery), private and personal columns and unread
cells are cut, and rows in quarantine lose their cells. The list holds keyed hashes of the ids and no id.

It lies in bronze, which outlives the warehouse; which of its customers a warehouse has lost stands in `ops.erasures`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ingestion.bronze import (
    ACCEPTED,
    NO_DUPLICATE,
    checked_columns,
    connect_to_rewrite,
    repeats_path,
    rewrite_checked,
    written_whole,
)
from ingestion.bronze_store import FolderBronze
from ingestion.contract import Contract, ContractColumn
from ingestion.engines.base import EntityOutcome
from ingestion.tokens import KEY_VARIABLE, TokenKey
from ingestion.validation import hmac_token, sql_name, sql_text
from settings.errors import ConfigurationError
from settings.home import Home

LIST_NAME = "suppressed.json"
KEY_CHECK = "tillhouse suppression list"
PSEUDONYM_DIGITS = 32
ERASED_ROW = '"[erased]"'  # JSON, as every row of the quarantine
ERASED_VALUE = "[erased]"


@dataclass(frozen=True)
class Suppression:
    """One erased customer. `token` is the keyed hash of system and id; `requested_at` is aware, UTC."""

    system: str
    token: str
    requested_at: datetime


def pseudonym(token: str) -> str:
    """What stands in place of the id of the customer with this token."""
    return f"erased_{token[:PSEUDONYM_DIGITS]}"


def customer_token(key: TokenKey, system: str, customer_id: str) -> str:
    """The keyed hash of a customer: hex HMAC-SHA256 of system and id."""
    return key.token(_subject(system) + customer_id)


def _subject(system: str) -> str:
    return f"customer of {system}: "


def read_suppressions(bronze: FolderBronze, key: TokenKey) -> list[Suppression]:
    """The list, oldest first; empty where nobody was ever erased.

    Args:
        bronze: which holds the list.
        key: of the tokens.

    Raises:
        ConfigurationError: when the list is damaged, or was made with another key: then it would match nobody.
    """
    path = bronze.fetch_file(LIST_NAME)
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = [
            Suppression(item["system"], item["token"], datetime.fromisoformat(item["requested_at"]))
            for item in content["customers"]
        ]
        check = content["key_check"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the suppression list {path} cannot be read ({type(error).__name__})",
            remedy="bring it back from a backup: without it erased customers would come in again",
            rule="suppression_list",
        ) from None
    if check != _key_check(key):
        raise ConfigurationError(
            f"the suppression list {path} was made with another {KEY_VARIABLE}, so it would match nobody",
            remedy=f"set {KEY_VARIABLE} to the key that erased customers were listed with",
            rule="suppression_list",
        )
    return known


def add_suppressions(
    bronze: FolderBronze, system: str, customer_ids: Collection[str], key: TokenKey
) -> list[Suppression]:
    """Put customers on the list, durably, and give the whole list. Who is on it already stays so."""
    known = read_suppressions(bronze, key)
    listed = {(item.system, item.token) for item in known}
    now = datetime.now(UTC)
    new = [Suppression(system, customer_token(key, system, each), now) for each in sorted(set(customer_ids))]
    whole = [*known, *(item for item in new if (item.system, item.token) not in listed)]
    content = {
        "key_check": _key_check(key),
        "customers": [
            {"system": item.system, "token": item.token, "requested_at": item.requested_at.isoformat()}
            for item in whole
        ],
    }
    with written_whole(bronze.fetch_file(LIST_NAME)) as path:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1)
    bronze.keep_file(LIST_NAME)
    return whole


def _key_check(key: TokenKey) -> str:
    return key.token(KEY_CHECK)[:16]


def cut_columns(contract: Contract) -> tuple[ContractColumn, ...]:
    """Columns that lose their value in rows of an erased customer."""
    return tuple(column for column in contract.columns if column.pii != "none" or column.personal)


class Suppressor:
    """Takes the customers of the list out of checked parquets. Close it again.

    Args:
        home: where what does not fit into memory goes.
        bronze: which holds the list.

    Raises:
        ConfigurationError: as `read_suppressions` does.
    """

    def __init__(self, home: Home, bronze: FolderBronze) -> None:
        self._home = home
        self._key = TokenKey.from_environment()
        self.listed = read_suppressions(bronze, self._key)
        self._connection: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def names(self, contract: Contract, ids: Sequence[str]) -> dict[str, str]:
        """Those of these ids that are on the list, each with its pseudonym."""
        listed = {item.token for item in self.listed if item.system == contract.system}
        tokens = {each: customer_token(self._key, contract.system, each) for each in ids}
        return {each: pseudonym(token) for each, token in tokens.items() if token in listed}

    def suppress(self, contract: Contract, outcome: EntityOutcome, target: Path) -> EntityOutcome | None:
        """Write a checked parquet anew without the customers of the list.

        Args:
            contract: of the entity.
            outcome: of the checked parquet as it is.
            target: where the new one goes; it may be the same path.

        Returns:
            the outcome over the new file; None, with nothing written, where none of them is in it.
        """
        subject = contract.subject
        tokens = [item.token for item in self.listed if item.system == contract.system]
        checked = outcome.checked_path
        if subject is None or not tokens or subject.output_name not in checked_columns(checked):
            return None
        if self._connection is None:
            self._connection = connect_to_rewrite(self._home)
        connection = self._connection
        connection.execute(
            f"create or replace temp table hits as {_hits(contract, subject)}",
            {
                "inner_pad": self._key.inner_pad,
                "outer_pad": self._key.outer_pad,
                "tokens": tokens,
                "checked": str(checked),
            },
        )
        counted = connection.execute("select count(*) from hits").fetchone()
        if not counted or not counted[0]:
            return None
        rewrite_checked(connection, checked, target, _without(contract, subject, checked))
        cut = [column.output_name for column in cut_columns(contract)]
        nulls = _null_counts(connection, target, [name for name in cut if name in outcome.null_counts])
        return replace(outcome, checked_path=target, null_counts={**outcome.null_counts, **nulls})


def _hits(contract: Contract, subject: ContractColumn) -> str:
    """Rows of erased customers: place in the file, and the pseudonym where the row names the customer.

    A row in quarantine may name the customer in any cell, also where it could not be taken apart.
    """
    named = sql_name(subject.output_name)
    who = sql_text(_subject(contract.system))
    cell = hmac_token(f"{who} || trim(coalesce(cell, ''), ' ')")
    return (
        f"with ids as (select distinct {named} as id from read_parquet($checked) where {named} is not null),"
        f" hashed as (select id, {hmac_token(f'{who} || id')} as token from ids),"
        " known as (select id, token from hashed where list_contains($tokens::varchar[], token))"
        " select rows.file_row_number as place, known.token"
        f" from read_parquet($checked, file_row_number = true) as rows left join known on rows.{named} = known.id"
        " where known.id is not null or case when rows._rule is not null and json_valid(rows._raw_row)"
        f" then len(list_filter(rows._raw_row ->> '$.*',"
        f" lambda cell: list_contains($tokens::varchar[], {cell}))) > 0 else false end"
    )


def _without(contract: Contract, subject: ContractColumn, checked: Path) -> str:
    """The rows of `checked` (named `rows`) beside their hit, if any, without what is personal."""
    cut = {column.output_name for column in cut_columns(contract)}
    bad = "rows._rule is not null"
    replaced = {
        subject.output_name: f"case when hits.token is not null then 'erased_' || left(hits.token, {PSEUDONYM_DIGITS})"
        f" else rows.{sql_name(subject.output_name)} end",
        "_rescued": "case when hits.place is null then rows._rescued end",
        "_raw_row": f"case when hits.place is not null and {bad} then {sql_text(ERASED_ROW)} else rows._raw_row end",
        "_raw_value": f"case when hits.place is not null and rows._raw_value is not null then {sql_text(ERASED_VALUE)}"
        " else rows._raw_value end",
    }
    columns = []
    for name in checked_columns(checked):
        quoted = sql_name(name)
        value = f"case when hits.place is null then rows.{quoted} end" if name in cut else f"rows.{quoted}"
        columns.append(f"{replaced.get(name, value)} as {quoted}")
    return (
        f"select {', '.join(columns)} from read_parquet({sql_text(str(checked))}, file_row_number = true) as rows"
        " left join hits on rows.file_row_number = hits.place order by rows.file_row_number"
    )


def _null_counts(
    connection: duckdb.DuckDBPyConnection, checked: Path, names: Sequence[str]
) -> dict[str, int]:
    """Accepted rows without a value, for each of these columns."""
    if not names:
        return {}
    missing = ", ".join(f"count(*) - count({sql_name(name)})" for name in names)
    found = connection.execute(
        f"select {missing} from read_parquet($checked, file_row_number = true) as checked"
        f" where {ACCEPTED} and {NO_DUPLICATE}",
        {"checked": str(checked), "repeats": str(repeats_path(checked))},
    ).fetchone()
    return dict(zip(names, map(int, found or ()), strict=False))
