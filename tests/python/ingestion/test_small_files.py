"""Small files are taken many at a time; what becomes of each is what becomes of it alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import pytest
from shop import HEADER, Shop, order_line, orders

from ingestion import small_files
from ingestion.batch_record import read_record
from ingestion.bronze import WrittenTogether
from ingestion.discovery import Discovery
from ingestion.engines.duckdb import DuckDBEngine
from ingestion.ledger import Ledger
from ingestion.loader import WarehouseLoader
from ingestion.preflight import content_digest

FILES = 9


def deliver_mixed(shop: Shop) -> None:
    """Good files, and beside them whatever can be wrong with a small one."""
    for number in range(FILES):
        shop.deliver(f"good_{number}.csv", orders(range(number * 10, number * 10 + 7)))
    shop.deliver("rows_of_another.csv", orders(range(3)) + order_line(1, amount="11.00") + "\n")
    shop.deliver("bad_rows.csv", orders(range(100, 104), bad=[104, 105]))
    shop.deliver(
        "repeats.csv",
        "\n".join(
            [HEADER, order_line(200), order_line(201), order_line(200), order_line(201, amount="9"), ""]
        ),
    )
    shop.deliver(
        "long_and_short.csv", f"{HEADER}\n{order_line(300)},more,and more\n00301,C1\n{order_line(302)}\n"
    )
    shop.deliver("spaced.csv", orders(range(400, 402)).replace("C", " C"))
    shop.deliver("quoted.csv", f'{HEADER}\n00500,"C,1",10.00,USD,2026-02-01 10:00:00,paid,\n')
    shop.deliver("broken_quotes.csv", f'{HEADER}\n00501,"C"1,10.00,USD,2026-02-01 10:00:00,paid,\n')
    shop.deliver("accents.csv", orders(range(600, 602)).replace("C", "Ç"))
    shop.deliver("future.csv", f"{HEADER}\n00700,C1,10.00,USD,2126-02-01 10:00:00,paid,\n")
    shop.deliver("header_only.csv", f"{HEADER}\n")
    shop.deliver("no_such_column.csv", "id,customer_id\n1,2\n")
    shop.deliver("more_columns.csv", orders(range(800, 803)).replace("\n", ",x\n"))
    shop.deliver("header_again.csv", orders(range(900, 902)) + orders(range(902, 904)))
    shop.deliver("empty.csv", "")
    shop.deliver("latin.csv", orders(range(3)).replace("C", "\xc7").encode("latin-1"))


def state_of(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """The state without the minute in which a file was first seen."""
    return {
        table: [
            tuple(
                re.sub(r"on record: [^)]*", "", value) if isinstance(value, str) else value for value in row
            )
            for row in rows
        ]
        for table, rows in shop.state().items()
    }


def by_themselves() -> Any:
    return mock.patch.object(small_files, "FEWEST_FILES", 10**6)


def records_of(shop: Shop) -> dict[str, Any]:
    """What bronze remembers of each file."""
    found = {}
    for path in shop.home.bronze.glob("*/*/batch.json"):
        record = read_record(path.parent)
        found[record.entry.object_name] = [
            (entity.entity, {**vars(entity.outcome), "checked_path": entity.outcome.checked_path.name})
            for entity in record.entities
        ]
    return found


def test_files_taken_together_become_what_they_become_one_by_one(tmp_path: Path) -> None:
    alone, together = Shop.at(tmp_path / "alone"), Shop.at(tmp_path / "together")
    deliver_mixed(alone)
    deliver_mixed(together)
    with by_themselves():
        one_by_one = alone.run()
    with mock.patch.object(DuckDBEngine, "validate_together", autospec=True) as counted:
        counted.side_effect = REAL_VALIDATE_TOGETHER
        report = together.run()

    assert sum(len(call.args[1]) for call in counted.call_args_list) > FILES, "most files went together"
    assert report.waiting == one_by_one.waiting == []
    assert together.statuses() == alone.statuses()
    assert state_of(together) == state_of(alone)
    assert records_of(together) == records_of(alone)
    assert sorted(result.object_name for result in report.batches) == sorted(
        result.object_name for result in one_by_one.batches
    )
    assert (report.files_loaded, report.files_rejected, report.rows_read, report.rows_quarantined) == (
        one_by_one.files_loaded, one_by_one.files_rejected, one_by_one.rows_read, one_by_one.rows_quarantined,
    )  # fmt: skip
    assert sorted(report.warnings) == sorted(one_by_one.warnings)

    # Bronze is as good as if each file had come alone: the whole company comes back from it.
    before = together.state()
    together.home.warehouse.unlink()
    again = together.service().reload("again")
    assert {result.status for result in again.batches} == {"loaded"}
    assert together.state()["raw.store_orders"] == before["raw.store_orders"]
    assert together.state()["ops.load_entity_counts"] == before["ops.load_entity_counts"]


def test_one_bad_file_does_not_keep_the_others_of_its_portion(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", quarantine_threshold={"share": 0.0, "rows": 1})
    for number in range(FILES):
        shop.deliver(f"o_{number}.csv", orders(range(number * 10, number * 10 + 5)))
    shop.deliver("o_bad.csv", orders(range(3), bad=[91, 92, 93]))
    report = shop.run()
    assert (report.files_loaded, report.files_rejected) == (FILES, 1)
    assert shop.query("select count(*) from raw.store_orders") == [(FILES * 5,)]


REAL_VALIDATE_TOGETHER = DuckDBEngine.validate_together


class PowerCut(BaseException):
    """Ends the process as far as the code can tell."""


def cut(real: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def crashing(*arguments: Any, **named: Any) -> Any:
        if not before:
            real(*arguments, **named)
        raise PowerCut

    return crashing


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    shop = Shop.at(tmp_path_factory.mktemp("straight") / "home")
    deliver_mixed(shop)
    shop.run()
    return state_of(shop)


@pytest.mark.parametrize(
    "point",
    [
        (Discovery, "write", False),
        (DuckDBEngine, "validate_together", False),
        (WrittenTogether, "finish", True),
        (WrittenTogether, "finish", False),
        (WarehouseLoader, "load_together", True),
        (WarehouseLoader, "load_together", False),
        (WarehouseLoader, "_check_totals", False),
        (Ledger, "record_attempts", False),
        (small_files, "result_of", True),
    ],
    ids=lambda point: f"{point[1]}-{'before' if point[2] else 'after'}",
)
def test_a_crash_while_files_are_taken_together_leaves_nothing_half_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    straight: dict[str, list[tuple[Any, ...]]],
    point: tuple[Any, str, bool],
) -> None:
    owner, name, before = point
    shop = Shop.at(tmp_path / "home")
    deliver_mixed(shop)
    monkeypatch.setattr(owner, name, cut(getattr(owner, name), before=before))
    with pytest.raises(PowerCut):
        shop.run()
    monkeypatch.undo()
    committed = shop.query("select count(*) from ops.load_ledger where status = 'loaded'")[0][0]
    assert committed == 0 or name == "result_of", "all files of a portion or none"
    shop.run()
    assert state_of(shop) == straight
    assert not list(shop.home.bronze.glob("*/*/.*"))


def test_an_object_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known by name and version is not opened; a new version is."""
    monkeypatch.setattr("ingestion.landing.folder.SETTLING_SECONDS", -1.0)  # as if it had lain there for long
    shop = Shop.at(tmp_path / "home")
    for number in range(FILES):
        shop.deliver(f"o_{number}.csv", orders(range(number * 10, number * 10 + 5)))
    shop.run()
    opened: list[str] = []

    def counted(stream: BinaryIO) -> str:
        opened.append("read")
        return content_digest(stream)

    monkeypatch.setattr("ingestion.discovery.content_digest", counted)
    report = shop.run()
    assert (report.files_seen, report.files_duplicate, opened) == (FILES, FILES, [])
    shop.deliver("o_1.csv", orders(range(500, 505)))
    assert shop.run().files_loaded == 1
    assert opened == ["read"]


def test_an_object_written_this_very_moment_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within the same tick of the file system's clock would carry the same version."""
    monkeypatch.setattr("ingestion.landing.folder.SETTLING_SECONDS", 10**6)
    shop = Shop.at(tmp_path / "home")
    shop.deliver("o.csv", orders(range(3)))
    shop.run()
    assert shop.query("select count(*) from ops.seen_objects") == [(0,)]
