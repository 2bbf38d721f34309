"""Single values: the program and a second implementation in plain Python come to the same judgement."""

# ruff: noqa: DTZ001, E501 (the warehouse keeps naive UTC; the lists read better wide)

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import judgement
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judgement import Rule
from validation_cases import ARRIVED, SECRET, check, csv_bytes, write_feed

from ingestion.engines.duckdb import DuckDBEngine
from ingestion.tokens import TokenKey
from settings.home import Home

LATEST = (ARRIVED + timedelta(hours=24)).astimezone(UTC).replace(tzinfo=None)
ZONES = (
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "UTC",
)

NUMBERS = [
    "0", "-0", "+0", "1", "-1", "+1", "007", "1.", ".5", "-.5", "+.5", ".", "-", "+", "+-1", "--1", "1-", "1..2",
    "1.2.3", "0.1", "0.12", "0.1234", "0.12340", "0.123400000", "0.12345", "0.00001", "0.000010", "1e3", "1E3",
    "1e+3", "1e-3", "1e400", "1E400", "-1e400", "1e+400", "1e-400", "1e099", "1e", "e5", "e500", ".e500", "1.5e999",
    "NaN", "nan", "-nan", "+NaN", "Infinity", "-Infinity", "inf", "+inf", "INF", "infinit", "nano",
    "99999999999999.9999", "99999999999999.99999", "100000000000000", "-99999999999999.9999", "000000000000000000001",
    "00000000000000099999999999999", "1000000000000000000000000000000", "1_000", "1,000", "1,5", "1.234,50", "1 000",
    "£10", "$10", "10€", "(10.00)", "10%", "0x10", "0b1", "1/2", "१२३", "１２", "٣", "²", "½", "Ⅷ", "1\u00a0000", "−5",
    "1f", "1d", "1L", "true", "null", "None", "N/A", "", " ", "  ", " 5", "5 ", " 5 ", "5\t", "\t5", "5\n", "1 2",
    "0.30000000000000004", "1e309", "9" * 40, "0." + "0" * 60, "0." + "0" * 60 + "1", "'5'", "=5", "=1+1", "5;",
    "+0.00000", "123456789.1234", "0.99995", "-5.0000", "5.00000000000000000000", "00.5", "1.e5", "١", "𝟓", "5️⃣",
]  # fmt: skip

TIMES = [
    "2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024-01-01T10:00", "2024-01-01 10:00", "2024-01-01", "2024-01-01T",
    "2024-01-01T10", "2024-1-1 10:00", "2024/01/01 10:00:00", "01/02/2026 10:00", "2024-01", "epoch", "now", "today",
    "2024-01-01 24:00:00", "2024-01-01 23:59:60", "2024-01-01 25:00:00", "2024-01-01 10:60:00", "2024-02-30 10:00:00",
    "2023-02-29 10:00:00", "2024-02-29 10:00:00", "1900-02-29 10:00:00", "2024-13-01 10:00:00", "2024-00-10 10:00:00",
    "2024-04-31 00:00:00", "0001-01-01 00:00:00", "1970-01-01 00:00:00", "1970-01-01T00:00:00Z", "1970-01-01 05:00:00",
    "1969-12-31T19:00:00-05:00", "1969-12-31T20:00:00-05:00", "9999-12-31 23:59:59", "9999-12-31T00:00:00Z",
    "9999-12-30 00:00:00", "0000-00-00 00:00:00", "0000-01-01 00:00:00", "1899-12-30 00:00:00",
    "2024-01-01T10:00:00Z", "2024-01-01T10:00:00z", "2024-01-01 10:00:00 Z", "2024-01-01 10:00:00 UTC",
    "2024-01-01 10:00:00 utc", "2024-01-01 10:00:00 EST", "2024-01-01 10:00:00 America/New_York",
    "2024-01-01T10:00:00+00:00", "2024-01-01T10:00:00+05:30", "2024-01-01T10:00:00-0330", "2024-01-01T10:00:00+05",
    "2024-01-01T10:00-05", "2024-01-01T10:00:00 +01:00", "2024-01-01T10:00:00+14:00", "2024-01-01T10:00:00+14:59",
    "2024-01-01T10:00:00+15:00", "2024-01-01T10:00:00-99:00", "2024-01-01T10:00:00+5:30", "2024-01-01T10:00:00+053",
    "2024-01-01T10:00:00+05:3", "2024-01-01T10:00:00+05:60", "2024-01-01T10:00:00+05:30Z", "2024-01-01T10:00:00++05",
    "2024-01-01 10:00:00.1", "2024-01-01 10:00:00.123456", "2024-01-01 10:00:00.1234560", "2024-01-01 10:00:00.1234567",
    "2024-01-01 10:00:00.", "2024-01-01 10:00.5", "2024-01-01 10:00:00.123Z", "2024-01-01T10:00:00.000000000Z",
    "2024-01-01 10:00:00,5", "2024-01-01 10:00:0", "2024-01-01  10:00:00", " 2024-01-01 10:00:00 ", "2024-01-01 10:00:00\t",
    "2024-01-01 10:00 PM", "20240101T100000", "２０２４-01-01 10:00:00", "2024-01-01 10:00:00 BC", "-2024-01-01 10:00:00",
    "12024-01-01 10:00:00", "2024-W01-1T10:00", "2024-001T10:00", "1704103200", "infinity", "", " ", "NULL",
    "2024-03-10 01:59:59", "2024-03-10 02:00:00", "2024-03-10 02:30:00", "2024-03-10 02:59:59", "2024-03-10 03:00:00",
    "2024-11-03 00:59:59", "2024-11-03 01:00:00", "2024-11-03 01:30:00", "2024-11-03 01:59:59", "2024-11-03 02:00:00",
    "2024-03-31 01:30:00", "2024-10-27 01:30:00", "2024-10-06 02:15:00", "2024-04-07 01:45:00", "2018-11-04 00:30:00",
    "2018-02-17 23:30:00", "1997-10-26 01:30:00", "1974-01-06 02:30:00", "2026-06-02 11:59:59", "2026-06-02 12:00:00",
    "2026-06-02 12:00:01", "2026-06-02T12:00:00Z", "2026-06-02T12:00:00.000001Z", "2026-06-02T08:00:01-04:00",
]  # fmt: skip

