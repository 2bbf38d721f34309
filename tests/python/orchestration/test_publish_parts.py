"""Large tables are published in parts: a day rewrites its own parts, and what readers see is the warehouse's rows."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration import publish_duckdb
from orchestration.publication import Publication, PublicTable, Stamp
from orchestration.publish_duckdb import DuckDBPublisher, open_published
from orchestration.publish_parts import cut
from settings.home import Home

ORDERS = PublicTable("marts", "fct_orders", day="order_date")
CUSTOMERS = PublicTable("marts", "dim_customer")
STAMP = Stamp("run", "data", "project")
FIRST_DAY = date(2026, 1, 1)
FULL_ROWS = 100
STATE = """
    create schema state;
    create table state.changed (
        source varchar, sequence bigint, source_system varchar, key varchar, customer_key varchar, day date
    );
    create table state.watermark (consumer varchar, source varchar, sequence bigint, primary key (consumer, source));
"""


class Shop:
    """A warehouse with a fact that names its changes and a dimension that is rebuilt."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root).ensure()
        self.execute(STATE)
        self.execute(
            "create schema marts; create table marts.fct_orders (order_id integer, order_date date,"
            " amount decimal(18, 4), rate double, is_booked boolean, ordered_at timestamp, note varchar);"
            "create table marts.dim_customer as select i as customer_id from range(50) as r(i)"
        )

    def execute(self, sql: str, parameters: list[object] | None = None) -> None:
        with duckdb.connect(str(self.home.warehouse)) as connection:
            connection.execute(sql, parameters or [])

    def add(self, day: date | None, rows: int, note: str = "") -> None:
        """Orders of one day, without a word in the change feed."""
        self.execute(
            "insert into marts.fct_orders select i, $1, i / 3, i / 7, i % 2 = 0, cast($1 as date) + to_minutes(i), $2"
            " from range($3) as r(i)",
            [day, note, rows],
        )

    def name(self, days: Iterable[date | None], *, everything: bool = False) -> None:
        """What the model says that it changed."""
        with duckdb.connect(str(self.home.warehouse)) as connection:
            found = connection.execute(
                "select 1 + coalesce(max(sequence), 0) from (select source, sequence from state.changed union all"
                " select source, sequence from state.watermark) where source = 'fct_orders'"
            ).fetchone()
            assert found is not None
            for day in days:
                connection.execute(
                    "insert into state.changed values ('fct_orders', $1, 'store', 'an order', null, $2)",
                    [found[0], day],
                )
            if everything:
                connection.execute(
                    "insert into state.changed (source, sequence) values ('fct_orders', ?)", [found[0]]
                )

    def publish(self, *tables: PublicTable) -> Publication:
        return self.publisher.publish(tables or (CUSTOMERS, ORDERS), STAMP)

    @property
    def publisher(self) -> DuckDBPublisher:
        return DuckDBPublisher(self.home, least_part_rows=1, full_rows=FULL_ROWS)

    @property
    def files(self) -> dict[str, int]:
        """Paths of the published files and their inodes."""
        folder = self.home.published_files
        return {
            path.relative_to(folder).as_posix(): path.stat().st_ino
            for path in sorted(folder.rglob("*.parquet"))
        }

    def mark(self) -> int | None:
        with duckdb.connect(str(self.home.warehouse), read_only=True) as connection:
            row = connection.execute(
                "select sequence from state.watermark where consumer = 'publish' and source = 'fct_orders'"
            ).fetchone()
        return row[0] if row else None

    def rows_differing(self) -> int:
        with open_published(self.home) as connection:
            connection.execute(f"attach '{self.home.warehouse}' as w (read_only)")
            row = connection.execute(
                "select count(*) from ((from marts.fct_orders except all from w.marts.fct_orders) union all"
                " (from w.marts.fct_orders except all from marts.fct_orders))"
            ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "a [home] of *one* user")
    shop.execute(f"""
        insert into marts.fct_orders
        select j, d, j / 3, j / 7, j % 2 = 0, d + to_minutes(j), ''
        from (select cast(date '{FIRST_DAY}' + to_days(i) as date) as d from range(30) as r(i)), range(30) as s(j)
        union all
        select j, null, j, j, true, null, null from range(5) as s(j)
    """)
    return shop


def orders_files(shop: Shop) -> set[str]:
    return {name for name in shop.files if name.startswith("marts/fct_orders/")}


