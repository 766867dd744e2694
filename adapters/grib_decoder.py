"""GRIB messages become fields: decoded in a child, then each key and value proved against the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.child import Child, ChildFailed, ChildRefused
from adapters.gfs_archive import RawMessage
from adapters.gfs_index import Channel, RangePlan
from adapters.grib_messages import cut_messages
from adapters.source_fields import microdegrees, positions_on, proved_field
from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import FULL_CIRCLE, Grid

STANDARD_GRAVITY = 9.80665  # m s-2

_ON_LEVELS = {"t": ("t", 130), "u": ("u", 131), "v": ("v", 132), "q": ("q", 133), "z": ("gh", 156)}
_SURFACE = {
    "2t": ("2t", 167, "heightAboveGround", 2),
    "10u": ("10u", 165, "heightAboveGround", 10),
    "10v": ("10v", 166, "heightAboveGround", 10),
    "msl": ("prmsl", 260074, "meanSea", 0),
}
_IDENTITY = ("edition", "shortName", "paramId", "typeOfLevel", "level", "stepRange")
_SCANNING = ("iScansNegatively", "jPointsAreConsecutive", "alternativeRowScanning")


@dataclass(frozen=True, eq=False)
class DecodedMessage:
    """One field as it stands in a message; `keys` are those of eccodes."""

    keys: Mapping[str, Any]
    validity: datetime
    values: npt.NDArray[np.float64]


class GribDecoder:
    """Blocking; call from async code with `asyncio.to_thread`."""

    def __init__(self, child: Child | None = None) -> None:
        self._child = child or Child("adapters.grib_child:decode", memory_mib=512, wall_seconds=5, cpu_seconds=5)

    def close(self) -> None:
        self._child.close()

    def decode(self, messages: Sequence[RawMessage], plan: RangePlan, grid: Grid) -> list[Field]:
        """The fields of all channels in the order of the plan's channels, each proved."""
        fields: dict[Channel, Field] = {}
        for message in messages:
            decoded = self.decode_any(message.data)
            if len(decoded) != message.planned.fields:
                raise SourceCorrupt("message holds other fields", found=len(decoded), expected=message.planned.fields)
            for channel in message.planned.channels:
                fields[channel] = _field(decoded, channel, plan, grid)
        return [fields[channel] for channel in plan.channels]

    def decode_any(self, data: bytes) -> list[DecodedMessage]:
        """All fields of messages on any grid; only frame and decoding are proved."""
        return [field for message in cut_messages(data, padded=True) for field in self._decode(message)]

    def _decode(self, message: bytes) -> list[DecodedMessage]:
        answer = self._call(message)
        end = answer.index(b"\n")
        headers, values = json.loads(answer[:end]), np.frombuffer(answer, dtype="<f8", offset=end + 1)
        ends = np.cumsum([header["values"] for header in headers])
        return [_decoded(keys, part) for keys, part in zip(headers, np.split(values, ends[:-1]), strict=True)]

    def _call(self, message: bytes, *, again: bool = True) -> bytes:
        try:
            return self._child.call(message)
        except ChildRefused as refusal:
            if refusal.code not in ("Spoiled", "MemoryError"):
                raise
            raise SourceCorrupt(f"GRIB message does not decode: {refusal.message}", found=_sha256(message)) from refusal
        except ChildFailed as failure:
            if again:
                return self._call(message, again=False)
            raise SourceCorrupt(f"GRIB message breaks the decoder: {failure}", found=_sha256(message)) from failure


def values_on(message: DecodedMessage, grid: Grid) -> npt.NDArray[np.float64]:
    """The values in the order of the grid, whatever the order of rows and the origin of longitudes."""
    keys = message.keys
    if keys["gridType"] != "regular_ll" or any(keys[name] for name in _SCANNING):
        found = {name: keys[name] for name in ("gridType", *_SCANNING)}
        raise SourceCorrupt("message is not scanned eastward in rows of a regular grid", found=found)
    if (keys["Nj"], keys["Ni"]) != grid.shape or message.values.size != keys["Nj"] * keys["Ni"]:
        raise SourceCorrupt("message has another shape", found=(keys["Nj"], keys["Ni"]), expected=grid.shape)
    if keys["numberOfMissing"]:
        raise SourceCorrupt("message has missing values", found=keys["numberOfMissing"], expected=0)
    latitudes = _axis(keys, "latitude", "j", -1 + 2 * keys["jScansPositively"])
    rows, columns = positions_on(grid, latitudes, _axis(keys, "longitude", "i", 1))
    return message.values.reshape(grid.shape)[np.ix_(rows, columns)]


def _axis(keys: Mapping[str, Any], axis: str, letter: str, sign: int) -> npt.NDArray[np.int64]:
    """Points from the first by the increment; they must end at the last."""
    names = (
        f"{axis}OfFirstGridPointInDegrees",
        f"{axis}OfLastGridPointInDegrees",
        f"{letter}DirectionIncrementInDegrees",
    )
    degrees = [keys[name] or 0.0 for name in names]
    if not all(abs(value) <= 360 for value in degrees):
        raise SourceCorrupt(f"{axis}s are no angles", found=degrees)
    first, last, step = (int(value) for value in microdegrees(degrees))
    points = first + sign * step * np.arange(keys[f"N{letter}"], dtype=np.int64)
    if (points[-1] - last) % (FULL_CIRCLE if axis == "longitude" else 2 * FULL_CIRCLE):
        raise SourceCorrupt(f"{axis}s contradict themselves", found=f"last {last / 1e6}", expected=points[-1] / 1e6)
    return points


def _decoded(keys: Mapping[str, Any], values: npt.NDArray[np.float64]) -> DecodedMessage:
    try:
        validity = datetime.strptime(f"{keys['validityDate']:08d}{keys['validityTime']:04d}", "%Y%m%d%H%M")
    except (ValueError, TypeError) as error:
        raise SourceCorrupt("message has no time", found=(keys["validityDate"], keys["validityTime"])) from error
    return DecodedMessage(keys, validity.replace(tzinfo=UTC), values)


def _field(decoded: Sequence[DecodedMessage], channel: Channel, plan: RangePlan, grid: Grid) -> Field:
    expected = _expected(channel, plan)
    matches = [message for message in decoded if _identity(message) == expected]
    if len(matches) != 1:
        raise SourceCorrupt(
            "message does not hold the channel once", found=list(map(_identity, decoded)), expected=expected
        )
    values = values_on(matches[0], grid)
    if channel[0] == "z":
        values = values * STANDARD_GRAVITY
    return proved_field(grid, channel, matches[0].validity, values)


def _expected(channel: Channel, plan: RangePlan) -> tuple[object, ...]:
    variable, level = channel
    where = _SURFACE.get(variable) or (*_ON_LEVELS[variable], "isobaricInhPa", level)
    return 2, *where, str(plan.lead_hours), plan.cycle + timedelta(hours=plan.lead_hours)


def _identity(message: DecodedMessage) -> tuple[object, ...]:
    return *(message.keys[name] for name in _IDENTITY), message.validity


def _sha256(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()
