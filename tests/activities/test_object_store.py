from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from adapters.object_store import ObjectStore, open_object_store, storage_faults
from weather.faults import ConfigurationInvalid, DiskFull, StoreUnavailable
from weather.fields import Field
from weather.grids import Grid

GRID = Grid("toy", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4)
TRUTH = np.array([[2, -1, 0, 3], [1, -2, 2, -1], [-3, 0, 1, 2]]) + np.array([[270], [300], [260]])
VALID_TIME = datetime(2026, 11, 23, 18, tzinfo=UTC)
FIELD = Field.of(GRID, "2t", 0, VALID_TIME, TRUTH)
DATA = bytes(range(256)) * 40


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def _only_file(root: Path) -> Path:
    (path,) = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return path


def test_bytes_are_kept_under_their_digest(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put(DATA)
    assert digest == sha256(DATA).hexdigest()
    assert _only_file(tmp_path) == tmp_path / "bytes" / digest[:2] / digest
    assert store.get(digest) == DATA
    assert store.has(digest)
    assert not store.has("0" * 64)


def test_a_field_is_kept_under_the_digest_of_its_content(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_field(FIELD)
    assert digest == "ec483419c812119dfb9422f13ff2c3af1dd49a100a68d89b02cd7e0272f849ad"
    assert _only_file(tmp_path) == tmp_path / "fields" / digest[:2] / digest
    field = store.get_field(GRID, "2t", 0, VALID_TIME, digest)
    assert np.array_equal(field.values, FIELD.values)
    assert (field.digest, field.unit, field.valid_time) == (digest, "K", VALID_TIME)


def test_twenty_writers_of_one_object_all_succeed_and_leave_one(store: ObjectStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(20) as threads:
        digests = set(threads.map(store.put, [DATA] * 20))
    assert digests == {sha256(DATA).hexdigest()}
    assert _only_file(tmp_path).read_bytes() == DATA


def test_a_second_put_writes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    store.put(DATA)
    inode = _only_file(tmp_path).stat().st_ino
    store.put(DATA)
    assert _only_file(tmp_path).stat().st_ino == inode


def test_a_torn_object_is_mended_by_the_next_put(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put(DATA)
    _only_file(tmp_path).write_bytes(DATA[:100])
    store.put(DATA)
    assert store.get(digest) == DATA


def test_a_writer_killed_while_writing_leaves_no_object(store: ObjectStore, tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom adapters.object_store import ObjectStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "ObjectStore(Path(sys.argv[1])).put(bytes(range(256)) * 40)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        check=False,
    )
    assert ended.returncode == -signal.SIGXFSZ
    assert not store.has(sha256(DATA).hexdigest())
    store.put(DATA)
    assert store.get(sha256(DATA).hexdigest()) == DATA


@pytest.mark.parametrize("damage", ["flipped", "truncated", "extended"])
def test_damaged_bytes_are_refused_and_deleted(store: ObjectStore, tmp_path: Path, damage: str) -> None:
    digest = store.put(DATA)
    path = _only_file(tmp_path)
    path.write_bytes({"flipped": b"\x01" + DATA[1:], "truncated": DATA[:-1], "extended": DATA + b"\0"}[damage])
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.get(digest)
    assert not path.exists()
    assert store.put(DATA) == digest
    assert store.get(digest) == DATA


def _zeros(count: int, dtype: type = np.float32) -> bytes:
    return standalone.simple_compress(np.zeros(count, dtype=dtype), ChunkConfig(compression_level=8))


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda stream: stream[:-1], id="truncated"),
        pytest.param(lambda stream: b"", id="empty"),
        pytest.param(lambda stream: stream + b"\0", id="extended by a byte"),
        pytest.param(lambda stream: stream + bytes(200_000), id="extended beyond the raw size"),
        pytest.param(lambda stream: _zeros(13), id="a value too many"),
        pytest.param(lambda stream: _zeros(11), id="a value too few"),
        pytest.param(lambda stream: _zeros(12), id="other values"),
        pytest.param(lambda stream: _zeros(12, np.float64), id="float64"),
    ],
)
def test_a_damaged_field_is_refused_and_deleted(store: ObjectStore, tmp_path: Path, damaged) -> None:
    digest = store.put_field(FIELD)
    path = _only_file(tmp_path)
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.get_field(GRID, "2t", 0, VALID_TIME, digest)
    assert not path.exists()
    assert store.put_field(FIELD) == digest


BOMB = """
import resource, sys
from pathlib import Path
from tests.activities.test_object_store import GRID, VALID_TIME, ObjectStore, StoreUnavailable
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    ObjectStore(Path(sys.argv[1])).get_field(GRID, "2t", 0, VALID_TIME, sys.argv[2])
except StoreUnavailable:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_of_1_6_gigabytes_of_zeros_is_refused_within_64_mib(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_field(FIELD)
    _only_file(tmp_path).write_bytes(_zeros(400_000_000))
    ended = subprocess.run([sys.executable, "-c", BOMB, str(tmp_path), digest], capture_output=True, check=True)
    assert int(ended.stdout) < 64 * 1024


def test_an_absent_object_and_a_full_disk_are_our_faults(store: ObjectStore) -> None:
    with pytest.raises(StoreUnavailable, match="No such file"):
        store.get("0" * 64)
    with pytest.raises(DiskFull), storage_faults():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_root_that_is_a_file_is_our_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        ObjectStore(tmp_path / "file").put(DATA)


@pytest.mark.parametrize("name", ["", "../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_digest_is_a_name(store: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        store.get(name)


def test_a_store_is_opened_by_its_url(tmp_path: Path) -> None:
    url = (tmp_path / "with space").as_uri()
    digest = open_object_store(url).put(DATA)
    assert open_object_store(url).get(digest) == DATA
    for other in ("s3://bucket/prefix", "file://host/x", "relative"):
        with pytest.raises(ConfigurationInvalid):
            open_object_store(other)
