"""What the pre-flight found out about one file before any engine reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class FileFacts:
    """One file that passed the pre-flight.

    The flags let the validation program leave out work that this file does not need (no cell with edge
    spaces, no trimming). They default to "it may happen", so leaving one out costs time, never correctness.

    Attributes:
        path: local, readable by the engine as it is: not compressed, UTF-8 without a byte order mark,
            without the feed's trailer line.
        object_name: name in the landing store, relative to the feed's location. Data, never a path to open.
        content_sha256: hex digest of the bytes as delivered (before decompression).
        size_bytes: size as delivered.
        modified_at: aware, UTC; modification time when the file was first seen.
        delivered_at: aware, UTC; the delivery time that the feed declares (name or manifest).
        encoding: of the bytes as delivered, e.g. "utf-8", "utf-16-le".
        header: names of the first line, trimmed, as spelled in the file; None without a header line
            (the feed's `column_names` then name the columns) and for jsonl and parquet.
        data_lines: physical lines after the header that are not blank; None where it was not counted.
        delimiter_max: most delimiters on one physical line (quoted ones count too).
        has_quotes: the quote character occurs.
        has_quoted_newline: a line end occurs between quotes.
        has_edge_spaces: a blank stands beside a delimiter, a quote or a line end.
        has_nul: a NUL byte occurs.
        has_carriage_return: a carriage return occurs that is not the first half of CR LF.
        is_ascii: every byte is below 0x80.
        has_control_characters: a byte below 0x20 other than tab, LF, CR (or 0x7f) occurs.
        has_tabs: a tab occurs that is no delimiter.
        has_at_sign: "@" occurs.
        longest_line_bytes: length of the longest physical line; None where it was not measured.
        normalised: what was changed or understood before any row was read, by the names of `FILE_NOTES`.
    """

    path: Path
    object_name: str
    content_sha256: str
    size_bytes: int
    modified_at: datetime
    delivered_at: datetime | None = None
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None
    data_lines: int | None = None
    delimiter_max: int = 0
    has_quotes: bool = True
    has_quoted_newline: bool = True
    has_edge_spaces: bool = True
    has_nul: bool = True
    has_carriage_return: bool = True
    is_ascii: bool = False
    has_control_characters: bool = True
    has_tabs: bool = True
    has_at_sign: bool = True
    longest_line_bytes: int | None = None
    normalised: tuple[str, ...] = ()

    @property
    def arrived_at(self) -> datetime:
        """Recorded arrival (aware, UTC): the declared delivery time, else the time first seen."""
        return self.delivered_at or self.modified_at
