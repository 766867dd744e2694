"""Targets for the tests of the child pool: they misbehave on request."""

from __future__ import annotations

import os
import signal
import time


def obey(payload: bytes) -> bytes:
    word, _, rest = payload.partition(b" ")
    return ORDERS[word.decode()](rest)


def _allocate(size: bytes) -> bytes:
    return bytes(bytearray(int(size)))


def _loop(_: bytes) -> bytes:
    while True:
        pass


def _sleep(_: bytes) -> bytes:
    time.sleep(600)
    return b""


def _abort(_: bytes) -> bytes:
    os.abort()


def _refuse(message: bytes) -> bytes:
    raise ValueError(message.decode())


def _stumble(message: bytes) -> bytes:
    raise KeyError(message.decode())


def _environment(_: bytes) -> bytes:
    return "\n".join(sorted(os.environ)).encode()


def _interrupt(_: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGINT)
    return b"alive"


ORDERS = {
    "echo": bytes,
    "pid": lambda _: str(os.getpid()).encode(),
    "allocate": _allocate,
    "loop": _loop,
    "sleep": _sleep,
    "abort": _abort,
    "refuse": _refuse,
    "stumble": _stumble,
    "environment": _environment,
    "interrupt": _interrupt,
}


def decode_or_misbehave(message: bytes) -> bytes:
    """A decoder that obeys what stands between the frame of a short GRIB message."""
    from adapters.grib_child import decode

    return decode(message) if len(message) > 100 else obey(message[16:-4].strip(b"\0"))
