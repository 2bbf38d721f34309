"""A few hundred mutated files: each is loaded with every row accounted for, or refused by a rule about files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.rules import FILE_RULES

from . import trial
from .drawing import FEEDS, DrawnFile, draw_file
from .reading import read_content
from .trial import run_files, run_seeds

FILES = 180  # `make soak` runs 5,000 that were never drawn before


def test_mutated_files_are_loaded_whole_or_refused_whole(tmp_path: Path) -> None:
    complaints = run_seeds(range(FILES), tmp_path / "home")
    assert not complaints, "\n".join(map(str, complaints))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(500042, id="a blank before an opening quote"),
        pytest.param(31402385, id="the parquet reader runs out of buffer"),
        pytest.param(31405529, id="a NUL byte in the header"),
        pytest.param(31402663, id="a name twice in a JSON object"),
    ],
)
def test_files_that_once_went_wrong(seed: int, tmp_path: Path) -> None:
    complaints = run_seeds([seed], tmp_path / "home")
    assert not complaints, "\n".join(map(str, complaints))


def test_a_seed_gives_the_same_file_everywhere() -> None:
    assert draw_file(17) == draw_file(17)
    assert draw_file(17).content != draw_file(17 + len(FEEDS)).content
    assert {draw_file(seed).feed.name for seed in range(len(FEEDS))} == {feed.name for feed in FEEDS}


def test_most_mutations_leave_something_to_load() -> None:
    """A generator of files that are all refused would hold nothing to account."""
    drawn = [draw_file(seed) for seed in range(FILES)]
    readable = 0
    for file in drawn:
        try:
            readable += bool(read_content(file.feed, file.content).rows)
        except Exception:  # noqa: S112  (whatever Python's readers raise, the file is not readable)
            continue
    assert readable > FILES / 2
    assert len({step for file in drawn for step in file.steps}) > 25


class TestWhatIsComplainedOf:
    """The judgement sees a loss where there is one."""

    @pytest.fixture
    def orders(self) -> DrawnFile:
        feed = FEEDS[0]
        header = ",".join(column.name for column in feed.columns)
        lines = [f"O{n},C1,10.5,USD,2026-01-05 10:00:00,paid,,,,,,," for n in range(4)]
        return DrawnFile(0, feed, "\n".join([header, *lines, ""]).encode(), ())

    def spoil(self, monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
        real = trial.deliver_to

        def spoiled(home: Any, **words: Any) -> None:
            real(home, **words)
            with duckdb.connect(str(home.warehouse)) as connection:
                for statement in statements:
                    connection.execute(statement)

        monkeypatch.setattr(trial, "deliver_to", spoiled)

    def test_nothing_wrong(self, orders: DrawnFile, tmp_path: Path) -> None:
        assert run_files([orders], tmp_path) == []

    @pytest.mark.parametrize(
        ("statements", "told"),
        [
            (["delete from raw.store_orders where id = 'O2'"], "accepted and 0 bad rows are there"),
            (["update raw.store_orders set total_amount = 10.6 where id = 'O2'"], "expected Decimal"),
            (["update raw.store_orders set created_at = created_at + interval 1 hour"], "created_at is"),
            (["update ops.load_entity_counts set rows_read = 5"], "5 rows were read"),
            (["update ops.load_ledger set rows_read = 5"], "4 rows by Python's reader"),
            (["update ops.load_ledger set status = 'pending'"], "neither loaded nor rejected"),
            (
                ["update ops.load_ledger set status = 'rejected', rule = 'odd'"],
                "which is no rule about files",
            ),
            (["delete from ops.load_ledger"], "0 entries"),
        ],
    )
    def test_something_wrong(
        self,
        orders: DrawnFile,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        statements: list[str],
        told: str,
    ) -> None:
        self.spoil(monkeypatch, *statements)
        complaints = run_files([orders], tmp_path)
        assert complaints
        assert told in str(complaints[0])
        assert "--seed 0" in str(complaints[0])

    def test_a_refusal_is_no_loss(self, orders: DrawnFile, tmp_path: Path) -> None:
        cut = gzip.compress(orders.content)[:-9]
        assert run_files([DrawnFile(1, orders.feed, cut, ("cut_off",))], tmp_path) == []
        assert "truncated_gzip" in FILE_RULES
