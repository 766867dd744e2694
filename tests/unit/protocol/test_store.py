import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
import zstandard
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs
from zarr.codecs import ZstdCodec

from protocol.store import Codec, array_metadata, check_metadata, coordinate_chunks, root_metadata
from tests.unit.protocol.world import CALL, COMMITMENT, LAYOUT, MINER, OTHER, T0
from weather.faults import MetadataRefused

IDENTITY = CALL.identity(MINER.hotkey)
DATA = np.random.default_rng(7).normal(280, 20, (2, 2, 4, 8)).astype("<f4")
PCODEC_DEFAULTS = {
    "mode_spec": "auto",
    "delta_spec": "auto",
    "paging_spec": "equal_pages_up_to",
    "delta_encoding_order": None,
    "equal_pages_up_to": 262_144,
}
NOT_CORE = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification")
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": True}}


def pcodec(**options: object) -> dict[str, object]:
    return {"name": "numcodecs.pcodec", "configuration": {"level": 8, **options}}


def encoded(codec: Codec, values: np.ndarray) -> bytes:
    if codec == "pcodec":
        return standalone.simple_compress(values.ravel(), ChunkConfig(compression_level=8))
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(values.tobytes())


def write_store(root: Path, codec: Codec) -> None:
    objects = {"zarr.json": root_metadata(IDENTITY), **coordinate_chunks(LAYOUT, T0)}
    objects |= {f"{name}/zarr.json": array_metadata(LAYOUT, name, codec) for name in LAYOUT.array_names()}
    for variable, level in LAYOUT.fields():
        for lead in LAYOUT.lead_time_hours:
            values = DATA[lead // 6 - 1, 1 if level == 850 else 0]
            objects[LAYOUT.chunk_path(variable, level, lead)] = encoded(codec, values)
    assert sorted(objects) == LAYOUT.object_set()
    for path, body in objects.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(body)


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
@NOT_CORE
def test_any_zarr_reader_opens_a_store_made_of_the_templates(tmp_path: Path, codec: Codec) -> None:
    write_store(tmp_path, codec)
    with xarray.open_zarr(tmp_path, consolidated=False) as forecast:
        np.testing.assert_array_equal(forecast["t"].values, DATA)
        np.testing.assert_array_equal(forecast["2t"].values, DATA[:, 0])
        assert forecast["t"].dims == ("lead_time", "level", "latitude", "longitude")
        assert forecast["valid_time"].values[0] == np.datetime64("2026-11-23T00:00:00")
        assert forecast["latitude"].values.tolist() == [87.1875, 81.5625, 75.9375, 70.3125]
        assert forecast["level"].values.tolist() == [500, 850]
        assert forecast.attrs["hotkey"] == MINER.hotkey
        assert forecast["t"].attrs == {"units": "K", "standard_name": "air_temperature"}


def zarr_written(tmp_path: Path, **pipeline: Any) -> bytes:
    group = zarr.create_group(tmp_path / "written", zarr_format=3)
    group.create_array(
        "t",
        shape=(2, 2, 4, 8),
        chunks=(1, 1, 4, 8),
        dtype="float32",
        fill_value=float("nan"),
        dimension_names=("lead_time", "level", "latitude", "longitude"),
        attributes={"units": "K", "standard_name": "air_temperature", "history": "prévision ½", "version": 1.5},
        **pipeline,
    )
    return (tmp_path / "written" / "t" / "zarr.json").read_bytes()


@pytest.mark.parametrize(
    "pipeline",
    [
        {},
        {"compressors": ZstdCodec(level=19, checksum=True)},
        {"serializer": pcodec(), "compressors": None},
        {"serializer": pcodec(level=12, mode_spec="auto", delta_spec="auto"), "compressors": None},
        {"serializer": pcodec(level=0, **PCODEC_DEFAULTS), "compressors": None},
    ],
)
@NOT_CORE
def test_what_zarr_writes_with_an_allowed_pipeline_is_accepted(tmp_path: Path, pipeline: dict[str, Any]) -> None:
    check_metadata("t/zarr.json", zarr_written(tmp_path, **pipeline), LAYOUT, IDENTITY)


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_the_templates_are_accepted(codec: Codec) -> None:
    for name in LAYOUT.array_names():
        check_metadata(f"{name}/zarr.json", array_metadata(LAYOUT, name, codec), LAYOUT, IDENTITY)
    check_metadata("zarr.json", root_metadata(IDENTITY), LAYOUT, COMMITMENT)


def test_text_may_differ_but_nothing_else() -> None:
    loose = json.dumps(json.loads(array_metadata(LAYOUT, "t")), indent=2).encode()
    check_metadata("t/zarr.json", loose, LAYOUT, IDENTITY)
    check_metadata("t/zarr.json", loose.replace(b'  "storage_transformers": [],\n', b""), LAYOUT, IDENTITY)
    padded = loose + b" " * (65_536 - len(loose))
    check_metadata("t/zarr.json", padded, LAYOUT, IDENTITY)
    with pytest.raises(MetadataRefused, match="65537"):
        check_metadata("t/zarr.json", padded + b" ", LAYOUT, IDENTITY)


REFUSED_MEMBERS = {
    "zarr_format": [2, 3.0, "3"],
    "node_type": ["group"],
    "shape": [[2, 2, 4, 9], [2.0, 2, 4, 8], [2, 2, 32]],
    "data_type": ["float64", ">f4", "<f4"],
    "chunk_grid": [{"name": "regular", "configuration": {"chunk_shape": [2, 2, 4, 8]}}],
    "chunk_key_encoding": [{"name": "default", "configuration": {"separator": "."}}, {"name": "v2"}],
    "fill_value": [0, 0.0, "nan", "0x7fc00000", None],
    "dimension_names": [["lead_time", "level", "longitude", "latitude"], None],
    "storage_transformers": [[{"name": "x"}], None],
    "consolidated_metadata": [None, {}],
    "must_understand": [False],
    "attributes": [
        {},
        [],
        {"units": "degC", "standard_name": "air_temperature"},
        {"units": "K", "standard_name": "air_temperature", "scale_factor": 2},
        {"units": "K", "standard_name": "air_temperature", "add_offset": 0},
        {"units": "K", "standard_name": "air_temperature", "missing_value": -999},
        {"units": "K", "standard_name": "air_temperature", "_Unsigned": "true"},
        {"units": "K", "standard_name": "air_temperature", "deep": [[[[[[[0]]]]]]]},
    ],
    "codecs": [
        [],
        [LITTLE],
        [ZSTD],
        [LITTLE, ZSTD, ZSTD],
        [{"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}, LITTLE, ZSTD],
        [{"name": "bytes", "configuration": {"endian": "big"}}, ZSTD],
        [{"name": "bytes"}, ZSTD],
        [LITTLE, {"name": "zstd", "configuration": {"level": 3}}],
        [LITTLE, {"name": "zstd", "configuration": {"level": 3.0, "checksum": True}}],
        [LITTLE, {"name": "zstd", "configuration": {"level": 23, "checksum": True}}],
        [LITTLE, {"name": "zstd", "configuration": {"level": True, "checksum": True}}],
        [LITTLE, {**ZSTD, "must_understand": False}],
        [LITTLE, {"name": "blosc", "configuration": {}}],
        [LITTLE, {"name": "gzip", "configuration": {"level": 1}}],
        [{"name": "numcodecs.pickle", "configuration": {}}],
        [pcodec(), {"name": "numcodecs.pickle", "configuration": {}}],
        [pcodec(), ZSTD],
        [LITTLE, pcodec()],
        [pcodec(level=13)],
        [pcodec(level="8")],
        [pcodec(mode_spec="classic")],
        [pcodec(delta_encoding_order=1)],
        [pcodec(equal_pages_up_to=1)],
        [pcodec(more=1)],
        [{"name": "numcodecs.pcodec", "configuration": {}}],
        [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1, 4, 8], "codecs": [LITTLE]}}],
        "numcodecs.pcodec",
        None,
    ],
}
REFUSED = [(member, value) for member, values in REFUSED_MEMBERS.items() for value in values]


