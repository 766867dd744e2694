"""How far the clock of this process is off, as an NTP server says (RFC 5905)."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from adapters.clock import Clock

PORT = 123
ANSWER_SECONDS = 5.0
CLIENT = b"\x23" + bytes(39)  # version 4, mode 3; then a transmit timestamp, which the answer repeats
SERVER_MODE, UNSYNCHRONISED = 4, 3
_ERA = datetime(1900, 1, 1, tzinfo=UTC)


def ask_offset(server: str, clock: Clock) -> timedelta:
    """Blocking: the server's clock minus ours.

    Raises:
        OSError: no answer, or none of a synchronised server to this question.
    """
    host, _, port = server.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(ANSWER_SECONDS)
        asking.connect((host, int(port or PORT)))
        question, asked_at = os.urandom(8), clock.now()
        asking.send(CLIENT + question)
        answer, answered_at = asking.recv(512), clock.now()
    if len(answer) < 48 or answer[24:32] != question or not _synchronised(answer):
        raise ConnectionError(f"{server} gives no time: {answer[:48].hex()}")
    return (_after(answer[32:40], asked_at) + _after(answer[40:48], answered_at)) / 2


def _synchronised(answer: bytes) -> bool:
    leap, mode, stratum = answer[0] >> 6, answer[0] & 7, answer[1]
    return mode == SERVER_MODE and leap != UNSYNCHRONISED and 0 < stratum < 16


def _after(stamp: bytes, own: datetime) -> timedelta:
    """A timestamp of 2^-32 s minus our time, whichever era of 136 years it counts from."""
    ours = round((own - _ERA) / timedelta(seconds=1) * 2**32)
    ahead = (int.from_bytes(stamp, "big") - ours + 2**63) % 2**64 - 2**63
    return timedelta(seconds=ahead / 2**32)
