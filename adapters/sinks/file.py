"""Weights as one line an epoch in `weights/<network>.jsonl`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from adapters.object_store import storage_faults, sync_folder
from adapters.sinks.port import Submitted, WeightSink
from protocol.canonical import J
from protocol.weights import WeightsPayload


class FileSink(WeightSink):
    name = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "weights"

    def submit(self, payload: WeightsPayload, key: str) -> Submitted:
        with self._locked(payload.network) as file:
            whole_bytes, found = 0, False
            for line in file:
                if line.endswith(b"\n"):
                    whole_bytes += len(line)
                    found |= line.startswith(f'{{"key":"{key}",'.encode())
            file.truncate(whole_bytes)
            if not found:
                file.write(_line(payload, key))
                file.flush()
            os.fsync(file.fileno())
        return Submitted("submitted", key)

    def confirm(self, payload: WeightsPayload, key: str) -> bool:
        with self._locked(payload.network) as file:
            return _line(payload, key) in file

    @contextmanager
    def _locked(self, network: str) -> Generator[BinaryIO]:
        with storage_faults():
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{network}.jsonl").open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                sync_folder(self._folder)
                file.seek(0)
                yield file


def _line(payload: WeightsPayload, key: str) -> bytes:
    return J({"key": key, "weights": payload.value}) + b"\n"
