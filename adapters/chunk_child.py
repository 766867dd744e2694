"""Decodes one chunk of a miner into a buffer of known size. Runs in a child process without keys, under limits."""

from __future__ import annotations

import resource
import struct

import numpy as np
import zstandard
from pcodec import standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from weather.faults import DecodedSizeRefused

REQUEST = struct.Struct("!8sQ")  # codec, decoded bytes
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_WINDOW_BYTES = 8 << 20
SPARE_BYTES = 64 << 20


def decode(payload: bytes) -> bytes:
    """The little-endian float32 values; ValueError where the chunk is not exactly so many."""
    codec, raw_bytes = REQUEST.unpack_from(payload)
    chunk = payload[REQUEST.size :]
    _limit_memory(SPARE_BYTES + 8 * raw_bytes)
    return _DECODERS[codec.rstrip(b"\0").decode()](chunk, raw_bytes)


def _zstd(chunk: bytes, raw_bytes: int) -> bytes:
    _check_frame(chunk, raw_bytes)
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        decoded = decoder.decompress(chunk, max_output_size=raw_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(decoded) != raw_bytes:
        raise ValueError(f"{len(decoded)} bytes decoded, {raw_bytes} expected")
    return decoded


def _check_frame(chunk: bytes, raw_bytes: int) -> None:
    try:
        frame = zstandard.get_frame_parameters(chunk)
    except zstandard.ZstdError as error:
        raise DecodedSizeRefused("no zstd frame", found=error) from error
    if not chunk.startswith(ZSTD_MAGIC) or frame.content_size != raw_bytes:
        raise DecodedSizeRefused("declared size", found=frame.content_size, expected=raw_bytes)
    if frame.dict_id or frame.window_size > MAX_WINDOW_BYTES:
        raise DecodedSizeRefused("dictionary or window", found=f"{frame.dict_id}, {frame.window_size}")


def _pcodec(chunk: bytes, raw_bytes: int) -> bytes:
    values = np.empty(raw_bytes // 4, dtype="<f4")
    if not filled(chunk, values):
        raise ValueError(f"not exactly {values.size} values")
    return values.tobytes()


def filled(stream: bytes, values: np.ndarray) -> bool:
    """Fill the values; false unless the pcodec stream ends exactly with them, not even a byte before its end."""
    return not _fills(stream[:-1], values) and _fills(stream, values)


def _fills(chunk: bytes, values: np.ndarray) -> bool:
    try:
        progress = standalone.simple_decompress_into(chunk, values)
    except RuntimeError:
        return False
    return progress.finished and progress.n_processed == values.size


def _limit_memory(more_bytes: int) -> None:
    with open("/proc/self/statm") as statm:
        present_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = present_bytes + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


_DECODERS = {"zstd": _zstd, "pcodec": _pcodec}
