"""The same questions on a real Postgres give the same answers as on DuckDB."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pytest
from api_server import serving
from postgres_server import PostgresDatabase, PostgresServer
from test_metrics_equal_marts import CASES

from orchestration.publish_postgres import reader_schema
from orchestration.semantic_manifest import for_readers
from serving.access.answers import Answers, Viewer
from serving.access.policy import load_policy
from serving.dashboards.boards import Boards
from serving.dashboards.questions import Filters, Period
from serving.semantic import Filter, Grain, MetricQuery, Operator, SemanticClient
from serving.semantic.engine import Statement
from settings.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from conftest import SampleRun

TYPES = {"VARCHAR": "text", "DOUBLE": "double precision"}
# One of each kind of definition; every case of DuckDB's would take minutes of MetricFlow.
SHAPES = (
    "revenue by month system", "sales by month", "bridge by segment", "bridge by channel", "growth by month",
    "customers by week", "retention by month", "new by month and location", "cohorts by week", "loyalty", "locations",
    "discounts", "prices", "margin", "payments by day", "reconciliation", "stock", "rows", "freshness",
)  # fmt: skip


def copy_published(run: SampleRun, database: PostgresDatabase) -> None:
    """Put the published tables where the publisher for Postgres puts them."""
    manifest = json.loads((run.home.dbt_target / "semantic_manifest.json").read_text(encoding="utf-8"))
    with duckdb.connect(str(run.published), read_only=True) as source, database.connect() as connection:
        cursor = connection.cursor()
        tables = source.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema in ('marts', 'quality') order by all"
        ).fetchall()
        for schema in sorted({schema for schema, _ in tables}):
            cursor.execute(f"create schema {reader_schema(schema)}")
        for schema, table in tables:
            columns = source.execute(f"describe {schema}.{table}").fetchall()
            listed = ", ".join(f'"{name}" {TYPES.get(kind, kind)}' for name, kind, *_ in columns)
            target = f'{reader_schema(schema)}."{table}"'
            cursor.execute(f"create table {target} ({listed})")
            rows = source.execute(f"select * from {schema}.{table}").fetchall()
            text = "".join("\t".join(copied(value) for value in row) + "\n" for row in rows)
            cursor.copy_expert(f"copy {target} from stdin", io.StringIO(text))
        cursor.execute("create schema publication")
        cursor.execute(
            "create table publication.current (run_id text, published_at timestamp, data_fingerprint text);"
            "create table publication.semantic_manifest (fingerprint text, content text);"
            "insert into publication.current values ('a run', '2026-01-01', 'a hash')"
        )
        cursor.execute(
            "insert into publication.semantic_manifest values ('a hash', %s)",
            [for_readers(manifest, reader_schema)],
        )


def copied(value: Any) -> str:
    if value is None:
        return "\\N"
    text = repr(value) if isinstance(value, float) else str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer, sample_run: SampleRun) -> Iterator[PostgresDatabase]:
    made = postgres_server.create_database()
    copy_published(sample_run, made)
    yield made
    postgres_server.drop_database(made)


@pytest.fixture
def client(
    database: PostgresDatabase, sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SemanticClient]:
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    with SemanticClient.open(sample_run.home, "postgres") as opened:
        yield opened


@pytest.fixture(scope="module")
def embedded(sample_run: SampleRun) -> Iterator[SemanticClient]:
    with SemanticClient.open(sample_run.home) as opened:
        yield opened


def test_answers_are_the_same(client: SemanticClient, embedded: SemanticClient) -> None:
    cases = {case.name.strip(): case.query for case in CASES}
    different = []
    for name in SHAPES:
        found, expected = client.query(cases[name]), embedded.query(cases[name])
        assert found.columns == expected.columns
        if found.rows != expected.rows:
            pairs = zip(found.rows, expected.rows, strict=False)
            different.append((name, [pair for pair in pairs if pair[0] != pair[1]][:2], len(found.rows)))
    assert different == []


ROUTES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/metrics", {}),
    ("/metrics/daily", {"limit": 50}),
    ("/ltv/30", {}),
    ("/inventory/alerts", {}),
    ("/locations/ranking", {}),
)


@pytest.mark.parametrize("role", ["analyst", "location_manager"])
def test_the_api_answers_the_same(
    role: str,
    database: PostgresDatabase,
    sample_run: SampleRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    asked = {"metrics": ["net_sales", "orders"], "group_by": ["location"], "grain": "month"}
    with (
        serving(sample_run.published, tmp_path / "embedded") as embedded,
        serving(sample_run.published, tmp_path / "server", target="postgres") as server,
    ):
        shutil.rmtree(server.home.published.parent / "published", ignore_errors=True)
        server.home.published.unlink()  # nothing of the file can have answered
        for path, parameters in ROUTES:
            expected, found = (api.get(path, role, **parameters) for api in (embedded, server))
            assert (path, found.status_code, told(found)) == (path, expected.status_code, told(expected))
        expected, found = (api.query(role, **asked) for api in (embedded, server))
        assert expected.status_code == 200
        assert told(found) == told(expected)


def told(answer: Any) -> Any:
    """A body without what names the publication."""
    body = answer.json()
    freshness = {name: body.get("freshness", {}).get(name) for name in ("as_of_dates", "newest_batch")}
    return {**body, "freshness": freshness}


def texts(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    """Rows as a reader sees them: a sum of whole numbers is a decimal to Postgres."""
    return sorted([str(value) for value in row] for row in rows)


def test_cards_that_show_rows_show_the_same(client: SemanticClient, embedded: SemanticClient) -> None:
    policy = load_policy()
    analyst = Viewer(policy.role("analyst"))
    server, file = (Boards(Answers(one, policy, 60)) for one in (client, embedded))
    server.require_published()
    last_day = max(file.answers.origin().as_of_dates.values())
    filters = Filters(Period(last_day - timedelta(days=90), last_day), systems=("store",))
    shown = 0
    for dashboard in server.dashboards:
        for card in dashboard.cards:
            if card.mart is None:
                continue
            found, expected = (one.card(analyst, dashboard, card, filters).answer for one in (server, file))
            assert texts(found.rows) == texts(expected.rows), f"{dashboard.name}.{card.name}"
            shown += len(found.rows)
    assert shown > 100
    home = server.dashboards[0]
    behind = [
        one.rows(analyst, home, home.card("orders"), filters, limit=10_000).answer for one in (server, file)
    ]
    assert behind[0].rows
    assert texts(behind[0].rows) == texts(behind[1].rows)


HOSTILE = ("'", "' or '1'='1", "\\", "%", "%s", "%(1)s", "$1", "; drop table x --", "tillhouse value 0")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_never_reaches_sql(client: SemanticClient, value: str) -> None:
    query, harmless = (
        MetricQuery(
            ("rows_read",),
            filters=(
                Filter("feed", Operator.NOT_IN, (name, "no such feed")),
                Filter("month", Operator.GREATER, ("2000-01-01",)),
            ),
        )
        for name in (value, "harmless")
    )
    assert client.query(query).rows == client.query(MetricQuery(("rows_read",))).rows
    assert client.explain(query).sql == client.explain(harmless).sql


def test_pages_and_texts_are_ordered_by_code_points(client: SemanticClient, embedded: SemanticClient) -> None:
    query = MetricQuery(("net_sales",), ("category",), Grain.YEAR, limit=5, offset=2)
    assert client.query(query).rows == embedded.query(query).rows


def test_a_snapshot_stays_as_it_is_while_a_publication_happens(
    client: SemanticClient, database: PostgresDatabase
) -> None:
    with client.warehouse.snapshot() as held:
        database.execute("update publication.current set run_id = 'the next'")
        assert held.stamp.run_id == "a run"
        assert held.run(Statement("select run_id from publication.current", (), ())) == [("a run",)]
        assert client.publication().run_id == "the next"
    database.execute("update publication.current set run_id = 'a run'")


def test_readers_cannot_write_and_are_ended_in_time(client: SemanticClient) -> None:
    with client.warehouse.snapshot() as snapshot, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        snapshot.run(Statement("delete from published_marts.fct_orders", (), ()))
    with client.warehouse.snapshot() as snapshot, pytest.raises(UnavailableError) as ended:
        snapshot.run(Statement("select pg_sleep(30)", (), ()), timeout_seconds=0.05)
    assert ended.value.rule == "timeout"
    assert client.publication().run_id == "a run"


def test_a_connection_that_broke_is_replaced(client: SemanticClient, database: PostgresDatabase) -> None:
    assert client.publication().run_id == "a run"
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tillhouse metrics'"
    )
    assert client.publication().run_id == "a run"


def test_an_empty_database_says_how_to_publish(
    postgres_server: PostgresServer, sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = postgres_server.create_database()
    for name, value in empty.environment.items():
        monkeypatch.setenv(name, value)
    with SemanticClient.open(sample_run.home, "postgres") as opened, pytest.raises(NotFoundError) as missing:
        opened.publication()
    assert missing.value.rule == "nothing_published"
    postgres_server.drop_database(empty)
    with SemanticClient.open(sample_run.home, "postgres") as opened, pytest.raises(UnavailableError) as gone:
        opened.publication()
    assert gone.value.rule == "server"
