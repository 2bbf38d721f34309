"""On Postgres readers see one whole publication, are never held up, and keep what was granted to them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresDatabase

from orchestration import publish_postgres
from orchestration.publication import PublicTable
from orchestration.publish import Publication, publish, read_publication
from settings.errors import BusyError, ConfigurationError, NotFoundError
from settings.home import Home

ORDERS = PublicTable("marts", "fct_orders", ("order_key",), day="order_date", feed_key="order_id")
DAILY = PublicTable("marts", "fct_revenue_daily", ("revenue_date",), day="revenue_date")
CUSTOMERS = PublicTable("marts", "dim_customer", ("customer_key",))
NOTES = PublicTable("quality", "quality_notes")
TABLES = [CUSTOMERS, ORDERS, DAILY, NOTES]
FIRST_DAY = date(2026, 1, 1)
WAREHOUSE = """
    create schema state; create schema marts; create schema quality;
    create table state.changed (
        source text, sequence bigint, source_system text, key text, customer_key text, day date
    );
    create table state.watermark (
        consumer text, source text, sequence bigint, primary key (consumer, source)
    );
    create table marts.dim_customer (customer_key text, region text);
    insert into marts.dim_customer select 'c' || i, 'north' from generate_series(1, 20) as i;
    create table marts.fct_orders (
        order_key text, source_system text, order_id text, customer_key text, amount numeric(18, 4), order_date date
    );
    create table marts.fct_revenue_daily (revenue_date date, source_system text, revenue numeric(38, 4));
    create table quality.quality_notes (note text);
    insert into quality.quality_notes values ('twice'), ('twice');
