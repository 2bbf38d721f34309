"""`tillhouse query` and `tillhouse metrics` over the sample company."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from bakery import call
from pyarrow import parquet

from serving.semantic import QueryResult
from serving.semantic.engine import Statement
from serving.semantic.formats import as_csv, as_json, as_parquet
from serving.semantic.published import PublicationStamp
from settings.errors import ExitCode
from settings.home import HOME_VARIABLE

if TYPE_CHECKING:
    from conftest import SampleRun


@pytest.fixture(autouse=True)
def home(sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(sample_run.home.root))
    return sample_run.home.root


def test_a_table_shows_money_shares_and_counts_as_they_read(
    sample_run: SampleRun, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(
        capsys, "query", "net_revenue,orders,return_rate", "--by", "system", "--filter", "system = store"
    )
    ((revenue, orders, rate),) = sample_run.query(
        "select sum(net_revenue), sum(orders), sum(returned_orders) / sum(orders) from marts.fct_revenue_daily"
        " where source_system = 'store'"
    )
    row = said.row("store")
    assert row.split() == ["store", f"{revenue:,.2f}", f"{orders:,}", f"{rate:.1%}"]
    assert said.code == ExitCode.OK


def test_csv_json_and_parquet_hold_the_same_exact_figures(
    sample_run: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["query", "net_revenue", "--by", "month,system"]
    expected = sample_run.query(
        "select cast(date_trunc('month', revenue_date) as date), source_system, sum(net_revenue)"
        " from marts.fct_revenue_daily group by all order by all"
    )
    rows = list(csv.reader(io.StringIO(call(capsys, *words, "--format", "csv").out)))
    assert rows[0] == ["month", "system", "net_revenue"]
    assert [(date.fromisoformat(row[0]), row[1], Decimal(row[2])) for row in rows[1:]] == expected
    found = json.loads(call(capsys, *words, "--format", "json").out)
    assert [
        (date.fromisoformat(row["month"]), row["system"], Decimal(row["net_revenue"]))
        for row in found["rows"]
    ] == expected
    file = tmp_path / "out.parquet"
    assert "rows written" in call(capsys, *words, "--format", "parquet", "--to", str(file)).out
    table = parquet.read_table(file)
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["query", "revenue"], "there is no metric 'revenue'"),
        (["query", "orders", "--by", "colour"], "orders has no dimension 'colour'"),
        (["query", "orders", "--filter", "system like x"], "cannot be read"),
        (["query", "orders", "--format", "parquet"], "parquet is no text"),
        (["query", "orders", "--to", "x.txt"], "a table is for the terminal"),
        (["metrics", "explain", "revenue"], "there is no metric 'revenue'"),
    ],
)
def test_wrong_words_are_told_with_those_that_are_right(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, *words)
    assert answer.code == ExitCode.USAGE
    assert said in answer.err
    assert "what to do: " in answer.err


def test_the_sql_of_a_query_shows_its_values_apart(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "query", "orders", "--filter", "system in store,restaurant", "--sql")
    assert "($1, $2)" in said.out
    assert said.row("$1 =").endswith("'store'")


def test_metrics_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    listed = call(capsys, "metrics")
    assert listed.row("net_revenue", "Revenue Analytics", "each part by its own date")
    assert listed.row("clv_tier", "text", "CLV tier")
    assert "orders_with_lines" not in listed.out
    explained = call(capsys, "metrics", "explain", "net_revenue").out
    for line in (
        "definition:  gross_revenue - discounts - refunds",
        "tables:      marts.fct_order_items, marts.fct_returns",
        "owner:       Revenue Analytics",
    ):
        assert line in explained


def test_comparing_two_warehouses_names_what_moved_and_nothing_else(
    sample_run: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "published").mkdir()
    changed = tmp_path / "published.duckdb"
    shutil.copyfile(sample_run.published, changed)
    with duckdb.connect(str(changed)) as connection:
        (day,) = connection.execute(
            "select min(return_date) from marts.fct_returns where eligible_refund_amount > 0"
        ).fetchone()  # type: ignore[misc]  # there is a row
        connection.execute(
            "update marts.fct_returns set eligible_refund_amount = eligible_refund_amount + 1"
            " where return_key = (select min(return_key) from marts.fct_returns"
            f" where return_date = date '{day}' and eligible_refund_amount > 0)"
        )
    ((before,),) = sample_run.query("select sum(refunds) from marts.fct_revenue_daily")
    asked = ("--metric", "refunds", "--metric", "net_revenue", "--metric", "net_sales")
    same = call(capsys, "metrics", "compare", str(sample_run.home.root), str(sample_run.published), *asked)
    assert same.out.startswith("none of 3 metrics moved")
    said = call(capsys, "metrics", "compare", str(sample_run.home.root), str(changed), *asked)
    assert said.code == ExitCode.OK
    assert said.out.startswith("2 of 3 metrics moved")
    assert said.row("refunds", " all ").split() == ["refunds", "all", f"{before:,.2f}", f"{before + 1:,.2f}"]
    assert said.row("refunds", f"{day:%Y-%m}-01, store")
    assert "net_sales" not in said.out


def result(*values: Any) -> QueryResult:
    stamp = PublicationStamp("a run", datetime(2026, 1, 2, tzinfo=UTC), "data", "metrics")
    return QueryResult(
        ("name",), [(value,) for value in values], {}, stamp, Statement("", (), ("name",)), 0.0, 0.0
    )


def test_no_text_of_a_csv_is_a_formula_to_a_spreadsheet() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "a=1", ""]
    rows = list(csv.reader(io.StringIO(as_csv(result(*texts)), newline="")))[1:]
    assert [row[0] if row else "" for row in rows] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "'\tx",
        "'\rx",
        "a=1",
        "",
    ]
    assert as_csv(result(Decimal("-1.50"), None, True, date(2026, 1, 2))) == (
        'name\r\n-1.50\r\n""\r\ntrue\r\n2026-01-02\r\n'
    )


def test_values_keep_their_types_in_json_and_parquet() -> None:
    values = (Decimal("12345678901234567890.1234"), None, Decimal("-0.5"))
    assert [row["name"] for row in json.loads(as_json(result(*values)))["rows"]] == [
        "12345678901234567890.1234", None, "-0.5",
    ]  # fmt: skip
    table = parquet.read_table(io.BytesIO(as_parquet(result(*values))))
    assert table["name"].to_pylist() == [Decimal("12345678901234567890.1234"), None, Decimal("-0.5000")]
    for kept in (True, 7, 0.25, "x", date(2026, 1, 2)):
        assert parquet.read_table(io.BytesIO(as_parquet(result(kept, None))))["name"].to_pylist() == [
            kept,
            None,
        ]
