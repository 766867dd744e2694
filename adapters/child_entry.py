"""The child's side of `adapters.child`: one request after the other, under limits, without keys."""

from __future__ import annotations

import importlib
import io
import json
import math
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
ANSWER = struct.Struct("!IQ")  # lengths of the JSON header and of the body

Handler = Callable[[bytes], bytes]


def serve(target: str, pipe: io.BufferedRWPair, wall_seconds: float, cpu_seconds: int) -> None:
    """Answer until the parent closes its end. Faults and ValueErrors are answers, anything else ends the process."""
    sys.excepthook = _last_word(pipe)
    handler = _load(target)
    _send(pipe, None, "")
    while head := pipe.read(REQUEST.size):
        payload = pipe.read(REQUEST.unpack(head)[0])
        signal.alarm(math.ceil(wall_seconds) + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + cpu_seconds, resource.RLIM_INFINITY))
        _answer(pipe, handler, payload)
        signal.alarm(0)


def _confine(memory_mib: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))


def _load(target: str) -> Handler:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def _answer(pipe: io.BufferedRWPair, handler: Handler, payload: bytes) -> None:
    try:
        body = handler(payload)
    except (Fault, ValueError) as error:
        _send(pipe, type(error).__name__, str(error))
    else:
        _send(pipe, None, "", body)


def _send(pipe: io.BufferedRWPair, refused: str | None, message: str, body: bytes = b"") -> None:
    header = json.dumps({"refused": refused, "message": message[:2000]}).encode()
    pipe.write(ANSWER.pack(len(header), len(body)) + header)
    pipe.write(body)
    pipe.flush()


def _last_word(pipe: io.BufferedRWPair) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def tell(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        _send(pipe, f"!{kind.__name__}", str(error))

    return tell


if __name__ == "__main__":
    _confine(memory_mib=int(sys.argv[3]))
    # left open on the way out: the exception hook still speaks through it
    _pipe = socket.socket(fileno=int(sys.argv[2])).makefile("rwb")
    serve(sys.argv[1], _pipe, float(sys.argv[4]), int(sys.argv[5]))
