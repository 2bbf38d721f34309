"""Faults of the machine: a full disk, a folder that may not be written, no more files, a file held by a reader.

The run fails, leaves nothing half written, and the next one gives what an undisturbed run gives. The runs are
processes of their own, under real limits.
"""

from __future__ import annotations

import ctypes
import gzip
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shop import HEADER, Shop, order_line, orders

from ingestion import session
from settings.home import PROJECT_ROOT, Home

ROOTS = (PROJECT_ROOT, PROJECT_ROOT / "tests" / "python")
LIMIT_BYTES = 2_500_000
LARGE_ROWS = 100_000
CHILD_SECONDS = 120
SMALL = {"a.csv": orders(range(3)), "b.csv": orders(range(3, 5), bad=[9])}
OPEN_AND_WAIT = """
import sys
import duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
sys.stdin.readline()
"""


def large() -> str:
    """7 MB of orders whose ids hardly compress, so that the checked copy is over the limit too."""
    rows = [
        f"{number * 2_654_435_761 % 2**64:020d}{number:06d},C{number * 40_503 % 65_536},{number % 977}.25,USD,"
        "2026-02-01 10:00:00,paid,"
        for number in range(LARGE_ROWS)
    ]
    return "\n".join([HEADER, *rows]) + "\n"


def run_child(
    shop: Shop, *words: str, limits: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    shop.service()  # writes the feed file
    return subprocess.run(
        [sys.executable, "-m", "catalogue.child", str(shop.home.root), *words],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))},
        capture_output=True,
        text=True,
        check=False,
        timeout=CHILD_SECONDS,
        preexec_fn=limits,
    )


def assert_nothing_half_written(home: Home) -> None:
    left = [
        path.relative_to(home.root)
        for path in (*home.root.glob("work/*"), *home.bronze.rglob("*"))
        if path.is_file() and (path.suffix in {".tmp", ".filled", ".text"} or path.name.startswith("."))
    ]
    assert left == []


def assert_next_run_makes_it_good(shop: Shop, tmp_path: Path, files: dict[str, Any]) -> None:
    done = run_child(shop)
    assert done.returncode == 0, done.stderr
    undisturbed = Shop.at(tmp_path / "undisturbed")
    for name, content in files.items():
        undisturbed.deliver(name, content)
    undisturbed.run()
    assert shop.state() == undisturbed.state()


def assert_all_of_the_large_file(shop: Shop) -> None:
    total = sum(number % 977 for number in range(LARGE_ROWS)) + Decimal("0.25") * LARGE_ROWS
    assert shop.query("select count(distinct id), count(*), sum(total_amount) from raw.store_orders") == [
        (LARGE_ROWS, LARGE_ROWS, total)
    ]
    assert shop.query("select object_name, status, rows_read from ops.load_ledger") == [
        ("large.csv", "loaded", LARGE_ROWS)
    ]


@pytest.fixture(scope="module")
def large_file() -> str:
    return large()


@pytest.mark.minutes
@pytest.mark.parametrize("packed", [False, True], ids=["while the rows are checked", "while it is unpacked"])
def test_a_disk_that_takes_no_more_bytes_fails_the_run_and_leaves_nothing_half_written(
    tmp_path: Path, large_file: str, packed: bool
) -> None:
    content: str | bytes = gzip.compress(large_file.encode(), 1, mtime=0) if packed else large_file
    shop = Shop.at(tmp_path / "home")
    shop.deliver("large.csv", content)
    done = run_child(
        shop, limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))
    )
    assert done.returncode == 1
    assert_nothing_half_written(shop.home)
    assert shop.statuses() == {"large.csv": ["pending"]}
    assert shop.ids() == []
    assert run_child(shop).returncode == 0
    assert_all_of_the_large_file(shop)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a few megabytes; calling it again changes its size. Only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    is_mounted = False

    def mounted(size: str) -> Path:
        nonlocal is_mounted
        words = (
            ["-o", f"remount,size={size}"] if is_mounted else ["-t", "tmpfs", "-o", f"size={size}", "none"]
        )
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("a file system can only be mounted by root")
        is_mounted = True
        return folder

    yield mounted
    if is_mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.minutes
