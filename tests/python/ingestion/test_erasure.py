"""A customer who asked to be forgotten: nothing personal stays, no figure changes, nothing comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from shop import HEADER, Shop

from ingestion import erasure, session
from ingestion.batch_record import RECORD_NAME
from ingestion.loader import WarehouseLoader
from ingestion.suppression import LIST_NAME, customer_token, pseudonym
from ingestion.tokens import TokenKey
from ingestion.warehouses import open_warehouse
from settings.errors import ConfigurationError, NotFoundError

PEOPLE = "id,email,region,signup_date,is_loyalty,shoe_size,updated_at"
ANN, BOB = "C-ann-4711", "C-bob-0815"
ORDERS = f"""{HEADER},gift_note
1,{ANN},10.00,USD,2026-02-01 10:00:00,paid,,for Ann
2,{BOB},20.00,USD,2026-02-01 11:00:00,paid,,for Bob
3,{ANN},ten,USD,2026-02-01 12:00:00,paid,,for Ann
4,{BOB},ten,USD,2026-02-01 12:00:00,paid,,for Bob
5,{ANN},30.00
6,{ANN},30.00,USD,2026-02-02 12:00:00,paid,,
6,{ANN},30.00,USD,2026-02-02 12:00:00,paid,,
"""
CUSTOMERS = f"""{PEOPLE}
{ANN},ann@example.org,north,2026-01-02,yes,size-38,2026-01-02 10:00:00
{BOB},bob@example.org,south,2026-01-03,no,size-44,2026-01-03 10:00:00
{ANN},ann.new@example.org,west,2026-01-02,yes,size-38,2026-01-20 10:00:00
"""


def stands_for(customer: str, system: str = "store") -> str:
    return pseudonym(customer_token(TokenKey.from_environment(), system, customer))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two customers with orders, bad rows, and a rejected file."""
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 0.9, "rows": 0})
    shop.add_feed("people", "store.customers")
    shop.deliver("orders.csv", ORDERS)
    shop.deliver("bad.csv", f"{HEADER}\n7,{ANN},ten,USD,2026-02-01 12:00:00,paid,\n")
    shop.deliver("people.csv", CUSTOMERS, "people")
    shop.run()
    assert shop.statuses()["bad.csv"] == ["rejected"]
    return shop


def erase(shop: Shop, *customers: str, tokens: tuple[str, ...] = (), run_id: str = "erase") -> Any:
    return shop.service().erase("store", customers, tokens, run_id)


def left(shop: Shop, *words: str) -> list[str]:
    """Where one of these words still stands: in a table, in bronze, in a record, in the list."""
    found: list[str] = []
    with duckdb.connect(str(shop.home.warehouse), read_only=True) as connection:
        for schema, table in connection.execute(
            "select table_schema, table_name from information_schema.tables where table_schema in ('raw', 'ops')"
        ).fetchall():
            text = str(connection.execute(f"select * from {schema}.{table}").fetchall())
            found += [f"{schema}.{table}: {word}" for word in words if word in text]
    for path in sorted(path for path in shop.home.bronze.rglob("*") if path.is_file()):
        text = path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            text += str(duckdb.execute("select * from read_parquet(?)", [str(path)]).fetchall())
        found += [f"{path.name}: {word}" for word in words if word in text]
    return found


