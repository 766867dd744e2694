"""Ports of loopback."""

from __future__ import annotations

import socket

from starter.refusals import PortInUse

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that were free at once, so no two are the same."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def require_free(port: int, purpose: str) -> None:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise PortInUse(
            f"port {port} for {purpose} is taken: {error.strerror}; choose another or end its owner"
        ) from error
