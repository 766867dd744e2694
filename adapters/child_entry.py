"""The child's side of `adapters.child`: one request after the other, under limits, without keys."""

from __future__ import annotations

import io
import math
import pkgutil
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from types import TracebackType

from weather.faults import Fault

REQUEST = struct.Struct("!Q")  # length of the payload
ANSWER = struct.Struct("!BQ")  # what it is, and its length
DONE, REFUSED, LAST_WORD = range(3)


def serve(target: str, pipe: io.BufferedRWPair, wall_seconds: float, cpu_seconds: int) -> None:
    """Answer until the parent closes its end. Faults and ValueErrors are answers, anything else ends the process."""
    sys.excepthook = _last_word(pipe)
    handler = pkgutil.resolve_name(target)
    _send(pipe, DONE, b"")
    while head := pipe.read(REQUEST.size):
        payload = pipe.read(REQUEST.unpack(head)[0])
        signal.alarm(math.ceil(wall_seconds) + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + cpu_seconds, resource.RLIM_INFINITY))
        try:
            _send(pipe, DONE, handler(payload))
        except (Fault, ValueError) as error:
            _send(pipe, REFUSED, _told(error))
        signal.alarm(0)


def _confine(memory_mib: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))


def _send(pipe: io.BufferedRWPair, kind: int, body: bytes) -> None:
    pipe.write(ANSWER.pack(kind, len(body)))
    pipe.write(body)
    pipe.flush()


def _told(error: BaseException) -> bytes:
    return f"{type(error).__name__}: {error}".encode(errors="replace")


def _last_word(pipe: io.BufferedRWPair) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    return lambda _kind, error, _trace: _send(pipe, LAST_WORD, _told(error))


if __name__ == "__main__":
    _confine(memory_mib=int(sys.argv[3]))
    # left open on the way out: the exception hook still speaks through it
    _pipe = socket.socket(fileno=int(sys.argv[2])).makefile("rwb")
    serve(sys.argv[1], _pipe, float(sys.argv[4]), int(sys.argv[5]))
