"""Foreign bytes are decoded in child processes: no keys, little memory, little time, replaced when they fail."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from adapters.child_entry import ANSWER, DONE, REFUSED, REQUEST

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


@dataclass(frozen=True, eq=False)
class ChildPool(AbstractContextManager["ChildPool"]):
    """Calls `target` ("module:function", bytes to bytes) in up to `processes` children, started when needed.

    `call` blocks its thread and may be used from many threads at once.
    """

    target: str
    _: KW_ONLY
    memory_mib: int
    wall_seconds: float
    cpu_seconds: int
    processes: int = 1
    renew_after: int = 500
    _slots: queue.LifoQueue[_Child | None] = field(init=False, default_factory=queue.LifoQueue)

    def __post_init__(self) -> None:
        for _ in range(self.processes):
            self._slots.put(None)

    def call(self, payload: bytes) -> bytes:
        """The answer of `target`, or `ChildRefused` where it raised, or `ChildFailed`."""
        child = self._slots.get()
        try:
            child = child or _Child(self)
            return child.ask(payload)
        finally:
            if child is not None and (child.broken or child.calls >= self.renew_after):
                child = child.stop()
            self._slots.put(child)

    def close(self) -> None:
        """Wait for the calls under way and end all children; a later call starts new ones."""
        children = [self._slots.get() for _ in range(self.processes)]
        for child in children:
            self._slots.put(child.stop() if child else None)

    def __exit__(self, *_: object) -> None:
        self.close()


class _Child:
    """One process and our end of its socket."""

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool
        self.calls = 0
        self.broken = True
        self._socket, theirs = socket.socketpair()
        arguments = [pool.target, theirs.fileno(), pool.memory_mib, pool.wall_seconds, pool.cpu_seconds]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "adapters.child_entry", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"},
            )

    def ask(self, payload: bytes) -> bytes:
        if self.calls == 0:
            self._receive(time.monotonic() + _START_SECONDS)
        self.calls += 1
        self.broken = True
        deadline = time.monotonic() + self._pool.wall_seconds
        try:
            self._socket.settimeout(self._pool.wall_seconds)
            self._socket.sendall(REQUEST.pack(len(payload)) + payload)
        except OSError as error:
            raise ChildFailed(f"the child took no request: {error}") from error
        return self._receive(deadline)

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, deadline: float) -> bytes:
        kind, size = ANSWER.unpack(self._exactly(ANSWER.size, deadline))
        if size > self._pool.memory_mib << 20:
            raise ChildFailed(f"the child announced {size} bytes")
        body = bytes(self._exactly(size, deadline))
        self.broken = kind not in (DONE, REFUSED)
        if kind != DONE:
            code, _, message = body[:_MOST_MESSAGE].decode(errors="replace").partition(": ")
            raise ChildRefused(code, message)
        return body

    def _exactly(self, count: int, deadline: float) -> bytearray:
        buffer = bytearray(count)
        left = memoryview(buffer)
        while left:
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                received = self._socket.recv_into(left)
            except TimeoutError as error:
                raise ChildFailed(f"no answer within {self._pool.wall_seconds} s") from error
            except OSError as error:
                raise ChildFailed(f"the child broke off: {error}") from error
            if received == 0:
                raise ChildFailed(f"the child ended, status {self._status()}")
            left = left[received:]
        return buffer

    def _status(self) -> int | None:
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None
