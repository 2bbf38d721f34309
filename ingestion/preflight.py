"""The pre-flight: one pass over the bytes of a file before any reader of delimited text sees it.

Readers guess, skip and repair without telling. So what a file is gets decided here, from its bytes alone and in
constant memory: the container (by magic bytes, never by name), the encoding (strict), balanced quotes, the
header's names, the row count that the sender states. Everything works on blocks of whole lines with numpy and
bytes methods; no row is looked at in Python.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import duckdb
import numpy as np

from ingestion.columns import is_plain
from ingestion.feed import Feed, Manifest
from ingestion.file_facts import FileFacts
from ingestion.landing import LandingObject
from ingestion.text_scan import CR, LF, FileRejectedError, LoneCarriageReturnError, TextScanner, one_byte

CHUNK_BYTES = 1 << 19  # numpy's temporaries stay in the cache: 4 MiB runs at half the speed
HEAD_BYTES = 4096
GZIP_NAME_PATTERN = r"\.gz(ip)?(#|\Z)"  # of a private name a hash stands behind the ending
MAX_RATIO = 100  # of decompressed to compressed size; order files reach 20, a bomb 1,000
RATIO_FREE_BYTES = 1 << 20  # below this size a ratio harms nobody
MAX_BYTES = 64 << 30
MAX_LINE_BYTES = 64 << 20  # a line is held whole in memory; a cell over 64 KiB is a bad row already

UTF8_BOM = codecs.BOM_UTF8
WIDE_BOMS = (  # the longer mark first: UTF-32 little-endian begins like UTF-16 little-endian
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def content_digest(stream: BinaryIO) -> str:
    """Hex SHA-256 of everything from here to the end."""
    hasher = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
    return hasher.hexdigest()


@dataclass(frozen=True)
class ManifestFacts:
    """What a manifest states. `delivered_at` is aware, UTC."""

    rows: int | None
    sha256: str | None
    delivered_at: datetime | None


def read_manifest(content: bytes, manifest: Manifest) -> ManifestFacts:
    """The figures of a manifest (JSON object).

    Raises:
        FileRejectedError: rule `manifest_mismatch`, when it is not readable.
    """
    try:
        stated = json.loads(content)
        rows = stated.get(manifest.rows)
        digest = stated.get(manifest.sha256)
        delivered = stated.get(manifest.delivered_at)
        delivered_at = None if delivered is None else datetime.fromisoformat(str(delivered))
        if delivered_at is not None and delivered_at.tzinfo is None:
            delivered_at = delivered_at.replace(tzinfo=UTC)
        return ManifestFacts(
            rows=None if rows is None else int(rows),
            sha256=None if digest is None else str(digest).strip().lower(),
            delivered_at=None if delivered_at is None else delivered_at.astimezone(UTC),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise FileRejectedError(
            "manifest_mismatch", "the manifest beside the file is not a JSON object of the expected form"
        ) from error


def inspect_file(
    stream: BinaryIO,
    path: Path,
    feed: Feed,
    item: LandingObject,
    *,
    work: Path,
    delivered_at: datetime | None = None,
    manifest: ManifestFacts | None = None,
    max_bytes: int = MAX_BYTES,
) -> FileFacts:
    """Look at every byte once and say what an engine needs to know.

    Args:
        stream: the file's bytes; seekable.
        path: a local path of the same bytes, handed on when an engine can read them as they are.
        feed: how the file is written.
        item: the object as listed.
        work: folder for a private copy, where the bytes must be rewritten (decompressed, UTF-16, trailer ...).
            The caller removes it.
        delivered_at: aware, UTC; declared delivery time.
        manifest: what the manifest states, where the feed has one.
        max_bytes: limit of the size after decompression.

    Raises:
        FileRejectedError: when the file as a whole cannot be used.
    """
    inspection = _Inspection(stream, path, feed, item, work, delivered_at, manifest, max_bytes)
    try:
        return inspection.run(carriage_returns_end_lines=False)
    except LoneCarriageReturnError:
        return inspection.run(carriage_returns_end_lines=True)


@dataclass
class _Inspection:
    stream: BinaryIO
    path: Path
    feed: Feed
    item: LandingObject
    work: Path
    delivered_at: datetime | None
    manifest: ManifestFacts | None
    max_bytes: int
    normalised: tuple[str, ...] = ()

    def run(self, *, carriage_returns_end_lines: bool) -> FileFacts:
        self.stream.seek(0)
        hashed = _HashedStream(self.stream)
        raw = _Peekable(iter(hashed))
        compressed = raw.peek(HEAD_BYTES).startswith(b"\x1f\x8b")
        is_called_gzip = re.search(GZIP_NAME_PATTERN, self.item.name, re.IGNORECASE) is not None
        self.normalised = () if compressed == is_called_gzip else ("misnamed",)
        chunks = _Peekable(_gunzip(raw, self.max_bytes)) if compressed else raw
        head = chunks.peek(HEAD_BYTES)[:HEAD_BYTES]
        _refuse_foreign(head, compressed=compressed)
        if self.feed.format == "parquet":
            return self._parquet(head, chunks, hashed, compressed=compressed)
        if head.startswith((b"PAR1", b"PARE")):
            raise FileRejectedError("format", f"the file is parquet, the feed says {self.feed.format}")
        return self._text(chunks, hashed, compressed, carriage_returns_end_lines)

    def _parquet(
        self, head: bytes, chunks: Iterable[bytes], hashed: _HashedStream, *, compressed: bool
    ) -> FileFacts:
        if not head:
            raise FileRejectedError("empty", "the file is empty")
        if head.startswith(b"PARE"):
            raise FileRejectedError("encrypted", "the file is encrypted parquet")
        if not head.startswith(b"PAR1"):
            raise FileRejectedError("format", "the feed says parquet, the file is something else")
        path = self._copy_path() if compressed else self.path
        with private_file(path) if compressed else nullcontext() as copy:
            for chunk in chunks:
                if copy is not None:
                    copy.write(chunk)
        try:
            with duckdb.connect() as connection:
                found = connection.execute(
                    "select num_rows from parquet_file_metadata(?)", [str(path)]
                ).fetchone()
        except duckdb.Error as error:
            raise FileRejectedError("corrupt_parquet", "the parquet footer cannot be read") from error
        rows = int(found[0]) if found else 0
        self._reconcile("manifest", self.manifest.rows if self.manifest else None, rows)
        return self._facts(path, hashed, "parquet", data_lines=rows)

    def _text(
        self, chunks: _Peekable, hashed: _HashedStream, compressed: bool, carriage_returns_end_lines: bool
    ) -> FileFacts:
        feed = self.feed
        encoding, mark = _encoding_of(chunks.peek(), feed.encoding)
        chunks.drop(len(mark))
        is_utf8 = encoding in {"utf-8", "ascii"}
        done = {
            "byte_order_mark": bool(mark),
            "transcoded": not is_utf8,
            "line_ends": carriage_returns_end_lines,
        }
        self.normalised += tuple(name for name, is_done in done.items() if is_done)
        text: Iterable[bytes] = chunks if is_utf8 else _to_utf8(chunks, encoding)
        if carriage_returns_end_lines:
            text = _end_lines_with_lf(text, one_byte(feed.quote))
        blocks = _Peekable(_line_blocks(text, lone_carriage_returns=not carriage_returns_end_lines))
        has_blank_start = False
        while blank := len(blocks.peek()) - len(blocks.peek().lstrip(b"\r\n")):
            has_blank_start = True
            blocks.drop(blank)
        first = blocks.peek()
        if not first:
            raise FileRejectedError(
                "empty", "the file holds blank lines only" if hashed.size else "the file is empty"
            )
        if feed.format == "jsonl" and not first.lstrip().startswith(b"{"):
            raise FileRejectedError(
                "format", "the feed says one JSON object per line, the file begins otherwise"
            )
        scanner = TextScanner(feed, must_be_ascii=encoding == "ascii")
        rewrite = (
            compressed or bool(mark) or has_blank_start or feed.trailer is not None or not is_utf8
        ) or carriage_returns_end_lines
        path = self._copy_path() if rewrite else self.path
        with private_file(path) if rewrite else nullcontext() as copy:
            for block in blocks:
                scanner.scan(block)
                if copy is not None:
                    copy.write(block)
            if copy is not None and feed.trailer is not None:
                copy.truncate(scanner.last_line_start)
        scanner.finish()
        header = _header_names(first, feed) if feed.header and feed.format != "jsonl" else None
        return self._text_facts(path, hashed, encoding, header, scanner)

    def _text_facts(
        self,
        path: Path,
        hashed: _HashedStream,
        encoding: str,
        header: tuple[str, ...] | None,
        scanner: TextScanner,
    ) -> FileFacts:
        without = (1 if header is not None else 0) + (1 if self.feed.trailer else 0)
        rows = max(scanner.rows - without, 0)
        if self.feed.trailer:
            self._reconcile("trailer", _trailer_rows(scanner.last_line, self.feed.trailer.pattern), rows)
        self._reconcile("manifest", self.manifest.rows if self.manifest else None, rows)
        return self._facts(
            path,
            hashed,
            encoding,
            header=header,
            data_lines=max(scanner.filled_lines - without, 0),
            delimiter_max=scanner.delimiter_max,
            has_quotes=scanner.has_quotes,
            has_quoted_newline=scanner.has_quoted_newline,
            has_edge_spaces=scanner.has_edge_spaces,
            has_nul=scanner.has_nul,
            has_carriage_return=scanner.has_lone_carriage_return,
            is_ascii=scanner.is_ascii,
            has_control_characters=scanner.has_control_characters,
            has_tabs=scanner.has_tabs and (scanner.has_quotes or "\t" not in self.feed.delimiter),
            has_at_sign=scanner.has_at_sign,
            longest_line_bytes=scanner.longest_line,
        )

    def _facts(self, path: Path, hashed: _HashedStream, encoding: str, **found: object) -> FileFacts:
        digest = hashed.hexdigest()
        if self.manifest and self.manifest.sha256 and self.manifest.sha256 != digest:
            raise FileRejectedError(
                "manifest_mismatch", "the content's SHA-256 is not what the manifest states"
            )
        return FileFacts(
            path=path,
            object_name=self.item.name,
            content_sha256=digest,
            size_bytes=hashed.size,
            modified_at=self.item.modified_at,
            delivered_at=self.delivered_at,
            encoding=encoding,
            normalised=self.normalised,
            **found,  # type: ignore[arg-type]
        )

    def _reconcile(self, source: str, stated: int | None, found: int) -> None:
        if stated is not None and stated != found:
            raise FileRejectedError(
                "manifest_mismatch", f"the {source} states {stated} data rows, the file holds {found}"
            )

    def _copy_path(self) -> Path:
        return self.work / f"{hashlib.sha256(self.item.version.encode()).hexdigest()[:32]}.text"


class _HashedStream:
    """Chunks of a stream; digest and size of what has gone by."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hasher = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._stream.read(CHUNK_BYTES):
            self._hasher.update(chunk)
            self.size += len(chunk)
            yield chunk

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()


