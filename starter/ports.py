"""Ports of loopback."""

from __future__ import annotations

import random
import socket
from itertools import islice

from weather.faults import PrerequisiteMissing

LOOPBACK = "127.0.0.1"
CANDIDATES = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports below those that the system gives to whoever asks for any, as Temporal's server does."""
    return list(islice(filter(_is_free, random.sample(CANDIDATES, len(CANDIDATES))), count))


def require_free(port: int, purpose: str) -> None:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise PrerequisiteMissing(
            f"port {port} for {purpose} is taken: {error.strerror}; choose another or end its owner"
        ) from error


def _is_free(port: int) -> bool:
    try:
        require_free(port, "anything")
    except PrerequisiteMissing:
        return False
    return True