DATES = [
    "2024-01-01", "2024-02-29", "2023-02-29", "2026-02-30", "2024-1-1", "2024/01/01", "01/02/2026", "20240101", "2024-01",
    "2024-13-01", "2024-00-01", "2024-01-00", "2024-01-32", "0000-00-00", "0001-01-01", "1970-01-01", "9999-12-31",
    "9999-12-30", "1899-12-31", "2024-01-01T00:00:00", "2024-01-01 00:00:00", "2024-01-01 00:00", "2024-01-01 00:00:00.000",
    "2024-01-01 00:00:00.001", "2024-01-01 00:00.0", "2024-01-01 00:00:00.", "2024-01-01 10:00:00", "2024-01-01T00:00:00Z",
    "2024-01-01 ", " 2024-01-01", "2024-01-01x", "epoch", "today", "infinity", "", "２０２４-01-01", "-2024-01-01", "45000",
]  # fmt: skip

WORDS = ["true", "TRUE", "True", "t", "T", "yes", "Yes", "y", "1", "false", "FALSE", "f", "no", "N", "0", "on", "off", "",
         " ", " true ", "2", "-1", "1.0", "tru", "wahr", "true\t", "NULL", "ＴＲＵＥ", "ſ"]  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    own = DuckDBEngine(token_key=TokenKey.from_secret(SECRET), threads=2)
    yield own
    own.close()


def judged(  # noqa: PLR0917 (a table of tests reads better with positions)
    home: Home,
    engine: DuckDBEngine,
    entity: str,
    column: str,
    texts: list[str],
    others: dict[str, str],
    **settings_of_feed: Any,
) -> list[Any]:
    """What the program says to each text in one column: the value, or the rule that it breaks."""
    feed = write_feed(home, entity, **settings_of_feed)
    fixed = list(others)
    rows = [
        [text, *(value.replace("#", str(number)) for value in others.values())]
        for number, text in enumerate(texts)
    ]
    checked = check(home, feed, csv_bytes([column, *fixed], rows), engine=engine)
    assert checked.outcome.rows_read == len(texts)
    values = {number: row[column] for number, row in checked.by_row().items()}
    for row in checked.quarantined:
        assert row["column_name"] == column, row
        values[row["row_number"]] = Rule(row["rule"])
    return [values[number + 1] for number in range(len(texts))]