class _Peekable:
    """Chunks whose first one can be looked at, and shortened, before it is taken."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._first = b""

    def peek(self, least: int = 1) -> bytes:
        """What comes first, at least so many bytes unless the end is nearer; empty at the end."""
        while len(self._first) < least:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._first += chunk
        return self._first

    def drop(self, count: int) -> None:
        """Leave out the first `count` bytes of the first chunk."""
        self._first = self.peek()[count:]

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
            self._first = b""
        yield from self._chunks


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that only this user may read: what a landing file holds may be personal."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream


def _gunzip(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Every member of a gzip file, each with its checksum and length verified."""
    member = zlib.decompressobj(wbits=31)
    taken = given = 0
    try:
        for chunk in chunks:
            taken += len(chunk)
            pending = chunk
            while pending:
                if member.eof:
                    pending = pending.lstrip(b"\0")  # padding between and after members is allowed
                    if not pending:
                        break
                    member = zlib.decompressobj(wbits=31)
                plain = member.decompress(pending, CHUNK_BYTES)
                pending = member.unused_data if member.eof else member.unconsumed_tail
                given += len(plain)
                if given > max_bytes:
                    raise FileRejectedError(
                        "file_too_large", f"the decompressed file is larger than {max_bytes} bytes"
                    )
                if given > RATIO_FREE_BYTES and given > MAX_RATIO * taken:
                    raise FileRejectedError(
                        "compression_ratio", f"the file grows more than {MAX_RATIO} times when decompressed"
                    )
                if plain:
                    yield plain
    except zlib.error as error:
        raise FileRejectedError("corrupt_gzip", f"the gzip content is damaged ({error})") from error
    if not member.eof:
        raise FileRejectedError("truncated_gzip", "the gzip content ends before its checksum")


