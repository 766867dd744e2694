"""Foreign bytes are decoded in a child process: no keys, little memory, little time, replaced when it fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from threading import Lock

from adapters.child_entry import ANSWER, DONE, LAST_WORD, REFUSED, REQUEST

_ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0
_MOST_MESSAGE = 2_000


class ChildFailed(Exception):
    """The child died, was killed by a limit, or ran out of its time."""


class ChildRefused(Exception):
    """The code inside raised; `code` is the name of its exception class."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(eq=False)
class Child(AbstractContextManager["Child"]):
    """Calls `target` ("module:function", bytes to bytes) in a process of its own, started when needed.

    `call` blocks its thread and may be used from many threads; they take turns.
    """

    target: str
    _: KW_ONLY
    memory_mib: int
    wall_seconds: float
    cpu_seconds: int
    renew_after: int = 500
    _turn: Lock = field(init=False, default_factory=Lock)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _socket: socket.socket = field(init=False)
    _calls: int = field(init=False, default=0)

    def call(self, payload: bytes) -> bytes:
        """The answer of `target`, or `ChildRefused` where it raised, or `ChildFailed`."""
        with self._turn:
            self._calls += 1
            kind = LAST_WORD
            try:
                kind, body = self._exchange(payload)
            finally:
                if kind not in (DONE, REFUSED) or self._calls >= self.renew_after:
                    self._stop()
        if kind == DONE:
            return body
        code, _, message = body[:_MOST_MESSAGE].decode(errors="replace").partition(": ")
        raise ChildRefused(code, message)

    def close(self) -> None:
        """Wait for the call under way and end the process; a later call starts a new one."""
        with self._turn:
            self._stop()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        arguments = [self.target, theirs.fileno(), self.memory_mib, self.wall_seconds, self.cpu_seconds]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "adapters.child_entry", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"},
            )

    def _stop(self) -> None:
        if self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
        self._process, self._calls = None, 0

    def _exchange(self, payload: bytes) -> tuple[int, bytes]:
        if self._process is None:
            self._start()
            kind, body = self._receive(time.monotonic() + _START_SECONDS)
            if kind != DONE:
                return kind, body
        deadline = time.monotonic() + self.wall_seconds
        try:
            self._socket.settimeout(self.wall_seconds)
            self._socket.sendall(REQUEST.pack(len(payload)) + payload)
        except OSError as error:
            raise ChildFailed(f"the child took no request: {error}") from error
        return self._receive(deadline)

    def _receive(self, deadline: float) -> tuple[int, bytes]:
        kind, size = ANSWER.unpack(self._exactly(ANSWER.size, deadline))
        if size > self.memory_mib << 20:
            raise ChildFailed(f"the child announced {size} bytes")
        return kind, bytes(self._exactly(size, deadline))

    def _exactly(self, count: int, deadline: float) -> bytearray:
        buffer = bytearray(count)
        left = memoryview(buffer)
        while left:
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                received = self._socket.recv_into(left)
            except TimeoutError as error:
                raise ChildFailed(f"no answer within {self.wall_seconds} s") from error
            except OSError as error:
                raise ChildFailed(f"the child broke off: {error}") from error
            if received == 0:
                raise ChildFailed("the child ended")
            left = left[received:]
        return buffer
