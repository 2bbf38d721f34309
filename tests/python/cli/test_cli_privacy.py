"""`tillhouse erase` and `retention`: who is named, what is said, how it ends."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from bakery import FEED, Bakery, call, orders

from ingestion.warehouses.duckdb import open_duckdb
from settings.errors import ExitCode

PEOPLE = """
  - name: bakery_people
    location: file://landing/people
    glob: "*.csv"
    entities:
      - entity: store.customers
"""


@pytest.fixture
def bakery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bakery:
    bakery = Bakery.at(tmp_path / "bakery")
    with (bakery.home.feeds / "bakery.yml").open("a") as stream:
        stream.write(PEOPLE)
    (bakery.home.landing / "people").mkdir()
    bakery.deliver("a.csv", orders("1.00", "2.00"))
    people = "id,email,signup_date\nC1,Ann@Example.org,2026-01-02\nC2,bob@example.org,2026-01-02\n"
    (bakery.home.landing / "people" / "p.csv").write_text(people)
    bakery.ingest()
    monkeypatch.setenv("TILLHOUSE_HOME", str(bakery.home.root))
    return bakery


def customers(bakery: Bakery) -> set[str]:
    warehouse = open_duckdb(bakery.home, read_only=True)
    try:
        rows = warehouse.query(
            "select customer_id from raw.store_orders union select id from raw.store_customers"
        ).rows
    finally:
        warehouse.close()
    return {str(row[0]) for row in rows}


def test_a_customer_goes_by_id_from_orders_and_customers(
    bakery: Bakery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = tmp_path / "requests.txt"
    requests.write_text("C1\n\n C9 \n")
    said = call(capsys, "erase", "--file", str(requests))
    assert said.code == ExitCode.OK
    assert "2 customers on the suppression list; 2 loaded files written anew without them" in said.out
    assert "tillhouse run" in said.out
    assert len(customers(bakery)) == 2
    assert "C2" in customers(bakery)
    assert "C1" not in customers(bakery)


def test_an_address_is_asked_for_and_never_shown(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.prompt", lambda *_, **__: " ann@example.ORG")
    said = call(capsys, "erase", "--email")
    assert said.code == ExitCode.OK
    assert "ann" not in said.out.lower()
    assert "C1" not in customers(bakery)
    assert call(capsys, "erase", "--email").code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say whom"),
        (("--customer", " "), "say whom"),
        (("--system", "bank", "--customer", "C1"), "no system"),
        (("--file", "absent.txt"), "cannot be read"),
    ],
)
def test_wrong_words_are_told_and_change_nothing(
    words: tuple[str, ...], told: str, bakery: Bakery, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, "erase", *words)
    assert said.code == ExitCode.USAGE
    assert told in said.err
    assert customers(bakery) == {"C1", "C2"}


def test_a_file_that_is_damaged_is_named(bakery: Bakery, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (bakery.home.bronze / FEED).rglob("*.parquet"):
        path.write_bytes(b"not parquet")
    said = call(capsys, "erase", "--customer", "C1")
    assert said.code == ExitCode.DATA_REJECTED
    assert FEED in said.out
    assert "run `tillhouse erase` again" in said.out


def test_retention_says_what_is_set_and_what_it_dropped(
    bakery: Bakery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call(capsys, "retention")
    assert said.code == ExitCode.OK
    assert said.out.count("kept for ever") == 2
    bakery.deliver("b.csv", orders("3.00", "ten", first=50))
    bakery.ingest("run-2")
    monkeypatch.setenv("TILLHOUSE_KEEP_QUARANTINE_DAYS", "1")
    monkeypatch.setattr("ingestion.session.datetime", _Later)
    said = call(capsys, "retention", "--dry-run")
    assert "1 row in quarantine would be cut" in said.out
    assert "1 row in quarantine cut" in call(capsys, "retention").out
    assert "0 rows in quarantine cut" in call(capsys, "retention").out
    monkeypatch.setenv("TILLHOUSE_KEEP_QUARANTINE_DAYS", "soon")
    assert call(capsys, "retention").code == ExitCode.CONFIGURATION


class _Later(datetime):
    """The clock two days on."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=2)
