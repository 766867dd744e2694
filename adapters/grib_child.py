"""Inside the child: eccodes decodes one GRIB message, which may hold several fields."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import BinaryIO

import eccodes

_INTEGERS = (
    "edition paramId level validityDate validityTime Ni Nj iScansNegatively jScansPositively "
    "jPointsAreConsecutive alternativeRowScanning numberOfMissing"
)
_ANGLES = (
    "latitudeOfFirstGridPointInDegrees latitudeOfLastGridPointInDegrees longitudeOfFirstGridPointInDegrees "
    "longitudeOfLastGridPointInDegrees iDirectionIncrementInDegrees jDirectionIncrementInDegrees"
)
_WORDS = "shortName typeOfLevel stepRange gridType packingType"
_KEYS = {name: kind for names, kind in ((_INTEGERS, int), (_ANGLES, float), (_WORDS, str)) for name in names.split()}


class Spoiled(Exception):
    """eccodes refused a message; what it then holds is not trusted, and the process ends with this."""


def decode(message: bytes) -> bytes:
    """The fields of the message: a line of JSON with their keys, then their values as little-endian float64."""
    eccodes.codes_grib_multi_support_on()  # without it all but the first field of a message vanish in silence
    try:
        fields = [(_keys(handle), eccodes.codes_get_values(handle)) for handle in _handles(message)]
    except (eccodes.CodesInternalError, ValueError) as error:
        raise Spoiled(f"eccodes: {error}") from error
    if not fields:
        raise Spoiled("eccodes: the message holds no field")
    header = json.dumps([{**keys, "values": values.size} for keys, values in fields]).encode()
    body = b"".join(values.astype("<f8").tobytes() for _, values in fields)
    return header + b"\n" + body


def _handles(message: bytes) -> Iterator[int]:
    with os.fdopen(os.memfd_create("grib"), "w+b") as file:
        file.write(message)
        file.seek(0)
        try:
            yield from _open_handles(file)
        finally:  # else the next message may be given the rest of this one
            eccodes.codes_grib_multi_support_reset_file(file)


def _open_handles(file: BinaryIO) -> Iterator[int]:
    while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
        try:
            yield handle
        finally:
            eccodes.codes_release(handle)


def _keys(handle: int) -> dict[str, object]:
    return {name: _key(handle, name, kind) for name, kind in _KEYS.items()}


def _key(handle: int, name: str, kind: type) -> object:
    try:
        return eccodes.codes_get(handle, name, ktype=kind)
    except eccodes.KeyValueNotFoundError:
        return None
