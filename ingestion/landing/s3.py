"""Objects of an S3 bucket below a prefix.

An object is read in the version that was listed: by its ETag the first time, by its version id from then on where the
bucket keeps versions. One that was replaced in between is left for the next run, so two contents never mix. A put is
atomic, so an object that is there is finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from fnmatch import fnmatchcase
from pathlib import Path

from ingestion.landing.base import (
    HIDDEN_STARTS,
    LandingObject,
    Listing,
    ObjectNotReadyError,
    PrivateCopy,
    SkippedObject,
    glob_parts,
    matches_file,
    printable_name,
    refusal,
)
from ingestion.object_names import safe_name
from ingestion.s3 import Bucket, ObjectGoneError, StoredObject

WILDCARDS = frozenset("*?[")
# New objects are read twice, once to know them and once to check them; up to so much lies here in between.
KEPT_BYTES = 1 << 30


class S3Store:
    """See `LandingStore`. Needs `s3:ListBucket` and `s3:GetObject`, with versions `s3:GetObjectVersion` too."""

    # An ETag changes with the content, and the time of the change and the size are beside it.
    versions_tell_content = True

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = Bucket(bucket)
        self._prefix = prefix
        self._version_ids: dict[str, str] = {}  # object version → version id, once it was read
        self._kept: dict[str, tuple[Path, int]] = {}  # object version → copy of a first reading, its size

    def list_objects(self, glob: str) -> Listing:
        """See `LandingStore.list_objects`. All keys are looked at each time: an object that was long in coming may
        show up with a time in the past."""
        objects: list[LandingObject] = []
        skipped: list[SkippedObject] = []
        for found in self._matching(glob):
            name = found.key.removeprefix(self._prefix)
            reason = refusal(name)
            if reason:
                skipped.append(SkippedObject(safe_name(printable_name(name)), reason))
            else:
                objects.append(
                    LandingObject(name, found.size_bytes, found.modified_at.astimezone(UTC), _version(found))
                )
        objects.sort(key=lambda item: item.name)
        return Listing(tuple(objects), tuple(skipped))

    @contextmanager
    def open(self, item: LandingObject, work: Path) -> Iterator[PrivateCopy]:
        """See `LandingStore.open`. A copy that is small enough stays for the next opening, which uses it up."""
        identity = hashlib.sha256(f"{self._prefix}{item.name}|{item.version}".encode()).hexdigest()
        path = work / f"{identity[:32]}.landed"
        kept, _ = self._kept.pop(identity, (None, 0))
        if kept is not None and kept.exists():
            kept.replace(path)
        else:
            kept = None
            self._fetch(item, identity, path)
        try:
            with path.open("rb", buffering=0) as stream:
                yield PrivateCopy(stream, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        room = KEPT_BYTES - sum(size for _, size in list(self._kept.values()))
        if kept is None and item.size_bytes <= room:
            self._kept[identity] = path, item.size_bytes
        else:
            path.unlink(missing_ok=True)

    def read_companion(self, name: str, limit_bytes: int) -> bytes | None:
        """See `LandingStore.read_companion`."""
        return self._bucket.read(self._prefix + name, limit_bytes)

    def state(self, glob: str) -> Iterator[str]:
        """See `LandingStore.state`."""
        for found in self._matching(glob):
            yield f"{found.key}\x1f{_version(found)}"

    def _fetch(self, item: LandingObject, identity: str, path: Path) -> None:
        etag = item.version.split("|", 1)[0]
        try:
            fetched = self._bucket.fetch(
                self._prefix + item.name,
                path,
                size_bytes=item.size_bytes,
                etag=etag,
                version_id=self._version_ids.get(identity),
            )
        except ObjectGoneError as error:
            raise ObjectNotReadyError(item.name, str(error)) from error
        if fetched.version_id is not None:
            self._version_ids[identity] = fetched.version_id

    def _matching(self, glob: str) -> Iterator[StoredObject]:
        parts = glob_parts(glob)
        fixed = 0
        while fixed < len(parts) - 1 and not WILDCARDS & set(parts[fixed]):
            fixed += 1
        start = self._prefix + "".join(f"{part}/" for part in parts[:fixed])
        patterns = parts[fixed:]
        for found in self._bucket.list(start, whole_depth=len(patterns) > 1):
            if _matches(found.key.removeprefix(start).split("/"), patterns):
                yield found


def _version(found: StoredObject) -> str:
    return f"{found.etag}|{found.size_bytes}|{found.modified_at.astimezone(UTC).isoformat()}"


def _matches(names: list[str], patterns: list[str]) -> bool:
    """Whether a key's parts fit a glob's, as a folder's entries do: `**` stands for any visible folders."""
    pattern, rest = patterns[0], patterns[1:]
    if pattern == "**":
        return _matches(names, rest) or (
            len(names) > 1 and not _is_hidden_folder(names[0]) and _matches(names[1:], patterns)
        )
    if not rest:
        base = names[0]
        # A key that ends with a slash stands for a folder; its last part is empty.
        return (
            len(names) == 1
            and bool(base)
            and not base.startswith(HIDDEN_STARTS)
            and matches_file(base, pattern)
        )
    return len(names) > 1 and fnmatchcase(names[0], pattern) and _matches(names[1:], rest)


def _is_hidden_folder(name: str) -> bool:
    """Dots alone are no name that hides anything: a key leads nowhere, whatever it says."""
    return name.startswith(".") and bool(name.strip("."))
