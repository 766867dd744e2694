"""Field sets in the object store."""

from __future__ import annotations

import json
from datetime import datetime

from adapters.object_store import ObjectStore
from weather.faults import StoreUnavailable
from weather.fields import Field
from weather.grids import Grid

Fields = dict[tuple[str, int], Field]


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
