"""Fields of ECMWF from GRIB files in a folder, found by parameter, level, step and valid time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from adapters.grib_decoder import DecodedMessage, values_on
from weather.faults import SourceGone
from weather.fields import Field, short_name
from weather.grids import Grid

PARAMETERS = {"2t": 167, "10u": 165, "10v": 166, "msl": 151, "t": 130, "u": 131, "v": 132, "q": 133, "z": 129}

Decode = Callable[[bytes], Sequence[DecodedMessage]]


class EcmwfFiles:
    """All messages of `<folder>/<prefix>*.grib*`, decoded once."""

    def __init__(self, folder: Path, prefix: str, decode: Decode) -> None:
        self._paths, self._decode = sorted(folder.glob(f"{prefix}*.grib*")), decode
        self._where = f"{len(self._paths)} files {prefix}* of {folder}"

    def field(self, grid: Grid, variable: str, level: int, valid_time: datetime, step_hours: int = 0) -> Field:
        """The field on the grid's own points.

        Raises:
            SourceGone: the files do not hold it.
        """
        message = self._held.get((PARAMETERS[variable], level, str(step_hours), valid_time))
        if message is None:
            name = f"{short_name(variable, level)} of {valid_time:%Y-%m-%dT%HZ}, step {step_hours}"
            raise SourceGone(f"no {name} in {self._where}")
        return Field.of(grid, variable, level, valid_time, values_on(message, grid).astype(np.float32))

    def valid_times(self) -> list[datetime]:
        """Every valid time that is held."""
        return sorted({valid_time for *_, valid_time in self._held})

    @cached_property
    def _held(self) -> dict[tuple[int, int, str, datetime], DecodedMessage]:
        messages = (one for path in self._paths for one in self._decode(path.read_bytes()))
        return {(one.keys["paramId"], one.keys["level"], one.keys["stepRange"], one.validity): one for one in messages}
