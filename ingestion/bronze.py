"""Bronze: the checked parquet files, from which the raw tables can be replayed.

One folder per feed and batch, two files per entity: `store.orders.parquet` has all rows of the file in file
order (position + 1 is the row number), `store.orders.repeats.parquet` names the rows that repeat or
contradict an earlier row. Both are written beside their place, synced and renamed; the rows come last, so a
checked parquet that exists is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pyarrow import parquet

from settings.errors import NotFoundError
from settings.home import Home

METADATA_KEY = "tillhouse"


@dataclass(frozen=True)
class CheckedMetadata:
    """What a checked parquet says about itself, in its footer.

    Attributes:
        entity, feed, batch_id, source_file, file_sha256, contract_version: of the batch.
        row_number_columns: columns whose value is the content hash and the row number.
        program: version of the layout of these files.
    """

    entity: str
    feed: str
    batch_id: str
    source_file: str
    file_sha256: str
    contract_version: str
    row_number_columns: tuple[str, ...] = ()
    program: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def checked_path(home: Home, feed: str, batch_id: str, entity: str) -> Path:
    """Where the checked parquet of one batch and entity is."""
    return home.bronze / feed / batch_id / f"{entity}.parquet"


def repeats_path(checked: Path) -> Path:
    """The list of repeated rows that belongs to a checked parquet."""
    return checked.with_name(f"{checked.stem}.repeats.parquet")


def read_metadata(checked: Path) -> CheckedMetadata:
    """What the footer of a checked parquet says.

    Raises:
        NotFoundError: when the file or the list of repeats beside it is missing, or is not one of ours.
    """
    if not checked.is_file() or not repeats_path(checked).is_file():
        raise NotFoundError(
            f"bronze file {checked.name} of {checked.parent} is missing or incomplete",
            remedy="deliver the source file again: its batch is then checked anew",
            rule="bronze",
        )
    stored: Mapping[bytes, bytes] = parquet.read_metadata(checked).metadata or {}
    if METADATA_KEY.encode() not in stored:
        raise NotFoundError(f"{checked} was not written by tillhouse", rule="bronze")
    fields = json.loads(stored[METADATA_KEY.encode()])
    fields["row_number_columns"] = tuple(fields["row_number_columns"])
    return CheckedMetadata(**fields)


def count_rows(path: Path) -> int:
    """Rows of a parquet file, from its footer."""
    return int(parquet.read_metadata(path).num_rows)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name to write to; on success the file is synced and renamed to `path`, else removed.

    The folder is made private to the user, so that a file being written is too.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.chmod(0o600)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
