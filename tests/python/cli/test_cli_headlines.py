"""The closing figures of a run."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from cli.runs import _headlines
from settings.home import Home


@pytest.mark.parametrize(
    ("asked", "shown"), [(None, "2026-05-04"), (date(2026, 4, 30), "2026-04-30")], ids=["latest", "asked"]
)
def test_a_shop_without_locations_has_an_as_of_date(
    asked: date | None, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path)
    with duckdb.connect(str(home.published)) as connection:
        connection.execute(
            "create schema marts;"
            "create table marts.fct_orders as select 'store' as source_system, date '2026-05-04' as order_date;"
            "create table marts.fct_revenue_daily as select 'store' as source_system,"
            " date '2026-05-01' as revenue_date, 1 as orders, 10.0 as net_revenue"
        )
    _headlines(home, asked)
    assert shown in capsys.readouterr().out
