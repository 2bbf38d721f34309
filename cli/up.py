"""`tillhouse up`: dashboards, metrics API and Dagster on this machine, with one page that links them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.dashboards import DEFAULT_PORT as DASHBOARDS_PORT
from cli.dashboards import DEFAULT_ROLE
from cli.front_page import front_page
from cli.options import DEFAULT_TARGET, Target
from cli.processes import Child, Server, running
from cli.rendering import say
from cli.serve import DEFAULT_PORT as API_PORT
from settings.errors import ExitCode, UsageError
from settings.home import PROJECT_ROOT, Home
from settings.network import require_free

LOOPBACK = "127.0.0.1"
PAGE_PORT, DAGSTER_PORT = 8400, 3000
LOOKING_SECONDS = 0.5

PagePort = Annotated[int, typer.Option("--port", min=1, max=65_535, help="The port of the page of links.")]
DashboardsPort = Annotated[
    int, typer.Option("--dashboards-port", min=1, max=65_535, help="The port of the dashboards.")
]
ApiPort = Annotated[int, typer.Option("--api-port", min=1, max=65_535, help="The port of the metrics API.")]
DagsterPort = Annotated[int, typer.Option("--dagster-port", min=1, max=65_535, help="The port of Dagster.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    *,
    port: PagePort = PAGE_PORT,
    dashboards_port: DashboardsPort = DASHBOARDS_PORT,
    api_port: ApiPort = API_PORT,
    dagster_port: DagsterPort = DAGSTER_PORT,
    target: Target = DEFAULT_TARGET,
) -> int:
    """Start dashboards, metrics API and Dagster, until Ctrl-C.

    They listen on this machine alone. One page links them and says which is ready; their logs are in
    TILLHOUSE_HOME/logs.

    \b
    Examples:  tillhouse up
               tillhouse up --port 9000 --dashboards-port 9001 --api-port 9002 --dagster-port 9003
    """
    home = Home.from_environment().ensure()
    servers = _servers(
        home, target, dashboards_port=dashboards_port, api_port=api_port, dagster_port=dagster_port
    )
    ports = [port, *(server.port for server in servers)]
    if len(set(ports)) < len(ports):
        raise UsageError("two servers have the same port", remedy="give each its own", rule="port")
    require_free(LOOPBACK, port, "the page of links")
    for server in servers:
        require_free(LOOPBACK, server.port, server.title.lower())
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with running(servers, home.logs, PROJECT_ROOT) as children, front_page(port, home.root, children):
        say(f"tillhouse is on http://127.0.0.1:{port}; Ctrl-C ends it")
        all_ended = _watch(children, ended)
        say("ending")
    return int(ExitCode.INTERNAL if all_ended else ExitCode.OK)


def _servers(
    home: Home, target: str, *, dashboards_port: int, api_port: int, dagster_port: int
) -> tuple[Server, ...]:
    from orchestration.run import prepare_instance
    from serving.dashboards.server import Start

    tillhouse = [sys.executable, "-m", "cli.main"]
    return (
        Server(
            name="dashboards",
            title="Dashboards",
            text="Figures in pictures, from home to data quality.",
            port=dashboards_port,
            command=Start(LOOPBACK, dashboards_port, target, DEFAULT_ROLE).command(),
            ready_path="/_stcore/health",
        ),
        Server(
            name="api",
            title="Metrics API",
            text="Figures for programs, which need a key of `tillhouse keys create`. Here is its specification.",
            port=api_port,
            command=[*tillhouse, "serve", "--port", str(api_port), "--target", target],
            ready_path="/health",
            page_path="/openapi.json",
        ),
        Server(
            name="dagster",
            title="Dagster",
            text="Runs, lineage, schedules and checks. Schedules and sensors need `dagster dev` as well.",
            port=dagster_port,
            command=[
                sys.executable, "-m", "dagster_webserver", "--host", LOOPBACK, "--port", str(dagster_port),
                "--module-name", "orchestration.definitions", "--working-directory", str(PROJECT_ROOT),
            ],
            ready_path="/server_info",
            environment={"DAGSTER_HOME": str(prepare_instance(home)), "TILLHOUSE_TARGET": target},
        ),
    )  # fmt: skip


def _watch(children: Sequence[Child], ended: threading.Event) -> bool:
    """Wait for the end, and say what becomes ready or dies meanwhile. Whether all servers died."""
    told: dict[str, str] = {}
    while not ended.wait(LOOKING_SECONDS):
        for child in children:
            name = child.server.name
            if told.get(name, "").startswith("ended"):
                continue
            state = child.state()
            if state == told.get(name) or state == "starting":
                continue
            told[name] = state
            if state == "ready":
                say(f"{child.server.title}: ready on {child.server.address}")
            else:
                say(f"{child.server.title}: {state}; the others go on. Its log {child.log} ends with")
                say(child.last_words())
        if len(told) == len(children) and all(state.startswith("ended") for state in told.values()):
            return True
    return False
