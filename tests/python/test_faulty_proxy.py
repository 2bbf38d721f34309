"""The harm that other tests rely on happens: once, to what was meant, and to nothing else."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import pytest
from faulty_proxy import HOST, Fault, HttpProxy, ServerError, TcpProxy
from postgres_server import PostgresDatabase

CONTENT = b"0123456789"


class Digits(BaseHTTPRequestHandler):
    """Answers everything with ten digits."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    do_PUT = do_GET  # noqa: N815  (a name of the library)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer((HOST, 0), Digits)
    made.asked = 0  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def proxy(server: ThreadingHTTPServer) -> Iterator[HttpProxy]:
    with HttpProxy(HOST, int(server.server_address[1])) as made:
        yield made


def ask(proxy: HttpProxy | TcpProxy, path: str = "/a", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=10)
    try:
        connection.request(method, path, body=b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_a_harm_everything_passes_and_is_noted(proxy: HttpProxy) -> None:
    assert ask(proxy, "/a?b=c") == ask(proxy, "/d", "PUT") == (200, CONTENT)
    assert [(one.method, one.path, one.harmed) for one in proxy.requests] == [
        ("GET", "/a?b=c", False),
        ("PUT", "/d", False),
    ]


def test_a_body_is_cut_or_corrupted_where_it_was_said_and_only_as_often(proxy: HttpProxy) -> None:
    proxy.harm(Fault("close", passes=4), path_has="/cut")
    proxy.harm(Fault("corrupt", passes=4), path_has="/bad")
    assert ask(proxy, "/other") == (200, CONTENT)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy, "/cut")
    assert caught.value.partial == CONTENT[:4]
    assert ask(proxy, "/bad") == (200, b"0123\xcb56789")
    assert ask(proxy, "/cut") == ask(proxy, "/bad") == (200, CONTENT)


@pytest.mark.parametrize("reaches_server", [True, False])
def test_a_reset_comes_before_or_after_the_server_has_seen_the_request(
    proxy: HttpProxy, server: ThreadingHTTPServer, reaches_server: bool
) -> None:
    proxy.harm(Fault("reset", reaches_server=reaches_server), method="PUT")
    with pytest.raises(ConnectionResetError):
        ask(proxy, method="PUT")
    assert server.asked == int(reaches_server)  # type: ignore[attr-defined]


def test_an_error_is_given_in_the_servers_place(proxy: HttpProxy, server: ThreadingHTTPServer) -> None:
    proxy.harm(ServerError(503, "SlowDown"), times=2)
    answers = [ask(proxy) for _ in range(3)]
    assert [status for status, _ in answers] == [503, 503, 200]
    assert b"<Code>SlowDown</Code>" in answers[0][1]
    assert server.asked == 1  # type: ignore[attr-defined]


def test_what_stalls_goes_on_when_it_is_released(proxy: HttpProxy) -> None:
    proxy.harm(Fault("stall", passes=4))
    connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=0.2)
    connection.request("GET", "/a")
    answer = connection.getresponse()
    with pytest.raises(TimeoutError):
        answer.read()
    connection.close()
    proxy.release()
    proxy.harm(Fault("stall", passes=4))
    assert ask(proxy) == (200, CONTENT)


def test_harm_that_was_healed_does_not_happen(proxy: HttpProxy) -> None:
    proxy.harm(ServerError(500, "InternalError"), times=100)
    proxy.heal()
    assert ask(proxy) == (200, CONTENT)


def test_a_connection_of_bytes_is_corrupted_or_ended(server: ThreadingHTTPServer) -> None:
    with TcpProxy(HOST, int(server.server_address[1])) as proxy:
        proxy.harm(Fault("corrupt", passes=len("HTTP/1.1 ")), when=b"/bad")
        proxy.harm(Fault("reset", reaches_server=False), when=b"/gone")
        assert ask(proxy, "/a") == (200, CONTENT)
        with pytest.raises(http.client.BadStatusLine):
            ask(proxy, "/bad")
        before = server.asked  # type: ignore[attr-defined]
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            ask(proxy, "/gone")
        assert server.asked == before  # type: ignore[attr-defined]
        assert (proxy.connections, proxy.harmed) == (3, 2)
        assert ask(proxy, "/gone") == (200, CONTENT)


def test_a_server_that_is_not_there_resets(server: ThreadingHTTPServer) -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with TcpProxy(HOST, port) as proxy, pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ask(proxy)


def test_a_commit_whose_answer_is_lost_has_happened_all_the_same(postgres_database: PostgresDatabase) -> None:
    """The unknown outcome: the client sees a lost connection, the rows are there."""
    database = postgres_database
    database.execute("create table kept (id int)")
    with TcpProxy(database.host, database.port) as proxy:
        proxy.harm(Fault("reset"), when=b"COMMIT")
        connection = psycopg2.connect(
            host=proxy.host, port=proxy.port, user=database.user, dbname=database.name, sslmode="disable"
        )
        connection.cursor().execute("insert into kept values (1)")
        with pytest.raises(psycopg2.OperationalError):
            connection.commit()
        assert proxy.harmed == 1
    assert database.query("select id from kept") == [(1,)]
