"""The `.idx` text that wgrib2 would write beside a GRIB file, as far as the project's channels go."""

from __future__ import annotations

import os

import eccodes

_NAMES = {"t": "TMP", "2t": "TMP", "u": "UGRD", "10u": "UGRD", "v": "VGRD", "10v": "VGRD", "q": "SPFH", "gh": "HGT"}
_NAMES |= {"prmsl": "PRMSL", "mslet": "MSLET", "r": "RH", "orog": "HGT"}


def build_idx(grib: bytes) -> str:
    """One line a field; fields of one message share its offset and are numbered N.1, N.2."""
    fields = _fields(grib)
    offsets = [offset for offset, _ in fields]
    numbers = {offset: number for number, offset in enumerate(sorted(set(offsets)), start=1)}
    lines = []
    for position, (offset, rest) in enumerate(fields):
        order = position - offsets.index(offset) + 1
        number = f"{numbers[offset]}.{order}" if offsets.count(offset) > 1 else str(numbers[offset])
        lines.append(f"{number}:{offset}:{rest}:")
    return "\n".join(lines) + "\n"


def _fields(grib: bytes) -> list[tuple[int, str]]:
    eccodes.codes_grib_multi_support_on()
    fields = []
    with os.fdopen(os.memfd_create("grib"), "w+b") as file:
        file.write(grib)
        file.seek(0)
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            fields.append((int(eccodes.codes_get(handle, "offset")), _words(handle, len(fields))))
            eccodes.codes_release(handle)
    eccodes.codes_grib_multi_support_off()
    return fields


def _words(handle: int, position: int) -> str:
    name, kind = eccodes.codes_get(handle, "shortName"), eccodes.codes_get(handle, "typeOfLevel")
    date = f"d={eccodes.codes_get(handle, 'dataDate')}{eccodes.codes_get(handle, 'dataTime') // 100:02d}"
    step = eccodes.codes_get(handle, "stepRange")
    where = {
        "isobaricInhPa": f"{eccodes.codes_get(handle, 'level')} mb",
        "heightAboveGround": f"{eccodes.codes_get(handle, 'level')} m above ground",
        "meanSea": "mean sea level",
    }.get(kind, f"{kind} {position}")
    return f"{date}:{_NAMES.get(name, name.upper())}:{where}:{'anl' if step == '0' else f'{step} hour fcst'}"
