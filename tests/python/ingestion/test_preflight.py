"""The pre-flight decides from the bytes what a file is, and its facts never claim less than there is."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ingestion import preflight
from ingestion.feed import Feed, FeedEntity, Manifest, Trailer
from ingestion.file_facts import FileFacts
from ingestion.landing import LandingObject
from ingestion.preflight import FileRejectedError, ManifestFacts, inspect_file, read_manifest

SEEN_AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
HEADER = b"id,name,amount\n"
ROWS = b"1,a,1.00\n2,b,2.00\n"

Inspect = Callable[..., FileFacts]


def a_feed(**settings_: Any) -> Feed:
    return Feed(
        company="shop",
        name="shop_orders",
        source_path=Path("shop.yml"),
        location="file:///landing",
        entities=(FeedEntity(entity="store.orders"),),
        **settings_,
    )


def looked_at(
    folder: Path, content: bytes, manifest: ManifestFacts | None = None, **settings_: Any
) -> FileFacts:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "landed"
    path.write_bytes(content)
    item = LandingObject("orders.csv", len(content), SEEN_AT, hashlib.sha256(content).hexdigest())
    return inspect_file(io.BytesIO(content), path, a_feed(**settings_), item, work=folder, manifest=manifest)


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    def run(content: bytes, manifest: ManifestFacts | None = None, **settings_: Any) -> FileFacts:
        return looked_at(tmp_path / "work", content, manifest, **settings_)

    return run


def rule_of(inspect: Inspect, content: bytes, **settings_: Any) -> str:
    with pytest.raises(FileRejectedError) as caught:
        inspect(content, **settings_)
    assert caught.value.remedy
    return caught.value.rule


# Facts, against a reference that looks at every character


def reference_facts(text: str) -> dict[str, Any]:
    """The facts of a comma-separated text with balanced quotes, character by character."""
    lines, line, is_open = [], "", False
    flags = dict.fromkeys(("has_quotes", "has_quoted_newline", "has_edge_spaces", "has_nul"), False)
    for character in text:
        is_open ^= character == '"'
        flags["has_quotes"] |= character == '"'
        flags["has_nul"] |= character == "\0"
        if character == "\n":
            flags["has_quoted_newline"] |= is_open
            lines.append(line)
            line = ""
        else:
            line += character
    if line:
        lines.append(line)
    edges = set(',"\n\r')
    for before, after in zip(["\n", *text], [*text, "\n"], strict=True):
        flags["has_edge_spaces"] |= (before in edges and after == " ") or (before == " " and after in edges)
    return {
        **flags,
        "data_lines": sum(line not in {"", "\r"} for line in lines) - 1,
        "delimiter_max": max(line.count(",") for line in lines),
        "longest_line_bytes": max(len(line.encode()) for line in lines),
        "is_ascii": text.isascii(),
        "has_at_sign": "@" in text,
        "has_tabs": "\t" in text,
        "has_control_characters": any(
            (ord(character) < 32 and character not in "\t\n\r") or character == "\x7f" for character in text
        ),
    }


CELL = st.text(alphabet="a1 .é日@\t\0\x01\x7f-", max_size=6)
QUOTED = st.text(alphabet='a ,\n"', max_size=6).map(lambda text: '"' + text.replace('"', '""') + '"')
ROW = st.lists(st.one_of(CELL, CELL, QUOTED), min_size=1, max_size=4).map(",".join)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, max_size=8),
    line_end=st.sampled_from(["\n", "\r\n"]),
    ends=st.booleans(),
    chunk=st.sampled_from([1, 2, 3, 5, 17, 1 << 19]),
)
def test_facts_equal_a_reading_character_by_character_whatever_the_block_size(
    tmp_path: Path, rows: list[str], line_end: str, ends: bool, chunk: int
) -> None:
    text = line_end.join(["x,y,z", *rows]) + (line_end if ends else "")
    # Where every fourth byte is a NUL the file is taken for UTF-16, and refused.
    assume(all(head.count(0) <= len(head) // 4 for head in (text.encode(), text.encode()[:chunk])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "CHUNK_BYTES", chunk)
        facts = looked_at(tmp_path / "work", text.encode())
    expected = reference_facts(text)
    assert {name: getattr(facts, name) for name in expected} == expected
    assert facts.header == ("x", "y", "z")
    assert facts.content_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert facts.size_bytes == len(text.encode())
    assert facts.path.read_bytes() == text.encode()


def test_a_plain_file_is_read_where_it_lies(inspect: Inspect, tmp_path: Path) -> None:
    facts = inspect(HEADER + ROWS)
    assert facts.path == tmp_path / "work" / "landed"
    assert (facts.encoding, facts.data_lines, facts.delimiter_max) == ("utf-8", 2, 2)
    assert facts.modified_at == facts.arrived_at == SEEN_AT


def test_blank_lines_are_no_rows(inspect: Inspect) -> None:
    facts = inspect(b"\r\n\n" + HEADER + b"1,a,1\n\n\r\n2,b,2\n\n\n")
    assert facts.data_lines == 2
    assert facts.path.read_bytes().startswith(HEADER)


@pytest.mark.parametrize("chunk", [3, 1 << 19])
def test_lines_of_blanks_are_no_rows_where_blanks_part_the_cells(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(preflight, "CHUNK_BYTES", chunk)
    facts = inspect(
        b" 1 2\r\n  \t \r\n\n 3  4 \n   ", format="whitespace", header=False, column_names=("a", "b")
    )
    assert facts.data_lines == 2
    assert facts.header is None
    facts = inspect(b'{"a": 1}\n   \n{"a": 2}', format="jsonl")
    assert facts.data_lines == 2


# Containers


def test_gzip_is_known_by_its_content_whatever_its_name(inspect: Inspect) -> None:
    content = gzip.compress(HEADER + ROWS)
    facts = inspect(content)
    assert facts.path.read_bytes() == HEADER + ROWS
    assert facts.path.stat().st_mode & 0o077 == 0
    assert facts.size_bytes == len(content)
    assert facts.content_sha256 == hashlib.sha256(content).hexdigest()


def test_every_member_of_a_gzip_file_is_read(inspect: Inspect) -> None:
    facts = inspect(
        gzip.compress(HEADER) + gzip.compress(b"1,a,1\n") + gzip.compress(b"2,b,2\n") + b"\0" * 512
    )
    assert facts.path.read_bytes() == HEADER + b"1,a,1\n2,b,2\n"


@pytest.mark.parametrize("chunk", [5, 1 << 19])
def test_a_damaged_gzip_file_is_refused(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """A wrong checksum loads without a word in some readers."""
    monkeypatch.setattr(preflight, "CHUNK_BYTES", chunk)
    whole = gzip.compress(HEADER + ROWS * 50)
    wrong_checksum = whole[:-8] + bytes(4) + whole[-4:]
    assert rule_of(inspect, whole[:-1]) == "truncated_gzip"
    assert rule_of(inspect, whole[: len(whole) // 2]) == "truncated_gzip"
    assert rule_of(inspect, wrong_checksum) == "corrupt_gzip"
    assert rule_of(inspect, whole[:-4] + bytes(4)) == "corrupt_gzip"
    assert rule_of(inspect, whole + b"trailing rubbish") == "corrupt_gzip"


def test_a_bomb_is_refused_before_it_fills_the_disk(inspect: Inspect, tmp_path: Path) -> None:
    bomb = gzip.compress(b"a,b\n" + b"0" * (64 << 20))
    assert rule_of(inspect, bomb) == "compression_ratio"
    written = sum(path.stat().st_size for path in (tmp_path / "work").iterdir())
    assert written < 8 << 20


def test_the_size_limit_counts_what_comes_out(tmp_path: Path) -> None:
    content = gzip.compress(HEADER + ROWS * 1000, 1)
    item = LandingObject("a", len(content), SEEN_AT, "v")

    def run(limit: int) -> FileFacts:
        return inspect_file(
            io.BytesIO(content), tmp_path / "a", a_feed(), item, work=tmp_path, max_bytes=limit
        )

    size = len(HEADER + ROWS * 1000)
    assert run(size).data_lines == 2000
    with pytest.raises(FileRejectedError, match="larger"):
        run(size - 1)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b"\n\r\n\n", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"PK\x03\x04\x14\0\0\0" + b"orders.csv", "archive"),
        (b"PK\x03\x04\x14\0\x01\0" + b"orders.csv", "encrypted"),
        (b"PK\x03\x04\x14\0\0\0" + b"[Content_Types].xml", "not_delimited"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "not_delimited"),
        (b"-----BEGIN PGP MESSAGE-----\n", "encrypted"),
        (b"\x85\x01\x0c\x03" + bytes(100), "encrypted"),
        (b"<!DOCTYPE html><html>502 Bad Gateway</html>", "not_delimited"),
        (b"\xef\xbb\xbf \n<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not_delimited"),
        (b"%PDF-1.7", "not_delimited"),
        (gzip.compress(gzip.compress(HEADER, mtime=0), mtime=0), "archive"),
        (gzip.compress(b"PK\x03\x04\x14\0\0\0orders.csv", mtime=0), "archive"),
        (b"PAR1....PAR1", "format"),
    ],
)
def test_what_is_no_order_file_is_refused_by_its_first_bytes(
    inspect: Inspect, content: bytes, rule: str
) -> None:
    assert rule_of(inspect, content) == rule


# Encoding


def test_marks_are_taken_off_and_wide_text_becomes_utf8(inspect: Inspect) -> None:
    text = "id,näme\n1,日本\n"
    for content, encoding in (
        (codecs.BOM_UTF8 + text.encode(), "utf-8"),
        (text.encode("utf-16"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + text.encode("utf-16-be"), "utf-16-be"),
        (text.encode("utf-32"), "utf-32-le"),
        (gzip.compress(text.encode("utf-16")), "utf-16-le"),
    ):
        facts = inspect(content)
        assert facts.encoding == encoding
        assert facts.path.read_text(encoding="utf-8") == text
        assert facts.header == ("id", "näme")


def test_a_byte_outside_the_encoding_costs_the_file_and_names_the_line_not_the_text(inspect: Inspect) -> None:
    with pytest.raises(FileRejectedError) as caught:
        inspect(HEADER + b"1,secret\xe9,1\n")
    assert caught.value.rule == "encoding"
    assert "line 2" in caught.value.problem
    assert "secret" not in str(caught.value)
    assert rule_of(inspect, "id,näme\n".encode("utf-16")[:-1]) == "encoding"
    assert rule_of(inspect, "id,name\n1,2\n".encode("utf-16-le")) == "encoding"
    assert rule_of(inspect, "id,name\n1,é\n".encode(), encoding="ascii") == "encoding"
    assert rule_of(inspect, b"id,name\n1,\x81\n", encoding="cp1252") == "encoding"


def test_a_declared_encoding_is_honoured_unless_a_mark_says_otherwise(inspect: Inspect) -> None:
    text = "id,näme\n1,é\n"
    assert inspect(text.encode("cp1252"), encoding="cp1252").path.read_text("utf-8") == text
    assert inspect(codecs.BOM_UTF8 + text.encode(), encoding="cp1252").path.read_text("utf-8") == text


def test_characters_split_between_blocks_are_whole(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHUNK_BYTES", 1)
    text = "id,näme\n1,日本\r\n"
    assert not inspect(text.encode()).is_ascii
    assert inspect(text.encode("utf-16")).path.read_bytes() == text.encode()


# Lines and quotes


@pytest.mark.parametrize("chunk", [1, 4, 1 << 19])
def test_carriage_returns_alone_end_lines_except_between_quotes(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(preflight, "CHUNK_BYTES", chunk)
    facts = inspect(b'a,b\r1,2\r\n3,"x\ry"\n4,5\r')
    assert facts.path.read_bytes().replace(b"\r\n", b"\n") == b'a,b\n1,2\n3,"x\ry"\n4,5\n'
    assert facts.data_lines == 3
    assert facts.has_carriage_return
    assert inspect(b"a,b\r\n1,2\r\n").has_carriage_return is False


def test_a_whole_file_of_carriage_returns_needs_no_memory_for_it(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "CHUNK_BYTES", 64)
    facts = inspect(b"a,b\r" + b"1,2\r" * 1000)
    assert facts.data_lines == 1000


def test_an_endless_line_is_refused(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHUNK_BYTES", 64)
    monkeypatch.setattr(preflight, "MAX_LINE_BYTES", 1000)
    assert inspect(b"a,b\n" + b"x" * 999 + b",1\n").data_lines == 1
    assert rule_of(inspect, b"a,b\n" + b"x" * 2000) == "line_too_large"


@pytest.mark.parametrize(
    "content",
    [
        b'a,b\n1,"open\n2,x\n',
        b'a,b\n1,"he said "hi"\n2,x\n3,"\n',
        b'a,b\n1,"x\n2,"y\n3,z\n',  # two faults that balance each other swallow a line
    ],
)
def test_quotes_that_do_not_pair_up_cost_the_file(inspect: Inspect, content: bytes) -> None:
    """A reader would swallow rows into one cell and say nothing."""
    assert rule_of(inspect, content) == "unclosed_quote"


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (b'1,"x" lost,2', "text_after_quote"),
        (b'"x"   lost,1,2', "text_after_quote"),
        (b'1,2,"x" "y"', "text_after_quote"),
        (b'1,"x" ,2', None),
        (b'1,2,"x"  ', None),
        (b'1, "x",2', None),
        (b'1,"he said ""hi"" twice",2', None),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_text_behind_a_closing_quote_costs_a_file_whose_cells_hold_line_ends(
    inspect: Inspect, row: bytes, rule: str | None, end: bytes
) -> None:
    """A reader would leave it out and say nothing. Without line ends in cells the engine looks for it."""
    content = end.join([b"a,b,c", row, b'1,"two\nlines",3', b""])
    if rule is None:
        assert inspect(content).has_quoted_newline
    else:
        assert rule_of(inspect, content) == rule
    plain = end.join([b"a,b,c", row, b""])
    assert not inspect(plain).has_quoted_newline
    assert inspect(content, quote="").data_lines == content.count(b"\n") - 1


@pytest.mark.parametrize(
    ("row", "is_refused"),
    [
        (b'1,  "x, y",2', True),
        (b'  "x",1,2', True),
        (b'1,2,     "x"', True),
        (b'1, "x, y",2', False),
        (b' "x",1,2', False),
        (b'1,wood  "x",2', False),
        (b'1,"a  ""b""",2', False),
        (b'1,"a,  ""b""",2', False),
    ],
)
def test_several_blanks_before_a_quote_cost_the_file(inspect: Inspect, row: bytes, is_refused: bool) -> None:
    """One blank is no part of the cell for our readers; behind more of them the quote means nothing to one."""
    content = b"a,b,c\n1,2,3\n" + row + b"\n"
    if is_refused:
        assert rule_of(inspect, content) == "blanks_before_quote"
    else:
        assert inspect(content).data_lines == 2
    assert inspect(content, quote="").data_lines == 2


