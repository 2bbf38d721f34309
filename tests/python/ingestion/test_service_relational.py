"""A table of a database comes in bit by bit, exactly, and nothing is lost between two polls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import Fault, TcpProxy
from postgres_server import PostgresDatabase
from shop import Shop

from ingestion.discovery import Discovery
from ingestion.feed import load_feeds
from ingestion.intake import Intake
from ingestion.landing import open_store, relational
from settings.errors import AccessError, ConfigurationError, UnavailableError

pytestmark = pytest.mark.usefixtures("pauses")

TABLE = """
    create schema shop;
    create table shop.orders (
        id text primary key, customer_id bigint, total_amount numeric(12, 2), currency char(3), created_at timestamptz,
        status text, updated_at timestamptz, note text
    )
"""


@pytest.fixture
def source(postgres_database: PostgresDatabase) -> PostgresDatabase:
    postgres_database.execute(TABLE)
    return postgres_database


@pytest.fixture
def shop(tmp_path: Path, source: PostgresDatabase) -> Shop:
    return shop_of(tmp_path / "home", source)


def shop_of(root: Path, source: PostgresDatabase, port: int = 0, **settings: Any) -> Shop:
    shop = Shop.at(root, **{**feed_of(source, port), **settings})
    del shop.feeds[0]["glob"]
    return shop


def feed_of(source: PostgresDatabase, port: int = 0) -> dict[str, Any]:
    return {
        "location": f"postgres://{source.user}@{source.host}:{port or source.port}/{source.name}?sslmode=disable",
        "table": {"name": "shop.orders", "watermark": "updated_at", "overlap": "10 minutes"},
    }


def add(
    source: PostgresDatabase,
    number: int,
    minute: int | None,
    *,
    amount: str = "10.00",
    note: str | None = None,
) -> None:
    """An order, or its new version, that was changed at this minute of an hour of 1 March 2026."""
    updated = None if minute is None else f"2026-03-01 10:{minute:02d}:00+00"
    source.execute(
        "insert into shop.orders values (%s, 7, %s, 'USD', '2026-02-28 23:30:00-05', 'paid', %s, %s)"
        " on conflict (id) do update set total_amount = excluded.total_amount, updated_at = excluded.updated_at",
        [f"{number:05d}", amount, updated, note],
    )


def amounts(shop: Shop) -> dict[str, str]:
    """Order → its amount by the newest version."""
    return {
        row[0]: str(row[1])
        for row in shop.query(
            "select id, cast(arg_max(total_amount, (updated_at, _load_sequence)) as decimal(12, 2))"
            " from raw.store_orders group by id order by id"
        )
    }


def test_rows_come_once_and_a_poll_without_news_is_a_no_op(shop: Shop, source: PostgresDatabase) -> None:
    for number in range(3):
        add(source, number, number)
    report = shop.run()
    assert (report.files_loaded, report.rows_accepted) == (1, 3)
    state = shop.state()
    for _ in range(2):
        again = shop.run()
        assert (again.files_seen, again.files_loaded, again.waiting) == (0, 0, [])
    assert shop.state() == state


def test_values_land_exactly_in_the_contracts_formats(shop: Shop, source: PostgresDatabase) -> None:
    add(source, 1, 5, amount="1234567.89")
    source.execute("update shop.orders set status = 'a \"quoted\", word', updated_at = updated_at")
    shop.change(
        entities=[{"entity": "store.orders", "columns": {"status": {"map": {'a "quoted", word': "paid"}}}}]
    )
    assert shop.run().rows_accepted == 1
    (row,) = shop.query(
        "select id, customer_id, cast(total_amount as varchar), cast(created_at as varchar), status,"
        " cast(updated_at as varchar) from raw.store_orders"
    )
    assert row == ("00001", "7", "1234567.8900", "2026-03-01 04:30:00", "paid", "2026-03-01 10:05:00")


def test_what_cannot_be_read_goes_to_quarantine_with_its_text(shop: Shop, source: PostgresDatabase) -> None:
    source.execute("alter table shop.orders alter total_amount type float8")
    for number, amount in enumerate(("NaN", "Infinity", "0.1", "1e300")):
        add(source, number, 1, amount=amount)
    source.execute("update shop.orders set created_at = 'infinity' where id = '00002'")
    report = shop.run()
    assert (report.rows_read, report.rows_accepted, report.rows_quarantined) == (4, 0, 4)
    found = dict(shop.query("select raw_value, rule from ops.quarantine"))
    assert found["NaN"] == "not_finite"
    assert found["infinity"] == "not_a_timestamp"


def test_only_what_is_new_is_read_and_the_overlap_is_harmless(shop: Shop, source: PostgresDatabase) -> None:
    for number in range(5):
        add(source, number, 4 * number)
    shop.run()
    add(source, 0, 30, amount="99.00")
    add(source, 9, 31)
    report = shop.run()
    # Rows of the last ten minutes before the mark (10:16) come again beside the two new ones: 10:08, 10:12, 10:16.
    assert (report.files_loaded, report.rows_read) == (1, 5)
    assert amounts(shop) == {
        "00000": "99.00", "00001": "10.00", "00002": "10.00", "00003": "10.00", "00004": "10.00", "00009": "10.00",
    }  # fmt: skip
    assert shop.run().files_loaded == 0


def test_a_row_that_is_committed_late_is_caught_by_the_overlap(shop: Shop, source: PostgresDatabase) -> None:
    """Its time was taken before a row that was loaded already, its transaction ended after it."""
    with source.connect() as slow:
        slow.autocommit = False
        slow.cursor().execute(
            "insert into shop.orders values ('late', 7, 5, 'USD', '2026-02-28', 'paid', '2026-03-01 10:25:00+00')"
        )
        add(source, 1, 30)
        shop.run()
        assert list(amounts(shop)) == ["00001"]
        slow.commit()
    assert shop.run().files_loaded == 1
    assert list(amounts(shop)) == ["00001", "late"]
    assert shop.run().files_loaded == 0


def test_a_row_with_the_very_mark_comes_in_without_an_overlap(
    tmp_path: Path, source: PostgresDatabase
) -> None:
    shop = shop_of(tmp_path / "home", source)
    shop.change(table={"name": "shop.orders", "watermark": "updated_at", "overlap": "0"})
    add(source, 1, 30)
    shop.run()
    add(source, 2, 30)
    assert shop.run().files_loaded == 1
    assert list(amounts(shop)) == ["00001", "00002"]


def test_rows_that_no_mark_can_tell_come_all_the_same_and_stop_nobody(
    shop: Shop, source: PostgresDatabase
) -> None:
    """A missing or an absurd watermark must neither hide its row nor all that come after it."""
    add(source, 1, None)
    add(source, 2, 10)
    source.execute("insert into shop.orders select 'far', 7, 1, 'USD', '2026-02-28', 'paid', '9999-01-01'")
    source.execute("insert into shop.orders select 'end', 7, 1, 'USD', '2026-02-28', 'paid', 'infinity'")
    shop.run()
    read = {row[0] for row in shop.query("select id from raw.store_orders")}
    read |= {row[0].split(",")[0] for row in shop.query("select raw_row from ops.quarantine")}
    assert {"00001", "00002"} <= read
    assert shop.run().files_loaded == 0
    add(source, 3, 11)
    assert shop.run().files_loaded == 1
    assert "00003" in amounts(shop)


@pytest.mark.parametrize(
    ("kind", "overlap", "marks"),
    [
        ("bigint", "5", ("100", "101")),
        ("date", "1 day", ("2026-03-01", "2026-03-02")),
        ("timestamp", "0", ("2026-03-01", "2026-03-01 00:00:00.5")),
    ],
)
def test_other_kinds_of_watermark(
    shop: Shop, source: PostgresDatabase, kind: str, overlap: str, marks: tuple[str, str]
) -> None:
    source.execute(f"alter table shop.orders add column mark {kind}")
    shop.change(table={"name": "shop.orders", "watermark": "mark", "overlap": overlap})
    for number, mark in enumerate(marks):
        add(source, number, number)
        source.execute("update shop.orders set mark = %s where id = %s", [mark, f"{number:05d}"])
        assert shop.run().files_loaded == 1
        assert shop.run().files_loaded == 0
    assert list(amounts(shop)) == ["00000", "00001"]


def test_named_columns_alone_are_read(shop: Shop, source: PostgresDatabase) -> None:
    add(source, 1, 1, note="not for us")
    columns = ["id", "total_amount", "currency", "created_at", "status", "updated_at"]
    shop.change(
        table={"name": "shop.orders", "columns": columns, "watermark": "updated_at", "overlap": "1 hour"}
    )
    shop.run()
    assert shop.query("select customer_id, _rescued from raw.store_orders") == [(None, None)]


def test_equal_rows_are_equal_bytes_however_they_lie_in_the_table(
    tmp_path: Path, source: PostgresDatabase
) -> None:
    contents = []
    for order in ((1, 2, 3), (3, 1, 2)):
        source.execute("truncate shop.orders")
        for number in order:
            add(source, number, 5)
        shop = shop_of(tmp_path / f"home{order[0]}", source)
        shop.run()
        contents.append(shop.query("select content_sha256 from ops.load_ledger"))
    assert contents[0] == contents[1]


# ---------------------------------------------------------------------- crashes and faults


@contextmanager
def broken(where: type, name: str, *, after: bool) -> Iterator[None]:
    """A process that dies before or after a step."""

    class PowerCut(BaseException):
        pass

    step: Callable[..., Any] = getattr(where, name)

    def die(*arguments: Any, **named: Any) -> Any:
        if after:
            step(*arguments, **named)
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(PowerCut):
            yield


@pytest.mark.parametrize(
    ("where", "name", "after"),
    [
        pytest.param(Discovery, "write", False, id="polled"),
        pytest.param(Intake, "_discover_all", True, id="numbered"),
        pytest.param(Intake, "_load_or_reject", False, id="checked"),
        pytest.param(Intake, "_load_or_reject", True, id="loaded"),
    ],
)
def test_the_mark_moves_only_with_the_load(
    shop: Shop, source: PostgresDatabase, where: type, name: str, after: bool
) -> None:
    """Whatever breaks off, and whatever is written to the table meanwhile: no row is missed."""
    add(source, 1, 1)
    shop.run()
    add(source, 2, 20)
    with broken(where, name, after=after):
        shop.run()
    add(source, 3, 40)
    report = shop.run()
    assert report.waiting == []
    assert shop.run().files_loaded == 0
    assert list(amounts(shop)) == ["00001", "00002", "00003"]
    assert {status for statuses in shop.statuses().values() for status in statuses} == {"loaded"}
    assert not list((shop.home.root / "work").glob("*"))


def test_a_rebuild_from_bronze_goes_on_from_the_same_mark(shop: Shop, source: PostgresDatabase) -> None:
    add(source, 1, 1)
    shop.run()
    add(source, 2, 30)
    shop.run()
    state = shop.state()
    shop.home.warehouse.unlink()
    shop.service().reload("again")
    assert shop.state() == state
    assert shop.run().files_loaded == 0


def test_what_was_taken_back_by_hand_does_not_come_again_by_itself(
    shop: Shop, source: PostgresDatabase
) -> None:
    add(source, 1, 1)
    shop.run()
    (name,) = shop.statuses()
    shop.service().withdraw(shop.batch_of(name), "back")
    assert shop.run().files_loaded == 0
    assert amounts(shop) == {}


def test_what_was_taken_back_comes_again_when_the_feed_was_corrected(
    shop: Shop, source: PostgresDatabase
) -> None:
    add(source, 1, 1)
    shop.run()
    (name,) = shop.statuses()
    batch = shop.batch_of(name)
    shop.change(entities=[{"entity": "store.orders", "columns": {"location_id": {"constant": "5"}}}])
    shop.service().withdraw(batch, "back")
    assert shop.run().files_loaded == 1
    assert shop.query("select location_id from raw.store_orders") == [("5",)]


def test_a_rejected_poll_does_not_move_the_mark(shop: Shop, source: PostgresDatabase) -> None:
    shop.change(quarantine_threshold={"share": 0, "rows": 0})
    add(source, 1, 1, amount="NaN")
    assert shop.run().files_rejected == 1
    assert shop.run().files_rejected == 0
    add(source, 1, 30, amount="1")
    add(source, 2, 31)
    assert shop.run().files_loaded == 1
    assert list(amounts(shop)) == ["00001", "00002"]


def test_another_definition_of_the_table_starts_from_the_beginning(
    shop: Shop, source: PostgresDatabase
) -> None:
    add(source, 1, 1, note="x")
    add(source, 2, 50)
    shop.run()
    columns = ["id", "customer_id", "total_amount", "currency", "created_at", "status", "updated_at"]
    shop.change(table={**feed_of(source)["table"], "columns": columns})
    assert shop.run().rows_read == 2


@pytest.mark.parametrize(
    ("fault", "when"),
    [
        (Fault("reset"), b""),
        (Fault("close"), b"copy (select"),
        (Fault("reset", passes=20_000), b"copy (select"),
    ],
    ids=["connect", "copy", "half way"],
)
def test_a_connection_that_breaks_costs_another_try(
    tmp_path: Path, source: PostgresDatabase, pauses: list[float], fault: Fault, when: bytes
) -> None:
    source.execute(
        "insert into shop.orders select i::text, 7, 1, 'USD', '2026-02-28', 'paid', '2026-03-01 10:00:00+00', 'note'"
        " from generate_series(1, 1000) as i"
    )
    with TcpProxy(source.host, source.port) as proxy:
        shop = shop_of(tmp_path / "home", source, proxy.port)
        proxy.harm(fault, when=when, times=2)
        assert shop.run().rows_accepted == 1_000
        assert proxy.harmed == 2
    assert len(pauses) == 2


def test_a_server_that_stays_away_is_told(tmp_path: Path, source: PostgresDatabase) -> None:
    with TcpProxy(source.host, source.port) as proxy:
        shop = shop_of(tmp_path / "home", source, proxy.port)
        proxy.harm(Fault("reset"), times=1_000)
        with pytest.raises(UnavailableError, match="failed 6 times"):
            shop.run()
        assert proxy.connections == 6


def test_a_user_that_is_not_let_in_ends_it_at_once_and_the_password_is_not_told(
    shop: Shop, source: PostgresDatabase, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "c0ffee")
    shop.change(location=shop.feeds[0]["location"].replace(f"{source.user}@", "nobody@"))
    with pytest.raises(AccessError) as caught:
        shop.run()
    assert not pauses
    assert "c0ffee" not in str(caught.value)
    assert source.name in str(caught.value)


def test_a_table_that_we_may_not_read_ends_it_at_once(
    shop: Shop, source: PostgresDatabase, pauses: list[float]
) -> None:
    source.execute(
        f"create role reader_{source.name} login; grant usage on schema shop to reader_{source.name}"
    )
    location = shop.feeds[0]["location"].replace(f"{source.user}@", f"reader_{source.name}@")
    shop.change(location=location)
    try:
        with pytest.raises(AccessError, match=r"does not let us read shop\.orders"):
            shop.run()
        assert not pauses
    finally:
        source.execute(f"drop owned by reader_{source.name}; drop role reader_{source.name}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "shop.nothing"}, "no table 'shop.nothing'"),
        ({"name": "orders; drop table shop.orders"}, "table.name"),
        ({"watermark": "changed"}, "no column 'changed'"),
        ({"columns": ["id", "changed"]}, "no column 'changed'"),
        ({"watermark": "note"}, "neither a time nor a whole number"),
        ({"overlap": "100"}, "say a time"),
        ({"overlap": "a while"}, "table.overlap"),
        ({"watermark": "customer_id"}, "say a plain number"),
    ],
)
def test_a_mistake_in_the_table_is_told(
    shop: Shop, source: PostgresDatabase, change: dict[str, Any], said: str
) -> None:
    shop.change(table={**feed_of(source)["table"], **change})
    with pytest.raises(ConfigurationError, match=said):
        shop.run()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"table": None}, "table is missing"),
        ({"delimiter": ";"}, "delimiter says how files are written"),
        ({"same_name": "replace"}, "same_name says how files"),
        ({"location": "file://landing/shop_orders"}, "goes with a postgres"),
        ({"location": "postgres://user:c0ffee@host/shop"}, "holds a password"),
    ],
)
def test_a_mistake_in_the_feed_is_told(shop: Shop, settings: dict[str, Any], said: str) -> None:
    shop.change(**settings)
    shop.feeds[0] = {name: value for name, value in shop.feeds[0].items() if value is not None}
    with pytest.raises(ConfigurationError, match=said) as caught:
        shop.run()
    assert "c0ffee" not in str(caught.value)


def test_the_sensor_sees_a_new_watermark_without_reading_the_table(
    shop: Shop, source: PostgresDatabase
) -> None:
    add(source, 1, 1)
    shop.service()
    (feed,) = load_feeds(shop.home.feeds, shop.home)
    seen = list(open_store(feed, shop.home).state("*"))
    assert seen == list(open_store(feed, shop.home).state("*"))
    add(source, 2, 2)
    assert seen != list(open_store(feed, shop.home).state("*"))


def test_a_poll_sees_one_moment(
    shop: Shop, source: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is written while the table is read belongs to the next poll, with the mark as without."""
    add(source, 1, 1)
    written = threading.Event()
    highest = relational._Reading.highest

    def highest_and_write(reading: Any, least: str | None) -> str | None:
        found = highest(reading, least)
        if not written.is_set():
            written.set()
            add(source, 2, 30)
        return found

    monkeypatch.setattr(relational._Reading, "highest", highest_and_write)
    assert shop.run().rows_read == 1
    shop.run()
    assert list(amounts(shop)) == ["00001", "00002"]
