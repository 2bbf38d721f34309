"""`tillhouse report` as its reader calls it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bakery import call

from settings.errors import ExitCode
from settings.home import HOME_VARIABLE

if TYPE_CHECKING:
    from conftest import SampleRun


def test_the_command_writes_a_private_file_and_names_it(
    sample_run: SampleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(sample_run.home.root))
    output = tmp_path / "reports" / "today.html"
    said = call(capsys, "report", "--output", str(output))
    assert said.code == ExitCode.OK
    assert str(output) in said.out
    assert output.stat().st_mode & 0o077 == 0
    assert [path.name for path in output.parent.iterdir()] == ["today.html"]


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    said = call(capsys, "report")
    assert said.code == ExitCode.NOT_FOUND
    assert "nothing is published" in said.err
    assert call(capsys, "report", "--date", "yesterday").code == ExitCode.USAGE
