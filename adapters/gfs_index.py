"""Which bytes of a GFS file hold which channels: the `.idx` beside it, read strictly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from operator import attrgetter

from weather.faults import CycleNotYetAvailable, SourceCorrupt

MOST_INDEX_BYTES = 256 * 1024

Channel = tuple[str, int]
Key = tuple[str, str, str, str]  # VAR, LEVEL, FORECAST, and what an ensemble adds

_LINE = re.compile(r"\d+(?:\.\d+)?:(\d{1,18}):d=(\d{10}):([^:]+):([^:]+):([^:]+):([^:]*)", re.ASCII)
_SURFACE = {
    "2t": ("TMP", "2 m above ground"),
    "10u": ("UGRD", "10 m above ground"),
    "10v": ("VGRD", "10 m above ground"),
    "msl": ("PRMSL", "mean sea level"),
}
_ON_LEVELS = {"t": "TMP", "u": "UGRD", "v": "VGRD", "q": "SPFH", "z": "HGT"}


@dataclass(frozen=True)
class IndexLine:
    offset: int
    key: Key


@dataclass(frozen=True)
class PlannedMessage:
    """One message and what it must hold: `fields` in all, among them each channel once."""

    offset: int
    length: int
    fields: int
    channels: tuple[Channel, ...]

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class RangePlan:
    """The messages of one file that hold the channels, in file order."""

    cycle: datetime
    lead_hours: int
    path: str
    file_bytes: int
    channels: tuple[Channel, ...]
    messages: tuple[PlannedMessage, ...]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def ranges(self) -> list[tuple[PlannedMessage, ...]]:
        """Adjacent messages joined."""
        joined: list[tuple[PlannedMessage, ...]] = []
        for message in self.messages:
            if joined and joined[-1][-1].end == message.offset:
                joined[-1] += (message,)
            else:
                joined.append((message,))
        return joined


def gfs_path(product: str, cycle: datetime, lead_hours: int) -> str:
    return f"gfs.{cycle:%Y%m%d}/{cycle:%H}/atmos/gfs.t{cycle:%H}z.{product}.f{lead_hours:03d}"


def parse_index(data: bytes, cycle: datetime) -> list[IndexLine]:
    """All lines, or why none of them is believed."""
    if len(data) > MOST_INDEX_BYTES:
        raise SourceCorrupt("index is too long", found=f"{len(data)} bytes", expected=f"at most {MOST_INDEX_BYTES}")
    if not data.strip():
        raise CycleNotYetAvailable("index is empty")
    if not data.isascii():
        raise SourceCorrupt("index is not ASCII")
    lines = [_line(text, cycle) for text in data.decode("ascii").splitlines()]
    for before, line in pairwise(lines):
        if line.offset < before.offset:
            raise SourceCorrupt("index offsets fall", found=line.offset, expected=f"at least {before.offset}")
    if len({line.key for line in lines}) != len(lines):
        raise SourceCorrupt("index names a field twice")
    return lines


def plan_messages(lines: Sequence[IndexLine], wanted: dict[Key, Channel], file_bytes: int) -> list[PlannedMessage]:
    """The messages that hold the wanted keys; the last one ends with the file."""
    if file_bytes <= lines[-1].offset:
        raise CycleNotYetAvailable("file is shorter than its index says", found=file_bytes, expected=lines[-1].offset)
    if absent := wanted.keys() - {line.key for line in lines}:
        raise CycleNotYetAvailable(f"{len(absent)} wanted fields are not in the index", expected=sorted(absent)[0])
    groups = [(offset, list(group)) for offset, group in groupby(lines, key=attrgetter("offset"))]
    ends = [offset for offset, _ in groups[1:]] + [file_bytes]
    return [
        PlannedMessage(offset, end - offset, len(group), channels)
        for (offset, group), end in zip(groups, ends, strict=True)
        if (channels := tuple(wanted[line.key] for line in group if line.key in wanted))
    ]


def index_key(channel: Channel, lead_hours: int) -> Key:
    """The exact words under which an index lists the channel."""
    variable, level = channel
    name, where = _SURFACE[variable] if variable in _SURFACE else (_ON_LEVELS[variable], f"{level} mb")
    return name, where, f"{lead_hours} hour fcst" if lead_hours else "anl", ""


def _line(text: str, cycle: datetime) -> IndexLine:
    match = _LINE.fullmatch(text)
    if match is None:
        raise SourceCorrupt("index line does not parse", found=text[:200])
    offset, date, *key = match.groups()
    if date != f"{cycle:%Y%m%d%H}":
        raise SourceCorrupt("index is of another cycle", found=date, expected=f"{cycle:%Y%m%d%H}")
    return IndexLine(int(offset), (key[0], key[1], key[2], key[3]))
