"""Rounds of an audit against a real miner on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.responses import Response

from activities.downloads import VerifiedDownloads
from activities.messages.audits import Audit, AuditObjects, ObjectsAudited
from adapters.clock import Clock
from adapters.forecast_reader import ForecastReader
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from tests.activities.validator.tiny import QUICK, Post, tiny_catalog
from tests.hostile_miner import LAYOUT, MINER, HostileMiner, Override, Server, running
from weather.faults import EgressDown, ObjectAbsent

CHUNK = LAYOUT.chunk_path("t", 850, 12)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@dataclass
class Auditing:
    """A verified store, and audits of it."""

    post: Post
    store: str

    async def round(self, *paths: str, last: bool = False) -> ObjectsAudited:
        """The next attempt of a round; a path may come twice, as a sample may."""
        post = self.post
        places = tuple(LAYOUT.object_set().index(path) for path in paths)
        due = Audit(hotkey=MINER.hotkey, number=0, due=post.run.opened_at, store=self.store, objects=places)
        reader = ForecastReader(post.client, post.store, QUICK)
        auditor = VerifiedDownloads(reader, post.store, post.catalog, post.witness)
        request = AuditObjects(run=post.run, roster=post.target.roster, audit=due, last_round=last)
        post.miner.gets.clear()
        return await post.do(auditor.audit_objects, request)

    def spent(self, code: str, count: int) -> None:
        self.post.left = ({"spent": {code: count}},)


@pytest.fixture
async def auditing(server: Server, store: ObjectStore, tmp_path: Path) -> Auditing:
    server.app = miner = HostileMiner()
    post = Post(server, miner, store, tiny_catalog(tmp_path), Witness(Clock()))
    return Auditing(post, (await post.verified()).store)


def answering(status: int, body: bytes = b"") -> Override:
    return lambda _request, _response: Response(body, status)


async def test_what_is_served_as_committed_is_read_again_even_if_it_is_kept(auditing: Auditing) -> None:
    for _ in range(2):
        assert await auditing.round(CHUNK, "zarr.json", "latitude/c/0", CHUNK) == ObjectsAudited()
        assert [auditing.post.miner.gets[path] for path in (CHUNK, "latitude/c/0", "zarr.json")] == [1, 1, 1]
    assert auditing.post.store.has(auditing.post.miner.manifest.entry(CHUNK).sha256)


async def test_an_absent_object_is_tried_three_times_and_left_to_the_next_round(auditing: Auditing) -> None:
    auditing.post.miner.overrides[CHUNK] = answering(404)
    for spent in (1, 2):
        with pytest.raises(ObjectAbsent):
            await auditing.round(CHUNK, "zarr.json")
        assert [details["spent"] for details in auditing.post.left] == [{"ObjectAbsent": spent}]
    left = await auditing.round(CHUNK, "zarr.json")
    assert [(note.path, note.fault.code) for note in left.faults] == [(CHUNK, "ObjectAbsent")]
    assert not left.final
    auditing.spent("ObjectAbsent", 2)
    assert (await auditing.round(CHUNK, "zarr.json", last=True)).final


async def test_other_bytes_are_final_at_once(auditing: Auditing) -> None:
    body = auditing.post.miner.objects[CHUNK]
    auditing.post.miner.overrides[CHUNK] = answering(200, bytes([body[0] ^ 1]) + body[1:])
    found = await auditing.round(CHUNK, "zarr.json")
    assert ([note.fault.code for note in found.faults], found.final) == (["ObjectDigestMismatch"], True)


async def test_a_miner_that_gives_no_token_fails_in_every_object(auditing: Auditing) -> None:
    auditing.post.miner.overrides["weather-kerchunk-request"] = answering(404)
    await auditing.post.seen("GET")
    auditing.spent("MinerUnreachable", 2)
    found = await auditing.round(CHUNK, "zarr.json")
    assert {note.path: note.fault.code for note in found.faults} == {
        CHUNK: "MinerUnreachable",
        "zarr.json": "MinerUnreachable",
    }


async def test_a_transfer_that_fails_without_a_witness_may_be_our_own_network(auditing: Auditing) -> None:
    auditing.post.miner.overrides[CHUNK] = answering(503)
    with pytest.raises(EgressDown):
        await auditing.round(CHUNK, last=True)