def test_a_full_disk_is_told_as_such_and_costs_the_run_alone(
    tmp_path: Path, large_file: str, small_disk: Callable[[str], Path]
) -> None:
    shop = Shop.at(small_disk("5m") / "home", location=f"file://{tmp_path}/elsewhere")
    (tmp_path / "elsewhere").mkdir()
    landed = tmp_path / "elsewhere" / "large.csv"
    landed.write_text(large_file)
    os.utime(landed, (1_772_344_800, 1_772_344_800))
    done = run_child(shop)
    assert done.returncode == 1, done.stdout
    assert "disk is full" in done.stdout or "no space left on device" in done.stderr.lower()
    assert_nothing_half_written(shop.home)
    small_disk("200m")
    assert run_child(shop).returncode == 0
    assert_all_of_the_large_file(shop)


def without_root_powers() -> None:
    """A process of root's too is held to the permissions of files."""
    library, drop_from_bounding_set = ctypes.CDLL(None), 24
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        library.prctl(drop_from_bounding_set, capability)


def test_a_bronze_folder_that_may_not_be_written_fails_the_run(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home")
    for name, content in SMALL.items():
        shop.deliver(name, content)
    shop.home.bronze.chmod(0o500)
    done = run_child(shop, limits=without_root_powers)
    shop.home.bronze.chmod(0o700)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
    assert shop.statuses() == {"a.csv": ["pending"], "b.csv": ["pending"]}
    assert_nothing_half_written(shop.home)
    assert_next_run_makes_it_good(shop, tmp_path, SMALL)


def test_a_landing_folder_that_may_only_be_read_is_enough(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home")
    for name, content in SMALL.items():
        shop.deliver(name, content).chmod(0o400)
    (shop.home.landing / "shop_orders").chmod(0o500)
    done = run_child(shop, limits=without_root_powers)
    (shop.home.landing / "shop_orders").chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert shop.statuses() == {"a.csv": ["loaded"], "b.csv": ["loaded"]}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files in /proc")
@pytest.mark.parametrize("spare", [2, 4])
def test_a_process_that_may_open_no_more_files_fails_and_leaves_nothing_half_written(
    tmp_path: Path, spare: int
) -> None:
    shop = Shop.at(tmp_path / "home")
    shop.run()  # the warehouse is there
    for name, content in SMALL.items():
        shop.deliver(name, content)
    done = run_child(shop, str(spare))
    assert done.returncode == 1, done.stdout
    assert "loaded" not in str(shop.statuses())
    assert_nothing_half_written(shop.home)
    assert_next_run_makes_it_good(shop, tmp_path, SMALL)


def test_a_reader_that_holds_the_warehouse_is_told_of_and_nothing_changes(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "home")
    shop.run()
    for name, content in SMALL.items():
        shop.deliver(name, content)
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_AND_WAIT, str(shop.home.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        done = run_child(shop)
        assert done.returncode == 1
        assert "BusyError" in done.stderr
        assert "one_writer" in done.stderr
        reader.communicate("done\n")
    assert shop.statuses() == {}
    assert_next_run_makes_it_good(shop, tmp_path, SMALL)


def test_a_clock_that_goes_back_a_day_turns_no_order_of_deliveries_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 76: the later delivery stays the later one, and replaces the former, whatever the host says."""
    shop = Shop.at(tmp_path / "home", same_name="replace")
    shop.deliver("m.csv", orders([1], amount="10.00"))
    shop.run()
    yesterday = datetime.now(UTC) - timedelta(days=1)

    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return yesterday.astimezone(tz)

    monkeypatch.setattr(session, "datetime", Behind)
    shop.deliver("m.csv", orders([1], amount="11.00"))
    assert shop.run().files_loaded == 1
    assert shop.query("select id, total_amount::varchar, _load_sequence from raw.store_orders") == [
        ("00001", "11.0000", 2)
    ]
    ((first, second),) = shop.query(
        "select min(first_seen_at), max(first_seen_at) from ops.load_ledger having count(*) = 2"
    )
    assert first == second, "seen later, it must not look older"
    assert shop.run().files_loaded == 0


def test_a_file_from_tomorrow_and_a_leap_day_load(tmp_path: Path) -> None:
    """Case 76: neither the file's own time nor the calendar makes a decision alone."""
    shop = Shop.at(tmp_path / "home")
    path = shop.deliver(
        "a.csv", f"{HEADER}\n{order_line(1)}\n2,C1,1.00,USD,2024-02-29 23:59:59,paid,2024-02-29T23:59:59Z\n"
    )
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).timestamp()
    os.utime(path, (tomorrow, tomorrow))
    assert shop.run().rows_accepted == 2
    assert shop.run().files_loaded == 0
