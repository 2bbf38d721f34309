"""Where files arrive: listing them, and reading one without being fooled by its name or by an upload.

A store lists objects and opens one of them. The object's name is data: no local path is ever built from it, and
what is kept in the ledger and shown to people is its `safe_name`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import stat
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Protocol

from ingestion.object_names import safe_name
from settings.errors import ConfigurationError
from settings.home import Home

# What browsers, scp wrappers, rsync and editors write while a file is not finished.
UNFINISHED_SUFFIXES = (
    ".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".uploading", ".download", ".swp", "~",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATER_STORES = ("s3", "gdrive", "postgres", "postgresql")


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
    """

    name: str
    size_bytes: int
    modified_at: datetime
    version: str

    @property
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


class LandingStore(Protocol):
    """What a place for incoming files must offer."""

    def list_objects(self, glob: str) -> Listing:
        """Finished objects whose name matches, in the order of their names.

        Raises:
            ConfigurationError: when the place does not exist or may not be read.
        """

    def open(self, item: LandingObject, work: Path) -> contextlib.AbstractContextManager[OpenedObject]:
        """Open one listed object for reading; local names are made below `work`.

        Raises:
            ObjectNotReadyError: when it is not what was listed, or somebody is writing to it.
        """

    def read_companion(self, name: str, limit_bytes: int) -> bytes | None:
        """The content of a small object beside the data (a manifest), None when it is not there (yet)."""


