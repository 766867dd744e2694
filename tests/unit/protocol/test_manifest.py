import json
from typing import Any

import pytest

from protocol.manifest import Manifest, size_cap
from tests.unit.protocol.world import CALL, COMMITMENT, LAYOUT, MANIFEST, commitment_to, manifest_of, store
from weather.faults import (
    CoordinatesWrong,
    Fault,
    ManifestMalformed,
    ManifestMismatch,
    ManifestPathsWrong,
    ManifestSizesWrong,
)

COUNT = MANIFEST.object_count
A_PATH = "t/c/0/0/0/0"


def test_an_honest_manifest_reads_back_and_passes_every_check() -> None:
    manifest = Manifest.read(MANIFEST.canonical, CALL.job_id, COUNT)
    manifest.check_against(COMMITMENT, LAYOUT)
    assert manifest == MANIFEST
    assert manifest.entry(A_PATH) == (A_PATH, len(A_PATH), manifest.entry(A_PATH).sha256)
    assert manifest.total_bytes == sum(len(body) for body in store().values())
    assert len(MANIFEST.canonical) <= size_cap(COUNT)


def changed(change: dict[str, Any]) -> bytes:
    return json.dumps({**MANIFEST.value, **change}, sort_keys=True, separators=(",", ":")).encode()


OBJECTS = MANIFEST.value["objects"]
FIRST = OBJECTS[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        MANIFEST.canonical + b" ",
        json.dumps(MANIFEST.value, sort_keys=True).encode(),
        json.dumps(MANIFEST.value, separators=(",", ":")).encode().replace(b'{"protocol":"barograph/1",', b"{", 1),
        changed({"hash": "xxh64"}),
        changed({"protocol": "barograph/2"}),
        changed({"job_id": "d728e0eb-1c1a-5e70-9de4-ac16a13782d5"}),
        changed({"job_id": None}),
        changed({"objects": OBJECTS[::-1]}),
        changed({"objects": [FIRST, *OBJECTS]}),
        changed({"objects": [[*FIRST, "xxh64"], *OBJECTS[1:]]}),
        changed({"objects": [FIRST[:2], *OBJECTS[1:]]}),
        changed({"objects": [[FIRST[0], -1, FIRST[2]], *OBJECTS[1:]]}),
        changed({"objects": [[FIRST[0], True, FIRST[2]], *OBJECTS[1:]]}),
        changed({"objects": [[FIRST[0], 1.0, FIRST[2]], *OBJECTS[1:]]}),
        changed({"objects": [[FIRST[0], FIRST[1], FIRST[2].upper()], *OBJECTS[1:]]}),
        changed({"objects": [[FIRST[0], FIRST[1], "00"], *OBJECTS[1:]]}),
        changed({"objects": [["é", FIRST[1], FIRST[2]], *OBJECTS[1:]]}),
        changed({"objects": {"0": FIRST}}),
        changed({"objects": OBJECTS + [[f"zz{'z' * 150}{n}", 0, "00" * 32] for n in range(1_000, 1_040)]}),
    ],
)
def test_bytes_that_are_not_the_canonical_manifest_of_the_job_are_malformed(body: bytes) -> None:
    with pytest.raises(ManifestMalformed):
        Manifest.read(body, CALL.job_id, COUNT)


def test_a_manifest_above_its_cap_is_not_parsed() -> None:
    with pytest.raises(ManifestMalformed, match=f"at most {1_024 + 160 * COUNT}"):
        Manifest.read(b"[" * (size_cap(COUNT) + 1), CALL.job_id, COUNT)


def refusal(objects: dict[str, bytes]) -> type[Fault]:
    """The fault of a store whose commitment is true to it."""
    manifest = Manifest.read(manifest_of(objects).canonical, CALL.job_id, COUNT)
    with pytest.raises(Fault) as refused:
        manifest.check_against(commitment_to(manifest), LAYOUT)
    return type(refused.value)


@pytest.mark.parametrize("change", [{"root": "00" * 32}, {"object_count": COUNT - 1}, {"total_bytes": 1}])
def test_a_manifest_that_is_not_the_committed_one_mismatches(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestMismatch):
        MANIFEST.check_against(commitment_to(MANIFEST, **change), LAYOUT)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "%2e%2e/x", "a\\b", "a" * 201, "stranger", "manifest.json"])
def test_paths_beside_the_object_set_are_refused(path: str) -> None:
    objects = store()
    objects[path] = objects.pop(A_PATH)
    assert refusal(objects) is ManifestPathsWrong


def test_a_missing_object_is_refused() -> None:
    objects = store()
    del objects[A_PATH]
    assert refusal(objects) is ManifestPathsWrong


@pytest.mark.parametrize(
    ("path", "size"),
    [
        (A_PATH, 0),
        (A_PATH, LAYOUT.raw_bytes + LAYOUT.raw_bytes // 64 + 1_025),
        ("t/zarr.json", 65_537),
        ("zarr.json", 0),
        ("level/c/0", 9),
    ],
)
def test_sizes_outside_their_budget_are_refused(path: str, size: int) -> None:
    assert refusal({**store(), path: bytes(size)}) is ManifestSizesWrong


def test_greatest_sizes_are_accepted() -> None:
    greatest = LAYOUT.raw_bytes + LAYOUT.raw_bytes // 64 + 1_024
    manifest = manifest_of({**store(), A_PATH: bytes(greatest), "t/zarr.json": bytes(65_536)})
    manifest.check_against(commitment_to(manifest), LAYOUT)


@pytest.mark.parametrize("path", ["latitude/c/0", "longitude/c/0", "level/c/0", "lead_time/c/0", "valid_time/c/0"])
def test_other_coordinates_are_refused_without_a_download(path: str) -> None:
    objects = store()
    assert refusal({**objects, path: objects[path][::-1]}) is CoordinatesWrong


def test_checks_come_in_order() -> None:
    """Wrong coordinates and sizes and paths and root together: each repair brings the next fault to light."""
    objects = {**store(), "level/c/0": b"12345678", A_PATH: b"", "stranger": b"x"}
    manifest = manifest_of(objects)
    with pytest.raises(ManifestMismatch):
        manifest.check_against(COMMITMENT, LAYOUT)
    assert refusal(objects) is ManifestPathsWrong
    del objects["stranger"]
    assert refusal(objects) is ManifestSizesWrong
    objects[A_PATH] = b"1"
    assert refusal(objects) is CoordinatesWrong
