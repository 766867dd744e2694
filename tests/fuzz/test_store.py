"""Manifest and metadata of a store: refused by the documented code, or exactly what the layout says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical import J
from protocol.manifest import Manifest, size_cap
from protocol.store import DISTORTING, array_metadata, check_metadata, root_metadata
from tests.fuzz.mutations import DEEP, HOSTILE_JSON, changed_bytes, changed_json, changed_values
from tests.fuzz.profiles import bounded
from tests.unit.protocol.world import CALL, COMMITMENT, LAYOUT, MANIFEST, MINER, commitment_to, store
from weather.faults import (
    CoordinatesWrong,
    ManifestMalformed,
    ManifestMismatch,
    ManifestPathsWrong,
    ManifestSizesWrong,
    MetadataRefused,
    MinerFault,
)

JOB, COUNT = CALL.job_id, MANIFEST.object_count
DIGEST = "0" * 64
DOCUMENTS = {path: body for path, body in store().items() if path.endswith("zarr.json")}
DOCUMENTS["t/zarr.json as zstd"] = array_metadata(LAYOUT, "t", "zstd")

paths = st.one_of(
    st.sampled_from(LAYOUT.object_set()),
    st.sampled_from(
        ["../x", "/etc/x", "%2e%2e/x", "a\\b", ".", "", "x" * 201, "t/c/0/0/0/0/", "T/zarr.json", "zarr.json "]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
sizes = st.integers(0, 2**50) | st.integers(0, 4_000)


def told(fault: MinerFault) -> None:
    assert "\0" not in str(fault) and len(str(fault)) < 4_000
    str(fault).encode()


@bounded(300)
@given(body=changed_json(MANIFEST.value) | changed_bytes(MANIFEST.canonical))
def test_a_changed_manifest_is_malformed_or_not_the_committed_one(body: bytes) -> None:
    try:
        manifest = Manifest.read(body, JOB, COUNT)
        manifest.check_against(COMMITMENT, LAYOUT)
    except (ManifestMalformed, ManifestMismatch) as fault:
        told(fault)
        return
    assert body == MANIFEST.canonical


@bounded(300)
@given(data=st.data())
def test_a_committed_manifest_is_judged_by_the_layout(data: st.DataObject) -> None:
    entries = {path: (size, digest) for path, size, digest in MANIFEST.objects}
    for _ in range(data.draw(st.integers(0, 3))):
        path = data.draw(paths)
        change = data.draw(st.none() | st.tuples(sizes, st.sampled_from([DIGEST, MANIFEST.objects[0].sha256])))
        entries.pop(path, None)
        entries |= {} if change is None else {path: change}
    built = Manifest.build(JOB, [(path, *rest) for path, rest in entries.items()])
    try:
        read = Manifest.read(built.canonical, JOB, built.object_count)
        read.check_against(commitment_to(built), LAYOUT)
    except (ManifestMalformed, ManifestPathsWrong, ManifestSizesWrong, CoordinatesWrong) as fault:
        told(fault)
        return
    limits = LAYOUT.size_limits
    assert {path: limits[path][0] <= size <= limits[path][1] for path, size, _ in read.objects} == dict.fromkeys(
        limits, True
    )


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_a_hostile_manifest_is_malformed(body: bytes) -> None:
    for count in (COUNT, len(body) // 160):
        with pytest.raises(ManifestMalformed) as raised:
            Manifest.read(body, JOB, count)
        told(raised.value)


@pytest.mark.parametrize("part", [b"1,", b"[],", b'{"a":0},', b'["",0,""],', b'["a",0,"' + b"0" * 64 + b'"],', b'"x",'])
@pytest.mark.parametrize("frame", [b'{"objects":[%s1]}', b'{"job_id":[%s1]}', b"[%s1]", b'{"a":[[[[[%s1]]]]]}'])
def test_a_full_manifest_of_anything_costs_little(frame: bytes, part: bytes) -> None:
    body = frame % (part * ((size_cap(2_780) - 200) // len(part)))
    with pytest.raises(ManifestMalformed) as raised:
        Manifest.read(body, JOB, 2_780)
    told(raised.value)


def test_sixty_thousand_strange_members_cost_little() -> None:
    body = b"{" + b",".join(b'"%x":0' % number for number in range(45_000)) + b"}"
    with pytest.raises(ManifestMalformed) as raised:
        Manifest.read(body, JOB, 2_780)
    told(raised.value)


def refused(path: str, body: bytes) -> bool:
    try:
        check_metadata(path.split(" ")[0], body, LAYOUT, COMMITMENT)
    except MetadataRefused as fault:
        told(fault)
        return True
    return False


@pytest.mark.parametrize(
    "path",
    ["zarr.json", "t/zarr.json", "2t/zarr.json", "t/zarr.json as zstd", "level/zarr.json", "valid_time/zarr.json"],
)
@bounded(80)
@given(data=st.data())
def test_changed_metadata_is_refused_or_reads_as_the_template(path: str, data: st.DataObject) -> None:
    honest = json.loads(DOCUMENTS[path])
    body = data.draw(changed_json(honest))
    if not refused(path, body):
        found = json.loads(body)
        free = {"codecs", "attributes", "storage_transformers"}
        assert {**found, **dict.fromkeys(free)} == {**honest, **dict.fromkeys(free)}
        assert found.get("storage_transformers", []) == []
        assert honest["attributes"].items() <= found["attributes"].items()
        assert not DISTORTING & found["attributes"].keys()
        assert [one["name"] for one in found.get("codecs", [])] in (
            [one["name"] for one in honest.get("codecs", [])],
            ["numcodecs.pcodec"],
            ["bytes", "zstd"],
        )


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_metadata_is_refused(body: bytes) -> None:
    assert all(refused(path, body) for path in DOCUMENTS)


@bounded(150)
@given(
    codecs=changed_values(json.loads(DOCUMENTS["t/zarr.json as zstd"])["codecs"]) | changed_values([{"name": "pickle"}])
)
def test_only_two_pipelines_pass(codecs: Any) -> None:
    body = json.dumps({**json.loads(DOCUMENTS["t/zarr.json"]), "codecs": codecs}).encode()
    if not refused("t/zarr.json", body):
        assert [one["name"] for one in codecs] in (["numcodecs.pcodec"], ["bytes", "zstd"])


@pytest.mark.parametrize("member", ["codecs", "attributes", "shape", "storage_transformers", "chunk_grid"])
def test_deep_or_wide_members_are_refused(member: str) -> None:
    honest = json.loads(DOCUMENTS["t/zarr.json"])
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    wide = [{"name": "bytes", "configuration": {f"{number:x}": 0 for number in range(3_000)}}]
    for value in (deep, wide, None, "x" * 60_000):
        assert refused("t/zarr.json", J_of({**honest, member: value}))
    nested = json.dumps({**honest, member: "@"}).encode().replace(b'"@"', b"[" * DEEP + b"]" * DEEP)
    assert refused("t/zarr.json", nested)


def J_of(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_honest_documents_pass() -> None:
    assert not any(refused(path, body) for path, body in DOCUMENTS.items())
    assert not refused("zarr.json", root_metadata(CALL.identity(MINER.hotkey)))
    assert J(json.loads(MANIFEST.canonical)) == MANIFEST.canonical
