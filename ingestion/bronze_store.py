"""Where bronze is kept: the home folder, or a place elsewhere of which the home folder then holds working copies.

A delivery is named by its folder below the home's bronze folder, wherever its files are. Engines write and loaders read
local files; a store elsewhere takes them in when they are complete and gives them back before they are read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion.batch_record import RECORD_NAME, BatchRecord, read_record, write_record
from ingestion.bronze import keep_only
from ingestion.locations import BucketLocation, read_location
from settings.errors import ConfigurationError
from settings.home import BRONZE_VARIABLE, Home


def open_bronze(home: Home) -> FolderBronze:
    """The store that `TILLHOUSE_BRONZE` names, else the home's folder. Nothing is asked of it yet.

    Raises:
        ConfigurationError: for a place that bronze cannot be kept in.
    """
    named = home.bronze_location
    if not named:
        return FolderBronze(home.bronze)
    location = read_location(named, home)
    if not isinstance(location, BucketLocation):
        raise ConfigurationError(
            f"{BRONZE_VARIABLE} names {named!r}, which bronze cannot be kept in",
            remedy="name s3://bucket/prefix, or leave it empty for the home folder",
            rule="location",
        )
    from ingestion.bronze_s3 import S3Bronze

    return S3Bronze(home.bronze, location.bucket, location.prefix)


class FolderBronze:
    """Bronze in a folder of this machine.

    `is_local`: the folder is all there is, so that its files may be written there without asking the store.
    """

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, folder: Path, record: BatchRecord) -> None:
        """Make a delivery whole: its checked files, which lie in its folder, and then the record that names them."""
        self.note(folder, record)

    def note(self, folder: Path, record: BatchRecord) -> None:
        """Write the record of a delivery whose checked files are kept already."""
        write_record(folder, record)

    def has_record(self, folder: Path) -> bool:
        """Whether anything is kept of a delivery."""
        return (folder / RECORD_NAME).exists()

    def read_record(self, folder: Path) -> BatchRecord:
        """The record as it is kept.

        Raises:
            DataRejectedError: when there is none, or it is damaged.
        """
        return read_record(folder)

    def recall(self, folder: Path) -> BatchRecord:
        """The record as this machine last knew it: enough where nothing is loaded by it. Raises as `read_record`."""
        return read_record(folder)

    def fetch(self, folder: Path, record: BatchRecord) -> None:
        """Let the checked files that the record names lie in the delivery's folder, as far as they are kept."""

    def release(self, folder: Path) -> None:
        """The checked files are not read any more in this call."""

    def keep_only(self, folder: Path, checked: Sequence[Path]) -> None:
        """Remove what the record does not name any more."""
        keep_only(folder, checked)

    def forget(self, folder: Path) -> None:
        """Remove all that is kept of a delivery."""
        shutil.rmtree(folder, ignore_errors=True)

    def fetch_file(self, name: str) -> Path:
        """Where a file beside the deliveries lies here, as it is kept; nothing is there when none is kept."""
        return self._root / name

    def keep_file(self, name: str) -> None:
        """Keep a file beside the deliveries as it lies here."""

    def folders(self) -> Iterator[Path]:
        """Folders of the deliveries that have a record, in the order of their names."""
        for path in sorted(self._root.glob(f"*/*/{RECORD_NAME}")):
            yield path.parent

    def shown(self, folder: Path) -> str:
        """Where a delivery is kept, for people."""
        return str(folder)