@pytest.mark.parametrize(("member", "value"), REFUSED)
def test_metadata_that_differs_where_it_may_not_is_refused(member: str, value: object) -> None:
    template = json.loads(array_metadata(LAYOUT, "t"))
    with pytest.raises(MetadataRefused):
        check_metadata("t/zarr.json", json.dumps({**template, member: value}).encode(), LAYOUT, IDENTITY)


@pytest.mark.parametrize("member", ["shape", "codecs", "attributes", "fill_value", "node_type", "dimension_names"])
def test_metadata_that_lacks_a_member_is_refused(member: str) -> None:
    template = json.loads(array_metadata(LAYOUT, "t"))
    del template[member]
    with pytest.raises(MetadataRefused):
        check_metadata("t/zarr.json", json.dumps(template).encode(), LAYOUT, IDENTITY)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"a":1,"a":1}', b"\xff", b"[" * 100_000])
def test_what_is_not_metadata_at_all_is_refused(body: bytes) -> None:
    for path in ("zarr.json", "t/zarr.json"):
        with pytest.raises(MetadataRefused):
            check_metadata(path, body[:60_000], LAYOUT, IDENTITY)


def test_coordinates_have_no_codec_and_their_own_attributes() -> None:
    template = json.loads(array_metadata(LAYOUT, "valid_time"))
    assert template["codecs"] == [LITTLE]
    assert template["fill_value"] == 0
    for change in ({"codecs": [LITTLE, ZSTD]}, {"codecs": [pcodec()]}, {"fill_value": False}, {"attributes": {}}):
        with pytest.raises(MetadataRefused):
            check_metadata("valid_time/zarr.json", json.dumps({**template, **change}).encode(), LAYOUT, IDENTITY)


def change_attribute(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda root: root["attributes"].__setitem__(name, value)


@pytest.mark.parametrize(
    "change",
    [
        change_attribute("hotkey", OTHER.hotkey),
        change_attribute("run_id", "campaign/demo/forecast/2026-11-22T18Z"),
        change_attribute("network", "other"),
        change_attribute("layout_digest", "00" * 32),
        change_attribute("Conventions", "CF-1.8"),
        lambda root: root["attributes"].pop("job_id"),
        lambda root: root.update(consolidated_metadata={"metadata": {}}),
        lambda root: root.update(node_type="array"),
    ],
)
def test_a_root_that_names_another_store_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    root = json.loads(root_metadata(IDENTITY))
    root["attributes"]["title"] = "accepted"
    check_metadata("zarr.json", json.dumps(root).encode(), LAYOUT, COMMITMENT)
    change(root)
    with pytest.raises(MetadataRefused):
        check_metadata("zarr.json", json.dumps(root).encode(), LAYOUT, COMMITMENT)