"""


class Shop:
    """A warehouse on Postgres with facts that name their changes."""

    def __init__(self, database: PostgresDatabase, home: Home) -> None:
        self.database = database
        self.home = home
        self.execute(WAREHOUSE)
        for number in range(40):
            self.order(number, FIRST_DAY + timedelta(number % 10), 10)
        self.revenue()

    def execute(self, sql: str, parameters: Any = None) -> None:
        self.database.execute(sql, parameters)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.query(sql)

    def order(self, number: int, day: date | None, amount: int) -> None:
        """Put an order, or take its place."""
        self.execute("delete from marts.fct_orders where order_id = %s", [str(number)])
        self.execute(
            "insert into marts.fct_orders values (%s, 'store', %s, 'c1', %s, %s)",
            [f"k{number}", str(number), amount, day],
        )

    def revenue(self) -> None:
        self.execute(
            "delete from marts.fct_revenue_daily; insert into marts.fct_revenue_daily"
            " select order_date, 'store', sum(amount) from marts.fct_orders where order_date is not null group by 1"
        )

    def name(self, table: PublicTable, rows: Iterable[tuple[str | None, date | None]]) -> None:
        """What the model says that it changed."""
        ((sequence,),) = self.query(
            "select 1 + coalesce(max(sequence), 0) from (select source, sequence from state.changed union all"
            f" select source, sequence from state.watermark) as n where source = '{table.name}'"
        )
        for key, day in rows:
            self.execute(
                "insert into state.changed (source, sequence, source_system, key, day) values (%s, %s, %s, %s, %s)",
                [table.name, sequence, "store" if key or day else None, key, day],
            )

    def publish(self, tables: list[PublicTable] | None = None, run_id: str = "run") -> Publication:
        return publish(
            self.home,
            tables or TABLES,
            run_id=run_id,
            data_fingerprint="d",
            project_fingerprint="p",
            target="postgres",
        )

    def differing(self, tables: list[PublicTable] | None = None) -> list[str]:
        """Tables of which readers see other rows than were built."""
        return [
            table.name
            for table in tables or TABLES
            if self.query(
                f"(select * from {table.schema}.{table.name} except all"
                f" select * from published_{table.schema}.{table.name}) union all"
                f" (select * from published_{table.schema}.{table.name} except all"
                f" select * from {table.schema}.{table.name})"
            )
        ]


@pytest.fixture
def shop(postgres_database: PostgresDatabase, tmp_path: Path) -> Shop:
    return Shop(postgres_database, Home(tmp_path / "home").ensure())


ORDERS_SEEN = "select count(*), sum(amount) from published_marts.fct_orders"


def test_readers_get_schemas_of_their_own_with_the_rows_that_were_built(shop: Shop) -> None:
    assert read_publication(shop.home, target="postgres") is None
    publication = shop.publish()
    assert (publication.tables, publication.rows) == (4, 20 + 40 + 10 + 2)
    assert read_publication(shop.home, target="postgres") == publication
    assert shop.differing() == []


def test_readers_find_indexes_on_keys_days_and_the_columns_they_join_by(shop: Shop) -> None:
    shop.publish()
    found = shop.query("select indexdef from pg_indexes where schemaname = 'published_marts'")
    indexes = {text.split(" INDEX ")[0] + " " + text.split(" ON published_marts.")[1] for (text,) in found}
    assert indexes == {
        "CREATE UNIQUE dim_customer USING btree (customer_key)",
        "CREATE UNIQUE fct_orders USING btree (order_key)",
        "CREATE fct_orders USING btree (order_date)",
        "CREATE fct_orders USING btree (order_id)",
        "CREATE fct_orders USING btree (customer_key)",
        "CREATE UNIQUE fct_revenue_daily USING btree (revenue_date)",
    }


def test_only_what_the_feed_names_is_compared_and_a_marker_stands_for_all(shop: Shop) -> None:
    shop.publish()
    shop.order(1, FIRST_DAY + timedelta(3), 99)  # from the second day to the fourth
    shop.order(2, FIRST_DAY, 99)  # without a word
    shop.name(ORDERS, [("1", FIRST_DAY + timedelta(1)), ("1", FIRST_DAY + timedelta(3))])
    assert shop.publish().rows == 72
    seen = shop.query("select order_id from published_marts.fct_orders where amount = 99")
    assert seen == [("1",)]
    shop.name(ORDERS, [(None, None)])
    shop.publish()
    assert shop.differing() == []


def test_a_row_without_a_day_comes_and_goes(shop: Shop) -> None:
    shop.publish()
    for day in (None, FIRST_DAY):
        shop.order(100, day, 5)
        shop.name(ORDERS, [("100", None), ("100", FIRST_DAY)])
        shop.publish()
        assert shop.differing() == []


def test_rows_that_stay_are_not_written_again(shop: Shop) -> None:
    shop.publish()
    places = (
        "select customer_key, ctid from published_marts.dim_customer where customer_key <> 'c1' order by 1"
    )
    before = shop.query(places)
    shop.execute("update marts.dim_customer set region = 'south' where customer_key = 'c1'")
    shop.publish()
    assert shop.differing() == []
    assert shop.query(places) == before


def test_a_reader_in_a_long_transaction_sees_the_former_publication_whole(shop: Shop) -> None:
    shop.publish(run_id="first")
    with shop.database.connect() as reader, reader.cursor() as cursor:
        reader.autocommit = False
        reader.set_session(isolation_level="REPEATABLE READ")
        cursor.execute(ORDERS_SEEN)
        before = cursor.fetchall()
        shop.order(1, FIRST_DAY, 999)
        shop.revenue()
        shop.name(ORDERS, [("1", FIRST_DAY), ("1", FIRST_DAY + timedelta(1))])
        shop.name(DAILY, [(None, FIRST_DAY), (None, FIRST_DAY + timedelta(1))])
        shop.publish(run_id="second")  # and it does not wait for the reader
        cursor.execute(ORDERS_SEEN)
        assert cursor.fetchall() == before
        cursor.execute("select sum(revenue) from published_marts.fct_revenue_daily")
        assert cursor.fetchall()[0][0] == before[0][1]
        cursor.execute("select run_id from publication.current")
        assert cursor.fetchall() == [("first",)]
    assert shop.differing() == []


def test_readers_go_on_while_a_publication_is_under_way(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.publish(run_id="first")
    seen = []
    sign = publish_postgres._Transaction._sign

    def look_and_sign(self: Any, stamp: Any) -> Publication:
        with shop.database.connect() as reader, reader.cursor() as cursor:
            cursor.execute("set statement_timeout = '2s'")
            for table in TABLES:
                cursor.execute(f"select count(*) from published_{table.schema}.{table.name}")
            cursor.execute("select sum(amount) from published_marts.fct_orders")
            seen.append(cursor.fetchall()[0][0])
        return sign(self, stamp)

    shop.order(1, FIRST_DAY + timedelta(1), 1000)
    shop.execute(
        "update marts.dim_customer set region = 'west'; insert into quality.quality_notes values ('x')"
    )
    shop.name(ORDERS, [("1", FIRST_DAY + timedelta(1))])
    monkeypatch.setattr(publish_postgres._Transaction, "_sign", look_and_sign)
    shop.publish(run_id="second")
    assert seen == [400]
    assert shop.query("select sum(amount) from published_marts.fct_orders") == [(1390,)]


def test_a_publication_that_fails_leaves_the_former_one(shop: Shop) -> None:
    shop.publish(run_id="first")
    mark = shop.query("select * from state.watermark")
    shop.order(1, FIRST_DAY + timedelta(1), 1000)
    shop.name(ORDERS, [("1", FIRST_DAY + timedelta(1))])
    with pytest.raises(NotFoundError, match="never_built"):
        shop.publish([*TABLES, PublicTable("marts", "never_built")], run_id="second")
    shop.execute("alter table state.watermark add check (sequence < 1)")  # the last step but one fails
    with pytest.raises(Exception, match="violates check constraint"):
        shop.publish(run_id="second")
    assert shop.query("select run_id from publication.current") == [("first",)]
    assert shop.query(ORDERS_SEEN) == [(40, 400)]
    assert shop.query("select * from state.watermark") == mark


@pytest.fixture
def analyst(shop: Shop) -> Iterable[str]:
    role = f"analyst_{shop.database.name}"
    shop.execute(f"create role {role}")
    yield role
    shop.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("change", ["rows", "column added", "type changed", "column gone"])
def test_what_was_granted_on_a_published_table_stays(shop: Shop, analyst: str, change: str) -> None:
    shop.publish()
    shop.execute(f"""
        grant usage on schema published_marts to {analyst};
        grant select on published_marts.fct_orders to {analyst} with grant option;
        grant update (amount) on published_marts.fct_orders to {analyst};
        grant references on published_marts.fct_orders to public;
    """)
    if change == "rows":
        shop.order(1, FIRST_DAY, 9)
    elif change == "column added":
        shop.execute("alter table marts.fct_orders add column channel text default 'web'")
    elif change == "type changed":
        shop.execute("alter table marts.fct_orders alter column amount type numeric(38, 4)")
    else:
        shop.execute("alter table marts.fct_orders drop column customer_key")
    shop.name(ORDERS, [(None, None)])
    shop.publish()
    assert shop.differing() == []
    table = "'published_marts.fct_orders'"
    assert shop.query(
        f"select has_table_privilege('{analyst}', {table}, 'select with grant option'),"
        f" has_column_privilege('{analyst}', {table}, 'amount', 'update'),"
        f" has_column_privilege('{analyst}', {table}, 'order_id', 'update'),"
        f" has_table_privilege('{analyst}', {table}, 'references'),"
        f" has_table_privilege('{analyst}', {table}, 'delete')"
    ) == [(True, True, False, True, False)]


def test_a_reader_of_a_table_whose_columns_change_is_not_held_up(shop: Shop) -> None:
    shop.publish(run_id="first")
    shop.execute("alter table marts.fct_orders add column channel text")
    shop.name(ORDERS, [(None, None)])
    with shop.database.connect() as reader, reader.cursor() as cursor:
        reader.autocommit = False
        cursor.execute(ORDERS_SEEN)
        with pytest.raises(BusyError, match="fct_orders"):
            shop.publish(run_id="second")
        cursor.execute("set statement_timeout = '2s'")
        cursor.execute(ORDERS_SEEN)
        cursor.execute("select run_id from publication.current")
        assert cursor.fetchall() == [("first",)]
    shop.publish(run_id="second")
    assert shop.differing() == []


def test_a_view_that_others_made_survives_new_columns_and_is_told_before_a_table_is_replaced(
    shop: Shop,
) -> None:
    shop.publish()
    shop.execute("create view public.mine as select amount from published_marts.fct_orders")
    shop.execute("alter table marts.fct_orders add column channel text default 'web'")
    shop.publish()
    assert shop.query("select count(*) from public.mine") == [(40,)]
    shop.execute("alter table marts.fct_orders alter column amount type numeric(38, 4)")
    with pytest.raises(ConfigurationError, match="read it: mine"):
        shop.publish()
    assert shop.query("select count(*) from public.mine") == [(40,)]


def test_a_mart_that_is_gone_leaves_the_readers_schema_and_others_tables_stay(shop: Shop) -> None:
    shop.publish()
    shop.execute("create table published_marts.made_by_hand (id integer)")
    shop.publish([CUSTOMERS, DAILY])
    found = shop.query("select tablename::text from pg_tables where schemaname like 'published%' order by 1")
    assert found == [("dim_customer",), ("fct_revenue_daily",), ("made_by_hand",)]


def test_a_warehouse_without_a_change_feed_is_compared_whole(shop: Shop) -> None:
    shop.execute("drop schema state cascade")
    shop.publish()
    shop.order(1, FIRST_DAY, 9)
    shop.publish()
    assert shop.differing() == []


@pytest.mark.parametrize("seed", range(2))
def test_after_any_changes_readers_see_the_rows_of_the_warehouse(shop: Shop, seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311  (reproducible, no secret)
    for _ in range(8):
        named = []
        for _ in range(drawn.randrange(6)):
            number = drawn.randrange(50)
            day = drawn.choice([None, FIRST_DAY + timedelta(drawn.randrange(20))])
            before = shop.query(f"select order_date from marts.fct_orders where order_id = '{number}'")
            shop.order(number, day, drawn.randrange(5))
            named += [(str(number), former) for (former,) in before] + [(str(number), day)]
        if drawn.random() < 0.3:
            shop.execute("delete from marts.fct_orders where order_id = '7'")
            named += [("7", FIRST_DAY + timedelta(number)) for number in range(20)] + [("7", None)]
        shop.revenue()
        shop.name(ORDERS, named)
        shop.name(DAILY, {(None, day) for _, day in named if day})
        assert shop.publish().rows == sum(
            shop.query(f"select count(*) from {table.schema}.{table.name}")[0][0] for table in TABLES
        )
        assert shop.differing() == []