def _refuse_foreign(head: bytes, *, compressed: bool) -> None:
    """Refuse what is no order file at all, by its first bytes.

    Raises:
        FileRejectedError: rules `encrypted`, `archive`, `not_delimited`.
    """
    within = " inside the gzip file" if compressed else ""
    if head.startswith((b"-----BEGIN PGP", b"age-encryption.org", b"Salted__", b"\x85\x01\x0c\x03", b"\x85\x02\x0c\x03",
                        b"\x84\x8c\x03", b"\x8c\x0d\x04")):  # fmt: skip
        raise FileRejectedError("encrypted", f"the file is encrypted{within}")
    if head.startswith(b"PK\x03\x04"):
        if head[6:7] and head[6] & 1:
            raise FileRejectedError("encrypted", f"the file is a zip archive with a password{within}")
        if b"[Content_Types].xml" in head or b"xl/" in head:
            raise FileRejectedError("not_delimited", f"the file is an Excel workbook{within}")
        raise FileRejectedError("archive", f"the file is a zip archive{within}")
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if "EncryptedPackage".encode("utf-16-le") in head:
            raise FileRejectedError("encrypted", f"the file is an Excel workbook with a password{within}")
        raise FileRejectedError("not_delimited", f"the file is an Office document{within}")
    if head.startswith(
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!")
    ):
        raise FileRejectedError(
            "archive",
            f"the file is compressed in a way that is not read here{within}",
            remedy="deliver plain or gzip",
        )
    if head.startswith(b"%PDF"):
        raise FileRejectedError("not_delimited", f"the file is a PDF document{within}")
    text = head.removeprefix(UTF8_BOM).lstrip().lower()
    if text.startswith((b"<!", b"<?", b"<html", b"<head", b"<error", b"<soap")):
        raise FileRejectedError("not_delimited", f"the file is a web page or an XML document{within}")


