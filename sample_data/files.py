"""Writing the files: private, whole or not at all, the same bytes for the same rows."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from sample_data.sources import Fault, Source
from settings.errors import ConfigurationError


class DeliveryFile:
    """One file while it is written. It has its name only when it is complete.

    Raises:
        ConfigurationError: when the folder or the file cannot be written.
    """

    def __init__(self, folder: Path, name: str, source: Source) -> None:
        self.path = folder / name
        self.source = source
        self._partial = folder / f".{name}.partial"
        self._empty = True
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"the sample file {self.path} cannot be written: {error.strerror or error}",
                remedy="name a landing folder that you may write to",
            ) from error
        self._raw = os.fdopen(descriptor, "wb")
        self._out: IO[bytes] | gzip.GzipFile = self._raw
        if source.gzipped:
            # No name and no time in the header: they would differ from run to run.
            self._out = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=self._raw, mtime=0)

    def write(self, rows: pa.Table, misshapen: Sequence[tuple[pa.Table, Fault]] = ()) -> None:
        """Append rows, then rows with too few or too many cells."""
        if self._empty:
            self._empty = False
            self._out.write((self.source.delimiter.join(rows.column_names) + "\n").encode())
        self._append(rows)
        for broken, fault in misshapen:
            cells = broken.select(broken.column_names[: broken.num_columns - fault.cut])
            for number, text in enumerate(fault.surplus):
                surplus = pa.array([text], pa.string()).take(pa.array([0] * broken.num_rows))
                cells = cells.append_column(f"surplus_{number}", surplus)
            self._append(cells)

    def _append(self, rows: pa.Table) -> None:
        style = "needed" if self.source.quoted else "none"
        options = pa_csv.WriteOptions(
            include_header=False, delimiter=self.source.delimiter, quoting_style=style, batch_size=65_536
        )
        pa_csv.write_csv(rows, self._out, options)

    def close(self) -> int:
        """Give the file its name and return its size in bytes."""
        if self._out is not self._raw:
            self._out.close()
        self._raw.close()
        self._partial.replace(self.path)
        return self.path.stat().st_size

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._raw.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> DeliveryFile:
        return self

    def __exit__(self, kind: Any, *details: Any) -> None:
        if kind is not None:
            self.abandon()