def test_quotes_inside_a_line_that_balance_there_leave_it_to_the_rows(inspect: Inspect) -> None:
    facts = inspect(b'a,b\n1,5" x 3" board\n2,"fine, ""really"""\n')
    assert facts.has_quotes
    assert not facts.has_quoted_newline
    assert facts.data_lines == 2


# Headers


def test_header_names_are_trimmed_and_the_nameless_get_their_position(inspect: Inspect) -> None:
    assert inspect(b' id ,"full name",\n1,2,3\n').header == ("id", "full name", "unnamed_3")
    assert inspect(b"id;name\n", delimiter=";").header == ("id", "name")
    assert inspect(b"id||name\n", delimiter="||").header == ("id", "name")
    assert inspect(b" id   name\n1 2\n", format="whitespace").header == ("id", "name")


def test_a_column_named_twice_costs_the_file_without_quoting_data(inspect: Inspect) -> None:
    assert rule_of(inspect, b"id,amount, ID\n1,2,3\n") == "duplicate_header"
    with pytest.raises(FileRejectedError) as caught:
        inspect(b"bob@example.com,bob@example.com\n")
    assert "bob" not in str(caught.value)


def test_another_delimiter_is_told_with_what_to_do(inspect: Inspect) -> None:
    with pytest.raises(FileRejectedError) as caught:
        inspect(b"id;name;amount\n1;2;3\n")
    assert caught.value.rule == "not_delimited"
    assert "';'" in caught.value.remedy
    assert inspect(b"single\n1\n").header == ("single",)