def test_a_large_table_is_published_in_parts_with_its_columns_and_rows(shop: Shop) -> None:
    publication = shop.publish()
    assert (publication.tables, publication.rows) == (2, 30 * 30 + 5 + 50)
    assert shop.publisher.read() == publication
    assert shop.rows_differing() == 0
    assert len(orders_files(shop)) == 11  # ten of three days each, one of rows without a day
    with open_published(shop.home) as connection:
        connection.execute(f"attach '{shop.home.warehouse}' as w (read_only)")
        published = connection.execute("describe marts.fct_orders").fetchall()
        assert [row[:2] for row in published] == [
            row[:2] for row in connection.execute("describe w.marts.fct_orders").fetchall()
        ]


def test_files_and_folders_are_private_to_their_user(shop: Shop) -> None:
    shop.publish()
    paths = [shop.home.published_files, *shop.home.published_files.rglob("*")]
    assert {oct(path.stat().st_mode & 0o777) for path in paths if path.is_dir()} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in paths if path.is_file()} == {"0o600"}


def test_a_day_writes_its_own_part_and_leaves_all_others_as_they_are(shop: Shop) -> None:
    shop.publish()
    before = shop.files
    shop.add(FIRST_DAY + timedelta(4), 1)
    shop.name([FIRST_DAY + timedelta(4)])
    shop.publish()
    assert shop.rows_differing() == 0
    fresh = {name for name in orders_files(shop) if before.get(name) != shop.files[name]}
    assert [name.rpartition("/")[2][:10] for name in fresh] == [str(FIRST_DAY + timedelta(3))]
    assert {name: inode for name, inode in shop.files.items() if name in before} == before


def test_a_new_day_goes_on_with_the_last_part_until_it_is_full(shop: Shop) -> None:
    shop.publish()
    counted = []
    for number in range(30, 34):
        day = FIRST_DAY + timedelta(number)
        shop.add(day, 30)
        shop.name([day])
        before = set(shop.files)
        shop.publish()
        assert shop.rows_differing() == 0
        counted.append(len(set(shop.files) - before - {name for name in shop.files if "dim_" in name}))
    assert counted == [1, 2, 1, 1]  # 90 + 30 rows are one part of up to 125; at 150 it is cut


def test_nothing_changed_writes_no_part(shop: Shop) -> None:
    shop.publish()
    before = orders_files(shop)
    shop.publish()
    assert orders_files(shop) == before


@pytest.mark.parametrize(
    "reason", ["marker", "no mark", "older publication", "column", "file missing", "file cut", "not told"]
)
def test_everything_is_written_anew_where_parts_cannot_be_trusted(shop: Shop, reason: str) -> None:
    shop.publish()
    old = shop.home.root / "old.duckdb"
    shutil.copyfile(shop.home.published, old)
    before = orders_files(shop)
    shop.add(FIRST_DAY, 1)
    if reason == "marker":
        shop.name([], everything=True)
    elif reason == "no mark":
        shop.execute("delete from state.watermark")
    elif reason == "older publication":
        shop.name([FIRST_DAY])
        shop.publish()
        shop.execute("delete from state.changed")  # pruned: nobody waits for it
        shutil.copyfile(old, shop.home.published)
    elif reason == "column":
        shop.execute("alter table marts.fct_orders add column channel varchar default 'web'")
    elif reason.startswith("file"):
        shop.name([FIRST_DAY])
        path = shop.home.published_files / min(before)
        path.unlink() if reason == "file missing" else path.write_bytes(path.read_bytes()[:-1])
        assert shop.publisher.read() is None
    shop.publish()
    assert shop.rows_differing() == 0
    names = {name for name in orders_files(shop) if name.endswith(max(orders_files(shop)).rpartition("-")[2])}
    assert len(names) == 11