def _encoding_of(head: bytes, declared: str) -> tuple[str, bytes]:
    """The encoding and the byte order mark; a mark outranks the declared encoding.

    Raises:
        FileRejectedError: rule `encoding`.
    """
    for mark, encoding in WIDE_BOMS:
        if head.startswith(mark):
            return encoding, mark
    if head.startswith(UTF8_BOM):
        return "utf-8", UTF8_BOM
    encoding = codecs.lookup(declared).name
    if encoding == "utf-8-sig":
        encoding = "utf-8"
    if encoding in {"utf-8", "ascii"} and head.count(0) > len(head) // 4:
        raise FileRejectedError(
            "encoding",
            "the file looks like UTF-16 without a byte order mark",
            remedy="set the feed's encoding, for example utf-16-le",
        )
    return encoding, b""


def _to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    position = 0
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8")
            position += len(chunk)
        yield decoder.decode(b"", True).encode("utf-8")
    except UnicodeError as error:
        # The codec's own text may quote the bytes, which may be anybody's.
        raise FileRejectedError(
            "encoding",
            f"the file is not {encoding}: a byte after position {position} does not fit",
            remedy="set the feed's encoding to what the sender uses",
        ) from error


def _end_lines_with_lf(chunks: Iterable[bytes], quote: int | None) -> Iterator[bytes]:
    """Write LF for every carriage return that ends a line by itself; between quotes it is data and stays."""
    held = b""
    is_open = 0
    for chunk in chunks:
        whole = held + chunk
        held = b"\r" if whole.endswith(b"\r") else b""
        body = np.frombuffer(whole[: len(whole) - len(held)], dtype=np.uint8).copy()
        lone = np.flatnonzero(body == CR)
        following = np.append(body, 0)[lone + 1]
        lone = lone[following != LF]
        if quote is not None:
            quotes = np.flatnonzero(body == quote)
            lone = lone[(np.searchsorted(quotes, lone) + is_open) % 2 == 0]
            is_open = (is_open + len(quotes)) % 2
        body[lone] = LF
        yield body.tobytes()
    if held:
        yield b"\n"


