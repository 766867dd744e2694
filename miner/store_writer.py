"""A forecast store on disk: chunks lead by lead beside its name, then metadata and manifest, then the name."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.object_store import storage_faults
from miner.forecasts import Fields
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.messages import StoreIdentity
from protocol.store import array_metadata, coordinate_chunks, root_metadata
from weather.faults import IncompleteForecast

MANIFEST = "manifest.json"
_PCODEC = ChunkConfig(compression_level=8)


class StoreWriter:
    """Everything may be repeated; nothing of the store is seen under its name before it is complete."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder = folder
        self.layout = layout
        self.unfinished = folder.with_name(folder.name + ".part")

    @property
    def complete(self) -> bool:
        """Whether the store stands under its name."""
        return self._folder.is_dir()

    def write_lead(self, lead_hours: int, fields: Fields) -> None:
        """Write the chunks of one lead time.

        Raises:
            IncompleteForecast: a field is absent, of another shape or not finite.
        """
        for variable, level in self.layout.fields():
            values = fields.get((variable, level))
            if values is None or values.shape != self.layout.grid_value.shape or not np.isfinite(values).all():
                raise IncompleteForecast(
                    f"{variable} at level {level}, {lead_hours} h is absent, misshapen or infinite"
                )
            chunk = standalone.simple_compress(np.ascontiguousarray(values, dtype=np.float32).ravel(), _PCODEC)
            self._put(self.layout.chunk_path(variable, level, lead_hours), chunk)

    def finish(self, identity: StoreIdentity) -> Manifest:
        """Add metadata, coordinates and manifest; the manifest of a complete store is read."""
        objects = self.layout.object_set()
        if self.complete:
            with storage_faults():
                body = (self._folder / MANIFEST).read_bytes()
            return Manifest.read(body, identity.job_id, len(objects))
        self._put("zarr.json", root_metadata(identity))
        for name in self.layout.array_names():
            self._put(f"{name}/zarr.json", array_metadata(self.layout, name, "pcodec"))
        for path, chunk in coordinate_chunks(self.layout, identity.init_time).items():
            self._put(path, chunk)
        manifest = Manifest.build(identity.job_id, (self._entry(path) for path in objects))
        self._put(MANIFEST, manifest.canonical)
        return manifest

    def publish(self) -> None:
        """Give the store its name."""
        with storage_faults():
            if not self.complete:
                os.replace(self.unfinished, self._folder)

    def remove(self) -> None:
        """Delete what there is of the store."""
        with storage_faults():
            for folder in (self._folder, self.unfinished):
                shutil.rmtree(folder, ignore_errors=not folder.exists())

    def _put(self, path: str, data: bytes) -> None:
        with storage_faults():
            target = self.unfinished / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def _entry(self, path: str) -> tuple[str, int, str]:
        with storage_faults():
            data = (self.unfinished / path).read_bytes()
        return path, len(data), hashlib.sha256(data).hexdigest()
