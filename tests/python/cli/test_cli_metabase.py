"""`tillhouse metabase` as its user calls it; what it writes is tested in tests/python/metabase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bakery import call

from settings.errors import ExitCode
from settings.home import HOME_VARIABLE

if TYPE_CHECKING:
    from conftest import SampleRun

COMMANDS = ("plan", "apply", "drift")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_server_it_says_what_to_set(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "metabase", command)
    assert said.code == ExitCode.CONFIGURATION
    assert "METABASE_URL" in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_not_there_leaves_with_8(
    command: str, sample_run: SampleRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(sample_run.home.root))
    monkeypatch.setenv("METABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("METABASE_API_KEY", "mb_not_to_be_shown")
    said = call(capsys, "metabase", command)
    assert said.code == ExitCode.UNAVAILABLE
    assert "mb_not_to_be_shown" not in said.err + said.out


def test_an_unpublished_home_leaves_with_7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("METABASE_API_KEY", "mb_not_to_be_shown")
    assert call(capsys, "metabase", "plan").code == ExitCode.NOT_FOUND