def _line_blocks(chunks: Iterable[bytes], *, lone_carriage_returns: bool) -> Iterator[bytes]:
    """The same bytes in blocks that end with LF; only the last may end without."""
    held: list[bytes] = []
    held_bytes = 0
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join((*held, chunk[:cut])) if held else (chunk if cut == len(chunk) else chunk[:cut])
            held, held_bytes = [], 0
        if cut < len(chunk):
            held.append(chunk[cut:])
            held_bytes += len(chunk) - cut
            if lone_carriage_returns and held_bytes > CHUNK_BYTES and b"\r" in chunk:
                raise LoneCarriageReturnError
            if held_bytes > MAX_LINE_BYTES:
                raise FileRejectedError(
                    "line_too_large",
                    f"a line is longer than {MAX_LINE_BYTES} bytes",
                    remedy="check that the file is text with one row per line",
                )
    if held:
        yield b"".join(held)


def _header_names(first: bytes, feed: Feed) -> tuple[str, ...]:
    """Names of the header line, trimmed. A nameless column is called after its position.

    Raises:
        FileRejectedError: rules `duplicate_header`, `not_delimited`.
    """
    text = first.decode("utf-8")
    line = text.splitlines()[0]
    if feed.format == "whitespace":
        names = line.split()
    elif len(feed.delimiter) > 1:
        names = line.split(feed.delimiter)
    else:
        rows = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=feed.delimiter,
            quotechar=feed.quote or None,
            quoting=csv.QUOTE_MINIMAL if feed.quote else csv.QUOTE_NONE,
        )
        try:
            names = next(rows)
        except csv.Error as error:
            raise FileRejectedError("not_delimited", "the header line cannot be read") from error
    trimmed = tuple(name.strip() or f"unnamed_{position}" for position, name in enumerate(names, start=1))
    if len(trimmed) == 1 and feed.format == "csv":
        other = next((mark for mark in ",;\t|" if mark != feed.delimiter and mark in trimmed[0]), None)
        if other:
            raise FileRejectedError(
                "not_delimited",
                f"the header holds no {feed.delimiter!r} but {other!r}",
                remedy=f"set the feed's delimiter to {other!r} if the sender has changed it",
            )
    seen: set[str] = set()
    for position, name in enumerate(trimmed, start=1):
        if name.casefold() in seen:
            # Without a header the first line is data, which no error text may quote.
            shown = repr(name) if is_plain(name) else f"number {position}"
            raise FileRejectedError("duplicate_header", f"the header names the column {shown} twice")
        seen.add(name.casefold())
    return trimmed


def _trailer_rows(line: bytes, pattern: str) -> int:
    found = re.search(pattern, line.decode("utf-8").strip())
    if not found:
        raise FileRejectedError(
            "manifest_mismatch",
            "the last line is not the trailer that the feed declares: the file may be cut off",
        )
    return int(found.group(1))
