"""The file of a dossier: a tar archive of one possible form, written as a stream and read without trust.

`index.json`, then `objects/<SHA-256>` in order; each header is the one that `_header` writes, nothing follows the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.forecast_reader import codec_of
from protocol.dossier import INDEX, DossierBroken, holding, require
from protocol.examination import Evidence, examine
from protocol.reproduction import Reproduction
from weather.cases import CaseKey
from weather.fields import Field
from weather.grids import Grid

BLOCK = 512
END = bytes(2 * BLOCK)
MOST_BYTES = 1 << 28  # of one object
_NAME = re.compile(rf"({re.escape(INDEX)}|objects/[0-9a-f]{{64}})\Z")


def verify(path: Path, miner: str, validator: str) -> Evidence:
    """Check a dossier and make its numbers anew; answers what it proves.

    Raises:
        DossierBroken: the first object that does not hold.
    """
    with path.open("rb") as file:
        objects = DossierFile(file)
        evidence = examine(objects.index, objects.get, miner, validator)
        with ChunkDecoder(objects) as decoder:
            forecast = partial(_forecast, evidence, objects, decoder)
            Reproduction(evidence, objects.get, objects.get_field, forecast).check()
        for name in objects.unread:
            raise DossierBroken(name, "nothing that refers to it")
    return evidence


class Place(NamedTuple):
    """Where an object lies in the file."""

    offset: int
    size: int


def write_archive(path: Path, index: bytes, objects: Mapping[str, Callable[[], bytes]]) -> str:
    """Write index and objects by digest, each made when its turn comes; answers the file's SHA-256."""
    part, sha256 = path.with_name(f"{path.name}.part"), hashlib.sha256()
    makers = {INDEX: lambda: index} | {f"objects/{digest}": objects[digest] for digest in sorted(objects)}
    try:
        with part.open("wb") as file:
            for member in chain((_member(name, make()) for name, make in makers.items()), [END]):
                sha256.update(member)
                file.write(member)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return sha256.hexdigest()


class DossierFile:
    """The objects of a file whose every byte is proved when it is opened; it can only be read.

    Raises:
        DossierBroken: the first member that is not what its name says.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, Place] = {}
        name = ""
        while (header := file.read(BLOCK)) != bytes(BLOCK):
            name = self._next(header, name)
        require("end of the file", file.read(BLOCK + 1), bytes(BLOCK))
        require("first member", next(iter(self._places), None), INDEX)
        self._unread = self._places.keys() - {INDEX}
        self.index = self._read(INDEX)

    @property
    def unread(self) -> list[str]:
        """Objects that nobody asked for."""
        return sorted(self._unread)

    def get(self, sha256: str) -> bytes:
        name = f"objects/{sha256}"
        if name not in self._places:
            raise LookupError(f"a reference to {name}, which is not in the dossier")
        self._unread.discard(name)
        return self._read(name)

    def get_field(self, grid: Grid, variable: str, level: int, valid_time: datetime, digest: str) -> Field:
        values = np.frombuffer(self.get(digest), dtype="<f4").reshape(grid.shape)
        field = Field.of(grid, variable, level, valid_time, values)
        require(f"objects/{digest}", field.digest, digest)
        return field

    def _next(self, header: bytes, before: str) -> str:
        part = f"header of member {len(self._places) + 1}"
        require(part, len(header), BLOCK)
        with holding(part):
            name, size = header[:100].rstrip(b"\0").decode("ascii"), int(header[124:135], 8)
            require(part, header, _header(name, size))
        if not _NAME.match(name) or name <= before or size > MOST_BYTES:
            raise DossierBroken(part, f"{name} of {size} bytes after {before}")
        self._places[name] = Place(self._file.tell(), size)
        self._read(name)
        require(name, self._file.read(-size % BLOCK), bytes(-size % BLOCK))
        return name

    def _read(self, name: str) -> bytes:
        place = self._places[name]
        self._file.seek(place.offset)
        body = self._file.read(place.size)
        require(name, len(body), place.size)
        if name != INDEX:
            require(name, hashlib.sha256(body).hexdigest(), name.removeprefix("objects/"))
        return body


def _forecast(evidence: Evidence, objects: DossierFile, decoder: ChunkDecoder, case: CaseKey) -> Field:
    if evidence.manifest is None:
        raise LookupError("a forecast without a manifest")
    _, lead, variable, level, _ = case
    entry = evidence.manifest.entry(evidence.layout.chunk_path(variable, level, lead))
    codec = codec_of(objects, evidence.manifest, variable)
    chunk = FetchedChunk(variable=variable, level=level, lead_hours=lead, sha256=entry.sha256, codec=codec)
    return decoder.decode_field(evidence.layout, chunk, evidence.valid_time(lead))


def _member(name: str, body: bytes) -> bytes:
    return _header(name, len(body)) + body + bytes(-len(body) % BLOCK)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)
