"""D. Deliveries: what lies in the landing folder beside files that are just there, over several runs."""

from __future__ import annotations

import os
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shop import Shop, orders

from settings.crash_points import CRASH_VARIABLE

from .test_machine_faults import run_child

TINY_FILES, BEFORE_THE_KILL = 40, 15


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.at(tmp_path / "home", glob="*")


def test_a_file_that_appears_late_with_an_old_time_is_not_missed(shop: Shop) -> None:
    """Case 63: a large upload becomes visible after later ones were taken, under the time at which it began."""
    shop.deliver("new.csv", orders(range(2)))
    shop.run()
    late = shop.deliver("begun_earlier.csv", orders(range(2, 5)))
    began = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    os.utime(late, (began, began))
    report = shop.run()
    assert [batch.object_name for batch in report.batches] == ["begun_earlier.csv"]
    assert shop.query("select object_name, load_sequence from ops.load_ledger order by 2") == [
        ("new.csv", 1),
        ("begun_earlier.csv", 2),
    ]


NAMES = (
    "%2e%2e%2fescape.csv",
    "a..%00.csv",
    "; rm -rf $HOME `id` '\".csv",
    "=cmd|' C'!A0.csv",
    "{{ env_var('HOME') }}.csv",
    "ü" * 125 + ".csv",
)
REFUSED_NAMES = ("line\nbreak.csv", "\u202efdp.csv", "bell\x07.csv")


def test_a_name_is_data_and_never_a_place(shop: Shop, tmp_path: Path) -> None:
    """Case 64: names that would climb, run or fool load under their own name, or wait and are told of."""
    for number, name in enumerate((*NAMES, *REFUSED_NAMES)):
        shop.deliver(name, orders([number]))
    (tmp_path / "beside.csv").write_text(orders([99]), encoding="utf-8")
    report = shop.run()
    assert sorted(shop.statuses()) == sorted(NAMES)
    assert len(shop.ids()) == len(NAMES)
    assert len(report.waiting) == len(REFUSED_NAMES)
    assert all("characters that are not text" in item.reason for item in report.waiting)
    assert all(item.object_name.isprintable() for item in report.waiting)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"home", "beside.csv"}
    below = [path.name for path in shop.home.bronze.rglob("*")]
    assert not [name for name in below if "escape" in name or "rm -rf" in name or "ü" in name]
    before = shop.state()
    shop.run()
    assert shop.state() == before


def test_what_is_no_regular_file_is_left_alone_and_holds_nothing_up(shop: Shop, tmp_path: Path) -> None:
    """Case 65: a link out of the folder, a pipe that nobody writes to, a socket, a folder; each called x.csv."""
    folder = shop.home.landing / "shop_orders"
    outside = tmp_path / "secret.csv"
    outside.write_text(orders([99]), encoding="utf-8")
    (folder / "link.csv").symlink_to(outside)
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        former = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            server.bind("socket.csv")
        finally:
            os.chdir(former)
        shop.deliver("good.csv", orders([1]))
        report = shop.run()
    assert shop.statuses() == {"good.csv": ["loaded"]}
    assert shop.ids() == ["00001"]
    assert {item.object_name for item in report.waiting} == {"link.csv", "pipe.csv", "socket.csv"}
    assert {item.reason for item in report.waiting} == {"it is not a regular file"}


def test_many_tiny_files_go_on_where_a_killed_run_stopped(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 68: what is loaded is loaded; the next run takes the rest and nothing twice.

    Small files load in portions. The one that is not small parts them, and the run is killed before it.
    """
    undisturbed = Shop.at(tmp_path / "undisturbed", glob="*")
    for number in range(TINY_FILES):
        content = orders([number] if number != BEFORE_THE_KILL else range(1_000, 8_000))
        for each in (shop, undisturbed):
            each.deliver(f"{number:05d}.csv", content)
    undisturbed.run()
    with monkeypatch.context() as patch:
        patch.setenv(CRASH_VARIABLE, "file_loaded")
        killed = run_child(shop)
    assert killed.returncode == -signal.SIGKILL
    assert len(shop.ids()) == BEFORE_THE_KILL
    report = shop.run()
    assert (report.files_loaded, report.files_duplicate) == (TINY_FILES - BEFORE_THE_KILL, BEFORE_THE_KILL)
    assert shop.state() == undisturbed.state()
