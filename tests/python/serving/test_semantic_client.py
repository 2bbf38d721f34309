"""The client over a published sample company: one number a metric, typed values, publications taken up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from serving.semantic import Filter, Grain, MetricQuery, Operator, Ordering, SemanticClient
from serving.semantic.published_duckdb import DuckDBPublished
from settings.errors import NotFoundError, UnavailableError, UsageError
from settings.home import Home

if TYPE_CHECKING:
    from conftest import SampleRun


@pytest.fixture(scope="module")
def client(sample_run: SampleRun) -> Iterator[SemanticClient]:
    with SemanticClient.open(sample_run.home) as opened:
        yield opened


def test_a_result_names_its_columns_and_keeps_its_types(
    client: SemanticClient, sample_run: SampleRun
) -> None:
    result = client.query(MetricQuery(("net_revenue", "orders"), ("system",), Grain.MONTH))
    assert result.columns == ("month", "system", "net_revenue", "orders")
    expected = sample_run.query(
        "select cast(date_trunc('month', revenue_date) as date), source_system, sum(net_revenue), sum(orders)"
        " from marts.fct_revenue_daily group by all order by all"
    )
    assert result.rows == expected
    assert isinstance(result.rows[0][2], Decimal)
    assert result.formats == {"net_revenue": "money", "orders": "count"}


def test_filters_order_and_page_are_taken(client: SemanticClient, sample_run: SampleRun) -> None:
    categories = [
        row[0] for row in sample_run.query("select distinct category from marts.fct_sales_daily order by 1")
    ]
    query = MetricQuery(
        ("net_sales",),
        ("category",),
        filters=(
            Filter("category", Operator.IN, tuple(categories[:4])),
            Filter("day", Operator.GREATER_OR_EQUAL, ("2026-06-01",)),
        ),
        order_by=(Ordering("net_sales", descending=True),),
        limit=2,
        offset=1,
    )
    assert client.query(query).rows == sample_run.query(
        "select category, sum(net_sales) as net_sales from marts.fct_sales_daily where category in ($1, $2, $3, $4)"
        " and sales_date >= date '2026-06-01' group by 1 order by net_sales desc limit 2 offset 1",
        categories[:4],
    )


HOSTILE = (
    "'", "''", "' or '1'='1", "1=1) or (1=1", "\\", "%", "%s", "$1", "{{ Dimension('x') }}", "'tillhouse value 0'",
    "tillhouse value 1", "; drop table marts.fct_orders; --", "/* */", "ü\u2028\u202e", "a\nb", "",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_never_reaches_sql(client: SemanticClient, value: str) -> None:
    query = MetricQuery(("orders",), ("category",), filters=(Filter("category", Operator.EQUAL, (value,)),))
    assert client.query(query).rows == []
    harmless = MetricQuery(
        ("orders",), ("category",), filters=(Filter("category", Operator.EQUAL, ("Books",)),)
    )
    assert client.explain(query).sql == client.explain(harmless).sql
    assert client.explain(query).parameters == (value,)


@pytest.mark.parametrize("name", [*HOSTILE, "customer__segment", "metric_time", "orders_with_lines"])
@pytest.mark.parametrize("place", ["metric", "group", "filter", "order"])
def test_a_name_that_is_not_in_the_catalogue_is_refused(
    client: SemanticClient, name: str, place: str
) -> None:
    query = {
        "metric": MetricQuery((name,)),
        "group": MetricQuery(("orders",), (name,)),
        "filter": MetricQuery(("orders",), filters=(Filter(name, Operator.EQUAL, ("x",)),)),
        "order": MetricQuery(("orders",), order_by=(Ordering(name),)),
    }[place]
    with pytest.raises(UsageError) as refused:
        client.query(query)
    assert "use one of" in refused.value.remedy or "sort by one of" in refused.value.remedy


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        (MetricQuery(()), "metric"),
        (MetricQuery(("orders", "orders")), "repeated_name"),
        (MetricQuery(("orders",), ("month",)), "grain"),
        (MetricQuery(("daily_active_customers",)), "grain"),
        (MetricQuery(("daily_active_customers",), grain=Grain.MONTH), "grain"),
        (MetricQuery(("ltv_30d",), filters=(Filter("week", Operator.GREATER, ("2026-01-01",)),)), "grain"),
        (
            MetricQuery(
                ("ltv_30d",), grain=Grain.MONTH, filters=(Filter("day", Operator.LESS, ("2026-01-01",)),)
            ),
            "grain",
        ),
        (MetricQuery(("total_order_amount",), ("category",)), "dimension"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.LESS, ("A",)),)), "filter"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.IN, ()),)), "filter"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.EQUAL, ("A", "B")),)), "filter"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.IS_NULL, ("A",)),)), "filter"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.IN, ("A",) * 1_001),)), "filter"),
        (MetricQuery(("orders",), filters=(Filter("day", Operator.EQUAL, ("yesterday",)),)), "value"),
        (MetricQuery(("orders",), filters=(Filter("day", Operator.EQUAL, ("2026-02-30",)),)), "value"),
        (MetricQuery(("orders",), filters=(Filter("loyalty", Operator.EQUAL, ("maybe",)),)), "value"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.EQUAL, (1,)),)), "value"),
        (MetricQuery(("orders",), filters=(Filter("category", Operator.EQUAL, ("a\x00",)),)), "value"),
        (MetricQuery(("orders",), limit=0), "limit"),
        (MetricQuery(("orders",), limit=-1), "limit"),
        (MetricQuery(("orders",), offset=-1), "limit"),
    ],
)
def test_what_a_query_may_not_have_is_refused_by_name(
    client: SemanticClient, query: MetricQuery, rule: str
) -> None:
    with pytest.raises(UsageError) as refused:
        client.query(query)
    assert refused.value.rule == rule
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("period", "remedy"),
    [("week", "filter by a longer period, or group by week"), ("day", "filter by a longer period")],
)
def test_who_filters_a_cohort_by_too_short_a_period_is_told_what_works(
    client: SemanticClient, period: str, remedy: str
) -> None:
    since = Filter(period, Operator.GREATER_OR_EQUAL, ("2026-01-01",))
    with pytest.raises(UsageError) as refused:
        client.query(MetricQuery(("ltv_30d",), filters=(since,)))
    assert refused.value.remedy == remedy
    longer = Filter("month", Operator.GREATER_OR_EQUAL, ("2026-01-01",))
    assert client.query(MetricQuery(("ltv_30d",), filters=(longer,))).rows
    if period == "week":
        assert client.query(MetricQuery(("ltv_30d",), grain=Grain.WEEK, filters=(since,))).rows


def test_the_edges_of_what_is_allowed_are_answered(client: SemanticClient) -> None:
    many = Filter("category", Operator.IN, ("Books",) * 1_000)
    assert client.query(MetricQuery(("orders",), filters=(many,), limit=1)).rows
    for text in ("true", "FALSE", "yes"):
        assert client.query(
            MetricQuery(("orders",), filters=(Filter("loyalty", Operator.EQUAL, (text,)),))
        ).rows


def test_a_filter_on_days_reaches_every_scan_of_what_is_measured(
    client: SemanticClient, sample_run: SampleRun
) -> None:
    """A question about a week must not read the years before it: not by sharing, and not by truncating days."""
    week = (
        Filter("day", Operator.GREATER_OR_EQUAL, ("2026-06-01",)),
        Filter("day", Operator.LESS_OR_EQUAL, ("2026-06-07",)),
    )
    asked = MetricQuery(("net_sales", "orders"), ("category",), Grain.DAY, filters=week)
    sql = client.explain(asked).sql.replace("$1", "date '2026-06-01'").replace("$2", "date '2026-06-07'")
    ((_, plan),) = sample_run.query(f"explain (format json) {sql}")
    scans = [
        node["extra_info"]
        for node in nodes_of(json.loads(plan))
        if str(node["extra_info"].get("Table", "")).endswith("fct_order_items")
        and "is_booked"
        in node["extra_info"]["Projections"]  # what is measured, not what only names a category
    ]
    assert len(scans) > 1
    for scan in scans:
        assert "order_date" in str(scan.get("Filters", "")), scan


def nodes_of(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in plan:
        yield node
        yield from nodes_of(node["children"])


def test_times_of_metrics_are_dates(client: SemanticClient, sample_run: SampleRun) -> None:
    """A day of them is asked for without truncating."""
    with client.warehouse.snapshot() as snapshot:
        manifest = json.loads(snapshot.manifest())
    times = {
        (model["node_relation"]["alias"], dimension["expr"] or dimension["name"])
        for model in manifest["semantic_models"]
        for dimension in model["dimensions"]
        if dimension["type"] == "time"
    }
    spine = manifest["project_configuration"]["time_spines"][0]
    times.add((spine["node_relation"]["alias"], spine["primary_column"]["name"]))
    types = {
        (table, column): kind
        for table, column, kind in sample_run.query(
            "select table_name, column_name, data_type from information_schema.columns"
        )
    }
    assert {time: types[time] for time in times} == dict.fromkeys(times, "DATE")


def copy_of(run: SampleRun, folder: Path) -> Home:
    shutil.copytree(run.home.published_files, folder / "published", dirs_exist_ok=True) if (
        run.home.published_files.is_dir()
    ) else None
    shutil.copyfile(run.published, folder / "published.duckdb")
    return Home(folder)


def test_a_new_publication_is_taken_up_while_a_query_goes_on_with_the_former(
    sample_run: SampleRun, tmp_path: Path
) -> None:
    home = copy_of(sample_run, tmp_path)
    query = MetricQuery(("orders",))
    with SemanticClient.open(home) as client, client.warehouse.snapshot() as held:
        before = client.query(query).rows
        draft = tmp_path / "draft.duckdb"
        shutil.copyfile(home.published, draft)
        with duckdb.connect(str(draft)) as connection:
            connection.execute("delete from marts.fct_order_items")
            connection.execute("update publication.current set run_id = 'the next'")
        draft.replace(home.published)
        assert client.query(query).rows == [(0,)]
        assert client.publication().run_id == "the next"
        assert held.stamp.run_id != "the next"
        assert held.run(client.explain(query)) == before != [(0,)]


def test_only_published_tables_can_be_read(client: SemanticClient, tmp_path: Path) -> None:
    from serving.semantic.engine import Statement  # noqa: PLC0415  (no caller outside tests writes statements)

    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    with client.warehouse.snapshot() as snapshot:
        for sql in (
            f"select * from read_csv('{secret}')",
            "set enable_external_access = true",
            "delete from marts.fct_orders",
            f"attach '{tmp_path / 'other.duckdb'}' as other",
        ):
            with pytest.raises(duckdb.Error):
                snapshot.run(Statement(sql, (), ()))


def test_a_query_that_takes_too_long_is_ended(client: SemanticClient) -> None:
    from serving.semantic.engine import Statement  # noqa: PLC0415  (no caller outside tests writes statements)

    endless = Statement("select count(*) from range(1000000) as a, range(1000000) as b", (), ())
    with (
        client.warehouse.snapshot() as snapshot,
        pytest.raises(UnavailableError, match="longer than") as ended,
    ):
        snapshot.run(endless, timeout_seconds=0.05)
    assert ended.value.rule == "timeout"


def test_a_home_without_a_publication_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        SemanticClient.open(Home(tmp_path)).catalogue()
    assert missing.value.rule == "nothing_published"


def test_a_publication_without_metrics_says_so(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "published.duckdb")) as connection:
        connection.execute("create schema publication; create table publication.current (run_id varchar)")
    warehouse = DuckDBPublished(tmp_path / "published.duckdb", tmp_path / "published")
    with pytest.raises(NotFoundError) as missing, warehouse.snapshot():
        pass
    assert missing.value.rule == "no_metrics_published"
