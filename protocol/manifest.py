"""The manifest of a forecast store: path, size and digest of each object, under one root."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, NamedTuple

from pydantic import FailFast

from protocol import merkle
from protocol.canonical import load_json_strict, tag
from protocol.commitment import Commitment
from protocol.document import Count, Digest, Document, JobId, Protocol
from protocol.layout import Layout
from protocol.names import PROTOCOL
from protocol.store import coordinate_chunks
from weather.faults import CoordinatesWrong, ManifestMalformed, ManifestMismatch, ManifestPathsWrong, ManifestSizesWrong


class Entry(NamedTuple):
    """One object of a store; the digest is SHA-256 of the served body."""

    path: str
    size: Count
    sha256: Digest


class Manifest(Document):
    """All objects of a store, sorted by path."""

    protocol: Protocol = PROTOCOL
    job_id: JobId
    objects: Annotated[tuple[Entry, ...], FailFast()]

    @classmethod
    def build(cls, job_id: str, objects: Iterable[tuple[str, int, str]]) -> Manifest:
        """The manifest of (path, size, digest) in any order."""
        return cls(job_id=job_id, objects=tuple(Entry(*item) for item in sorted(objects)))

    @classmethod
    def read(cls, body: bytes, job_id: str, object_count: int) -> Manifest:
        """Read what a miner serves; ManifestMalformed if too long, not canonical, unsorted, or of another job."""
        try:
            if body.count(b",") > most_commas(object_count):
                raise ValueError("more values than its objects can have")
            manifest = cls.of_value(load_json_strict(body, size_cap(object_count)))
            if manifest.canonical != body:
                raise ValueError("not canonical bytes")
        except ValueError as error:
            raise ManifestMalformed(f"manifest refused: {error}") from error
        paths = [entry.path for entry in manifest.objects]
        if paths != sorted(set(paths)):
            raise ManifestMalformed("paths are not sorted, each once")
        if manifest.job_id != job_id:
            raise ManifestMalformed("manifest of another job", found=manifest.job_id, expected=job_id)
        return manifest

    @cached_property
    def root(self) -> str:
        """MTH over the leaves of the objects in order."""
        return merkle.tree_hash([_leaf(entry) for entry in self.objects]).hex()

    @property
    def object_count(self) -> int:
        """Number of objects."""
        return len(self.objects)

    @property
    def total_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(entry.size for entry in self.objects)

    def entry(self, path: str) -> Entry:
        """The object at a path; KeyError if there is none."""
        return self._by_path[path]

    @cached_property
    def _by_path(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.objects}

    def check_against(self, commitment: Commitment, layout: Layout) -> None:
        """Check everything that can be known before an object is downloaded.

        Raises:
            ManifestMismatch: root, count or total are not the committed ones.
            ManifestPathsWrong: the paths are not the object set.
            ManifestSizesWrong: a size is outside its budget.
            CoordinatesWrong: a coordinate chunk is not the computed one.
        """
        found = (self.root, self.object_count, self.total_bytes)
        expected = (commitment.root, commitment.object_count, commitment.total_bytes)
        if found != expected:
            raise ManifestMismatch("manifest is not the committed one", found=found, expected=expected)
        limits = layout.size_limits
        if strange := sorted(self._by_path.keys() ^ limits.keys()):
            raise ManifestPathsWrong(f"{len(strange)} paths are lacking or strange, first {strange[0][:200]!r}")
        for path, size, _ in self.objects:
            least, greatest = limits[path]
            if not least <= size <= greatest:
                raise ManifestSizesWrong(f"size of {path} in bytes", found=size, expected=f"{least} … {greatest}")
        for path, chunk in coordinate_chunks(layout, commitment.init_time).items():
            digest = hashlib.sha256(chunk).hexdigest()
            if self.entry(path).sha256 != digest:
                raise CoordinatesWrong(f"digest of {path}", found=self.entry(path).sha256, expected=digest)


def size_cap(object_count: int) -> int:
    """Greatest size in bytes of a manifest."""
    return 1_024 + 160 * object_count


def most_commas(object_count: int) -> int:
    """More than fit below the cap between good entries; it bounds what a bad manifest costs before it is refused."""
    return 64 + 7 * object_count


def _leaf(entry: Entry) -> bytes:
    path = entry.path.encode()
    head = struct.pack(">I", len(path)) + path + struct.pack(">Q", entry.size)
    return tag("object") + head + bytes.fromhex(entry.sha256)
