"""The frame of GRIB messages: `GRIB`, the length in section 0, `7777`."""

from __future__ import annotations

import re

from weather.faults import SourceCorrupt

_SHORTEST_BYTES = 20
_NOT_PADDING = re.compile(rb"[^\0]")


def cut_messages(data: bytes, *, padded: bool = False) -> list[bytes]:
    """The messages that lie end to end in `data`; what is between or after them is refused, zeros unless `padded`."""
    messages: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + _length(data, start)
        if data[end - 4 : end] != b"7777":
            raise SourceCorrupt("GRIB message does not end as it must", found=data[end - 4 : end], expected=b"7777")
        messages.append(data[start:end])
        start = _padding_end(data, end) if padded else end
    return messages


def _padding_end(data: bytes, start: int) -> int:
    found = _NOT_PADDING.search(data, start)
    return found.start() if found else len(data)


def _length(data: bytes, start: int) -> int:
    head = data[start : start + 16]
    if head[:4] != b"GRIB" or len(head) < 16 or head[7] not in (1, 2):
        raise SourceCorrupt("not a GRIB message", found=head[:8], expected=b"GRIB, edition 1 or 2")
    length = int.from_bytes(head[8:16] if head[7] == 2 else head[4:7], "big")
    if not _SHORTEST_BYTES <= length <= len(data) - start:
        received = len(data) - start
        raise SourceCorrupt("GRIB message has the wrong length", found=f"{received} bytes", expected=f"{length} bytes")
    return length