def compare(texts: list[str], found: list[Any], judge: Callable[[str], Any]) -> None:
    different = {
        text: (value, judge(text))
        for text, value in zip(texts, found, strict=True)
        if value != judge(text) or isinstance(value, Rule) != isinstance(judge(text), Rule)
    }
    assert not different


ORDER = {
    "id": "o#",
    "currency": "EUR",
    "created_at": "2024-05-05T10:00:00Z",
    "status": "paid",
    "total_amount": "1",
}


def order_without(column: str) -> dict[str, str]:
    return {name: value for name, value in ORDER.items() if name != column}


def test_amounts_agree_with_decimal(tmp_path: Path, engine: DuckDBEngine) -> None:
    found = judged(Home(tmp_path), engine, "store.orders", "tax_amount", NUMBERS, ORDER)
    compare(NUMBERS, found, judgement.decimal_value)


@pytest.mark.parametrize("zone", ZONES)
def test_times_agree_with_zoneinfo(tmp_path: Path, engine: DuckDBEngine, zone: str) -> None:
    def optional(text: str) -> Any:
        value = judgement.timestamp_value(text, zone, LATEST)
        return None if value == Rule("sentinel_date") else value

    texts = [text for text in TIMES if text != "0000-00-00 00:00:00"]
    found = judged(Home(tmp_path), engine, "store.orders", "updated_at", texts, ORDER, naive_timezone=zone)
    compare(texts, found, optional)


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
def test_every_quarter_hour_around_a_clock_change_agrees_with_zoneinfo(
    tmp_path: Path, engine: DuckDBEngine, zone: str
) -> None:
    days = ("2024-03-10", "2024-11-03", "2024-10-06", "2024-04-07", "1999-10-31", "2005-04-03")
    texts = [
        f"{day} {hour:02}:{minute:02}" for day in days for hour in range(5) for minute in (0, 15, 30, 45)
    ]
    found = judged(
        Home(tmp_path), engine, "store.orders", "created_at", texts, order_without("created_at"),
        naive_timezone=zone,
    )  # fmt: skip
    compare(texts, found, lambda text: judgement.timestamp_value(text, zone, LATEST))
    assert Rule("nonexistent_local_time") in found


def test_required_placeholder_times_are_quarantined(tmp_path: Path, engine: DuckDBEngine) -> None:
    texts = ["0000-00-00 00:00:00", "0001-01-01 00:00:00", "1970-01-01T00:00:00Z", "9999-12-31 23:59:59"]
    found = judged(Home(tmp_path), engine, "store.orders", "created_at", texts, order_without("created_at"))
    assert found == [Rule("sentinel_date")] * 4


def test_optional_placeholder_times_become_no_value_and_are_noted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    feed = write_feed(home, "store.orders")
    header = [*ORDER, "updated_at"]
    rows = [
        [*(v.replace("#", str(i)) for v in ORDER.values()), text]
        for i, text in enumerate(["0000-00-00 00:00:00", "1970-01-01 00:00:00", "2024-05-05 10:00"])
    ]
    checked = check(home, feed, csv_bytes(header, rows))
    assert checked.values("updated_at") == [None, None, datetime(2024, 5, 5, 10)]
    assert checked.outcome.notes == {"updated_at:sentinel_date": 2}


def test_dates_agree_with_datetime(tmp_path: Path, engine: DuckDBEngine) -> None:
    def required(text: str) -> Any:
        if text.strip() == "0000-00-00":
            return Rule("sentinel_date")
        return judgement.date_value(text) or Rule("missing_value")

    texts = DATES
    found = judged(Home(tmp_path), engine, "restaurant.date_dim", "date_key", texts, {"day_of_week": "#"})
    compare(texts, found, required)


def test_booleans_agree_with_the_list_of_words(tmp_path: Path, engine: DuckDBEngine) -> None:
    found = judged(Home(tmp_path), engine, "store.orders", "is_loyalty", WORDS, ORDER)
    compare(WORDS, found, judgement.boolean_value)


