"""`tillhouse serve`: the metrics API on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import DEFAULT_TARGET, Target
from cli.rendering import say
from settings.errors import ExitCode
from settings.home import Home
from settings.network import is_loopback

DEFAULT_PORT = 8484

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 for a free one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(*, host: Host = "127.0.0.1", port: Port = DEFAULT_PORT, target: Target = DEFAULT_TARGET) -> int:
    """Serve the metrics API until Ctrl-C. Callers need keys: `tillhouse keys create`.

    It answers from what is published, and takes up each new publication by itself.

    \b
    Examples:  tillhouse serve
               tillhouse serve --port 9000 --target postgres
    """
    import uvicorn

    from serving.api.application import create_app

    home = Home.from_environment().ensure()
    app = create_app(home, target=target)
    if not is_loopback(host):
        say(
            f"warning: {host} is not of this machine alone, and keys travel in the clear: put a proxy with TLS in front"
        )
    say(
        f"the metrics API of {home.root} listens on http://{host}:{port} (specification: /openapi.json); Ctrl-C ends it"
    )
    # Its own lines would hold paths, and paths hold ids of customers; logs/api_audit.jsonl has a line per call.
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)
    return int(ExitCode.OK)
