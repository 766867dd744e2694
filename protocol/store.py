"""Metadata and coordinates of a forecast store: made from templates of the layout, and judged by them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter

from protocol.canonical import J, load_json_strict
from protocol.document import Document
from protocol.layout import COORDINATES, MAX_METADATA_BYTES, Layout
from protocol.messages import StoreIdentity
from weather.faults import MetadataRefused

Codec = Literal["pcodec", "zstd"]
DISTORTING = {"scale_factor", "add_offset", "missing_value", "_Unsigned"}

_COORDINATE_ATTRIBUTES = {
    "latitude": {"units": "degrees_north", "standard_name": "latitude"},
    "longitude": {"units": "degrees_east", "standard_name": "longitude"},
    "level": {"units": "hPa", "standard_name": "air_pressure", "positive": "down"},
    "lead_time": {"units": "hours", "standard_name": "forecast_period"},
    "valid_time": {
        "units": "seconds since 1970-01-01T00:00:00Z",
        "calendar": "proleptic_gregorian",
        "standard_name": "time",
    },
}
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_WRITTEN: dict[Codec, list[dict[str, Any]]] = {
    "pcodec": [{"name": "numcodecs.pcodec", "configuration": {"level": 8}}],
    "zstd": [_LITTLE, {"name": "zstd", "configuration": {"level": 3, "checksum": True}}],
}


Named = TypeVar("Named", bound=str)
Options = TypeVar("Options", bound=Document)


class _Codec(Document, Generic[Named, Options]):
    name: Named
    configuration: Options


class _Endian(Document):
    endian: Literal["little"]


class _ZstdOptions(Document):
    level: Annotated[int, Field(ge=-131_072, le=22)]
    checksum: bool


class _PcodecOptions(Document):
    """What numcodecs may write beyond the level, at its defaults."""

    level: Annotated[int, Field(ge=0, le=12)]
    mode_spec: Literal["auto"] = "auto"
    delta_spec: Literal["auto"] = "auto"
    paging_spec: Literal["equal_pages_up_to"] = "equal_pages_up_to"
    delta_encoding_order: None = None
    equal_pages_up_to: Literal[262_144] = 262_144


_PIPELINES: TypeAdapter[Any] = TypeAdapter(
    tuple[_Codec[Literal["bytes"], _Endian], _Codec[Literal["zstd"], _ZstdOptions]]
    | tuple[_Codec[Literal["numcodecs.pcodec"], _PcodecOptions]]
)


def array_metadata(layout: Layout, name: str, codec: Codec = "pcodec") -> bytes:
    """`zarr.json` of an array; the codec is that of data arrays, coordinates have none."""
    codecs = [_LITTLE] if name in COORDINATES else _WRITTEN[codec]
    return J({**_template(layout, name), "codecs": codecs, "attributes": _attributes(layout, name)})


def root_metadata(identity: StoreIdentity) -> bytes:
    """`zarr.json` of the root group."""
    return J({"zarr_format": 3, "node_type": "group", "attributes": _root_attributes(identity)})


def coordinate_chunks(layout: Layout, init_time: datetime) -> dict[str, bytes]:
    """Bytes of the coordinate chunks by path."""
    grid = layout.grid_value
    seconds = int(init_time.timestamp())
    values = {
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
        "level": layout.level_hectopascal,
        "lead_time": layout.lead_time_hours,
        "valid_time": [seconds + 3600 * hours for hours in layout.lead_time_hours],
    }
    return {
        f"{name}/c/0": np.asarray(values[name], np.dtype(kind).newbyteorder("<")).tobytes()
        for name, kind in COORDINATES.items()
    }


def check_metadata(path: str, body: bytes, layout: Layout, identity: StoreIdentity) -> None:
    """Compare a `zarr.json` at a path of the object set with its template; MetadataRefused if they may not differ."""
    try:
        found = load_json_strict(body, MAX_METADATA_BYTES, signed=False)
        attributes = found.pop("attributes")
        if path == "zarr.json":
            _require_same(path, found, {"zarr_format": 3, "node_type": "group"})
            _require_attributes(path, attributes, _root_attributes(identity))
            return
        name = path.removesuffix("/zarr.json")
        _require_codecs(path, found.pop("codecs"), coordinate=name in COORDINATES)
        _require_same(path, {"storage_transformers": [], **found}, _template(layout, name))
        _require_attributes(path, attributes, _attributes(layout, name))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise MetadataRefused(f"{path} is not metadata of the layout", found=error) from error


def _root_attributes(identity: StoreIdentity) -> dict[str, str]:
    own = {name: identity.value[name] for name in StoreIdentity.model_fields}
    return {"Conventions": "CF-1.11", **own}


def _attributes(layout: Layout, name: str) -> dict[str, str]:
    if name in COORDINATES:
        return _COORDINATE_ATTRIBUTES[name]
    variable = layout.variable(name)
    return {"units": variable.units, "standard_name": variable.standard_name}


def _template(layout: Layout, name: str) -> dict[str, Any]:
    """All members but codecs and attributes."""
    if name in COORDINATES:
        dimensions = ["lead_time" if name == "valid_time" else name]
        shape = chunk = [layout.length(name)]
    else:
        dimensions = ["lead_time", *(["level"] if layout.variable(name).levels else []), "latitude", "longitude"]
        shape = [layout.length(dimension) for dimension in dimensions]
        chunk = [1] * (len(shape) - 2) + shape[-2:]
    kind = COORDINATES.get(name, "float32")
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if kind.startswith("float") else 0,
        "dimension_names": dimensions,
        "storage_transformers": [],
    }


def _require_codecs(path: str, codecs: object, *, coordinate: bool) -> None:
    if coordinate:
        _require_same(f"{path} codecs", codecs, [_LITTLE])
    else:
        _PIPELINES.validate_json(json.dumps(codecs))


def _require_same(what: str, found: object, expected: object) -> None:
    texts = [json.dumps(value, sort_keys=True) for value in (found, expected)]
    if texts[0] != texts[1]:
        raise MetadataRefused(f"{what} differs from its template", found=texts[0], expected=texts[1])


def _require_attributes(path: str, found: dict[str, Any], required: dict[str, str]) -> None:
    for name, value in required.items():
        _require_same(f"{path} attribute {name}", found.get(name), value)
    if refused := DISTORTING & found.keys():
        raise MetadataRefused(f"{path} has attributes that change values", found=sorted(refused), expected="none")
