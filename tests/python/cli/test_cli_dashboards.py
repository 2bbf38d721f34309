"""`tillhouse dashboards` and `tillhouse up`: where they refuse, what they say, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import SampleRun
from typer.testing import CliRunner

from cli import dashboards as module
from cli.main import app
from cli.processes import Server, running
from serving.dashboards.server import APP, Start
from settings.errors import BusyError, TillhouseError, UsageError
from settings.home import HOME_VARIABLE, PROJECT_ROOT, Home
from settings.network import free_port, require_free

PATIENCE_SECONDS = 120.0


def refused(*words: str) -> TillhouseError:
    error = CliRunner().invoke(app, ["dashboards", *words]).exception
    assert isinstance(error, TillhouseError), error
    return error


def test_an_address_of_others_needs_a_log_in() -> None:
    error = refused("--host", "0.0.0.0")  # noqa: S104
    assert isinstance(error, UsageError)
    assert error.rule == "sign_in"
    assert "--sign-in" in error.remedy


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        error = refused("--port", port)
    assert isinstance(error, BusyError)
    assert port in error.problem
    assert "the dashboards" in error.problem


def test_an_unknown_role_is_named() -> None:
    assert "no role 'boss'" in refused("--role", "boss").problem


def test_an_address_that_this_machine_lacks_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 203\.0\.113\.7"):
        require_free("203.0.113.7", 8501, "the dashboards")


@pytest.mark.parametrize(
    ("words", "present", "absent", "told"),
    [
        ((), ["--role", "analyst", "--server.allowedHosts"], [], "for the role analyst"),
        (("--sign-in", "--host", "0.0.0.0"), ["--server.address", "0.0.0.0"], ["--role", "--server.allowedHosts"],  # noqa: S104
         "keys travel in the clear"),
    ],
)  # fmt: skip
def test_streamlit_takes_the_place_of_the_command(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], present: list[str], absent: list[str], told: str
) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr(module.os, "execv", lambda program, command: executed.append([program, *command]))
    result = CliRunner().invoke(app, ["dashboards", "--port", str(free_port()), *words])
    assert told in result.output
    (command,) = executed
    assert command[0] == command[1] == sys.executable
    assert str(APP) in command
    assert set(present) <= set(command)
    assert not set(absent) & set(command)


def test_a_command_cannot_be_had_that_lets_everybody_in() -> None:
    with pytest.raises(UsageError):
        Start("192.168.1.9", 1, "duckdb", "analyst").command()


@contextmanager
def up(home: Home) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """`tillhouse up` on free ports: the page's, then those of dashboards, API and Dagster."""
    ports = [free_port() for _ in range(4)]
    names = ("--port", "--dashboards-port", "--api-port", "--dagster-port")
    words = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", *words],
        cwd=PROJECT_ROOT, env=os.environ | {HOME_VARIABLE: str(home.root), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process, ports
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)


def lines_until(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines that the command prints."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def get(port: int, path: str = "/", host: str | None = None) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310  (of this machine)
        return str(response.read().decode())


@pytest.mark.minutes
def test_everything_comes_up_a_dead_child_is_told_and_nothing_is_left(
    sample_run: SampleRun, tmp_path: Path
) -> None:
    home = Home(tmp_path).ensure()
    shutil.copyfile(sample_run.published, home.published)
    with up(home) as (process, ports):
        told = lines_until(process, 4)
        assert told[0] == f"tillhouse is on http://127.0.0.1:{ports[0]}; Ctrl-C ends it"
        assert {line.partition(":")[0] for line in told[1:]} == {"Dashboards", "Metrics API", "Dagster"}
        page = get(ports[0])
        for port in ports[1:]:
            assert f'<a href="http://127.0.0.1:{port}/' in page
        assert page.count(">ready<") == 3
        assert "src=" not in page
        for path, host, status in (("/other", None, 404), ("/", "elsewhere.example", 421)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(ports[0], path, host)
            assert caught.value.code == status
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3
        api = next(one for one in family if "serve" in one.cmdline())
        api.kill()
        (died,) = lines_until(process, 1)
        assert died.startswith("Metrics API: ended with exit code -9; the others go on. Its log ")
        assert "ended with exit code -9" in get(ports[0])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        for port in ports:
            require_free("127.0.0.1", port, "anything")


def test_a_child_that_does_not_want_to_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.processes.ENDING_SECONDS", 0.2)
    deaf = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); threading.Event().wait()"
    )
    server = Server("deaf", "Deaf", "", 1, [sys.executable, "-c", f"import signal, threading; {deaf}"], "/")
    with running([server], tmp_path, tmp_path) as (child,):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while child.last_words() != "deaf":
            assert time.monotonic() < deadline
        assert child.state() == "starting"
    assert child.state() == "ended with exit code -9"


def test_a_taken_port_stops_it_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        error = (
            CliRunner()
            .invoke(app, ["up", "--dashboards-port", str(port), "--port", str(free_port())])
            .exception
        )
    assert isinstance(error, BusyError)
    assert f"the port {port} of 127.0.0.1, for dashboards, is taken" in error.problem


def test_two_servers_cannot_have_one_port() -> None:
    error = CliRunner().invoke(app, ["up", "--port", "9000", "--api-port", "9000"]).exception
    assert isinstance(error, UsageError)
