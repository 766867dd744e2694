"""Verified chunk to canonical field: two fixed decoders in child processes, then every cell must be finite."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
import zstandard
from pydantic import BaseModel, ConfigDict

from adapters.child import Child, ChildFailed, ChildRefused
from adapters.chunk_child import REQUEST
from protocol.layout import Layout
from weather.faults import DecodedSizeRefused, DecodeFailed, IncompleteForecast, InternalError
from weather.fields import Field

CHILD = "adapters.chunk_child:decode"
CHILD_MEMORY_MIB = 1024  # of address space; the child itself goes down to what one chunk may need
CHILD_WALL_SECONDS = 30.0
CHILD_CPU_SECONDS = 5

Codec = Literal["zstd", "pcodec"]


class FieldCase(BaseModel):
    """One field of a forecast; surface is level 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variable: str
    level: int
    lead_hours: int


class FetchedChunk(FieldCase):
    """A verified chunk in the object store."""

    sha256: str
    codec: Codec


class Chunks(Protocol):
    """Where chunks are read by their SHA-256, which is proved."""

    def get(self, sha256: str) -> bytes: ...


class ChunkDecoder(AbstractContextManager["ChunkDecoder"]):
    """Decodes in a child; a failure counts only if a fresh child confirms it."""

    def __init__(self, store: Chunks, memory_mib: int = CHILD_MEMORY_MIB) -> None:
        self._store = store
        self._child = Child(
            CHILD, memory_mib=memory_mib, wall_seconds=CHILD_WALL_SECONDS, cpu_seconds=CHILD_CPU_SECONDS
        )
        self._fresh = replace(self._child, renew_after=1)

    def decode_field(self, layout: Layout, chunk: FetchedChunk, valid_time: datetime) -> Field:
        """The canonical field of the chunk, or the miner's fault in it."""
        raw = self.decode_bytes(self._store.get(chunk.sha256), chunk.codec, layout.raw_bytes)
        grid = layout.grid_value
        values = np.frombuffer(raw, dtype="<f4").reshape(grid.shape)
        if not np.isfinite(values).all():
            finite = int(np.isfinite(values).sum())
            what = f"{chunk.variable} at {chunk.level} hPa, lead {chunk.lead_hours} h"
            raise IncompleteForecast(what, found=f"{finite} finite cells", expected=f"{values.size} cells")
        return Field.of(grid, chunk.variable, chunk.level, valid_time, values)

    def decode_bytes(self, chunk: bytes, codec: Codec, raw_bytes: int) -> bytes:
        """Exactly `raw_bytes` bytes."""
        payload = REQUEST.pack(codec.encode(), raw_bytes) + chunk
        try:
            return _decoded(self._child, payload)
        except (ChildFailed, ChildRefused):
            return self._second_opinion(payload)

    def close(self) -> None:
        """End the processes."""
        self._child.close()
        self._fresh.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _second_opinion(self, payload: bytes) -> bytes:
        try:
            return _decoded(self._fresh, payload)
        except (ChildFailed, ChildRefused) as error:
            if not (isinstance(error, ChildRefused) and error.code == ValueError.__name__):
                self._prove_child()
            raise DecodeFailed("it decodes in no child", found=error) from error

    def _prove_child(self) -> None:
        """Ours, unless a fresh child decodes a good chunk."""
        good = zstandard.compress(bytes(8))
        try:
            _decoded(self._fresh, REQUEST.pack(b"zstd", 8) + good)
        except (ChildFailed, ChildRefused) as error:
            raise InternalError(f"the decoding child does not work: {error}") from error


def _decoded(child: Child, payload: bytes) -> bytes:
    try:
        return child.call(payload)
    except ChildRefused as error:
        if error.code == DecodedSizeRefused.__name__:
            raise DecodedSizeRefused(error.message) from error
        raise