def test_whole_numbers(tmp_path: Path, engine: DuckDBEngine) -> None:
    texts = ["2024", "-3", "+3", "007", "3.0", "3.00", "3.5", "3.", ".0", "1e3", "999999999999999999", "x", "", "nan",
             "9999999999999999999", "1,5"]  # fmt: skip
    expected = [
        2024, -3, 3, 7, 3, 3, Rule("not_an_integer"), 3, Rule("out_of_range"), Rule("not_an_integer"),
        999999999999999999, Rule("not_an_integer"), None, Rule("not_finite"), Rule("out_of_range"),
        Rule("not_an_integer"),
    ]  # fmt: skip
    found = judged(
        Home(tmp_path), engine, "restaurant.date_dim", "year", texts, {"date_key": "2024-01-01", "week": "#"}
    )
    assert found == expected


SHARED = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SAFE = st.characters(blacklist_categories=("Cs", "Cc"))
NUMBER_LIKE = st.one_of(
    st.from_regex(r"[+-]?[0-9]{0,17}([.][0-9]{0,7})?", fullmatch=True),
    st.text(alphabet="0123456789.,+-eE ", max_size=12),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.floats().map(repr),
    st.text(alphabet=SAFE, max_size=6),
)


@SHARED
@given(texts=st.lists(NUMBER_LIKE, min_size=60, max_size=120))
def test_any_number_agrees_with_decimal(
    tmp_path_factory: pytest.TempPathFactory, engine: DuckDBEngine, texts: list[str]
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    found = judged(home, engine, "store.orders", "tip_amount", texts, ORDER)
    compare(texts, found, judgement.decimal_value)


TIME_LIKE = st.one_of(
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)).map(lambda t: t.isoformat(sep=" ")),
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)).map(
        lambda t: t.replace(microsecond=0).isoformat()
    ),
    st.tuples(
        st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)),
        st.sampled_from(["Z", "+01:00", "-0530", "+14", " UTC", "-00:00", "+24:00", " X"]),
    ).map(lambda pair: pair[0].isoformat() + pair[1]),
    st.from_regex(r"[0-9]{4}-[0-3][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9])?", fullmatch=True),
    st.text(alphabet="0123456789-: TZ+.", min_size=14, max_size=26),
)


@SHARED
@given(texts=st.lists(TIME_LIKE, min_size=60, max_size=120), zone=st.sampled_from(ZONES))
def test_any_time_agrees_with_zoneinfo(
    tmp_path_factory: pytest.TempPathFactory, engine: DuckDBEngine, texts: list[str], zone: str
) -> None:
    def judge(text: str) -> Any:
        if text.strip(" ").startswith("0000-00-00"):
            return Rule("sentinel_date")
        return judgement.timestamp_value(text, zone, LATEST) or Rule("missing_value")

    texts = [text for text in texts if not text.strip(" ").startswith("0000")]
    home = Home(tmp_path_factory.mktemp("home"))
    found = judged(
        home, engine, "store.orders", "created_at", texts, order_without("created_at"), naive_timezone=zone
    )
    compare(texts, found, judge)


@pytest.mark.parametrize(
    ("marks", "texts", "expected"),
    [
        (
            {"decimal_mark": ","},
            ["1,5", "1.5", "1234,5678", "1,23456", "1.234,50", "-0,5", "1,2,3"],
            ["1.5", "not_a_number", "1234.5678", "too_many_decimals", "not_a_number", "-0.5", "not_a_number"],
        ),
        (
            {"decimal_mark": ",", "thousands_mark": "."},
            ["1.234,50", "1234,50", "1.234.567", "12.34", "1.2345", ".123", "1,234.5", "0.123"],
            [
                "1234.5",
                "1234.5",
                "1234567",
                "not_a_number",
                "not_a_number",
                "not_a_number",
                "not_a_number",
                "123",
            ],
        ),
        (
            {"thousands_mark": ","},
            ["1,234.50", "1234.50", "1,23", "1,234,567.8901", "12,345", ",123", "1.234,5"],
            ["1234.5", "1234.5", "not_a_number", "1234567.8901", "12345", "not_a_number", "not_a_number"],
        ),
        (
            {"decimal_mark": ",", "thousands_mark": "'"},
            ["1'234,50", "1'23", "1.5"],
            ["1234.5", "not_a_number", "not_a_number"],
        ),
    ],
)
def test_notation_of_numbers_is_the_feeds_own(
    tmp_path: Path, engine: DuckDBEngine, marks: dict[str, str], texts: list[str], expected: list[str]
) -> None:
    """`1.234` is what the feed says it is; what does not fit its notation is never guessed."""
    order = {**ORDER, "total_amount": "1"}
    found = judged(Home(tmp_path), engine, "store.orders", "tax_amount", texts, order, **marks)
    wanted = [Rule(word) if word[0].isalpha() else Decimal(word) for word in expected]
    assert found == wanted