def loaded(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """Rows, counts and bad rows of loaded files."""
    bad = shop.query(
        "select * exclude (_ingested_at, run_id) from ops.quarantine where row_number is not null order by all"
    )
    return {**shop.state(ledger=False), "ops.quarantine": bad}


def figures(shop: Shop) -> list[tuple[Any, ...]]:
    """What must not change: rows, sums, counts."""
    return [
        *shop.query(
            "select id, total_amount, created_at, status from raw.store_orders order by id, _row_number"
        ),
        *shop.query("select signup_date, is_loyalty, updated_at from raw.store_customers order by all"),
        *shop.query("select * exclude (null_counts) from ops.load_entity_counts order by all"),
        *shop.query("select batch_id, row_number, rule, status from ops.quarantine order by all"),
        *shop.query(
            "select batch_id, content_sha256, status, load_sequence from ops.load_ledger order by all"
        ),
    ]


def test_nothing_personal_stays_and_no_figure_changes(shop: Shop) -> None:
    before = figures(shop)
    report = erase(shop, ANN)
    assert report.customers == 1
    assert left(shop, ANN, "for Ann", "west", "north", "size-38") == []
    assert figures(shop) == before
    assert shop.query("select distinct customer_id from raw.store_orders order by 1") == [
        (BOB,),
        (stands_for(ANN),),
    ]
    asked = "select id, email_token is null, region, _rescued from raw.store_customers order by updated_at"
    nothing = (stands_for(ANN), True, None, None)
    assert shop.query(asked) == [nothing, (BOB, False, "south", '{"shoe_size":"size-44"}'), nothing]
    kept = shop.query("select raw_row from ops.quarantine where row_number = 4")
    assert "for Bob" in kept[0][0]
    assert shop.query("select system, customer_token from ops.erasures") == [
        ("store", customer_token(TokenKey.from_environment(), "store", ANN))
    ]


def test_a_rebuild_from_bronze_and_the_same_files_bring_nobody_back(shop: Shop) -> None:
    erase(shop, ANN)
    state = loaded(shop)
    assert shop.run().files_loaded == 0  # the files still lie there, and are known
    assert loaded(shop) == state
    shop.home.warehouse.unlink()
    shop.service().reload("rebuilt")
    assert loaded(shop) == state
    batch = shop.query("select batch_id from ops.load_ledger where object_name = 'bad.csv'")[0][0]
    shop.service().accept(batch, "by-hand")
    assert left(shop, ANN) == []


def test_later_deliveries_of_the_customer_come_in_without_them(shop: Shop) -> None:
    erase(shop, ANN)
    shop.deliver("later.csv", f"{HEADER},gift_note\n9,{ANN},1.00,USD,2026-02-03 10:00:00,paid,,for Ann\n")
    shop.deliver(
        "later.csv",
        f"{PEOPLE}\n{ANN},ann@example.org,north,2026-01-02,yes,size-38,2026-02-20 10:00:00\n",
        "people",
    )
    shop.run()
    assert left(shop, ANN, "for Ann", "north") == []
    assert shop.query("select customer_id from raw.store_orders where id = '9'") == [(stands_for(ANN),)]
    assert shop.query(
        "select null_counts from ops.load_entity_counts where feed = 'people' and rows_read = 1"
    ) == [('{"id": 0, "email_token": 1, "region": 1, "signup_date": 0, "is_loyalty": 0, "updated_at": 0}',)]


def test_an_address_leads_to_every_customer_who_ever_had_it(shop: Shop) -> None:
    ((token,),) = shop.query("select email_token from raw.store_customers where region = 'north'")
    erase(shop, tokens=(token,))
    assert left(shop, ANN) == []
    assert left(shop, BOB) != []
    with pytest.raises(NotFoundError, match="no customer"):
        erase(shop, tokens=(token,))


def test_who_is_not_known_yet_is_suppressed_when_they_come(shop: Shop) -> None:
    state = shop.state(ledger=False)
    erase(shop, "C-eve")
    assert shop.state(ledger=False) == state
    shop.deliver("later.csv", f"{HEADER}\n9,C-eve,1.00,USD,2026-02-03 10:00:00,paid,\n")
    shop.run()
    assert left(shop, "C-eve") == []


def test_an_id_of_the_other_system_is_another_person(shop: Shop) -> None:
    shop.service().erase("restaurant", [ANN], [], "erase")
    assert left(shop, ANN) != []


def test_changed_keys_are_named_to_the_change_feed(shop: Shop) -> None:
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute("insert into state.watermark values ('a_model', 'raw.store_orders', 0)")
    erase(shop, ANN)
    named = shop.query("select distinct key from state.changed where source = 'raw.store_orders' order by 1")
    assert {"1", "6"} <= {key for (key,) in named}


class KilledError(BaseException):
    """What the process dies of."""


@pytest.mark.parametrize(
    ("at", "finished_by"),
    [
        ("note_unfinished", "erase"),
        ("replay", "run"),
        ("settle", "erase"),
        ("erase_rows", "run"),
        ("note_erased", "erase"),
    ],
)
def test_an_erasure_that_was_killed_is_finished_by_the_next_call(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str, finished_by: str
) -> None:
    before = figures(shop)
    owner = {
        "note_unfinished": erasure, "replay": session.Session, "settle": session.Session,
        "erase_rows": WarehouseLoader, "note_erased": WarehouseLoader,
    }[at]  # fmt: skip

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(owner, at, killed)
        with pytest.raises(KilledError):
            erase(shop, ANN)
    if finished_by == "erase":
        erase(shop, ANN, run_id="again")
    else:
        shop.run()
    assert left(shop, ANN, "for Ann", "north") == []
    assert figures(shop) == before
    assert len(shop.query("select * from ops.erasures")) == 1


def test_rows_whose_bronze_is_gone_are_erased_in_place(shop: Shop) -> None:
    before = figures(shop)
    for record in shop.home.bronze.rglob(RECORD_NAME):
        for path in [*record.parent.iterdir()]:
            path.unlink()
    erase(shop, ANN)
    assert left(shop, ANN, "for Ann", "north") == []
    assert figures(shop) == before


def test_damaged_bronze_is_told_and_leaves_the_erasure_due(shop: Shop) -> None:
    (path,) = (shop.home.bronze / "people").rglob("store.customers.parquet")
    whole = path.read_bytes()
    path.write_bytes(b"not parquet")
    report = erase(shop, ANN)
    assert [batch.feed for batch in report.batches if batch.status == "failed"] == ["people"]
    assert shop.query("select * from ops.erasures") == []
    path.write_bytes(whole)
    assert shop.run().blocking == []
    assert left(shop, ANN) == []
    assert len(shop.query("select * from ops.erasures")) == 1


def test_a_list_of_another_key_or_a_damaged_one_stops_everything(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase(shop, ANN)
    listed = shop.home.bronze / LIST_NAME
    assert listed.stat().st_mode & 0o077 == 0
    with monkeypatch.context() as patched:
        patched.setenv("TILLHOUSE_TOKEN_KEY", "another")
        with pytest.raises(ConfigurationError, match="another TILLHOUSE_TOKEN_KEY"):
            shop.run()
    listed.write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        shop.run()


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_database: object) -> Iterator[Shop]:
    del postgres_database
    shop = Shop.at(tmp_path / "server")
    shop.deliver("orders.csv", ORDERS)
    shop.service("postgres").ingest("run-1")
    shop.service("duckdb").ingest("run-1")
    return shop


def test_a_second_warehouse_of_the_home_loses_the_customer_with_its_next_run(on_postgres: Shop) -> None:
    shop = on_postgres
    shop.service("postgres").erase("store", [ANN], [], "erase")
    asked = "select customer_id, _rescued from raw.store_orders order by id, _row_number"
    with closing(open_warehouse("postgres", shop.home, read_only=True)) as server:
        there = server.query(asked).rows
        quarantined = str(server.query("select * from ops.quarantine").rows)
    assert ANN not in str(there)
    assert ANN not in quarantined
    assert shop.query(asked) != there
    shop.run()
    assert shop.query(asked) == there
    assert left(shop, ANN, "for Ann") == []