# What the sender states


def test_the_trailers_count_is_checked_and_its_line_is_no_row(inspect: Inspect) -> None:
    trailer = Trailer(pattern=r"^TRAILER\|(\d+)$")
    facts = inspect(HEADER + ROWS + b"TRAILER|2\n\n", trailer=trailer)
    assert facts.path.read_bytes() == HEADER + ROWS
    assert facts.data_lines == 2
    assert rule_of(inspect, HEADER + ROWS + b"TRAILER|3\n", trailer=trailer) == "manifest_mismatch"
    assert rule_of(inspect, HEADER + ROWS, trailer=trailer) == "manifest_mismatch"


def test_the_trailer_counts_rows_not_lines(inspect: Inspect) -> None:
    content = HEADER + b'1,"two\n\nlines",3\n2,b,4\nTRAILER|2\n'
    assert inspect(content, trailer=Trailer(pattern=r"TRAILER\|(\d+)")).has_quoted_newline


def test_the_manifests_figures_are_checked(inspect: Inspect) -> None:
    content = HEADER + ROWS
    digest = hashlib.sha256(content).hexdigest()
    assert inspect(content, ManifestFacts(2, digest, None)).data_lines == 2
    assert rule_of(inspect, content, manifest=ManifestFacts(1, None, None)) == "manifest_mismatch"
    assert rule_of(inspect, content, manifest=ManifestFacts(None, "0" * 64, None)) == "manifest_mismatch"


