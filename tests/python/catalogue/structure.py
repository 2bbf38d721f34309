"""B. The structure: columns, rows, quotes, and what the sender says about their number."""

from __future__ import annotations

import hashlib
import json

from .cases import Case, lines

HEADER = "id,total_amount,created_at,status"
ROWS = ("1,10.00,2026-02-01 10:00:00,paid", "2,5.50,2026-02-01 11:00:00,paid")
TEXT = lines(HEADER, *ROWS)
ACCEPTED = (("1", "10"), ("2", "5.5"))
GERMAN = lines("Bon;Summe;Zeit;Stand", "1;10,00;01.02.2026 10:00;paid", "2;5,50;01.02.2026 11:00;paid")
GERMAN_SETTINGS = {
    "delimiter": ";",
    "decimal_mark": ",",
    "timestamp_format": "%d.%m.%Y %H:%M",
    "columns": {"id": "Bon", "total_amount": "Summe", "created_at": "Zeit", "status": "Stand"},
}
PRODUCTS = "product_id,name,price,effective_at"
PRODUCT = ("product_id", "name")
TRAILER = {"trailer": {"pattern": r"^TOTAL,(\d+)"}}
MANIFEST = {"manifest": {"suffix": ".json"}, "glob": "*.csv*"}
LONGEST_CELL = 65_535


def _manifest(**stated: object) -> dict[str, bytes]:
    return {"orders.csv": TEXT, "orders.csv.json": json.dumps(stated).encode()}


def _product(name: str) -> bytes:
    return lines(PRODUCTS, f"p1,{name},3.50,2026-02-01 10:00:00", "p2,plain,1.00,2026-02-01 10:00:00")


