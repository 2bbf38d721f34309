"""Rows in quarantine come in from bronze when the feed or the contract that turned them away has changed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from shop import HEADER, Shop, order_line

from ingestion import session as session_module
from ingestion.bronze_store import FolderBronze
from ingestion.recheck import RowSelection
from settings.errors import ConfigurationError, DataRejectedError


def with_columns(columns: dict[str, object]) -> list[dict[str, object]]:
    return [{"entity": "store.orders", "columns": columns}]


def correct(shop: Shop, **columns: object) -> None:
    """Correct the feed's mapping."""
    shop.change(entities=with_columns(columns))


AMOUNT = {"column": "total_amount", "remove": ["£"]}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two files with good rows, rows whose amount has a currency sign, and a row that stays bad."""
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 1, "rows": 100})
    rows = [
        order_line(1),
        order_line(2, amount="£5.00"),
        order_line(3, amount="ten"),
        order_line(4, amount="£7.25"),
    ]
    shop.deliver("a.csv", "\n".join([HEADER, *rows]) + "\n")
    shop.deliver("b.csv", "\n".join([HEADER, order_line(5), order_line(6, amount="£8.00"), "7,C1"]) + "\n")
    shop.run()
    assert shop.ids() == ["00001", "00005"]
    return shop


def quarantined(shop: Shop) -> list[tuple[object, ...]]:
    return shop.query(
        "select source_file, row_number, rule from ops.quarantine where status = 'open'"
        " order by source_file, row_number"
    )


def conserved(shop: Shop) -> None:
    """Counts, rows and quarantine of every delivery agree."""
    for batch, read, accepted, bad, repeated, excluded in shop.query(
        "select batch_id, rows_read, rows_accepted, rows_quarantined, rows_duplicate, rows_excluded"
        " from ops.load_entity_counts"
    ):
        assert read == accepted + bad + repeated + excluded
        for table, expected, condition in (
            ("raw.store_orders", accepted, "_batch_id"),
            ("ops.quarantine", bad, "batch_id"),
        ):
            assert shop.query(f"select count(*) from {table} where {condition} = ?", [batch]) == [(expected,)]


def test_a_reload_lets_in_what_the_corrected_feed_can_read_each_row_once(shop: Shop) -> None:
    correct(shop, total_amount=AMOUNT)
    report = shop.service().reload("again")
    assert shop.ids() == ["00001", "00002", "00004", "00005", "00006"]
    assert sum(batch.rows_released for batch in report.batches) == 3
    assert quarantined(shop) == [("a.csv", 3, "not_a_number"), ("b.csv", 3, "short_row")]
    conserved(shop)
    numbers = shop.query("select id, _row_number, total_amount from raw.store_orders order by id")
    assert [(key, row, float(amount)) for key, row, amount in numbers] == [
        ("00001", 1, 10.0), ("00002", 2, 5.0), ("00004", 4, 7.25), ("00005", 1, 10.0), ("00006", 2, 8.0),
    ]  # fmt: skip
    state = shop.state()
    assert sum(batch.rows_released for batch in shop.service().reload("twice").batches) == 0
    assert shop.state() == state


def test_it_is_what_loading_the_files_with_the_corrected_feed_would_have_given(
    shop: Shop, tmp_path: Path
) -> None:
    correct(shop, total_amount=AMOUNT)
    shop.service().reload("again")
    other = Shop.at(tmp_path / "other", quarantine_threshold={"share": 1, "rows": 100})
    correct(other, total_amount=AMOUNT)
    for path in sorted((shop.home.landing / "shop_orders").iterdir()):
        other.deliver(path.name, path.read_bytes())
    other.run()
    raw = "raw.store_orders"
    assert shop.state()[raw] == other.state()[raw]
    assert shop.state()["ops.quarantine"] == other.state()["ops.quarantine"]


def test_a_rebuild_from_bronze_gives_the_rows_that_came_in(shop: Shop) -> None:
    correct(shop, total_amount=AMOUNT)
    shop.service().reload("again")
    state = shop.state(ledger=False)
    shop.home.warehouse.unlink()
    shop.service().reload("rebuilt")
    assert shop.state(ledger=False) == state


def test_only_the_chosen_rows_come_in(shop: Shop) -> None:
    correct(shop, total_amount=AMOUNT)
    batch = shop.batch_of("a.csv")
    report = shop.service().release([batch], RowSelection(row_numbers=(4,)), "one")
    assert sum(result.rows_released for result in report.batches) == 1
    assert shop.ids() == ["00001", "00004", "00005"]
    conserved(shop)
    shop.service().release([batch], RowSelection(rule="not_finite"), "none")
    assert shop.ids() == ["00001", "00004", "00005"]
    # The other rows have not been judged by the corrected feed yet.
    shop.service().reload("rest")
    assert shop.ids() == ["00001", "00002", "00004", "00005", "00006"]


def test_keys_of_the_rows_that_come_in_are_named_to_the_change_feed(shop: Shop) -> None:
    with duckdb.connect(str(shop.home.warehouse)) as connection:
        connection.execute("insert into state.watermark values ('a_model', 'raw.store_orders', 0)")
    correct(shop, total_amount=AMOUNT)
    shop.service().release([shop.batch_of("a.csv")], RowSelection(row_numbers=(2,)), "one")
    named = {row[0] for row in shop.query("select key from state.changed where source = 'raw.store_orders'")}
    assert named == {"00001", "00002"}


def test_a_row_that_repeats_an_accepted_one_comes_in_as_a_repetition(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 1, "rows": 100})
    rows = [order_line(1, amount="5.00"), order_line(1, amount="£5.00")]
    shop.deliver("a.csv", "\n".join([HEADER, *rows]) + "\n")
    shop.run()
    correct(shop, total_amount=AMOUNT)
    shop.service().reload("again")
    assert shop.ids() == ["00001"]
    assert shop.query(
        "select rows_accepted, rows_quarantined, rows_duplicate from ops.load_entity_counts"
    ) == [(1, 0, 1)]


def test_a_cell_with_something_hidden_stays_where_its_exact_text_matters(tmp_path: Path) -> None:
    card = "4111111111111111"
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 1, "rows": 100})
    rows = [
        f"{card},C1,£1.00,USD,2026-02-01 10:00:00,paid,",
        f"00002,{card},£1.00,USD,2026-02-01 10:00:00,paid,",
        "00003,C1,£1.00,USD,2026-02-01 10:00:00,paid,",
    ]
    shop.deliver("a.csv", "\n".join([HEADER, *rows]) + "\n")
    shop.run()
    correct(shop, total_amount=AMOUNT)
    shop.service().reload("again")
    assert shop.ids() == ["00003"]
    assert [row[1] for row in quarantined(shop)] == [1, 2]


def test_private_values_keep_the_token_that_was_made_at_the_door(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 1, "rows": 100})
    shop.add_feed("people", "store.customers", quarantine_threshold={"share": 1, "rows": 100})
    shop.deliver(
        "p.csv",
        "id,email,signup_date\nC1,ann@example.org,2026-01-02\nC2,bob@example.org,02.01.2026\n",
        "people",
    )
    shop.run()
    before = shop.query("select id, email_token from raw.store_customers")
    shop.change(
        1, entities=[{"entity": "store.customers", "columns": {"signup_date": {"date_format": "%d.%m.%Y"}}}]
    )
    shop.service().reload("again", feed="people")
    after = dict(shop.query("select id, email_token from raw.store_customers"))
    assert set(after) == {"C1", "C2"}
    assert after["C1"] == dict(before)["C1"]
    reference = Shop.at(tmp_path / "reference")
    reference.add_feed("people", "store.customers")
    reference.deliver("p.csv", "id,email,signup_date\nC2,bob@example.org,2026-01-02\n", "people")
    reference.run()
    assert reference.query("select email_token from raw.store_customers") == [(after["C2"],)]


def test_feeds_whose_rows_depend_on_each_other_say_why_none_is_judged_alone(shop: Shop) -> None:
    correct(shop, total_amount={"sum_over_key": ["total_amount"]})
    report = shop.service().reload("again")
    assert shop.ids() == ["00001", "00005"]
    messages = {batch.object_name: batch.message or "" for batch in report.batches}
    assert "withdraw" in messages["a.csv"]
    conserved(shop)


def test_a_choice_needs_its_feed_and_a_loaded_delivery(shop: Shop) -> None:
    batch = shop.batch_of("a.csv")
    shop.service().withdraw(batch, "away")
    with pytest.raises(DataRejectedError, match="withdrawn"):
        shop.service().release([batch], RowSelection(row_numbers=(2,)), "one")
    other = shop.batch_of("b.csv")
    shop.feeds[0]["name"] = "renamed"
    (shop.home.landing / "renamed").mkdir()
    with pytest.raises(ConfigurationError, match="none of the feed files"):
        shop.service().release([other], RowSelection(row_numbers=(2,)), "one")


@pytest.mark.parametrize("at", ["record", "load"])
def test_a_run_that_was_killed_between_bronze_and_warehouse_is_finished_by_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    correct(shop, total_amount=AMOUNT)

    class KilledError(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        if at == "record":
            patched.setattr(FolderBronze, "keep", killed)
        else:
            patched.setattr(session_module.Session, "load", killed)
        with pytest.raises(KilledError):
            shop.service().reload("killed", feed="shop_orders")
    assert shop.ids() == ["00001", "00005"]
    shop.run()  # nothing new lies in the landing folder
    in_bronze = shop.ids()
    assert in_bronze == (["00001", "00005"] if at == "record" else ["00001", "00002", "00004", "00005"])
    shop.service().reload("again")
    assert shop.ids() == ["00001", "00002", "00004", "00005", "00006"]
    conserved(shop)
    left = sorted(path.name for path in (shop.home.bronze / "shop_orders" / shop.batch_of("a.csv")).iterdir())
    assert left == ["batch.json", "store.orders.2.parquet", "store.orders.2.repeats.parquet"]


def test_an_accepted_delivery_is_judged_by_the_feed_of_today(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 0.1, "rows": 0})
    shop.deliver("a.csv", "\n".join([HEADER, order_line(1), order_line(2, amount="£5.00")]) + "\n")
    shop.run()
    batch = shop.batch_of("a.csv", "rejected")
    correct(shop, total_amount=AMOUNT)
    result = shop.service().accept(batch, "by-hand")
    assert (result.rows_accepted, result.rows_quarantined) == (2, 0)
    assert shop.ids() == ["00001", "00002"]


def test_without_a_change_nothing_is_judged_again(shop: Shop) -> None:
    state = shop.state()
    shop.service().reload("again")
    assert shop.state() == state
    assert list((shop.home.bronze).rglob("*.2.parquet")) == []


def test_good_rows_keep_what_they_were_read_as(shop: Shop) -> None:
    """A corrected feed judges rows in quarantine; to read the others in another way takes the file."""
    correct(shop, total_amount=AMOUNT, status={"constant": "delivered"})
    shop.service().reload("again", feed="shop_orders")
    assert shop.query("select id, status from raw.store_orders order by id") == [
        ("00001", "paid"), ("00002", "delivered"), ("00004", "delivered"), ("00005", "paid"), ("00006", "delivered"),
    ]  # fmt: skip
