"""An address or a card number in a file's name stays out of everything that is kept or shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import Shop, orders

from ingestion import operations
from ingestion.object_names import safe_name
from settings.errors import NotFoundError

ADDRESS = "jane.doe@example.com"
CARD = "4111111111111111"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (f"{ADDRESS}.csv", "[e-mail].csv"),
        (f"orders_{ADDRESS}_20260201.csv.gz", "[e-mail]_20260201.csv.gz"),
        (f"shops/{ADDRESS}/a.csv", "shops/[e-mail]/a.csv"),
        ("jane%40example.com.jsonl", "[e-mail].jsonl"),
        (f"card_{CARD}.csv", "card_****1111.csv"),
        ("card 4111-1111_1111 1111.csv", "card ****1111.csv"),
        (f"{CARD}1226.csv", "****1226.csv"),  # with an expiry date behind it
        (f"{ADDRESS} {CARD}", "[e-mail] ****1111"),
    ],
)
def test_private_parts_of_a_name_are_masked(name: str, shown: str) -> None:
    masked, mark, digest = safe_name(name).rpartition("#")
    assert (masked, mark) == (shown, "#")
    assert len(digest) == 10
    assert safe_name(name) == safe_name(name)


@pytest.mark.parametrize(
    "name",
    ["orders_20260201.csv", "orders_20260430-235959.csv", "sales@berlin.csv", "a@b.csv.gz", "4111111111111112.csv",
     "1767225600000.csv", "2026-04-30_12-30-45_000123.csv", "größe.csv", "a#b.csv"],
)  # fmt: skip
def test_other_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


def test_two_names_stay_two_and_the_hash_needs_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{person}@example.com.csv" for person in ("jane", "bob")]
    shown = [safe_name(name) for name in names]
    assert len(set(shown)) == 2
    monkeypatch.setenv("TILLHOUSE_TOKEN_KEY", "another")
    assert not set(shown) & {safe_name(name) for name in names}


def test_no_trace_of_a_private_name_is_left_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not of a file that loads, is refused, repeats another, waits, or lacks its delivery time."""
    caplog.set_level("DEBUG")
    shop = Shop.at(tmp_path / "home", delivery_time={"pattern": "_(\\d{8})", "format": "%Y%m%d"})
    shop.deliver(f"{ADDRESS}_20260201.csv", orders(range(3), bad=[9]))
    shop.deliver(f"{CARD}_20260202.csv", orders(range(3), bad=[9]))
    shop.deliver(f"bad_{ADDRESS}_20260203.csv", "")
    shop.deliver(f"timeless_{ADDRESS}.csv", orders(range(5)))
    shop.deliver(f"late_{ADDRESS}_20260204.csv.part", orders(range(5)))
    shop.deliver(f"new_{ADDRESS}_20260204.csv", orders(range(5)))
    shop.deliver(f"new_{ADDRESS}_20260204.csv.tmp", "")
    report = shop.run()
    assert (report.files_loaded, report.files_rejected) == (1, 2)
    assert {result.status for result in report.batches} == {"loaded", "rejected", "duplicate"}
    assert report.waiting
    told = caplog.text + repr(report) + str(shop.state())
    records = "".join(path.read_text() for path in shop.home.bronze.rglob("batch.json"))
    for text in ("jane", "example.com", CARD):
        assert text not in told
        assert text not in records
        assert text.encode() not in shop.home.warehouse.read_bytes()
        assert not any(text.encode() in path.read_bytes() for path in shop.home.bronze.rglob("*.parquet"))
    assert shop.query(
        "select distinct delivered_at::varchar from ops.load_ledger where status = 'loaded'"
    ) == [("2026-02-03 00:00:00",)]


def test_a_masked_name_is_known_again(tmp_path: Path) -> None:
    """A changed file replaces the former of its name, and one of another person does not."""
    shop = Shop.at(tmp_path / "home", same_name="replace")
    shop.deliver(f"{ADDRESS}.csv", orders(range(2)))
    shop.deliver("bob@example.com.csv", orders(range(10, 12)))
    shop.run()
    assert shop.run().files_loaded == 0
    shop.deliver(f"{ADDRESS}.csv", orders(range(1)))
    assert shop.run().files_loaded == 1
    assert shop.ids() == ["00000", "00010", "00011"]


def test_a_private_name_has_its_manifest_beside_it(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home", glob="*", manifest={"suffix": ".json"})
    shop.deliver(f"{ADDRESS}.csv", orders(range(2)))
    report = shop.run()
    assert ADDRESS not in repr(report)
    shop.deliver(f"{ADDRESS}.csv.json", '{"rows": 2}')
    assert shop.run().files_loaded == 1


def test_a_delivery_is_found_by_the_name_that_it_came_under_and_by_the_one_that_is_shown(
    tmp_path: Path,
) -> None:
    shop = Shop.at(tmp_path / "home")
    shop.deliver(f"{ADDRESS}.csv", orders(range(2)))
    (result,) = shop.run().batches
    for name in (f"{ADDRESS}.csv", result.object_name):
        assert operations.batches_of_file(shop.home, name) == [result.batch_id]
    with pytest.raises(NotFoundError) as caught:
        operations.batches_of_file(shop.home, f"other_{ADDRESS}.csv")
    assert ADDRESS not in str(caught.value)