def test_a_manifest_is_read_strictly() -> None:
    facts = read_manifest(
        json.dumps({"n": 3, "sha256": " AB ", "delivered_at": "2026-11-20T10:00:00+01:00"}).encode(),
        Manifest(rows="n"),
    )
    assert facts == ManifestFacts(3, "ab", datetime(2026, 11, 20, 9, tzinfo=UTC))
    for content in (b"[]", b"{", b'{"rows": "many"}', b'{"delivered_at": "soon"}', b"\xff"):
        with pytest.raises(FileRejectedError) as caught:
            read_manifest(content, Manifest())
        assert caught.value.rule == "manifest_mismatch"


# Parquet and JSON lines


def test_parquet_is_known_by_its_footer(inspect: Inspect, tmp_path: Path) -> None:
    made = tmp_path / "made.parquet"
    duckdb.sql("select range as id from range(7)").write_parquet(str(made))
    content = made.read_bytes()
    assert inspect(content, format="parquet").data_lines == 7
    assert inspect(gzip.compress(content), format="parquet").data_lines == 7
    assert rule_of(inspect, content[:-8] + b"\xff\xff\xff\0PAR1", format="parquet") == "corrupt_parquet"
    assert rule_of(inspect, HEADER, format="parquet") == "format"
    assert rule_of(inspect, b"", format="parquet") == "empty"
    assert rule_of(inspect, b"PARE" + content[4:], format="parquet") == "encrypted"
    assert (
        rule_of(inspect, content, manifest=ManifestFacts(8, None, None), format="parquet")
        == "manifest_mismatch"
    )


def test_json_lines_begin_with_an_object(inspect: Inspect) -> None:
    assert inspect(b'{"a": "x,\\"y"}\n{"a": 2}\n', format="jsonl").data_lines == 2
    assert rule_of(inspect, b"[1, 2]\n", format="jsonl") == "format"


def test_a_deflated_stream_of_another_kind_is_not_taken_for_gzip(inspect: Inspect) -> None:
    assert rule_of(inspect, b"\x1f\x8b" + zlib.compress(HEADER)) == "corrupt_gzip"