def test_cents_are_exact(tmp_path: Path, engine: DuckDBEngine) -> None:
    texts = [
        "1999",
        "1",
        "-1",
        "0",
        "12.34",
        "12.345",
        "999999999999999",
        "9999999999999999",
        "99999999999999999",
        "x",
    ]
    found = judged(
        Home(tmp_path), engine, "store.orders", "tax_amount", texts, ORDER,
        columns={"tax_amount": {"unit": "cents"}},
    )  # fmt: skip
    assert found == [
        Decimal("19.99"), Decimal("0.01"), Decimal("-0.01"), Decimal(0), Decimal("0.1234"),
        Rule("too_many_decimals"), Decimal("9999999999999.99"), Decimal("99999999999999.99"),
        Rule("out_of_range"), Rule("not_a_number"),
    ]  # fmt: skip


def test_rounding_is_half_away_from_zero_and_only_on_demand(tmp_path: Path, engine: DuckDBEngine) -> None:
    texts = [
        "0.050830508474576264", "0.00005", "-0.00005", "0.00004999", "1.69e-05", "5E-05", "59.97000000000001", "2.5",
        "1e5", "99999999999999.99996", "1,5", "0.1.2",
    ]  # fmt: skip
    rounded = {"columns": {"tax_amount": {"round": "true"}}}
    found = judged(Home(tmp_path), engine, "store.orders", "tax_amount", texts, ORDER, **rounded)
    fourth = Decimal("0.0001")
    assert found == [
        *(Decimal(text).quantize(fourth, ROUND_HALF_UP) for text in texts[:8]),
        Rule("not_a_number"), Rule("out_of_range"), Rule("not_a_number"), Rule("not_a_number"),
    ]  # fmt: skip
    refused = judged(Home(tmp_path), engine, "store.orders", "tax_amount", texts[:4], ORDER)
    assert refused == [Rule("too_many_decimals")] * 4


def test_a_turned_sign_turns_every_number(tmp_path: Path, engine: DuckDBEngine) -> None:
    columns = {"tax_amount": {"negate": "true", "unit": "cents"}}
    texts = ["-150", "0", "150", "x"]
    found = judged(Home(tmp_path), engine, "store.orders", "tax_amount", texts, ORDER, columns=columns)
    assert found == [Decimal("1.5"), Decimal(0), Decimal("-1.5"), Rule("not_a_number")]


@pytest.mark.parametrize(
    ("layout", "texts"),
    [
        ("%Y%m%d", ["20240131", "2024131", "20240230", "20241301", "2024-01-31", "20240131 ", "x20240131"]),
        ("%m/%d/%Y", ["1/2/2024", "01/02/2024", "13/01/2024", "1/2/24", "2/30/2024", "1-2-2024"]),
        ("%d.%m.%y", ["1.2.24", "31.12.68", "31.12.69", "31.12.99", "30.02.24"]),
        ("%d-%b-%Y", ["05-Mar-2024", "5-MAR-2024", "05-mär-2024", "31-sep-2024", "5-march-2024"]),
        ("%B %d, %Y", ["March 5, 2024", "may 31, 2024", "Mar 5, 2024", "february 30, 2024"]),
    ],
)
def test_declared_dates_agree_with_strptime(
    tmp_path: Path, engine: DuckDBEngine, layout: str, texts: list[str]
) -> None:
    def judge(text: str) -> Any:
        try:
            moment = datetime.strptime(text.strip(" "), layout)  # noqa: DTZ007  (the text has no zone)
        except ValueError:
            return Rule("not_a_date")
        return moment.date()

    texts = [text for text in texts if not (layout == "%Y%m%d" and len(text.strip()) == 7)]
    found = judged(
        Home(tmp_path), engine, "restaurant.date_dim", "date_key", texts, {"week": "#"}, date_format=layout
    )
    compare(texts, found, judge)


