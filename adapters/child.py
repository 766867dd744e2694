"""Foreign bytes are decoded in child processes: no keys, little memory, little time, replaced when they fail."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from adapters.child_entry import ANSWER, REQUEST

_ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0
_MOST_HEADER_BYTES = 64 * 1024


class ChildFailed(Exception):
    """The child died, was killed by a limit, or ran out of its time."""


class ChildRefused(Exception):
    """The code inside raised; `code` is the name of its exception class."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class _Limits:
    memory_mib: int
    wall_seconds: float
    cpu_seconds: int


class ChildPool:
    """Calls `target` ("module:function", bytes to bytes) in up to `processes` children, started when needed.

    `call` blocks its thread and may be used from many threads at once.
    """

    def __init__(  # noqa: PLR0913 - the limits are named where a pool is made
        self,
        target: str,
        *,
        memory_mib: int,
        wall_seconds: float,
        cpu_seconds: int,
        processes: int = 1,
        renew_after: int = 500,
    ) -> None:
        self._target = target
        self._limits = _Limits(memory_mib, wall_seconds, cpu_seconds)
        self._processes = processes
        self._renew_after = renew_after
        self._slots: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._slots.put(None)

    def call(self, payload: bytes) -> bytes:
        """The answer of `target`, or `ChildRefused` where it raised, or `ChildFailed`."""
        child = self._slots.get()
        try:
            child = child or _Child(self._target, self._limits)
            return child.ask(payload)
        finally:
            if child is not None and (child.broken or child.calls >= self._renew_after):
                child = child.stop()
            self._slots.put(child)

    def close(self) -> None:
        """Wait for the calls under way and end all children; a later call starts new ones."""
        children = [self._slots.get() for _ in range(self._processes)]
        for child in children:
            self._slots.put(child.stop() if child else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Child:
    """One process and our end of its socket."""

    def __init__(self, target: str, limits: _Limits) -> None:
        self._limits = limits
        self.calls = 0
        self.broken = True
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = _start(target, theirs.fileno(), limits)

    def ask(self, payload: bytes) -> bytes:
        if self.calls == 0:
            self._receive(time.monotonic() + _START_SECONDS)
        self.calls += 1
        self.broken = True
        deadline = time.monotonic() + self._limits.wall_seconds
        try:
            self._socket.settimeout(self._limits.wall_seconds)
            self._socket.sendall(REQUEST.pack(len(payload)) + payload)
        except OSError as error:
            raise ChildFailed(f"the child took no request: {error}") from error
        return self._receive(deadline)

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, deadline: float) -> bytes:
        header_bytes, body_bytes = ANSWER.unpack(self._exactly(ANSWER.size, deadline))
        if header_bytes > _MOST_HEADER_BYTES or body_bytes > self._limits.memory_mib << 20:
            raise ChildFailed(f"the child announced {header_bytes} + {body_bytes} bytes")
        header = _header(self._exactly(header_bytes, deadline))
        body = self._exactly(body_bytes, deadline)
        self.broken = header["refused"].startswith("!")
        if header["refused"]:
            raise ChildRefused(header["refused"].lstrip("!"), header["message"])
        return bytes(body)

    def _exactly(self, count: int, deadline: float) -> bytearray:
        buffer = bytearray(count)
        filled = 0
        while filled < count:
            filled += self._some(memoryview(buffer)[filled:], deadline)
        return buffer

    def _some(self, into: memoryview, deadline: float) -> int:
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            received = self._socket.recv_into(into)
        except TimeoutError as error:
            raise ChildFailed(f"no answer within {self._limits.wall_seconds} s") from error
        except OSError as error:
            raise ChildFailed(f"the child broke off: {error}") from error
        if received == 0:
            raise ChildFailed(f"the child ended, status {self._status()}")
        return received

    def _status(self) -> int | None:
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None


def _start(target: str, descriptor: int, limits: _Limits) -> subprocess.Popen[bytes]:
    arguments = [target, descriptor, limits.memory_mib, limits.wall_seconds, limits.cpu_seconds]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "adapters.child_entry", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )


def _header(raw: bytearray) -> dict[str, str]:
    try:
        header = json.loads(raw)
        return {"refused": str(header["refused"] or ""), "message": str(header["message"])}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ChildFailed("the child answered with a malformed header") from error
