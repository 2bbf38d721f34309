"""A folder of this machine: reading a file without being fooled by its name or by an upload."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from ingestion.landing.base import (
    HIDDEN_STARTS,
    UNFINISHED_SUFFIXES,
    LandingObject,
    Listing,
    ObjectNotReadyError,
    SkippedObject,
    glob_parts,
    matches_file,
    printable_name,
    refusal,
)
from ingestion.object_names import safe_name
from settings.errors import ConfigurationError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTLING_SECONDS = 2.0  # the coarsest time stamps of file systems in use
# What this process lacks says nothing about the file: the run is to fail and not to leave the file for later.
OURS_TO_MEND = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}


class FolderStore:
    """A folder of this machine. Only regular files count: no links, pipes, folders or hidden files."""

    versions_tell_content = False  # a file may be written to through a mapping, and a disk may be restored

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
            if error.errno in OURS_TO_MEND:
                raise
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
        except OSError as error:
            if error.errno in OURS_TO_MEND:
                raise
            return None
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit_bytes or _has_writer(descriptor):
                return None
            return stream.read(limit_bytes)

    def state(self, glob: str) -> Iterator[str]:
        """See `LandingStore.state`."""
        for item in self.list_objects(glob).objects:
            yield f"{item.name}\x1f{item.version}"


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
    if base.startswith(HIDDEN_STARTS) or stat.S_ISDIR(status.st_mode):
        return None
    reason = refusal(name)
    if not reason and not stat.S_ISREG(status.st_mode):
        reason = "it is not a regular file"
    if not reason:
        # An editor's backup ("x.csv~") lies beside a finished file; the other endings lie beside unfinished ones.
        for suffix in UNFINISHED_SUFFIXES[:-1]:
            if base + suffix in siblings:
                reason = f"{safe_name(base + suffix)} beside it says that it is not finished"
    if reason:
        return SkippedObject(safe_name(printable_name(name)), reason)
    modified_at = EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    is_settled = abs(time.time() - status.st_ctime) > SETTLING_SECONDS
    return LandingObject(name, status.st_size, modified_at, _version(status), is_settled)


def _matching_entries(folder: Path, glob: str) -> Iterator[tuple[str, os.DirEntry[str], frozenset[str]]]:
    """Entries whose path below the folder matches, without following links to folders."""
    yield from _walk(folder, "", glob_parts(glob))


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
        elif rest:
            if is_folder and fnmatchcase(entry.name, pattern):
                yield from _walk(folder / entry.name, f"{path}/", rest)
        elif matches_file(entry.name, pattern):
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
