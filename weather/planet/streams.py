"""Streams of rotating phases: the coefficients of the harmonics at any hour, without stepping."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from weather.planet.harmonics import WAVENUMBERS, Array
from weather.planet.sines import PHASES, sine_table

STREAMS = 5
_ROTORS = 6
_TURN = 2**32
_WAVES = np.arange(WAVENUMBERS, dtype=np.float64)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hours_since_epoch(time: datetime) -> int:
    """Whole hours since 1970; ValueError for any other time."""
    hours, rest = divmod(time - _EPOCH, timedelta(hours=1))
    if rest:
        raise ValueError(f"the planet knows whole hours only, found {time.isoformat()}")
    return hours


@cache
def variance() -> Array:
    """Share of the total variance 1 that each n holds; n = 0 holds none."""
    ratio = _WAVES / 6
    shares = 1 / (1 + ratio * ratio * ratio * ratio * ratio)
    shares[0] = 0.0
    total = 0.0
    for share in shares.tolist():
        total += share
    return shares / total


def coefficients(seed: int, name: str, hour: int) -> Array:
    """Coefficients of the five streams of a name at an hour since 1970, (stream, 2, n, m); names are independent."""
    phases, speeds = _rotors(seed, name)
    steps = ((phases + speeds * hour) % _TURN) // (_TURN // PHASES)
    sines = sine_table()
    total = np.zeros((STREAMS, 2, WAVENUMBERS, WAVENUMBERS))
    for rotor in range(_ROTORS):
        total[:, 0] += sines[(steps[rotor] + PHASES // 4) % PHASES]
        total[:, 1] += sines[steps[rotor]]
    return total * np.sqrt(variance() / (2 * _WAVES + 1) * 2 / _ROTORS)[:, None]


@lru_cache(maxsize=64)
def _rotors(seed: int, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Phase and speed, (rotor, stream, n, m), in 2^-32 turns and 2^-32 turns an hour."""
    key = hashlib.sha256(f"barograph/planet/1\n{seed}\n{name}".encode()).digest()
    shape = (_ROTORS, STREAMS, WAVENUMBERS, WAVENUMBERS)
    words = np.random.Philox(key=int.from_bytes(key[:16], "big")).random_raw(int(np.prod(shape))).reshape(shape)
    uniform = (words >> np.uint64(32)).astype(np.float64) / _TURN
    lifetime_hours = 216 / (1 + _WAVES / 4)
    speeds = (0.35 + 0.9 * (uniform - 0.5)) / lifetime_hours[:, None] * _TURN
    return (words % np.uint64(_TURN)).astype(np.int64), speeds.astype(np.int64)
