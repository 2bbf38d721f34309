"""Files of every format: both engines see the same rows, in the same places."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from parity import Pair
from pyarrow import parquet
from validation_cases import csv_bytes

from ingestion.feed import load_feeds
from settings.errors import DataRejectedError
from settings.home import PROJECT_ROOT

HEADER = ["id", "total_amount", "currency", "created_at", "status", "remark"]
ROWS = [[f"o{i}", f"{i}.50", "EUR", "2024-05-05 10:00:00", "paid", f"r{i}"] for i in range(8)]
LINE = "o{},1.5,EUR,2024-05-05 10:00,paid,{}"
REAL_SETS = Path(os.environ.get("TILLHOUSE_REAL_SETS", PROJECT_ROOT.parent / "shared" / "real"))


def lines(*texts: str, end: str = "\n") -> bytes:
    return "".join(text + end for text in (",".join(HEADER), *texts)).encode()


DELIMITED = {
    "plain": lines(*(LINE.format(i, "x") for i in range(5))),
    "carriage returns": lines(*(LINE.format(i, "x") for i in range(5)), end="\r\n"),
    "both line ends": lines(LINE.format(1, "x"), LINE.format(2, "x\r"), LINE.format(3, "x")),
    "no last line end": lines(LINE.format(1, "x"), LINE.format(2, "x"))[:-1],
    "blank lines": lines(LINE.format(1, "x"), "", LINE.format(2, "x"), "", ""),
    "short and long rows": lines(
        "o1,1", LINE.format(2, "x,y"), "o3", LINE.format(4, "x" + ",y" * 40), ",,,,,", "o5,"
    ),
    "the header again": lines(LINE.format(1, "x"), ",".join(HEADER), LINE.format(2, "x"), "id,total_amount"),
    "quotes": lines(
        LINE.format(9, '"a,""b"",""c"'),
        LINE.format(1, '"a, ""b"" c"'),
        LINE.format(2, '""'),
        LINE.format(3, '"a" '),
        LINE.format(5, '"""x"""'),
        LINE.format(6, '" "'),
        '"o7","1.5","EUR","2024-05-05 10:00","paid","x"',
        ",,,,,",
        '"",,"",,,""',
        LINE.format(10, ' "a, ""b"""'),
        ' "o11", "1.5", "EUR" , "2024-05-05 10:00", "paid", ""',
    ),
    "edge spaces": lines(" o1 , 1.5 ,EUR, 2024-05-05 10:00 ,paid, x "),
    "NUL": lines(LINE.format(1, "x"), LINE.format(2, "a\0b"), LINE.format(3, "x")),
    "only the header": lines(),
    "UTF-8 mark": b"\xef\xbb\xbf" + lines(LINE.format(1, "é")),
    "UTF-16": lines(LINE.format(1, "é")).decode().encode("utf-16"),
    "line end between quotes": lines(
        LINE.format(1, '"a\nb"'), LINE.format(2, '"c\r\nd"'), LINE.format(3, "x")
    ),
    "repeats": lines(*(LINE.format(i % 3, "xy"[i // 5]) for i in range(7))),
}


@pytest.mark.parametrize("content", DELIMITED.values(), ids=DELIMITED.keys())
def test_delimited(pair: Pair, content: bytes) -> None:
    pair.check("store.orders", content, drift="evolve")


def test_names_of_files_mean_nothing(pair: Pair) -> None:
    """Spark passes over `_x`, gunzips `x.gz` and reads `[1]` as a pattern."""
    left = pair.check("store.orders", DELIMITED["plain"], name="_orders [1] {a,b}*.gz")
    assert left.outcome.rows_read == 5


@pytest.mark.parametrize(
    ("delimiter", "quote"), [("|", '"'), ("\t", ""), (";", "'"), ("^", '"'), ("||", '"'), ("~|~", '"')]
)
def test_other_delimiters(pair: Pair, delimiter: str, quote: str) -> None:
    rows = [
        ",".join(HEADER),
        LINE.format(1, "x.y"),
        LINE.format(2, f"{quote}a{quote}"),
        LINE.format(3, '"b"'),
        # Parts of a longer delimiter are no delimiter, in a line with quotes neither.
        *([LINE.format(5, "a|b~c"), '"o6",2,EUR,2024-05-05 10:00,pa~id,x|y'] if len(delimiter) > 1 else []),
        "o4",
    ]
    content = "\n".join(row.replace(",", delimiter) for row in rows).encode()
    pair.check("store.orders", content, delimiter=delimiter, quote=quote)


def test_text_behind_a_closing_quote_is_refused_by_both(pair: Pair) -> None:
    content = lines(LINE.format(1, "x"), LINE.format(2, '"a"b'))
    for engine in (pair.embedded, pair.other):
        alone = Pair(engine, engine, pair.folder)
        with pytest.raises(DataRejectedError) as refused:
            alone.check("store.orders", content)
        assert refused.value.rule == "text_after_quote"


def test_a_missing_column_is_refused_by_both(pair: Pair) -> None:
    for engine in (pair.embedded, pair.other):
        with pytest.raises(DataRejectedError) as refused:
            Pair(engine, engine, pair.folder).check("store.orders", b"id,currency\n1,EUR\n")
        assert refused.value.rule == "missing_column"


def test_without_a_header(pair: Pair) -> None:
    content = b"".join(csv_bytes(HEADER, ROWS).splitlines(keepends=True)[1:])
    left = pair.check("store.orders", content, header=False, column_names=HEADER)
    assert left.outcome.rows_accepted == len(ROWS)


def test_whitespace(pair: Pair) -> None:
    content = b"id  total_amount currency created_at status\n" + b"".join(
        [
            b" o1   1.5\tEUR 2024-05-05T10:00 paid \n",
            b"o2 2\r\n",
            b"o3 1 EUR 2024-05-05T10:00 paid more cells\n",
            b"   \n",
        ]
    )
    left = pair.check("store.orders", content, format="whitespace")
    assert [rule for _, rule, _ in left.rules()] == ["short_row", "long_row"]


def test_json_lines(pair: Pair) -> None:
    order = {
        "id": "o1",
        "total_amount": 1.10,
        "currency": "EUR",
        "created_at": "2024-05-05 10:00",
        "status": "paid",
    }
    rows = [
        order, {**order, "id": 7, "total_amount": float("nan")}, {**order, "extra": {"a": [1, None]}}, {"id": None},
        {**order, "id": "é\u0001\n", "total_amount": "1e5"}, {**order, "is_loyalty": True, "id": "o9"},
    ]  # fmt: skip
    content = "\n".join(json.dumps(row) for row in rows).encode() + b'\n{"id": \n[1]\n\n'
    left = pair.check("store.orders", content, format="jsonl")
    assert "malformed_row" in {rule for _, rule, _ in left.rules()}


def test_parquet(pair: Pair) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2, 3, None]),
            "total_amount": pa.array([1.1, 1e16, float("nan"), 0.00001]),
            "currency": ["EUR", "EUR", None, "x"],
            "created_at": pa.array([0, 1_714_903_200_000_001, None, 5], pa.timestamp("us")),
            "status": ["paid"] * 4,
            "is_loyalty": [True, False, None, True],
        }
    )
    written = io.BytesIO()
    parquet.write_table(table, written)
    left = pair.check("store.orders", written.getvalue(), format="parquet")
    assert left.outcome.rows_read == 4


@pytest.mark.skipif(not REAL_SETS.is_dir(), reason="the public data sets are not in the repository")
@pytest.mark.parametrize(
    ("feed", "file"),
    [("pizzaplace.yml", "pizzaplace/pizzaplace.csv"), ("cdnow_sample.yml", "cdnow_sample/CDNOW_sample.txt")],
)
def test_public_data(pair: Pair, feed: str, file: str) -> None:
    content = (REAL_SETS / file).read_bytes()
    left = pair.check_feed(
        lambda home: load_feeds(PROJECT_ROOT / "examples" / "feeds" / feed, home)[0], content
    )
    assert left.outcome.rows_accepted == left.outcome.rows_read
