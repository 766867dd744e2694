"""Immutable objects named by their content: raw bytes and decoded fields. Every read proves itself."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.chunk_child import filled
from weather.faults import ConfigurationInvalid, DiskFull, StoreUnavailable
from weather.fields import Field
from weather.grids import Grid

_PCODEC = ChunkConfig(compression_level=8)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_KINDS = ("bytes", "fields")
Kind = Literal["bytes", "fields"]
_SLACK_BYTES = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


Fields = dict[tuple[str, int], Field]


class Stored(NamedTuple):
    """An object as it lies there: `<kind>/<digest>`, and when it was last put or found by `has`."""

    key: str
    size_bytes: int
    put_at: datetime


class ObjectStore:
    """Plain files below `root`: `bytes/<2>/<sha256>` and `fields/<2>/<field digest>`.

    Putting what is there makes it as new as if it was written. That and deletion exclude each other by a lock on
    each folder, so an object is either seen as new and stays, or is gone and written again. Blocking; call from async
    code with `asyncio.to_thread`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> str:
        """Store the bytes unless they are there; return their SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.put_proved(data, sha256)
        return sha256

    def put_proved(self, data: bytes, sha256: str) -> None:
        """Store bytes whose SHA-256 was just computed, unless they are there."""
        path = self._path("bytes", sha256)
        with storage_faults(), _locked(path.parent, fcntl.LOCK_SH):
            if not _renewed(path) or path.stat().st_size != len(data):
                _write(path, data)

    def get(self, sha256: str) -> bytes:
        """The bytes, after their SHA-256 was compared."""
        path = self._path("bytes", sha256)
        with storage_faults():
            data = path.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            _discard(path, "its SHA-256 is another", found, sha256)
        return data

    def has(self, digest: str, kind: Kind = "bytes") -> bool:
        """Whether an object of this name is there; nothing is proved."""
        path = self._path(kind, digest)
        with storage_faults(), _locked(path.parent, fcntl.LOCK_SH):
            return _renewed(path)

    def put_field(self, field: Field) -> str:
        """Store the values unless they are there; return the field digest."""
        path = self._path("fields", field.digest)
        with storage_faults(), _locked(path.parent, fcntl.LOCK_SH):
            if not _renewed(path):
                _write(path, standalone.simple_compress(field.values.ravel(), _PCODEC))
        return field.digest

    def get_field(self, grid: Grid, variable: str, level: int, valid_time: datetime, digest: str) -> Field:
        """The field whose values have this digest."""
        path = self._path("fields", digest)
        values = np.empty(grid.shape, dtype=np.float32)
        with storage_faults():
            size = path.stat().st_size
            stream = path.read_bytes() if size <= values.nbytes + _SLACK_BYTES else b""
        if not filled(stream, values.reshape(-1)):
            _discard(path, "it is not one pcodec stream of the grid", f"{size} bytes", f"shape {grid.shape}")
        field = Field.of(grid, variable, level, valid_time, values)
        if field.digest != digest:
            _discard(path, "its field digest is another", field.digest, digest)
        return field

    def probe(self) -> None:
        """Write, read and delete what no other process writes; StoreUnavailable where that does not work."""
        sha256 = self.put(os.urandom(1024))
        self.get(sha256)
        self.delete(f"bytes/{sha256}", datetime.max.replace(tzinfo=UTC))

    def listed(self, after: str, most: int) -> list[Stored]:
        """The objects whose keys follow `after`, in order of their keys."""
        with storage_faults():
            return list(islice(self._stored(after), most))

    def delete(self, key: str, before: datetime) -> bool:
        """Remove an object unless it was put since `before`; whether it is gone, which it may have been already."""
        path = self._path(*key.split("/"))
        with storage_faults(), _locked(path.parent, fcntl.LOCK_EX):
            if gone := not path.is_file() or _put_at(path.stat()) < before:
                path.unlink(missing_ok=True)
            return gone

    def _stored(self, after: str) -> Iterator[Stored]:
        for folder in sorted(path for kind in _KINDS for path in (self._root / kind).glob("[0-9a-f][0-9a-f]")):
            kind = folder.parent.name
            if f"{kind}/{folder.name}~" <= after:
                continue
            keys = {f"{kind}/{entry.name}": entry for entry in os.scandir(folder) if _SHA256.match(entry.name)}
            for key in sorted(key for key in keys if key > after):
                found = keys[key].stat()
                yield Stored(key, found.st_size, _put_at(found))

    def _path(self, kind: str, digest: str) -> Path:
        if not _SHA256.match(digest):
            raise ValueError(f"not a SHA-256: {digest[:80]!r}")
        return self._root / kind / digest[:2] / digest


def load_field_set(store: ObjectStore, grid: Grid, sha256: str) -> Fields:
    """The fields of a set by (variable, level), each proved by its digest."""
    document = json.loads(store.get(sha256))
    if document["grid"] != grid.name:
        raise StoreUnavailable("field set is on another grid", found=document["grid"], expected=grid.name)
    return {
        (row["variable"], row["level"]): store.get_field(
            grid, row["variable"], row["level"], datetime.fromisoformat(row["valid_time"]), row["sha256"]
        )
        for row in document["fields"]
    }


def open_object_store(url: str) -> ObjectStore:
    """The store that `BAROGRAPH_OBJECT_STORE` names."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path:
        raise ConfigurationInvalid("object store not supported", found=url, expected="file:///<folder>")
    return ObjectStore(Path(unquote(parts.path)))


@contextmanager
def storage_faults() -> Generator[None]:
    """Turn what the file system refuses into our fault."""
    try:
        yield
    except OSError as error:
        kind = DiskFull if error.errno in _FULL else StoreUnavailable
        raise kind(f"object store: {error}") from error


@contextmanager
def _locked(folder: Path, operation: int) -> Generator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        fcntl.flock(file, operation)
        yield


def _renewed(path: Path) -> bool:
    """Make the object as new as if it was just written; false if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _put_at(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _write(path: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # a second writer replaces equal content by equal content
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path, why: str, found: str, expected: str) -> None:
    with storage_faults():
        path.unlink(missing_ok=True)
    raise StoreUnavailable(
        f"object {path.parent.parent.name}/{path.name} is damaged: {why}", found=found, expected=expected
    )
