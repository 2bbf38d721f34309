"""The one page of `tillhouse up`: links to what runs, and whether it is ready."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cli.processes import Child

REFRESH_SECONDS = 3
PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tillhouse</title><meta http-equiv="refresh" content="{seconds}">
<link rel="icon" href="data:,">
<style>
body {{ font: 17px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 44rem; padding: 0 1rem; color: #222 }}
li {{ margin: 1rem 0; list-style: none }} ul {{ padding: 0 }} a {{ color: #0072B2; font-weight: 600 }}
.state {{ font-size: .85em; padding: .1em .5em; border-radius: .6em; background: #eee; margin-left: .5em }}
</style></head><body>
<h1>tillhouse</h1><p>{home}</p>
<ul>{items}</ul>
<p>This page renews itself. Ctrl-C in the terminal ends everything.</p>
</body></html>
"""


@contextmanager
def front_page(port: int, home: Path, children: Sequence[Child]) -> Iterator[None]:
    """Serve the page on the loopback interface as long as the context."""
    handler = _handler(home, children, port)
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def written(home: Path, children: Sequence[Child]) -> str:
    """The page as it is now."""
    return PAGE.format(
        seconds=REFRESH_SECONDS,
        home=html.escape(str(home)),
        items="".join(_item(child) for child in children),
    )


def _item(child: Child) -> str:
    server, state = child.server, child.state()
    title = html.escape(server.title)
    named = f'<a href="{server.address}">{title}</a>' if state == "ready" else title
    told = f"<br>{html.escape(str(child.log))}" if state.startswith("ended") else ""
    return f'<li>{named}<span class="state">{state}</span><br>{html.escape(server.text)}{told}</li>'


def _handler(home: Path, children: Sequence[Child], port: int) -> type[BaseHTTPRequestHandler]:
    names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    class Handler(BaseHTTPRequestHandler):
        """Answers with the page, to whoever asks this machine by its own name."""

        def do_GET(self) -> None:
            if self.headers.get("Host") not in names:
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
                return
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = written(home, children).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal belongs to the command."""

    return Handler
