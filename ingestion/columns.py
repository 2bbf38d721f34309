"""The columns of a file: their names as people may see them, and how they changed since the last delivery."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from ingestion.contract import load_contracts
from ingestion.feed import Feed, FeedEntity

# Without a header line the first row is taken for one, and its cells are anybody's data.
PLAIN_NAME = re.compile(r"[^\W\d][\w ./()%#&:~$€£-]{0,59}")
MOST_DIGITS = 6  # a year and a number; telephone and card numbers have more
LIKENESS = 0.7  # "mail" and "email" have 0.89, "cust_id" and "customer_id" 0.78, unrelated words below 0.6


def is_plain(name: str) -> bool:
    """Whether a name found in a file looks like the name of a column, so that it may be shown."""
    return bool(PLAIN_NAME.fullmatch(name)) and sum(map(str.isdigit, name)) <= MOST_DIGITS


def display_names(feed: Feed, names: Sequence[str]) -> tuple[str, ...]:
    """The names for people: one that is not plain, and is not in the feed file, is called after its position."""
    known = columns_read(feed) | {_folded(name) for name in feed.column_names}
    shown: list[str] = []
    taken = {_folded(name) for name in names}
    for position, name in enumerate(names, start=1):
        text = name.strip()
        if not text or (_folded(text) not in known and not is_plain(text)):
            text = f"column_{position}"
            while text in taken:
                text += "_"
            taken.add(text)
        shown.append(text)
    return tuple(shown)


def columns_read(feed: Feed) -> set[str]:
    """Case-folded names of the file's columns that some entity of the feed reads."""
    found: set[str] = set()
    for entity in feed.entities:
        for column in load_contracts()[entity.entity].columns:
            found.update(entity.mapping(column.name).source_columns(column.name))
        found.update((*entity.exclude, *entity.only))
    return {_folded(name) for name in found}


def columns_named(feed: Feed) -> set[str]:
    """Case-folded names of the file's columns that stand in the feed file itself."""
    found: set[str] = set()
    for entity in feed.entities:
        for name, mapping in entity.columns.items():
            found.update(mapping.source_columns(name))
        found.update((*entity.exclude, *entity.only))
    return {_folded(name) for name in found}


def changed_columns(feed: Feed, former: Sequence[str], present: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns that are new, and columns that are gone, compared with an earlier delivery of the feed.

    A column that the feed file names is expected, and one that the feed does not read is not missed.
    """
    before, now = ({_folded(name) for name in names} for names in (former, present))
    expected, needed = before | columns_named(feed), columns_read(feed)
    added = [name for name in present if _folded(name) not in expected]
    missing = [name for name in former if _folded(name) not in now and _folded(name) in needed]
    return added, missing


def likely_renames(feed: Feed, entity: FeedEntity, present: Sequence[str]) -> list[tuple[str, str, str]]:
    """Columns that an entity reads and the file lacks, while it has one alike that nothing reads.

    Each as (contract column, name that is missing, name that is there).
    """
    now, read = {_folded(name) for name in present}, columns_read(feed)
    unread = {_folded(name): name for name in present if _folded(name) not in read}
    found: list[tuple[str, str, str]] = []
    for column in load_contracts()[entity.entity].columns:
        if column.source == "feed_setting":
            continue
        for name in entity.mapping(column.name).source_columns(column.name):
            if _folded(name) not in now:
                near = difflib.get_close_matches(_folded(name), list(unread), n=1, cutoff=LIKENESS)
                found.extend((column.name, name, unread[like]) for like in near)
    return found


def _folded(name: str) -> str:
    return name.strip().casefold()
