"""Writes the digest of 552 fields of planet 2026; run as a process of its own by the test of determinism."""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime, timedelta

from weather.grids import Grid
from weather.planet.planet import Planet
from weather.variables import LEVELS, VARIABLES

GRID = Grid("5p625", 87_187_500, -5_625_000, 32, 0, 5_625_000, 64)


def main() -> None:
    planet, init_time = Planet(2026), datetime(2026, 11, 22, 18, tzinfo=UTC)
    later = init_time + timedelta(hours=6)
    weathers = [planet.state(init_time), planet.gfs_analysis(init_time), planet.era5(init_time), planet.era5(later)]
    weathers += [planet.climatology(init_time), planet.climatology(later), planet.gfs_forecast(init_time, 120)]
    weathers += [planet.miner_forecast("alpha", 0.7, init_time, 240)]
    fields = [(name, level) for name, known in VARIABLES.items() for level in (LEVELS if known.has_levels else (0,))]
    digests = [weather.field(*field, GRID).digest for weather in weathers for field in fields]
    sys.stdout.write(hashlib.sha256("".join(digests).encode()).hexdigest())


if __name__ == "__main__":
    main()