@pytest.mark.parametrize(
    ("layout", "texts"),
    [
        ("%m/%d/%Y %H:%M", ["12/1/2010 8:26", "12/01/2010 08:26", "12/1/2010 24:00", "12/1/2010 8:60", "12/1/2010"]),
        ("%Y-%m-%d %I:%M %p", ["2024-05-05 12:00 AM", "2024-05-05 12:30 pm", "2024-05-05 1:05 PM", "2024-05-05 13:00 PM",
                               "2024-05-05 0:10 AM", "2024-05-05 11:59 Am"]),
        ("%d/%m/%Y %H:%M:%S", ["31/12/2023 23:59:59", "31/12/2023 23:59:60", "12/31/2023 00:00:00"]),
        ("%Y%m%d%H%M%S", ["20240505101112", "2024050510111", "20240505241112"]),
        ("%Y-%m-%dT%H:%M:%S.%f%z", ["2024-05-05T10:00:00.25+02:00", "2024-05-05T10:00:00.25Z", "2024-05-05T10:00:00.2"]),
        ("%b %d %Y %I:%M%p", ["Mar 3 2024 1:30AM", "mar 03 2024 01:30PM", "Foo 3 2024 1:30AM"]),
    ],
)  # fmt: skip
def test_declared_timestamps_agree_with_strptime(
    tmp_path: Path, engine: DuckDBEngine, layout: str, texts: list[str]
) -> None:
    """One format is declared; what does not match it, or is no time in it, is not guessed at."""

    def judge(text: str) -> Any:
        try:
            moment = datetime.strptime(text, layout)  # noqa: DTZ007  (the text has no zone)
        except ValueError:
            return Rule("not_a_timestamp")
        if moment.second == 0 and ":60" in text:
            return Rule("not_a_timestamp")
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).replace(tzinfo=None)
        return judgement.local_times(moment, "America/New_York")[0]

    texts = [text for text in texts if not text.endswith(":60") and text != "2024050510111"]
    found = judged(
        Home(tmp_path), engine, "store.orders", "created_at", texts, order_without("created_at"),
        timestamp_format=layout, naive_timezone="America/New_York",
    )  # fmt: skip
    compare(texts, found, judge)


def test_counted_days(tmp_path: Path, engine: DuckDBEngine) -> None:
    """Day numbers of a spreadsheet or of a data set without dates: local days, begun at their first instant."""
    texts = ["40513", "40513.0", "1", "45382", "40513.5", "1234567", "", "x"]

    def judge(text: str) -> Any:
        day = datetime(1899, 12, 30) + timedelta(int(text.removesuffix(".0")))
        return judgement.local_times(day, "America/New_York")[0]

    columns = {"created_at": {"timestamp_format": "days_since 1899-12-30"}}
    found = judged(
        Home(tmp_path), engine, "store.orders", "created_at", texts, order_without("created_at"),
        columns=columns, naive_timezone="America/New_York",
    )  # fmt: skip
    assert found[:4] == [judge(text) for text in texts[:4]]
    assert found[4:] == [
        Rule("not_a_timestamp"), Rule("not_a_timestamp"), Rule("missing_value"), Rule("not_a_timestamp"),
    ]  # fmt: skip
    found = judged(
        Home(tmp_path), engine, "restaurant.date_dim", "date_key", ["1", "-1", "1.5"], {"week": "#"},
        date_format="days_since 2024-02-28",
    )  # fmt: skip
    assert found == [date(2024, 2, 29), date(2024, 2, 27), Rule("not_a_date")]


def test_counted_seconds(tmp_path: Path, engine: DuckDBEngine) -> None:
    texts = ["1714903200", "1714903200123", "-86400", "0", "1e9", "99999999999999", "x"]
    wanted = {"1714903200": datetime(2024, 5, 5, 10), "-86400": datetime(1969, 12, 31)}
    columns = {"created_at": {"timestamp_format": "epoch_seconds"}}
    others = order_without("created_at")
    found = judged(Home(tmp_path), engine, "store.orders", "created_at", texts, others, columns=columns)
    assert found[0] == wanted[texts[0]]
    assert found[2] == wanted["-86400"]
    assert found[1] == Rule("not_a_timestamp")
    assert found[3:] == [Rule("sentinel_date"), *[Rule("not_a_timestamp")] * 3]
    columns = {"created_at": {"timestamp_format": "epoch_milliseconds"}}
    found = judged(
        Home(tmp_path), engine, "store.orders", "created_at", ["1714903200123"], others, columns=columns
    )
    assert found == [datetime(2024, 5, 5, 10, 0, 0, 123000)]
