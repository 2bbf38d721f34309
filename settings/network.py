"""Addresses and ports that a face listens on."""

from __future__ import annotations

import errno
import ipaddress
import socket

from settings.errors import BusyError, UsageError


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone; an empty one is every address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_free(host: str, port: int, what: str) -> None:
    """Pass where the port can be listened on.

    Args:
        what: who wants it, for the message: `the dashboards`.

    Raises:
        BusyError: when something listens there already.
        UsageError: when this machine has no such address, or the port is for others.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            # As servers do: a port whose last connections are still ending is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(
                f"the port {port} of {host}, for {what}, is taken by another program",
                remedy="end that program, or name another port",
                rule="port",
            ) from error
        raise UsageError(
            f"{what} cannot listen on {host}, port {port}: {error.strerror or error}",
            remedy="name an address of this machine and a port above 1023",
            rule="port",
        ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on now."""
    with socket.socket() as attempt:
        attempt.bind((host, 0))
        return int(attempt.getsockname()[1])
