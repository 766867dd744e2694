"""Ports of loopback."""

from __future__ import annotations

import random
import socket

from starter.refusals import PortInUse

LOOPBACK = "127.0.0.1"
CANDIDATES = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports below those that the system gives to whoever asks for any, as Temporal's server does."""
    ports: list[int] = []
    for port in random.sample(CANDIDATES, len(CANDIDATES)):
        if len(ports) == count:
            break
        if _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


def require_free(port: int, purpose: str) -> None:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise PortInUse(
            f"port {port} for {purpose} is taken: {error.strerror}; choose another or end its owner"
        ) from error
