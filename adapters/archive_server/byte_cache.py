"""Bytes that were built once, the least recently read dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class ByteCache:
    """One build at a time: parallel requests for one object build it once."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._held: OrderedDict[Hashable, bytes | None] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, build: Callable[[], bytes | None]) -> bytes | None:
        with self._lock:
            if key not in self._held:
                self._held[key] = built = build()
                self._size_bytes += len(built or b"")
            self._held.move_to_end(key)
            while self._size_bytes > self._limit_bytes and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._size_bytes -= len(dropped or b"")
            return self._held[key]
