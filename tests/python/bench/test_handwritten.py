"""The hand-written SQL gives the public marts, and what differs is found and named."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from conftest import SampleRun

from bench import handwritten
from bench.handwritten import SHARED, DifferentMartsError, statements

MEMORY_LIMIT = "1GB"


@pytest.fixture(scope="module")
def by_hand(sample_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("by_hand") / "by_hand.duckdb"
    handwritten.run(sample_run.home.warehouse, output, memory_limit=MEMORY_LIMIT)
    return output


@pytest.fixture
def changed(by_hand: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    copy = tmp_path / "changed.duckdb"
    copy.write_bytes(by_hand.read_bytes())
    return copy


def public_marts(sample_run: SampleRun) -> set[str]:
    with duckdb.connect(str(sample_run.home.warehouse), read_only=True) as connection:
        found = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
    return {name for (name,) in found}


def test_every_public_mart_is_made_and_equal(sample_run: SampleRun, by_hand: Path) -> None:
    assert {statement.mart for statement in statements()} - {SHARED} == public_marts(sample_run)
    assert len(public_marts(sample_run)) > 20
    handwritten.require_equal(sample_run.home.warehouse, by_hand, memory_limit=MEMORY_LIMIT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "update fct_orders set net_sales_amount = net_sales_amount + 0.0001 where order_id = "
            "(select min(order_id) from fct_orders)",
            r"fct_orders: 1 rows only by hand, 1 only in the mart",
        ),
        (
            "insert into dim_location from (from dim_location limit 1)",  # a row twice is no equal table
            r"dim_location: 1 rows only by hand, 0 only in the mart",
        ),
        ("drop table dim_date", r"dim_date: columns all: it is not made by hand"),
        ("alter table dim_date drop column iso_week", r"dim_date: columns iso_week INTEGER"),
    ],
    ids=["an amount", "a row twice", "a table", "a column"],
)
def test_what_differs_is_named(sample_run: SampleRun, changed: Path, change: str, told: str) -> None:
    with duckdb.connect(str(changed)) as connection:
        connection.execute(change)
    with pytest.raises(DifferentMartsError, match=told) as raised:
        handwritten.require_equal(sample_run.home.warehouse, changed, memory_limit=MEMORY_LIMIT)
    assert str(raised.value).count(";") == 0, "the other marts are equal"


def test_large_marts_are_compared_in_parts(
    sample_run: SampleRun, changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwritten, "_ROWS_OF_A_PART", 5_000)
    warehouse = sample_run.home.warehouse
    assert handwritten.differences(warehouse, changed, memory_limit=MEMORY_LIMIT) == []
    with duckdb.connect(str(changed)) as connection:
        connection.execute("delete from fct_order_items where line_id = '1' and category = 'unknown'")
        connection.execute("delete from fct_orders where status = 'cancelled'")
    found = handwritten.differences(warehouse, changed, memory_limit=MEMORY_LIMIT)
    (cancelled,) = sample_run.query("select count(*) from marts.fct_orders where status = 'cancelled'")[0]
    assert cancelled > 0
    assert ("fct_orders", 0, cancelled) in [
        (difference.mart, difference.only_handwritten, difference.only_mart) for difference in found
    ]


def test_both_engines_define_the_same_functions() -> None:
    names = [
        {statement.text.split("create ")[1].split("(")[0].split()[1] for statement in statements(engine)[:4]}
        for engine in ("duckdb", "postgres")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 4
