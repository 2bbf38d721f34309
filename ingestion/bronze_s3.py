"""Bronze in an S3 bucket, encrypted with a key of KMS.

An object is there whole or not at all, and a delivery's record is put after the files that it names. So a delivery
with a record is complete before the ledger says that it is loaded, as in a folder. What lies in the home's bronze
folder is a working copy: checked files while they are checked and loaded, records as this machine last knew them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion.batch_record import RECORD_NAME, BatchRecord, read_record, write_record
from ingestion.bronze import repeats_path
from ingestion.bronze_store import FolderBronze
from ingestion.s3 import Bucket, ObjectGoneError
from settings.errors import DataRejectedError

SENDING = ".sending"  # a record on its way: the local copy must not say what the bucket does not


class S3Bronze(FolderBronze):
    """See `FolderBronze`. Needs to list, read, write and delete below the prefix, and to use the KMS key."""

    is_local = False

    def __init__(self, root: Path, bucket: str, prefix: str) -> None:
        super().__init__(root)
        self._bucket = Bucket(bucket)
        self._prefix = prefix

    def keep(self, folder: Path, record: BatchRecord) -> None:
        """See `FolderBronze.keep`."""
        for path in _checked_files(record):
            self._bucket.write(self._key(folder, path.name), path)
        self.note(folder, record)

    def note(self, folder: Path, record: BatchRecord) -> None:
        """See `FolderBronze.note`."""
        sending = folder / SENDING
        write_record(sending, record)
        try:
            self._bucket.write(self._key(folder, RECORD_NAME), sending / RECORD_NAME)
            (sending / RECORD_NAME).replace(folder / RECORD_NAME)
        finally:
            (sending / RECORD_NAME).unlink(missing_ok=True)
            sending.rmdir()

    def has_record(self, folder: Path) -> bool:
        """See `FolderBronze.has_record`."""
        return any(
            found.key == self._key(folder, RECORD_NAME) for found in self._bucket.list(self._key(folder, ""))
        )

    def read_record(self, folder: Path) -> BatchRecord:
        """See `FolderBronze.read_record`. The local copy is made anew."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._bucket.fetch(self._key(folder, RECORD_NAME), folder / RECORD_NAME)
        except ObjectGoneError:
            (folder / RECORD_NAME).unlink(missing_ok=True)
        return read_record(folder)

    def recall(self, folder: Path) -> BatchRecord:
        """See `FolderBronze.recall`."""
        try:
            return read_record(folder)
        except DataRejectedError:
            return self.read_record(folder)

    def fetch(self, folder: Path, record: BatchRecord) -> None:
        """See `FolderBronze.fetch`. What lies here may be left of a run that was killed, so it does not count."""
        for path in _checked_files(record):
            try:
                self._bucket.fetch(self._key(folder, path.name), path)
            except ObjectGoneError:
                path.unlink(missing_ok=True)

    def release(self, folder: Path) -> None:
        """See `FolderBronze.release`."""
        for path in folder.glob("*.parquet"):
            path.unlink(missing_ok=True)

    def keep_only(self, folder: Path, checked: Sequence[Path]) -> None:
        """See `FolderBronze.keep_only`."""
        kept = {path.name for one in checked for path in (one, repeats_path(one))}
        for found in list(self._bucket.list(self._key(folder, ""))):
            if found.key.endswith(".parquet") and found.key.rpartition("/")[2] not in kept:
                self._bucket.delete(found.key)

    def forget(self, folder: Path) -> None:
        """See `FolderBronze.forget`."""
        for found in list(self._bucket.list(self._key(folder, ""))):
            self._bucket.delete(found.key)
        super().forget(folder)

    def fetch_file(self, name: str) -> Path:
        """See `FolderBronze.fetch_file`."""
        path = self._root / name
        try:
            self._bucket.fetch(f"{self._prefix}{name}", path)
        except ObjectGoneError:
            path.unlink(missing_ok=True)
        return path

    def keep_file(self, name: str) -> None:
        """See `FolderBronze.keep_file`."""
        self._bucket.write(f"{self._prefix}{name}", self._root / name)

    def folders(self) -> Iterator[Path]:
        """See `FolderBronze.folders`."""
        for found in self._bucket.list(self._prefix):
            parts = found.key.removeprefix(self._prefix).split("/")
            if (
                len(parts) == 3
                and parts[2] == RECORD_NAME
                and not any(part in {"", ".", ".."} for part in parts)
            ):
                yield self._root / parts[0] / parts[1]

    def shown(self, folder: Path) -> str:
        """See `FolderBronze.shown`."""
        return f"s3://{self._bucket.name}/{self._key(folder, '')}"

    def _key(self, folder: Path, name: str) -> str:
        return f"{self._prefix}{folder.relative_to(self._root).as_posix()}/{name}"


def _checked_files(record: BatchRecord) -> list[Path]:
    """The files that a record names; the rows come last, as when they are written."""
    found: list[Path] = []
    for entity in record.entities:
        found += [repeats_path(entity.outcome.checked_path), entity.outcome.checked_path]
    return found