def open_store(location: str, home: Home) -> LandingStore:
    """The store of a feed's location.

    Args:
        location: `file://folder` (below the home folder) or `file:///absolute/folder`.
        home: the folder that relative locations are below.

    Raises:
        ConfigurationError: for a location of a kind that is not known (yet).
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        raise ConfigurationError(
            f"the location {location!r} does not say what kind of place it is",
            remedy="write file://folder for a folder below TILLHOUSE_HOME, or file:///absolute/folder",
            rule="location",
        )
    scheme = scheme.lower()
    if scheme != "file":
        known = scheme in LATER_STORES
        raise ConfigurationError(
            f"the location {location!r} is a {scheme}:// place, which this version cannot read"
            if known
            else f"the location {location!r} begins with an unknown scheme {scheme}://",
            remedy="copy the files to a folder and use file://folder",
            rule="location",
        )
    folder = Path(rest).expanduser()
    return FolderStore(folder if folder.is_absolute() else home.root / folder)


class FolderStore:
    """A folder of this machine. Only regular files count: no links, pipes, folders or hidden files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_objects(self, glob: str) -> Listing:
        """See `LandingStore.list_objects`. A glob with `/` or `**` looks into folders below."""
        objects: dict[str, LandingObject] = {}
        skipped: dict[str, SkippedObject] = {}
        if not self.folder.is_dir():
            raise ConfigurationError(
                f"the landing folder {self.folder} does not exist",
                remedy="create it, or correct the feed's location",
                rule="location",
            )
        try:
            for name, entry, siblings in _matching_entries(self.folder, glob):
                found = _look_at(name, entry, siblings)
                if isinstance(found, LandingObject):
                    objects[name] = found
                elif found is not None:
                    skipped[name] = found
        except PermissionError as error:
            raise ConfigurationError(
                f"the landing folder {self.folder} may not be read: {error.strerror}",
                remedy="give the user of this process permission to read the folder",
                rule="location",
            ) from error
        return Listing(
            tuple(objects[name] for name in sorted(objects)),
            tuple(skipped[name] for name in sorted(skipped)),
        )

    @contextmanager
    def open(self, item: LandingObject, work: Path) -> Iterator[_OpenedFile]:
        """See `LandingStore.open`.

        The descriptor is opened without following a link at the last step and compared with the listing, so
        a file that was swapped in between is not read. The local path is a link named by hash: it holds no
        byte of the object's name, and `check_unchanged` compares what it leads to with the descriptor.
        """
        source = self.folder / item.name
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ObjectNotReadyError(item.name, f"cannot be opened: {error.strerror}") from error
        identity = hashlib.sha256(f"{source}|{item.version}".encode()).hexdigest()
        link = work / f"{identity[:32]}.landed"
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            if _version(os.fstat(descriptor)) != item.version:
                raise ObjectNotReadyError(item.name, "has changed since it was listed")
            if _has_writer(descriptor):
                raise ObjectNotReadyError(item.name, "is still open for writing")
            link.unlink(missing_ok=True)
            link.symlink_to(source.absolute())
            try:
                yield _OpenedFile(item, stream, link, source)
            finally:
                link.unlink(missing_ok=True)

    def read_companion(self, name: str, limit_bytes: int) -> bytes | None:
        """See `LandingStore.read_companion`. A link, a pipe or a file over the limit counts as absent."""
        try:
            descriptor = os.open(
                self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit_bytes or _has_writer(descriptor):
                return None
            return stream.read(limit_bytes)


class _OpenedFile:
    def __init__(self, item: LandingObject, stream: BinaryIO, path: Path, source: Path) -> None:
        self._item = item
        self._stream = stream
        self._path = path
        self._source = source

    @property
    def stream(self) -> BinaryIO:
        return self._stream

    @property
    def path(self) -> Path:
        return self._path

    def check_unchanged(self) -> None:
        try:
            by_name = os.lstat(self._source)
        except OSError as error:
            raise ObjectNotReadyError(self._item.name, "vanished while it was read") from error
        by_descriptor = os.fstat(self._stream.fileno())
        if {_version(by_name), _version(by_descriptor)} != {self._item.version}:
            raise ObjectNotReadyError(self._item.name, "changed while it was read")


def _version(status: os.stat_result) -> str:
    # The change time cannot be set back by whoever writes the file, as the modification time can.
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _look_at(
    name: str, entry: os.DirEntry[str], siblings: frozenset[str]
) -> LandingObject | SkippedObject | None:
    base = entry.name
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if base.startswith((".", "~$")) or stat.S_ISDIR(status.st_mode):
        return None
    shown = printable_name(name)
    reason = ""
    if base.lower().endswith(UNFINISHED_SUFFIXES):
        reason = "its name says that it is not finished"
    elif shown != name:
        reason = "its name holds characters that are not text"
    elif not stat.S_ISREG(status.st_mode):
        reason = "it is not a regular file"
    else:
        # An editor's backup ("x.csv~") lies beside a finished file; the other endings lie beside unfinished ones.
        for suffix in UNFINISHED_SUFFIXES[:-1]:
            if base + suffix in siblings:
                reason = f"{safe_name(base + suffix)} beside it says that it is not finished"
    if reason:
        return SkippedObject(safe_name(shown), reason)
    modified_at = EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    return LandingObject(name, status.st_size, modified_at, _version(status))


def printable_name(name: str) -> str:
    """The name with control characters, direction overrides and undecodable bytes spelled as escapes."""
    return "".join(_printable(character) for character in name)


def _printable(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return f"\\u{ord(character):04x}"
    return character


def _matching_entries(folder: Path, glob: str) -> Iterator[tuple[str, os.DirEntry[str], frozenset[str]]]:
    """Entries whose path below the folder matches, without following links to folders."""
    parts = [part for part in re.split("/+", glob) if part not in {"", "."}]
    if not parts or ".." in parts:
        raise ConfigurationError(
            f"the glob {glob!r} does not name files below the feed's location",
            remedy='use a pattern such as "*.csv" or "2026/*/orders_*.csv"',
            rule="glob",
        )
    if parts[-1] == "**":
        parts.append("*")
    yield from _walk(folder, "", parts)


def _walk(
    folder: Path, prefix: str, parts: list[str]
) -> Iterator[tuple[str, os.DirEntry[str], frozenset[str]]]:
    with os.scandir(folder) as scan:
        entries = list(scan)
    names = frozenset(entry.name for entry in entries)
    pattern, rest = parts[0], parts[1:]
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        path = prefix + entry.name
        if pattern == "**":
            if is_folder and not entry.name.startswith("."):
                yield from _walk(folder / entry.name, f"{path}/", parts)
        elif fnmatchcase(entry.name, pattern):
            if rest and is_folder:
                yield from _walk(folder / entry.name, f"{path}/", rest)
            elif not rest:
                yield path, entry, names
        elif not rest and entry.name.lower().endswith(UNFINISHED_SUFFIXES):
            stem = next(
                entry.name[: -len(end)] for end in UNFINISHED_SUFFIXES if entry.name.lower().endswith(end)
            )
            if fnmatchcase(stem, pattern):
                yield path, entry, names
    if pattern == "**" and rest:
        yield from _walk(folder, prefix, rest)


def _has_writer(descriptor: int) -> bool:
    """Whether any process has the file open for writing, where the system can tell (Linux, local disks).

    A read lease is refused while there is a writer. It is given back at once; should a writer come within
    that moment, the signal is one that processes ignore.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
