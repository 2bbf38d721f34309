"""What a place for incoming files must offer, and what is the same in all of them."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from ingestion.object_names import safe_name
from settings.errors import ConfigurationError

# What browsers, scp wrappers, rsync and editors write while a file is not finished.
UNFINISHED_SUFFIXES = (
    ".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".uploading", ".download", ".swp", "~",
)  # fmt: skip
HIDDEN_STARTS = (".", "~$")


class ObjectNotReadyError(Exception):
    """The object changed, vanished or is still being written: the next run takes it."""

    def __init__(self, object_name: str, reason: str) -> None:
        self.object_name = safe_name(object_name)
        super().__init__(f"{self.object_name!r}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class LandingObject:
    """One object as it was listed.

    Attributes:
        name: name below the location, with `/` between folders.
        size_bytes: size when listed.
        modified_at: aware, UTC; the store's time of the last change.
        version: opaque text that differs whenever the store may hold other content under this name.
        is_settled: whether another change would give another version. Of a file that was written in this very
            moment a second change may carry the same time.
    """

    name: str
    size_bytes: int
    modified_at: datetime
    version: str
    is_settled: bool = True

    @cached_property
    def safe_name(self) -> str:
        """The name as it is kept and shown."""
        return safe_name(self.name)


@dataclass(frozen=True)
class SkippedObject:
    """A name (as it is shown) that matched and was not taken, with the reason in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """Objects in the order of their names, and what matched but was left alone."""

    objects: tuple[LandingObject, ...]
    skipped: tuple[SkippedObject, ...]


class OpenedObject(Protocol):
    """An object that is being read.

    `stream` is at its first byte; `path` is a local path, named by hash, that holds the same bytes while the
    object is open.
    """

    @property
    def stream(self) -> BinaryIO: ...

    @property
    def path(self) -> Path: ...

    def check_unchanged(self) -> None:
        """Raise ObjectNotReadyError when the content may have changed since the listing."""


@dataclass(frozen=True)
class PrivateCopy:
    """An opened object whose bytes were copied to a file of ours: nobody else can change it."""

    stream: BinaryIO
    path: Path

    def check_unchanged(self) -> None:
        """See `OpenedObject.check_unchanged`."""


class LandingStore(Protocol):
    """A place for incoming files.

    `versions_tell_content`: an equal version of an equal name means equal content, whoever has written it. What the
    ledger knows by its version is then not read again.
    """

    versions_tell_content: bool

    def list_objects(self, glob: str, /) -> Listing:
        """Finished objects whose name matches, in the order of their names.

        Raises:
            ConfigurationError: when the place does not exist or may not be read.
            AccessError: when it lets nobody in with our credentials.
            UnavailableError: when it does not answer.
        """

    def open(self, item: LandingObject, work: Path, /) -> contextlib.AbstractContextManager[OpenedObject]:
        """Open one listed object for reading; local names are made below `work`.

        Raises:
            ObjectNotReadyError: when it is not what was listed, or somebody is writing to it.
            AccessError, UnavailableError: see `list_objects`.
        """

    def read_companion(self, name: str, limit_bytes: int, /) -> bytes | None:
        """The content of a small object beside the data (a manifest), None when it is not there (yet)."""

    def state(self, glob: str, /) -> Iterator[str]:
        """Texts that change when there may be something new: what is looked at to start a run."""


@runtime_checkable
class PolledStore(LandingStore, Protocol):
    """A place that makes its objects when it is asked: what is new since the last one that was loaded."""

    def poll(self, loaded_version: str | None, work: Path, /) -> None:
        """Fetch what is new, for `list_objects` to list.

        Args:
            loaded_version: version of the newest object that was loaded; None: everything is new.
            work: a folder that is there until the run ends.
        """


def refusal(name: str) -> str:
    """Why an object of this name is not taken, in words; empty where the name is fine."""
    if name.lower().endswith(UNFINISHED_SUFFIXES):
        return "its name says that it is not finished"
    if printable_name(name) != name:
        return "its name holds characters that are not text"
    return ""


def printable_name(name: str) -> str:
    """The name with control characters, direction overrides and undecodable bytes spelled as escapes."""
    if name.isascii() and name.isprintable():  # of a hundred thousand names nearly all
        return name
    return "".join(_printable(character) for character in name)


def _printable(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return f"\\u{ord(character):04x}"
    return character


def glob_parts(glob: str) -> list[str]:
    """The parts of a glob between its slashes; the last one names files.

    Raises:
        ConfigurationError: when it does not stay below the location.
    """
    parts = [part for part in re.split("/+", glob) if part not in {"", "."}]
    if not parts or ".." in parts:
        raise ConfigurationError(
            f"the glob {glob!r} does not name files below the feed's location",
            remedy='use a pattern such as "*.csv" or "2026/*/orders_*.csv"',
            rule="glob",
        )
    if parts[-1] == "**":
        parts.append("*")
    return parts


def matches_file(base: str, pattern: str) -> bool:
    """Whether the last part of a name fits, or would without an ending that says that it is not finished."""
    if fnmatchcase(base, pattern):
        return True
    ending = next((end for end in UNFINISHED_SUFFIXES if base.lower().endswith(end)), None)
    return ending is not None and fnmatchcase(base[: -len(ending)], pattern)
