"""Steps 5 to 7 of the verified download: frame, decoder in a child, values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
import zstandard
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.object_store import ObjectStore
from tests.hostile_miner import LAYOUT, T0, encoded, field_values
from weather import faults


@pytest.fixture(scope="module")
def decoder_store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return ObjectStore(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def decoder(decoder_store: ObjectStore) -> Iterator[ChunkDecoder]:
    with ChunkDecoder(decoder_store) as one:
        yield one


VALUES = field_values("t", 500, 6)
GOOD_ZSTD, GOOD_PCODEC = encoded(VALUES, "zstd"), encoded(VALUES, "pcodec")
BOMB = zstandard.compress(bytes(50_000_000))
HOLES, INFINITE = VALUES.copy(), VALUES.copy()
HOLES[1, 2:5] = np.nan
INFINITE[0, 0] = np.inf


def unsized(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(raw)


def skippable(raw: bytes) -> bytes:
    """A frame that holds nothing but says that it is as long as a field."""
    return b"\x50\x2a\x4d\x18" + len(raw).to_bytes(4, "little") + raw


def wide_window(raw: bytes) -> bytes:
    """A zstd frame header with content size and a window of 16 MiB, then the raw bytes as one block."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0x80, (24 - 10) << 3]) + len(raw).to_bytes(4, "little")
    return header + (len(raw) << 3 | 1).to_bytes(3, "little") + raw


def pcodec_of(values: np.ndarray) -> bytes:
    return standalone.simple_compress(values, ChunkConfig())


RAW_BYTES = VALUES.tobytes()
CHUNK_FAULTS: dict[str, tuple[str, bytes, type[faults.Fault]]] = {
    "zstd of 50 MB": ("zstd", BOMB, faults.DecodedSizeRefused),
    "zstd without its size": ("zstd", unsized(RAW_BYTES), faults.DecodedSizeRefused),
    "zstd skippable frame": ("zstd", skippable(RAW_BYTES), faults.DecodedSizeRefused),
    "zstd window of 16 MiB": ("zstd", wide_window(RAW_BYTES), faults.DecodedSizeRefused),
    "zstd of one value less": ("zstd", zstandard.compress(RAW_BYTES[:-4]), faults.DecodedSizeRefused),
    "pcodec called zstd": ("zstd", GOOD_PCODEC, faults.DecodedSizeRefused),
    "two zstd frames": ("zstd", GOOD_ZSTD * 2, faults.DecodeFailed),
    "zstd cut short": ("zstd", GOOD_ZSTD[:-1], faults.DecodeFailed),
    "pcodec of 40 MB of zeros": ("pcodec", pcodec_of(np.zeros(10_000_000, "f4")), faults.DecodeFailed),
    "pcodec of one value less": ("pcodec", pcodec_of(VALUES.ravel()[:-1]), faults.DecodeFailed),
    "pcodec of float64": ("pcodec", pcodec_of(VALUES.ravel().astype("f8")), faults.DecodeFailed),
    "pcodec with a byte left over": ("pcodec", GOOD_PCODEC + b"\0", faults.DecodeFailed),
    "pcodec cut at 10 %": ("pcodec", GOOD_PCODEC[: len(GOOD_PCODEC) // 10], faults.DecodeFailed),
    "pcodec cut at 50 %": ("pcodec", GOOD_PCODEC[: len(GOOD_PCODEC) // 2], faults.DecodeFailed),
    "pcodec cut by its last byte": ("pcodec", GOOD_PCODEC[:-1], faults.DecodeFailed),
    "nothing": ("pcodec", b"", faults.DecodeFailed),
    "NaN holes": ("pcodec", encoded(HOLES, "pcodec"), faults.IncompleteForecast),
    "one Inf": ("zstd", encoded(INFINITE, "zstd"), faults.IncompleteForecast),
}


def decode(decoder: ChunkDecoder, store: ObjectStore, codec: str, body: bytes) -> np.ndarray:
    members = {"variable": "t", "level": 500, "lead_hours": 6, "sha256": store.put(body), "codec": codec}
    chunk = FetchedChunk.model_validate(members)
    return decoder.decode_field(LAYOUT, chunk, T0 + timedelta(hours=6)).values


@pytest.mark.parametrize("act", CHUNK_FAULTS)
def test_a_committed_chunk_that_is_no_field_is_refused_and_the_decoder_goes_on(
    act: str, decoder: ChunkDecoder, decoder_store: ObjectStore
) -> None:
    codec, body, expected = CHUNK_FAULTS[act]
    with pytest.raises(faults.Fault) as raised:
        decode(decoder, decoder_store, codec, body)
    assert type(raised.value) is expected, raised.value
    assert np.array_equal(decode(decoder, decoder_store, "pcodec", GOOD_PCODEC), VALUES)


def test_children_that_can_not_even_start_are_our_fault(decoder_store: ObjectStore) -> None:
    with ChunkDecoder(decoder_store, memory_mib=16) as starved, pytest.raises(faults.InternalError):
        decode(starved, decoder_store, "pcodec", GOOD_PCODEC)


def test_missing_cells_are_counted(decoder: ChunkDecoder, decoder_store: ObjectStore) -> None:
    with pytest.raises(faults.IncompleteForecast) as raised:
        decode(decoder, decoder_store, "pcodec", encoded(HOLES, "pcodec"))
    assert (raised.value.found, raised.value.expected) == ("29 finite cells", "32 cells")


def test_both_codecs_give_the_same_field(decoder: ChunkDecoder, decoder_store: ObjectStore) -> None:
    assert np.array_equal(decode(decoder, decoder_store, "zstd", GOOD_ZSTD), VALUES)


def test_negative_zero_becomes_zero(decoder: ChunkDecoder, decoder_store: ObjectStore) -> None:
    values = np.zeros_like(VALUES)
    values[0, 0] = -0.0
    assert not np.signbit(decode(decoder, decoder_store, "zstd", encoded(values, "zstd"))).any()
