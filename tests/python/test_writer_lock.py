"""One process writes to a home folder at a time; the other is told who holds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings.errors import BusyError
from settings.home import PROJECT_ROOT, Home
from settings.writer_lock import writer_lock

HOLD_UNTIL_TOLD = """
import sys
from pathlib import Path
from settings.home import Home
from settings.writer_lock import writer_lock
with writer_lock(Home(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_refused_and_told_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_UNTIL_TOLD, str(home.root)],
        cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError) as refused, writer_lock(home):
        pass
    assert str(holder.pid) in refused.value.problem
    holder.communicate("done\n")
    with writer_lock(home):
        assert home.lock.read_text() == str(os.getpid())


def test_a_killed_writer_leaves_no_lock_behind(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_UNTIL_TOLD, str(home.root)],
        cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    with writer_lock(home):
        pass


def test_the_home_folder_is_private_to_its_user(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    assert {oct(folder.stat().st_mode & 0o777) for folder in (home.root, home.bronze, home.landing)} == {
        "0o700"
    }