def test_a_publication_that_was_cut_short_before_its_mark_is_done_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish()
    mark = shop.mark()
    shop.add(FIRST_DAY, 1)
    shop.name([FIRST_DAY])
    with monkeypatch.context() as patched:
        patched.setattr(publish_duckdb, "advance", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            shop.publish()
    assert shop.rows_differing() == 0, "the rename had happened"
    assert shop.mark() == mark
    before = orders_files(shop)
    shop.add(FIRST_DAY + timedelta(20), 1)
    shop.name([FIRST_DAY + timedelta(20)])
    shop.publish()
    assert shop.rows_differing() == 0
    assert len(orders_files(shop) - before) == 2
    assert shop.mark() == 2


def test_a_warehouse_put_back_from_a_backup_is_not_mixed_with_what_it_does_not_know(shop: Shop) -> None:
    shop.publish()
    backup = shop.home.root / "backup"
    shutil.copyfile(shop.home.warehouse, backup)
    shop.add(FIRST_DAY, 7, note="lost")
    shop.name([FIRST_DAY])
    shop.publish()
    shutil.copyfile(backup, shop.home.warehouse)
    shop.add(FIRST_DAY + timedelta(9), 7, note="kept")
    shop.name([FIRST_DAY + timedelta(9)])  # takes the number that the lost change had
    shop.publish()
    assert shop.rows_differing() == 0


def test_a_failure_while_it_writes_leaves_the_former_publication_and_the_mark(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish()
    mark, before = shop.mark(), shop.files
    shop.add(FIRST_DAY, 1)
    shop.name([FIRST_DAY])
    with pytest.raises(duckdb.CatalogException):
        shop.publish(ORDERS, PublicTable("marts", "never_built"))
    assert shop.mark() == mark
    assert before.items() <= shop.files.items()
    with open_published(shop.home) as connection:
        assert connection.execute("select count(*) from marts.fct_orders").fetchone() == (905,)
    shop.publish()
    shop.publish()
    with open_published(shop.home) as connection:
        named = connection.execute("select file from publication.parts").fetchall()
    assert orders_files(shop) == {file for (file,) in named if "fct_orders" in file}


def test_a_reader_of_the_former_publication_keeps_its_files_until_the_next_but_one(shop: Shop) -> None:
    shop.publish()
    copied = shop.home.root / "former.duckdb"  # what a reader that opened it holds
    shutil.copyfile(shop.home.published, copied)
    for number, expected in enumerate([905, 905, None]):
        if number:
            shop.add(FIRST_DAY, 1)
            shop.name([FIRST_DAY])
            shop.publish()
        with duckdb.connect(str(copied), read_only=True) as reader:
            if expected:
                assert reader.execute("select count(order_id) from marts.fct_orders").fetchone() == (
                    expected,
                )
            else:
                with pytest.raises(duckdb.IOException, match="No files found"):
                    reader.execute("select count(order_id) from marts.fct_orders")


def test_a_home_that_has_moved_is_published_again_from_the_same_files(shop: Shop, tmp_path: Path) -> None:
    shop.publish()
    before = set(orders_files(shop))
    moved = tmp_path / "moved"
    shop.home.root.rename(moved)
    shop.home = Home(moved)
    assert shop.publisher.read() is None
    shop.publish()
    assert shop.rows_differing() == 0
    assert orders_files(shop) == before
    assert shop.publisher.read() is not None


def test_an_unreadable_catalogue_is_written_anew(shop: Shop) -> None:
    shop.publish()
    shop.home.published.write_bytes(b"no database")
    assert shop.publisher.read() is None
    shop.publish()
    assert shop.rows_differing() == 0


def test_a_warehouse_without_a_change_feed_is_published_whole(shop: Shop) -> None:
    shop.execute("drop schema state cascade")
    for _ in range(2):
        shop.publish()
        assert shop.rows_differing() == 0


def test_a_type_that_parquet_would_change_keeps_the_table_in_the_catalogue(shop: Shop) -> None:
    shop.execute(
        "alter table marts.fct_orders add column huge hugeint default 170141183460469231731687303715"
    )
    shop.publish()
    assert orders_files(shop) == set()
    assert shop.rows_differing() == 0


def test_a_small_table_stands_in_the_catalogue(shop: Shop) -> None:
    DuckDBPublisher(shop.home).publish([CUSTOMERS, ORDERS], STAMP)
    assert shop.files == {}
    assert shop.rows_differing() == 0
    shop.publish()
    assert orders_files(shop)
    assert shop.rows_differing() == 0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.minutes) for seed in (1, 2, 3))])
def test_after_any_changes_readers_see_the_rows_of_the_warehouse(tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311  (reproducible, no secret)
    shop = Shop(tmp_path / "home")
    for step in range(10):
        for _ in range(drawn.randrange(4)):
            day = drawn.choice([None, *(FIRST_DAY + timedelta(drawn.randrange(60)) for _ in range(5))])
            if drawn.random() < 0.3:
                shop.execute("delete from marts.fct_orders where order_date is not distinct from ?", [day])
            else:
                shop.add(day, drawn.randrange(1, 150), note=str(step))
            shop.name([day])
        shop.publish()
        assert shop.rows_differing() == 0, f"step {step}"


def test_days_are_cut_into_parts_of_about_the_full_size() -> None:
    days = [(FIRST_DAY + timedelta(number), 40) for number in range(6)]

    def numbers(counts: list[tuple[date, int]], full: int) -> list[tuple[int, int]]:
        return [((a - FIRST_DAY).days, (b - FIRST_DAY).days) for a, b in cut(counts, full)]

    assert numbers(days, 100) == [(0, 1), (2, 3), (4, 5)]
    assert numbers(days, 200) == [(0, 5)]  # 240 rows: a fifth too many is no reason to cut
    assert numbers(days, 10) == [(number, number) for number in range(6)]
    assert numbers([], 100) == []
