"""Equal plans give equal bytes, whatever is asked for at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sample_data import trading
from sample_data.generator import generate
from sample_data.plan import SamplePlan

PLAN = SamplePlan(orders=2_500, days=150, deliveries=9, seed=5, history_file_orders=1_000)


@pytest.fixture(autouse=True)
def _many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even a small history into many blocks and files, as a large one is."""
    monkeypatch.setattr(trading, "BLOCK_ORDERS", 300)


def contents(landing: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(landing)): path.read_bytes()
        for path in sorted(landing.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def whole(tmp_path: Path, _many_blocks: None) -> dict[str, bytes]:
    generate(PLAN, tmp_path / "whole")
    return contents(tmp_path / "whole")


def test_the_same_plan_gives_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    generate(PLAN, tmp_path / "again")
    assert contents(tmp_path / "again") == whole


def test_another_seed_gives_other_files(whole: dict[str, bytes], tmp_path: Path) -> None:
    generate(replace(PLAN, seed=6), tmp_path / "other")
    other = contents(tmp_path / "other")
    fixed = {name for name in other if name.startswith(("store_locations", "restaurant_date_dim"))}
    assert fixed, "places and calendar do not depend on chance"
    assert {name for name in other.keys() & whole.keys() if other[name] == whole[name]} <= fixed | {
        name
        for name in other
        if name.startswith("store_returns")  # a day may have no return but a header
    }


@pytest.mark.parametrize("cuts", [(4,), (0, 1), (2, 3), (7, 8), tuple(range(9))])
def test_slices_of_deliveries_together_are_the_whole(
    cuts: tuple[int, ...], whole: dict[str, bytes], tmp_path: Path
) -> None:
    """A slice neither needs what was written before it nor is changed by it.

    Delivery 3 and 8 bring a file of the delivery before once more: the cuts fall just before them, too.
    """
    firsts = [0, *(cut + 1 for cut in cuts)]
    lasts = [*cuts, PLAN.deliveries]
    pieces: dict[str, bytes] = {}
    for first, last in zip(firsts, lasts, strict=True):
        folder = tmp_path / f"slice_{first}"
        generate(PLAN, folder, first_delivery=first, last_delivery=last)
        piece = contents(folder)
        assert not piece.keys() & pieces.keys()
        pieces.update(piece)
    assert pieces == whole


def test_a_later_end_does_not_change_what_was_written(whole: dict[str, bytes], tmp_path: Path) -> None:
    """`generate` day after day into one folder leaves the former files as they were."""
    generate(PLAN, tmp_path / "landing", last_delivery=5)
    before = contents(tmp_path / "landing")
    generate(PLAN, tmp_path / "landing", first_delivery=4)
    after = contents(tmp_path / "landing")
    assert {name: after[name] for name in before} == before
    assert after == whole


def test_a_large_history_is_split_into_parts_in_the_order_of_time(whole: dict[str, bytes]) -> None:
    parts = sorted(name for name in whole if name.startswith("store_orders/") and "_part" in name)
    assert len(parts) >= 2
    first_days = [whole[name].decode().splitlines()[1].split(",")[2] for name in parts]
    assert first_days == sorted(first_days)
