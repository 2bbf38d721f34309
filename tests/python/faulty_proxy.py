"""Proxies that stand between a client and a real server on this machine and do harm where they are told to.

`TcpProxy` passes bytes on and knows nothing of what they mean: for database connections. `HttpProxy` knows requests
and can answer in the server's place: for S3. Both listen on the loopback interface, on a free port, and note what
went through. A harm is announced beforehand and happens as often as was said; without one everything passes.

    with TcpProxy("127.0.0.1", server.port) as proxy:
        proxy.harm(Fault("reset"), when=b"COMMIT")      # the server commits, the client never hears of it
    with HttpProxy("127.0.0.1", moto_port) as proxy:
        proxy.harm(Fault("close", passes=100), method="GET", path_has="orders.csv")
        proxy.harm(ServerError(503, "SlowDown"), times=3)
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from xml.sax.saxutils import escape

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
PASSED_ON_BY_THE_PROXY_ITSELF = {"transfer-encoding", "connection", "content-length", "keep-alive"}


@dataclass(frozen=True)
class Fault:
    """What happens to an answer.

    Attributes:
        harm: `reset` ends the connection rudely, `close` politely, `corrupt` turns the bits of one byte around,
            `stall` holds everything that follows back until `release` is called or the proxy closes.
        passes: bytes of the answer (over HTTP: of its body) that still reach the client unharmed. None: not even
            the head of an HTTP answer does.
        reaches_server: whether the server gets to see what the client asked.
    """

    harm: Literal["reset", "close", "corrupt", "stall"]
    passes: int | None = None
    reaches_server: bool = True


@dataclass(frozen=True)
class ServerError:
    """An answer that the proxy gives in the server's place, in the words of S3."""

    status: int
    code: str
    message: str = "injected"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """An HTTP request that came by: its method, its path with the query, the headers (lower case), what was done."""

    method: str
    path: str
    headers: dict[str, str]
    harmed: bool


@dataclass
class _Announced:
    """A harm that is still to happen so many times; `condition` is the proxy's own."""

    condition: Any
    harm: Any
    left: int


class _Harms:
    """What has been announced, first announced first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announced: list[_Announced] = []

    def add(self, condition: Any, harm: Any, times: int) -> None:
        with self._lock:
            self._announced.append(_Announced(condition, harm, times))

    def clear(self) -> None:
        with self._lock:
            self._announced.clear()

    def take(self, applies: Callable[[Any], bool]) -> Any:
        """The first harm whose condition applies, used up by one; None without."""
        with self._lock:
            for announced in self._announced:
                if announced.left and applies(announced.condition):
                    announced.left -= 1
                    return announced.harm
        return None


class _Proxy:
    """What both have in common: an address, harms, an end."""

    port: int

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.host = HOST
        self._harms = _Harms()
        self._released = threading.Event()

    def heal(self) -> None:
        """Forget every harm that was announced and has not happened."""
        self._harms.clear()

    def release(self) -> None:
        """Let go of what is stalled, now and from now on."""
        self._released.set()

    def close(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TcpProxy(_Proxy):
    """Passes connections on. Connect to `host`, `port`.

    Attributes:
        connections: how many clients have connected.
        harmed: how many harms have happened.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.connections = 0
        self.harmed = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpProxy:
        return self

    def harm(self, fault: Fault, *, when: bytes = b"", times: int = 1) -> None:
        """Announce a harm.

        Args:
            fault: with `reaches_server` false the client's words that set it off are not passed on.
            when: bytes that a client must have sent; empty: as soon as it connects.
            times: how often it happens, on one connection each.
        """
        self._harms.add(when, fault, times)

    def close(self) -> None:
        """End every connection."""
        self._released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(self.target)
            except OSError:
                _end(client, rudely=True)
                continue
            self._sockets += [client, server]
            link = _Link(self, client, server)
            threading.Thread(target=link.carry_questions, daemon=True).start()
            threading.Thread(target=link.carry_answers, daemon=True).start()