CASES: tuple[Case, ...] = (
    Case(
        16,
        "columns in another order",
        "ACCEPT",
        {"orders.csv": lines("status,created_at,total_amount,id", "paid,2026-02-01 10:00:00,10.00,1")},
        accepted=ACCEPTED[:1],
    ),
    Case(
        17,
        "a required column is missing",
        "QFILE",
        {"orders.csv": lines("id,total_amount,created_at", "1,10.00,2026-02-01 10:00:00")},
        rejected="missing_column",
    ),
    Case(
        18,
        "an optional column is missing",
        "ACCEPT",
        {"orders.csv": TEXT},
        columns=("id", "customer_id"),
        accepted=(("1", None), ("2", None)),
        drift=frozenset({("column_missing", "customer_id"), ("column_missing", "updated_at")}),
    ),
    Case(
        19,
        "a column more than the contract has",
        "ACCEPT",
        {"orders.csv": lines(f"{HEADER},gift", f"{ROWS[0]},yes", f"{ROWS[1]},")},
        accepted=ACCEPTED,
        rescued=('{"gift":"yes"}', None),
        drift=frozenset({("column_added", "gift")}),
    ),
    Case(
        19,
        "a column more in a feed that is frozen",
        "QFILE",
        {
            "orders_1.csv": TEXT,
            "orders_2.csv": lines(f"{HEADER},gift", "3,1.00,2026-02-01 10:00:00,paid,yes"),
        },
        settings={"drift": "freeze"},
        accepted=ACCEPTED,
        rejected="frozen_columns",
    ),
    Case(
        20,
        "header names in another case, with blanks around them",
        "NORM",
        {"orders.csv": lines(" ID ,Total_Amount,CREATED_AT , status", *ROWS)},
        accepted=ACCEPTED,
    ),
    Case(
        20,
        "header names that the feed maps",
        "NORM",
        {"orders.csv": GERMAN},
        settings=GERMAN_SETTINGS,
        accepted=ACCEPTED,
    ),
    Case(
        20,
        "a required column was renamed",
        "QFILE",
        {"orders.csv": lines("id,total_amount,created_at,state", *ROWS)},
        rejected="missing_column",
    ),
    Case(
        20,
        "an optional column was renamed",
        "ACCEPT",
        {"orders.csv": lines(f"{HEADER},cust_id", f"{ROWS[0]},C1")},
        columns=("id", "customer_id"),
        accepted=(("1", None),),
        rescued=('{"cust_id":"C1"}',),
        warning="if the sender renamed it",
    ),
    Case(
        21,
        "a column is named twice",
        "QFILE",
        {"orders.csv": lines("id,total_amount,created_at,status,TOTAL_AMOUNT ", f"{ROWS[0]},99.00")},
        rejected="duplicate_header",
    ),
    Case(
        22,
        "no header line",
        "QFILE",
        {"orders.csv": lines(*ROWS)},
        rejected="missing_column",
    ),
    Case(
        22,
        "the header stands again between the rows",
        "NORM",
        {"orders.csv": lines(HEADER, ROWS[0], HEADER, ROWS[1])},
        accepted=ACCEPTED,
        excluded=1,
        notes={"repeated_header": 1},
    ),
    Case(
        23,
        "a file of no bytes",
        "QFILE",
        {"orders.csv": b""},
        rejected="empty",
        elsewhere=(
            "tests/python/ingestion/test_service.py::"
            "test_a_required_feed_blocks_while_its_newest_delivery_is_rejected",
        ),
    ),
    Case(24, "a header and no rows", "ACCEPT", {"orders.csv": lines(HEADER)}, warning="has no rows"),
    Case(
        24,
        "a header and no rows, where the feed allows it",
        "ACCEPT",
        {"orders.csv": lines(HEADER)},
        settings={"allow_empty": True},
        warning="",
    ),
    Case(
        25,
        "a row with too few cells",
        "QROW",
        {"orders.csv": lines(HEADER, ROWS[0], "2,5.50")},
        accepted=ACCEPTED[:1],
        quarantined=((2, "short_row", None),),
    ),
    Case(
        26,
        "a row with too many cells",
        "QROW",
        {"orders.csv": lines(HEADER, ROWS[0], f"{ROWS[1]},more", "3,1.00,2026-02-01 10:00:00,paid,,,")},
        accepted=ACCEPTED[:1],
        quarantined=((2, "long_row", None), (3, "long_row", None)),
    ),
    Case(
        27,
        "a quote that is never closed",
        "QFILE",
        {"products.csv": _product('"3 inch')},
        entity="store.products",
        rejected="unclosed_quote",
    ),
    Case(
        27,
        "a quote inside a cell that is not doubled",
        "QFILE",
        {"products.csv": _product('"a 3" by 4" board"')},
        entity="store.products",
        rejected="text_after_quote",
    ),
    Case(
        27,
        "several blanks before an opening quote",
        "QFILE",
        {"products.csv": _product('  "tea, green"')},
        entity="store.products",
        rejected="blanks_before_quote",
    ),
    Case(
        27,
        "one blank before an opening quote",
        "ACCEPT",
        {"products.csv": _product(' "tea, ""green"""')},
        entity="store.products",
        columns=PRODUCT,
        accepted=(("p1", 'tea, "green"'), ("p2", "plain")),
    ),
    Case(
        28,
        "a line end inside quotes",
        "ACCEPT",
        {"products.csv": _product('"two\nlines, ""quoted"""')},
        entity="store.products",
        columns=PRODUCT,
        accepted=(("p1", 'two\nlines, "quoted"'), ("p2", "plain")),
    ),
    Case(
        29,
        "another delimiter than the feed says",
        "QFILE",
        {"orders.csv": TEXT.replace(b",", b";")},
        rejected="not_delimited",
    ),
    Case(
        29,
        "tabs where the feed says so",
        "ACCEPT",
        {"orders.tsv": TEXT.replace(b",", b"\t")},
        settings={"delimiter": "tab"},
        accepted=ACCEPTED,
    ),
    Case(
        29,
        "a decimal comma that the feed does not declare",
        "QROW",
        {
            "orders.csv": lines(
                HEADER.replace(",", ";"), "1;10,00;2026-02-01 10:00:00;paid", ROWS[1].replace(",", ";")
            )
        },
        settings={"delimiter": ";"},
        accepted=ACCEPTED[1:],
        quarantined=((1, "not_a_number", "total_amount"),),
    ),
    Case(
        30,
        "a cell longer than 65,535 bytes",
        "QROW",
        {
            "products.csv": lines(
                PRODUCTS,
                f"p1,{'é' * (LONGEST_CELL // 2)}x,1.00,2026-02-01 10:00:00",
                f"p2,{'é' * (LONGEST_CELL // 2)}xy,1.00,2026-02-01 10:00:00",
            )
        },
        entity="store.products",
        columns=("product_id",),
        accepted=(("p1",),),
        quarantined=((2, "field_too_large", "name"),),
    ),
    Case(
        31,
        "a trailer that states the number of rows",
        "ACCEPT",
        {"orders.csv": TEXT + lines("TOTAL,2")},
        settings=TRAILER,
        accepted=ACCEPTED,
    ),
    Case(
        31,
        "a trailer that states another number of rows",
        "QFILE",
        {"orders.csv": TEXT + lines("TOTAL,3")},
        settings=TRAILER,
        rejected="manifest_mismatch",
    ),
    Case(
        31,
        "the trailer is missing",
        "QFILE",
        {"orders.csv": TEXT},
        settings=TRAILER,
        rejected="manifest_mismatch",
    ),
    Case(
        31,
        "a manifest that agrees",
        "ACCEPT",
        _manifest(rows=2, sha256=hashlib.sha256(TEXT).hexdigest()),
        settings=MANIFEST,
        accepted=ACCEPTED,
    ),
    Case(
        31,
        "a manifest that states another number of rows",
        "QFILE",
        _manifest(rows=3),
        settings=MANIFEST,
        rejected="manifest_mismatch",
    ),
    Case(
        31,
        "a manifest that states another checksum",
        "QFILE",
        _manifest(sha256=hashlib.sha256(b"another").hexdigest()),
        settings=MANIFEST,
        rejected="manifest_mismatch",
    ),
    Case(32, "a last line without its end", "ACCEPT", {"orders.csv": TEXT.rstrip(b"\n")}, accepted=ACCEPTED),
    Case(
        32,
        "blank lines before, between and after the rows",
        "ACCEPT",
        {"orders.csv": lines("", HEADER, ROWS[0], "", ROWS[1], "", "")},
        accepted=ACCEPTED,
    ),
)
