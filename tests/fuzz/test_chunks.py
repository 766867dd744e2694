"""Chunks through the real child: a field of exactly its size, or the documented refusal, in time and in its memory."""

from __future__ import annotations

import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.child import Child, ChildFailed, ChildRefused
from adapters.chunk_child import REQUEST
from adapters.chunk_decoder import CHILD, CHILD_CPU_SECONDS, CHILD_MEMORY_MIB, CHILD_WALL_SECONDS, ChunkDecoder, Codec
from adapters.object_store import ObjectStore
from tests.fuzz.mutations import changed_bytes
from tests.fuzz.profiles import bounded
from weather.faults import DecodedSizeRefused, DecodeFailed

CELLS = 2_048
RAW_BYTES = 4 * CELLS
NOISE = np.random.default_rng(1)
SMOOTH = (280 + 10 * np.sin(np.arange(CELLS) / 40)).astype("<f4")
ROUGH = NOISE.normal(280, 10, CELLS).astype("<f4")


def zstd(values: np.ndarray, level: int = 3, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level, **options).compress(values.tobytes())


def pcodec(values: np.ndarray, level: int = 8) -> bytes:
    return standalone.simple_compress(values, ChunkConfig(compression_level=level))


def sized(raw_bytes: int, body: bytes) -> bytes:
    """A zstd frame that declares so many bytes in its widest header."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", raw_bytes) + body


REPEATED = sized(RAW_BYTES, struct.pack("<I", RAW_BYTES << 3 | 3)[:3] + b"\0")  # one block of one byte so many times
ZSTD = [zstd(SMOOTH), zstd(ROUGH), zstd(SMOOTH, 19, write_checksum=True), zstd(np.zeros(CELLS, "<f4"), -5), REPEATED]
PCODEC = [pcodec(SMOOTH), pcodec(ROUGH), pcodec(SMOOTH, 0), pcodec(np.zeros(CELLS, "<f4")), pcodec(np.round(SMOOTH))]
STRANGE = [
    pcodec(ROUGH.astype("f8")),
    pcodec(ROUGH.astype("i4")),
    pcodec(ROUGH[:-1]),
    pcodec(np.tile(ROUGH, 400)),
    zstd(np.tile(SMOOTH, 4_000)),
    zstd(SMOOTH, write_content_size=False),
    zstd(ROUGH[: CELLS // 2]) * 2,
    sized(1 << 30, b"\x03\0\0" + bytes(64)),
    sized(RAW_BYTES, b"\x05\xff\xff" + bytes(64)),
    b"\x50\x2a\x4d\x18" + struct.pack("<I", RAW_BYTES) + bytes(RAW_BYTES),
    b"",
]


@st.composite
def chunks(draw: Any) -> tuple[Codec, bytes]:
    """Good chunks changed, cut, joined with one another, or read by the other decoder."""
    codec = draw(st.sampled_from(["zstd", "pcodec"]))
    good = ZSTD if codec == "zstd" else PCODEC
    seed, other = draw(st.sampled_from(good + STRANGE)), draw(st.sampled_from(good + STRANGE))
    cut = draw(st.integers(0, len(seed)))
    spliced = seed[:cut] + other[draw(st.integers(0, min(len(other), 64))) :]
    head = draw(changed_bytes(seed[:40])) + seed[40:]  # where sizes are declared
    return codec, draw(st.sampled_from([head, spliced, seed + other, seed[:cut]]) | changed_bytes(seed))


@pytest.fixture(scope="module")
def pool() -> Iterator[Child]:
    with Child(
        CHILD, memory_mib=CHILD_MEMORY_MIB, wall_seconds=CHILD_WALL_SECONDS, cpu_seconds=CHILD_CPU_SECONDS
    ) as pool:
        yield pool


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChunkDecoder]:
    with ChunkDecoder(ObjectStore(tmp_path_factory.mktemp("objects"))) as decoder:
        yield decoder


def peak_bytes(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmPeak")), default=0)


@bounded(400)
@given(chunk=chunks())
def test_a_child_answers_with_the_field_or_refuses_or_ends(pool: Child, chunk: tuple[Codec, bytes]) -> None:
    codec, body = chunk
    try:
        raw = pool.call(REQUEST.pack(codec.encode(), RAW_BYTES) + body)
    except ChildRefused as refused:
        assert refused.code in ("ValueError", "DecodedSizeRefused", "MemoryError", "PanicException"), refused
        return
    except ChildFailed as failed:
        assert "ended" in str(failed) or "broke off" in str(failed), failed  # by a limit, not by our patience
        return
    assert len(raw) == RAW_BYTES
    assert all(peak_bytes(child) <= CHILD_MEMORY_MIB << 20 for child in psutil.Process().children())


@bounded(25)
@given(chunk=chunks())
def test_a_bad_chunk_is_the_fault_of_its_miner(decoder: ChunkDecoder, chunk: tuple[Codec, bytes]) -> None:
    codec, body = chunk
    try:
        assert len(decoder.decode_bytes(body, codec, RAW_BYTES)) == RAW_BYTES
    except (DecodedSizeRefused, DecodeFailed) as fault:
        assert len(str(fault)) < 4_000 and "\0" not in str(fault)


@pytest.mark.parametrize("number", range(len(STRANGE)))
@pytest.mark.parametrize("codec", ["zstd", "pcodec"])
def test_a_strange_stream_is_refused_in_five_seconds(decoder: ChunkDecoder, codec: Codec, number: int) -> None:
    started = time.monotonic()
    with pytest.raises((DecodedSizeRefused, DecodeFailed)):
        decoder.decode_bytes(STRANGE[number], codec, RAW_BYTES)
    assert time.monotonic() - started < 5


@bounded(60)
@given(part=st.binary(min_size=4, max_size=200), codec=st.sampled_from(["zstd", "pcodec"]))
def test_any_bits_survive_both_codecs(decoder: ChunkDecoder, part: bytes, codec: Codec) -> None:
    values = (part * (RAW_BYTES // len(part) + 1))[:RAW_BYTES]
    field = np.frombuffer(values, "<f4")
    body = zstd(field) if codec == "zstd" else pcodec(field)
    assert decoder.decode_bytes(body, codec, RAW_BYTES) == values


def test_children_never_had_more_memory_than_their_limit() -> None:
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < CHILD_MEMORY_MIB << 10
