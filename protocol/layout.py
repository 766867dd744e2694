"""The layout of a forecast store: one JSON document, from which every path, shape and size follows."""

from __future__ import annotations

from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from protocol.canonical import digest
from protocol.document import Document, Name, Protocol, Word
from weather.faults import ConfigurationInvalid
from weather.grids import Grid, grid_document
from weather.score_spec import Microdegrees, Positive

COORDINATES = {
    "latitude": "float64",
    "longitude": "float64",
    "level": "int32",
    "lead_time": "int32",
    "valid_time": "int64",
}
MAX_METADATA_BYTES = 65_536

Ascending = Annotated[tuple[Positive, ...], Field(min_length=1)]


class LayoutVariable(Document):
    """One data array."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$")]
    levels: bool
    units: Word
    standard_name: Word


class Layout(Document):
    """Grid, leads, levels and variables of a forecast store."""

    protocol: Protocol
    grid: Name
    lead_time_hours: Ascending
    microdegrees: Microdegrees
    level_hectopascal: Ascending
    variables: Annotated[tuple[LayoutVariable, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds(self) -> Layout:
        step = self.lead_time_hours[0]
        if self.lead_time_hours != tuple(step * count for count in range(1, len(self.lead_time_hours) + 1)):
            raise ValueError(f"lead times of grid {self.grid} are not the multiples of the first one")
        if any(lower >= upper for lower, upper in pairwise(self.level_hectopascal)):
            raise ValueError(f"levels of grid {self.grid} do not ascend")
        if len({variable.name for variable in self.variables} - set(COORDINATES)) != len(self.variables):
            raise ValueError(f"a variable of grid {self.grid} has the name of another array")
        _ = self.grid_value
        return self

    @property
    def digest(self) -> str:
        """`D("layout", J(layout))`."""
        return digest("layout", self.canonical)

    @property
    def grid_value(self) -> Grid:
        """The grid on which the fields stand."""
        return Grid(self.grid, **self.microdegrees.model_dump())

    @property
    def raw_bytes(self) -> int:
        """Decoded size of one field."""
        return 4 * self.microdegrees.latitude_count * self.microdegrees.longitude_count

    def fields(self) -> list[tuple[str, int]]:
        """(variable, level in hPa) in layout order; level 0 at the surface."""
        return [
            (variable.name, level)
            for variable in self.variables
            for level in (self.level_hectopascal if variable.levels else (0,))
        ]

    def array_names(self) -> list[str]:
        """Coordinates, then variables."""
        return [*COORDINATES, *(variable.name for variable in self.variables)]

    def variable(self, name: str) -> LayoutVariable:
        """The data array of a name; KeyError if there is none."""
        return {variable.name: variable for variable in self.variables}[name]

    def length(self, coordinate: str) -> int:
        """Number of values of a coordinate."""
        rows, columns = self.microdegrees.latitude_count, self.microdegrees.longitude_count
        known = {"latitude": rows, "longitude": columns, "level": len(self.level_hectopascal)}
        return known.get(coordinate, len(self.lead_time_hours))

    def chunk_path(self, variable: str, level: int, lead: int) -> str:
        """Path of the chunk of a field: hPa (0 at the surface) and hours; ValueError for a field that there is not."""
        if (variable, level) not in self.fields():
            raise ValueError(f"layout {self.grid} has no field {variable} at level {level}")
        index = f"{self.lead_time_hours.index(lead)}"
        return f"{variable}/c/{index}" + (f"/{self.level_hectopascal.index(level)}" if level else "") + "/0/0"

    def object_set(self) -> list[str]:
        """Paths of all objects of a store, in the order of a manifest."""
        return list(self.size_limits)

    @cached_property
    def size_limits(self) -> dict[str, tuple[int, int]]:
        """Least and greatest size in bytes of each object, by path in the order of a manifest."""
        sizes = {name: self.length(name) * int(kind[-2:]) // 8 for name, kind in COORDINATES.items()}
        limits = {f"{name}/c/0": (size, size) for name, size in sizes.items()}
        limits |= {f"{name}/zarr.json": (1, MAX_METADATA_BYTES) for name in self.array_names()}
        limits["zarr.json"] = (1, MAX_METADATA_BYTES)
        chunk = (1, self.raw_bytes + self.raw_bytes // 64 + 1_024)
        fields = self.fields()
        limits |= {self.chunk_path(*field, lead): chunk for field in fields for lead in self.lead_time_hours}
        return dict(sorted(limits.items()))


def load_layout(grid_name: str, extra: Path | None = None) -> Layout:
    """The layout of a grid; ConfigurationInvalid if it has none, or it is refused."""
    document = grid_document(grid_name, "layout", resources.files("protocol") / "layouts", extra)
    try:
        layout = Layout.parse(document)
    except ValueError as error:
        raise ConfigurationInvalid(f"layout of grid {grid_name} refused: {error}") from error
    if layout.grid != grid_name:
        raise ConfigurationInvalid("layout is that of another grid", found=layout.grid, expected=grid_name)
    return layout
