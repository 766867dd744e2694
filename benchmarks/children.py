"""One chunk through the decoding child and back, beside the same decoder in this process."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import zstandard
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.chunk_child import decoded
from adapters.chunk_decoder import ChunkDecoder, Codec
from adapters.object_store import ObjectStore
from benchmarks.timing import Row, Table, best_seconds
from benchmarks.world import one_lead_layout, triple
from weather.faults import DecodeFailed


def tables() -> list[Table]:
    """Both codecs at both sizes, and what a bad chunk costs."""
    with tempfile.TemporaryDirectory() as folder, ChunkDecoder(ObjectStore(Path(folder))) as decoder:
        return [_table(decoder, grid) for grid in ("0p25", "5p625")]


def _table(decoder: ChunkDecoder, grid: str) -> Table:
    values = triple(one_lead_layout(grid).grid_value, 1).forecast.values
    packed = standalone.simple_compress(values.ravel(), ChunkConfig(compression_level=8))
    chunks: dict[Codec, bytes] = {"pcodec": packed, "zstd": zstandard.compress(values.tobytes())}
    rows = [row for codec, chunk in chunks.items() for row in _rows(decoder, codec, chunk, values)]
    bad = best_seconds(partial(_refused, decoder, packed[:-1], values.nbytes), 3)
    rows.append(Row("a bad chunk: both opinions", 1_000 * bad, "ms"))
    return Table(f"decode child, one chunk of {grid}", "the same decoder in this process", tuple(rows))


def _rows(decoder: ChunkDecoder, codec: Codec, chunk: bytes, values: np.ndarray) -> list[Row]:
    here = best_seconds(partial(decoded, codec, chunk, values.nbytes), 15)
    there = best_seconds(partial(decoder.decode_bytes, chunk, codec, values.nbytes), 15)
    return [
        Row(f"{codec} here ({len(chunk) / values.nbytes:.0%} of raw)", 1_000 * here, "ms", 1.0),
        Row(f"{codec} round trip", 1_000 * there, "ms", there / here),
    ]


def _refused(decoder: ChunkDecoder, chunk: bytes, raw_bytes: int) -> None:
    with suppress(DecodeFailed):
        decoder.decode_bytes(chunk, "pcodec", raw_bytes)
