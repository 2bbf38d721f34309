"""The words of the command, its help, its exit codes and how errors are told."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
from bakery import call

from cli.main import app
from ingestion import operations
from settings import errors
from settings.errors import ExitCode, TillhouseError
from settings.home import PROJECT_ROOT

COMMAND = typer.main.get_command(app)
HEAVY = {"dagster", "dbt", "duckdb", "numpy", "pyarrow", "pydantic", "rich", "yaml"}
ERRORS = [
    found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, TillhouseError)
]


def leaves(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command below this one."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path
    else:
        for name, child in children.items():
            yield from leaves(child, *path, name)


LEAVES = list(leaves(COMMAND))


def examples(help_text: str) -> list[list[str]]:
    """The words behind `tillhouse` of every example line."""
    lines = [
        line.strip().removeprefix("Example:").removeprefix("Examples:").strip()
        for line in help_text.splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("tillhouse ")]


def test_all_commands_that_the_guide_names_are_there() -> None:
    assert sorted(LEAVES) == sorted(
        [
            ("demo",),
            ("run",),
            ("generate",),
            ("status",),
            ("accept",),
            ("withdraw",),
            ("reload",),
            ("doctor",),
            ("query",),
            ("metrics", "explain"),
            ("serve",),
            ("dashboards",),
            ("up",),
            ("metrics", "compare"),
            ("erase",),
            ("retention",),
            ("report",),
        ]
        + [("quarantine", name) for name in ("list", "show", "export")]
        + [("access", name) for name in ("show", "apply", "assign")]
        + [("keys", name) for name in ("create", "list", "revoke")]
        + [("metabase", name) for name in ("plan", "apply", "drift")]
    )


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_help_of_a_command_names_an_example_of_itself_that_parses(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, *path, "--help")
    assert said.code == ExitCode.OK
    found = [words for words in examples(said.out) if tuple(words[: len(path)]) == path]
    assert found
    for words in found:
        command: Any = COMMAND
        for name in path:
            command = command.commands[name]
        command.make_context("example", words[len(path) :])  # leaves where a word is wrong


@pytest.mark.parametrize("path", [(), ("quarantine",)], ids=["tillhouse", "quarantine"])
def test_without_a_command_the_help_says_how_to_begin(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, *path)
    assert said.code == ExitCode.USAGE
    help_text = call(capsys, *path, "-h").out
    assert said.out + said.err == help_text
    assert ("tillhouse demo" if not path else "tillhouse quarantine list") in help_text


def test_the_help_explains_each_exit_code_and_cuts_no_summary(capsys: pytest.CaptureFixture[str]) -> None:
    text = call(capsys, "--help").out
    codes = text[text.index("Exit codes:") :]
    assert all(f"{int(code)} " in codes for code in ExitCode)
    assert "..." not in text.split("Commands:")[1].split("Begin with:")[0]


@pytest.mark.parametrize(
    "words",
    [
        ("fly",),
        ("status", "--colour"),
        ("status", "--limit", "0"),
        ("status", "--limit", "many"),
        ("accept",),
        ("quarantine", "export"),
        ("quarantine", "show", "--row", "3"),
        ("reload",),
        ("reload", "--all", "--feed", "bakery_orders"),
        ("run", "--as-of", "2026-02-30"),
        ("run", "--as-of", "01/02/2026"),
        ("quarantine", "list", "--day", "yesterday"),
        ("generate", "--orders", "99"),
        ("generate", "--orders", "10000001"),
        ("generate", "--first-delivery", "5", "--last-delivery", "4"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_told_in_a_sentence_and_leave_with_2(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(capsys, *words)
    assert said.code == ExitCode.USAGE
    assert said.out == ""
    assert "error:" in said.err.lower()
    assert "Traceback" not in said.err


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_each_class_of_error_has_its_exit_code_and_no_traceback(
    error: type[TillhouseError], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("the oven is cold", remedy="heat it", rule="oven")

    monkeypatch.setattr(operations, "quarantine_summary", fail)
    said = call(capsys, "quarantine", "list")
    assert said.code == error.exit_code
    assert said.err == "error: the oven is cold [oven]\n  what to do: heat it\n"
    assert said.out == ""

    said = call(capsys, "--debug", "quarantine", "list")
    assert said.code == error.exit_code
    assert "Traceback (most recent call last)" in said.err
    assert said.err.endswith("error: the oven is cold [oven]\n  what to do: heat it\n")


def test_every_exit_code_but_done_belongs_to_one_class_of_errors() -> None:
    assert sorted(error.exit_code for error in ERRORS) == sorted(set(ExitCode) - {ExitCode.OK})


def test_a_fault_of_ours_is_told_as_one_and_shows_its_traceback_under_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of [bold]nothing[/bold]\x1b[31m")

    monkeypatch.setattr(operations, "quarantine_summary", fail)
    said = call(capsys, "quarantine", "list")
    assert said.code == ExitCode.INTERNAL
    assert said.err.startswith("error: ZeroDivisionError: of [bold]nothing[/bold]\\x1b[31m\n")
    assert "--debug" in said.err
    assert "Traceback" not in said.err
    with pytest.raises(ZeroDivisionError):
        call(capsys, "--debug", "quarantine", "list")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/somewhere/bronze"),
        duckdb.IOException('IO Error: Could not write file "x.tmp": No space left on device'),
    ],
    ids=["from the operating system", "from the database"],
)
def test_a_full_disk_is_told_as_one(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(operations, "quarantine_summary", fail)
    said = call(capsys, "quarantine", "list")
    assert said.code == ExitCode.CONFIGURATION
    assert "the disk is full" in said.err
    assert "free some room" in said.err


@pytest.mark.parametrize(("module", "extra"), [("dagster", "orchestration"), ("dbt.cli.main", "warehouse")])
def test_a_package_that_is_not_installed_is_named_with_the_extra_that_brings_it(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(operations, "quarantine_summary", fail)
    said = call(capsys, "quarantine", "list")
    assert said.code == ExitCode.CONFIGURATION
    assert f"tillhouse[{extra}]" in said.err
    # The hint names an extra that the package really has.
    assert extra in (importlib.metadata.metadata("tillhouse").get_all("Provides-Extra") or [])


def test_another_missing_module_is_a_fault_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'ovens'", name="ovens")

    monkeypatch.setattr(operations, "quarantine_summary", fail)
    assert call(capsys, "quarantine", "list").code == ExitCode.INTERNAL


def test_help_imports_nothing_heavy() -> None:
    """What keeps `tillhouse --help` below a tenth of a second: no warehouse, no arrow, no Dagster."""
    asked = "import sys, cli.main; print(sorted({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=PROJECT_ROOT
    )
    assert HEAVY & set(eval(found.stdout)) == set()  # noqa: S307  (a list that this test printed)


def test_the_installed_command_leaves_with_the_exit_code_and_tells_errors_on_stderr(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("tillhouse")
    environment = {**os.environ, "TILLHOUSE_HOME": str(tmp_path / "bäckerei"), "PYTHONIOENCODING": "ascii"}
    found = subprocess.run([command, "status"], capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == ExitCode.NOT_FOUND
    assert found.stdout == ""
    # A terminal without the letter gets an escape, not a failure.
    assert "b\\xe4ckerei" in found.stderr
    assert "what to do" in found.stderr
    assert "Traceback" not in found.stderr
