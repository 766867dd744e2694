"""Field sets: which fields, by digest, make up inputs, a truth, a climatology slice or a forecast."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from weather.canonical import J
from weather.fields import Field
from weather.variables import VARIABLES, check_field

Kind = Literal["inputs", "truth", "climatology", "forecast"]


@dataclass(frozen=True)
class FieldEntry:
    """A field by its digest; the unit follows from the variable."""

    variable: str
    level: int
    valid_time: datetime
    shape: tuple[int, int]
    sha256: str

    @classmethod
    def of(cls, field: Field) -> FieldEntry:
        """The entry of a field at hand."""
        return cls(field.variable, field.level, field.valid_time, field.grid.shape, field.digest)

    @property
    def sort_key(self) -> tuple[datetime, int, int]:
        """Valid time, order of variables, level."""
        return self.valid_time, list(VARIABLES).index(self.variable), self.level


def field_set_document(kind: Kind, version: str, grid_name: str, fields: Iterable[Field | FieldEntry]) -> bytes:
    """Canonical JSON of a set, whatever the order given; ValueError if a field stands in it twice."""
    entries = sorted((_entry(field) for field in fields), key=lambda entry: entry.sort_key)
    if len({entry.sort_key for entry in entries}) != len(entries):
        raise ValueError("a field stands twice in the set")
    return J(
        {
            "document": "barograph/field-set/1",
            "kind": kind,
            "version": version,
            "grid": grid_name,
            "fields": [_row(entry) for entry in entries],
        }
    )


def field_digests(document: bytes) -> frozenset[str]:
    """The digests of the fields of a set."""
    return frozenset(row["sha256"] for row in json.loads(document)["fields"])


def set_digest(document: bytes) -> str:
    """SHA-256 of the canonical document."""
    return hashlib.sha256(document).hexdigest()


def _entry(field: Field | FieldEntry) -> FieldEntry:
    return FieldEntry.of(field) if isinstance(field, Field) else field


def _row(entry: FieldEntry) -> dict[str, str | int | list[int]]:
    return {
        "variable": entry.variable,
        "level": entry.level,
        "unit": check_field(entry.variable, entry.level).unit,
        "valid_time": entry.valid_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "shape": list(entry.shape),
        "sha256": entry.sha256,
    }
