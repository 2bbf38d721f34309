"""A. The container and the encoding: what kind of file it is, before anything in it is a row."""

from __future__ import annotations

import codecs
import gzip
import io
import tempfile
import zipfile
from pathlib import Path

import duckdb

from .cases import Case, lines

HEADER = "id,total_amount,created_at,status"
ROWS = ("1,10.00,2026-02-01 10:00:00,paid", "2,5.50,2026-02-01 11:00:00,paid")
TEXT = lines(HEADER, *ROWS)
ACCEPTED = (("1", "10"), ("2", "5.5"))
PRODUCTS = "product_id,name,price,effective_at"
PACKED = gzip.compress(TEXT, mtime=0)


def _zip(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "../")), text)
    return content.getvalue()


def _parquet(select: str) -> bytes:
    """A parquet file of what a select gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.parquet"
        duckdb.sql(select).write_parquet(str(path))
        return path.read_bytes()


def _product(name: str, encoding: str = "utf-8") -> bytes:
    return f"{PRODUCTS}\np1,{name},3.50,2026-02-01 10:00:00\n".encode(encoding)


def _refused(number: int, title: str, content: bytes, rule: str, **settings: object) -> Case:
    return Case(number, title, "QFILE", {"orders.csv": content}, settings=settings, rejected=rule)


CASES: tuple[Case, ...] = (
    _refused(1, "gzip cut off inside the data", PACKED[: len(PACKED) // 2], "truncated_gzip"),
    _refused(1, "gzip cut off inside its checksum", PACKED[:-3], "truncated_gzip"),
    _refused(
        2,
        "gzip with a wrong checksum",
        PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:],
        "corrupt_gzip",
    ),
    _refused(2, "gzip with a wrong length", PACKED[:-1] + bytes([PACKED[-1] ^ 1]), "corrupt_gzip"),
    Case(
        3,
        "plain text that is called .gz",
        "NORM",
        {"orders.csv.gz": TEXT},
        accepted=ACCEPTED,
        notes={"file:misnamed": 2},
    ),
    Case(
        3,
        "gzip that is called .csv",
        "NORM",
        {"orders.csv": PACKED},
        accepted=ACCEPTED,
        notes={"file:misnamed": 2},
    ),
    _refused(3, "another compression that is called .gz", b"BZh91AY&SY" + bytes(40), "archive"),
    Case(
        4,
        "gzip of several members",
        "ACCEPT",
        {
            "orders.csv.gz": gzip.compress(lines(HEADER, ROWS[0]), mtime=0)
            + gzip.compress(lines(ROWS[1]), mtime=0)
        },
        accepted=ACCEPTED,
    ),
    _refused(
        5,
        "a bomb: gzip that grows a thousandfold",
        gzip.compress(TEXT + b" " * (8 << 20), mtime=0),
        "compression_ratio",
    ),
    _refused(6, "zip of several files", _zip(a=TEXT, b=TEXT), "archive"),
    _refused(6, "zip inside a zip", _zip(inner=_zip(a=TEXT)), "archive"),
    _refused(6, "zip with a member that climbs out of its folder", _zip(__evil=TEXT), "archive"),
    Case(
        7,
        "UTF-8 with a byte order mark",
        "NORM",
        {"orders.csv": codecs.BOM_UTF8 + TEXT},
        accepted=ACCEPTED,
        notes={"file:byte_order_mark": 2},
    ),
    *(
        Case(
            8,
            f"{encoding} with a byte order mark",
            "NORM",
            {"products.csv": mark + _product("Café", encoding)},
            entity="store.products",
            columns=("product_id", "name"),
            accepted=(("p1", "Café"),),
            notes={"file:byte_order_mark": 1, "file:transcoded": 1},
        )
        for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    ),
    _refused(8, "UTF-16 without a byte order mark", TEXT.decode().encode("utf-16-le"), "encoding"),
    Case(
        9,
        "latin-1 where UTF-8 is expected",
        "QFILE",
        {"products.csv": _product("Café", "latin-1")},
        entity="store.products",
        rejected="encoding",
    ),
    Case(
        9,
        "cp1252 where the feed says so",
        "ACCEPT",
        {"products.csv": _product("Café €", "cp1252")},
        entity="store.products",
        settings={"encoding": "cp1252"},
        columns=("product_id", "name"),
        accepted=(("p1", "Café €"),),
        notes={"file:transcoded": 1},
    ),
    Case(
        10,
        "UTF-8 that was encoded twice",
        "ACCEPT",
        {"products.csv": _product("CafÃ©")},
        entity="store.products",
        columns=("product_id", "name"),
        accepted=(("p1", "CafÃ©"),),
        notes={"name:double_encoded": 1},
        warning="1 of 1 rows of store.products hold text that was encoded twice",
    ),
    Case(
        10,
        "capital letters that only look like UTF-8 encoded twice",
        "ACCEPT",
        {"products.csv": _product("PÃO DE AÇÚCAR")},
        entity="store.products",
        columns=("product_id", "name"),
        accepted=(("p1", "PÃO DE AÇÚCAR"),),
        warning="",
    ),
    Case(
        11,
        "a NUL byte in a text",
        "QROW",
        {"orders.csv": lines(HEADER, ROWS[0], "2,5.50,2026-02-01 11:00:00,pa\0id")},
        accepted=ACCEPTED[:1],
        quarantined=((2, "nul_byte", None),),
    ),
    Case(
        12, "CR LF line ends", "ACCEPT", {"orders.csv": lines(HEADER, *ROWS, end="\r\n")}, accepted=ACCEPTED
    ),
    Case(
        12,
        "CR line ends",
        "ACCEPT",
        {"orders.csv": lines(HEADER, *ROWS, end="\r")},
        accepted=ACCEPTED,
        notes={"file:line_ends": 2},
    ),
    Case(
        12,
        "mixed line ends",
        "ACCEPT",
        {"orders.csv": f"{HEADER}\r\n{ROWS[0]}\r{ROWS[1]}\n".encode()},
        accepted=ACCEPTED,
        notes={"file:line_ends": 2},
    ),
    _refused(13, "a PGP message", b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", "encrypted"),
    _refused(
        13, "a zip with a password", b"PK\x03\x04\x14\0\x01\0\x08\0" + bytes(20) + b"orders.csv", "encrypted"
    ),
    _refused(
        13,
        "an Excel workbook with a password",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(504)
        + "EncryptedPackage".encode("utf-16-le")
        + bytes(600),
        "encrypted",
    ),
    _refused(
        14,
        "an Excel workbook saved as .csv",
        _zip(**{"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
        "not_delimited",
    ),
    _refused(
        14,
        "an old Excel workbook saved as .csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "not_delimited",
    ),
    _refused(
        14,
        "a web page saved as .csv",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        "not_delimited",
    ),
    _refused(
        14,
        "an error of the object store saved as .csv",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>',
        "not_delimited",
    ),
    Case(
        15,
        "parquet with other types that read exactly",
        "ACCEPT",
        {
            "orders.parquet": _parquet(
                "select 1::bigint as id, 10.5::decimal(9,2) as total_amount,"
                " timestamp '2026-02-01 10:00:00' as created_at, 'paid' as status"
            )
        },
        settings={"format": "parquet"},
        accepted=(("1", "10.5"),),
    ),
    _refused(
        15,
        "parquet with a broken footer",
        _parquet("select 1 as id")[:-8] + b"\xff\xff\xff\0PAR1",
        "corrupt_parquet",
        format="parquet",
    ),
    _refused(15, "parquet in a feed of text", _parquet("select 1 as id"), "format"),
    _refused(15, "text in a feed of parquet", TEXT, "format", format="parquet"),
)
