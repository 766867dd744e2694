"""Writing, breaking and forging dossiers; what is read here is read by the standard library's tar."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.dossier import Origin, write_dossier
from adapters.dossier_file import verify, write_archive
from adapters.ledger.engine import Ledger
from protocol.canonical import J
from protocol.dossier import DossierBroken, FactDocument, FaultDocument, Proved
from protocol.identity import PrivateKey
from tests.activities.dossiers.judged_run import CAROL, JudgedRun
from tests.activities.validator.world import VALIDATOR

Change = Callable[[Any], object]


def write(run: JudgedRun, hotkey: str, file: Path, key: PrivateKey | None = VALIDATOR) -> Path:
    with Ledger(run.ledger_url) as ledger, ledger.read() as session:
        sha256 = write_dossier(file, Origin(session, run.objects, run.catalog, run.run_id, hotkey, key))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    return file


def broken(file: Path, miner: str = CAROL.hotkey, validator: str = VALIDATOR.hotkey) -> str:
    """The name of what does not hold."""
    with pytest.raises(DossierBroken) as found:
        verify(file, miner, validator)
    return found.value.part


@dataclass
class Unpacked:
    """A dossier as a liar holds it; `save` gives everything its right name."""

    index: dict[str, Any]
    objects: dict[str, bytes]

    @classmethod
    def of(cls, file: Path) -> Unpacked:
        with tarfile.open(file) as archive:
            bodies = {name: archive.extractfile(name) for name in archive.getnames()}
            read = {name.removeprefix("objects/"): body.read() for name, body in bodies.items() if body}
        return cls(json.loads(read.pop("index.json")), read)

    def value(self, role: str) -> Any:
        return json.loads(self.objects[self.index[role]])

    def change(self, role: str, change: Change) -> None:
        """Change a document in place, or put another in its place."""
        value = self.value(role)
        value = change(value) or value
        del self.objects[self.index[role]]
        self.index[role] = self.add(J(value))

    def add(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        self.objects[digest] = body
        return digest

    def bind(self) -> None:
        """Let the closing name the facts and faults as they are now."""
        for role, kind in (("facts", Proved[FactDocument]), ("faults", Proved[FaultDocument])):
            root = kind.parse(self.objects[self.index[role]]).root
            self.change("closing", put(f"{role}_digest", root))

    def save(self, file: Path) -> Path:
        write_archive(file, J(self.index), {digest: partial(bytes, body) for digest, body in self.objects.items()})
        return file


def put(path: str, new: object) -> Change:
    """Sets a member of nested JSON, or changes it if `new` is a function."""

    def change(value: Any) -> None:
        above, last = _above(value, path)
        above[last] = new(above[last]) if callable(new) else new

    return change


def drop(path: str) -> Change:
    """Removes a member of nested JSON."""

    def change(value: Any) -> None:
        above, last = _above(value, path)
        del above[last]

    return change


def _above(value: Any, path: str) -> tuple[Any, Any]:
    *names, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for name in names:
        value = value[name]
    return value, last
