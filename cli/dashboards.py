"""`tillhouse dashboards`: the dashboards on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import say
from settings.home import Home
from settings.network import is_loopback, require_free

DEFAULT_PORT = 8501
DEFAULT_ROLE = "analyst"

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=1, max=65_535, help="The port.")]
RoleOption = Annotated[
    str, typer.Option("--role", help="What is shown without signing in; `tillhouse access show` lists roles.")
]
SignIn = Annotated[
    bool, typer.Option("--sign-in", help="Ask everybody for a key of `tillhouse keys create`.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dashboards)


def dashboards(
    *,
    host: Host = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    target: Target = DEFAULT_TARGET,
    role: RoleOption = DEFAULT_ROLE,
    sign_in: SignIn = False,
) -> int:
    """Show the dashboards until Ctrl-C.

    They are for whoever uses this machine or, with --sign-in, for holders of keys. They show what is published, and
    take up each new publication by themselves. On an address that others can reach they start with --sign-in only.

    \b
    Examples:  tillhouse dashboards
               tillhouse dashboards --role marketing
               tillhouse dashboards --host 0.0.0.0 --sign-in
    """
    from serving.dashboards.server import Start

    home = Home.from_environment().ensure()
    command = Start(host, port, target, None if sign_in else role).command()
    require_free(host, port, "the dashboards")
    if not is_loopback(host):
        say(
            f"warning: {host} is not of this machine alone, and keys travel in the clear: put a proxy with TLS in front"
        )
    who = "whoever signs in" if sign_in else f"the role {role}"
    say(f"the dashboards of {home.root}, for {who}, are on http://{host}:{port}; Ctrl-C ends them")
    # Streamlit takes this process's place, so that signals and exit code are its own.
    os.execv(command[0], command)  # noqa: S606  (its own words, and no shell)