class _Link:
    """One connection through a `TcpProxy`."""

    def __init__(self, proxy: TcpProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._passes = 0
        self._recent = b""
        self._look_for_harm()

    def carry_questions(self) -> None:
        with suppress(OSError):
            while chunk := self._client.recv(CHUNK_BYTES):
                self._recent += chunk
                fault = self._look_for_harm()
                if fault is not None and not fault.reaches_server:
                    break
                self._server.sendall(chunk)
                self._recent = self._recent[-CHUNK_BYTES:]
        if self._fault is not None and not self._fault.reaches_server:
            self._finish(self._fault)
            return
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)

    def carry_answers(self) -> None:
        with suppress(OSError):
            while chunk := self._server.recv(CHUNK_BYTES):
                with self._lock:
                    fault, passes = self._fault, self._passes
                    self._passes -= len(chunk)
                if fault is None or passes >= len(chunk):
                    self._client.sendall(chunk)
                    continue
                self._client.sendall(chunk[:passes])
                rest = chunk[passes:]
                if fault.harm == "corrupt":
                    rest = _corrupted(rest)
                    with self._lock:
                        self._fault = None
                    self._proxy.harmed += 1
                elif not self._finish(fault):
                    return
                self._client.sendall(rest)
        _end(self._client)
        _end(self._server)

    def _look_for_harm(self) -> Fault | None:
        with self._lock:
            if self._fault is not None:
                return self._fault
            found = self._proxy._harms.take(lambda when: when in self._recent)
            if found is not None:
                self._fault, self._passes = found, found.passes or 0
            return self._fault

    def _finish(self, fault: Fault) -> bool:
        """Do a harm that is none to the bytes; whether what was held back may go on."""
        self._proxy.harmed += 1
        if fault.harm == "stall":
            self._proxy._released.wait()
            with self._lock:
                self._fault = None
            return True
        _end(self._client, rudely=fault.harm == "reset")
        _end(self._server)
        return False


class HttpProxy(_Proxy):
    """Passes requests on. Its `url` is the endpoint for the client.

    Attributes:
        requests: every request that came, in its order.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.requests: list[Request] = []
        proxy = self

        class Handler(_Handler):
            pass

        Handler.proxy = proxy
        self._server = _QuietServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> HttpProxy:
        return self

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def harm(
        self, fault: Fault | ServerError, *, method: str = "", path_has: str = "", times: int = 1
    ) -> None:
        """Announce a harm to requests.

        Args:
            method: `GET`, `PUT` ...; empty: any.
            path_has: text of the path or the query, as the client spells it.
            times: how many requests it happens to.
        """
        self._harms.add((method, path_has), fault, times)

    def count(self, method: str = "", path_has: str = "") -> int:
        """How many such requests came."""
        return sum(
            request.method == (method or request.method) and path_has in request.path
            for request in list(self.requests)
        )

    def close(self) -> None:
        """Stop listening and let go of what is stalled."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _harm_of(self, method: str, path: str) -> Fault | ServerError | None:
        found: Fault | ServerError | None = self._harms.take(
            lambda wanted: wanted[0] in {"", method} and wanted[1] in path
        )
        return found


class _QuietServer(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: HttpProxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        harm = self.proxy._harm_of(self.command, self.path)
        self.proxy.requests.append(
            Request(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                harm is not None,
            )
        )
        if isinstance(harm, ServerError):
            self._answer_in_its_place(harm)
            return
        if harm is not None and not harm.reaches_server:
            self._end(harm)
            return
        upstream = http.client.HTTPConnection(*self.proxy.target)
        try:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"connection", "expect"}
            }
            upstream.request(self.command, self.path, body=body, headers=headers)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self._pass_on(answer, content, harm)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  (names of the library)

    def _pass_on(self, answer: http.client.HTTPResponse, content: bytes, harm: Fault | None) -> None:
        if harm is not None and harm.passes is None and harm.harm != "corrupt":
            if not self._end(harm):
                return
            harm = None
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in PASSED_ON_BY_THE_PROXY_ITSELF:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if harm is None:
            self.wfile.write(content)
            return
        passes = harm.passes or 0
        self.wfile.write(content[:passes])
        if harm.harm == "corrupt":
            self.wfile.write(_corrupted(content[passes:]))
        elif self._end(harm):
            self.wfile.write(content[passes:])

    def _answer_in_its_place(self, error: ServerError) -> None:
        content = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        ).encode()
        self.send_response_only(error.status)
        for name, value in error.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _end(self, fault: Fault) -> bool:
        """Do a harm that is none to the bytes; whether what was held back may go on."""
        if fault.harm == "stall":
            self.proxy._released.wait()
            return True
        self.close_connection = True
        _end(self.connection, rudely=fault.harm == "reset")
        return False

    def log_message(self, format: str, *args: object) -> None:
        """Tests read what they print."""


def _corrupted(content: bytes) -> bytes:
    return bytes([content[0] ^ 0xFF]) + content[1:] if content else content


def _end(one: socket.socket, *, rudely: bool = False) -> None:
    with suppress(OSError):
        if (
            rudely
        ):  # closing without a linger time sends a reset, once no thread waits for the socket any more
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.shutdown(socket.SHUT_RD)
        else:
            one.shutdown(socket.SHUT_RDWR)
        one.close()
