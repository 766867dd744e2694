"""Attacks on tokens, manifest and metadata (gallery rows 5, 11 to 14, 19 to 21, 26, 27)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from adapters.clock import Clock
from protocol.canonical import J
from protocol.manifest import Manifest
from protocol.store import root_metadata
from protocol.tokens import Access, sign_access
from tests.attacks.commitments import STRANGER
from tests.attacks.honest import Miner, Objects

ARRAY = "2t/zarr.json"


class PointsElsewhere(Miner):
    code = "UrlRefused"

    def completed(self) -> dict[str, Any]:
        return super().completed() | {"zarr_store_url": f"{self.world.trap_url}/zarr/{self.opened.job_id}/"}


class IssuesATokenForAnother(Miner):
    code = "TokenInvalid"

    def access_token(self) -> str:
        return self.token(subject=STRANGER.hotkey)

    def token(self, *, subject: str = "", job: str = "", minutes: int = 30) -> str:
        call = self.opened
        access = Access(self.key.hotkey, subject or self.world.validator.hotkey, job or call.job_id)
        return sign_access(self.key, access, "t", (Clock().now(), timedelta(minutes=minutes)))


class IssuesATokenForAnotherJob(IssuesATokenForAnother):
    def access_token(self) -> str:
        return self.token(job=self.others["honest-1"].opened.job_id)


class IssuesATokenForADay(IssuesATokenForAnother):
    def access_token(self) -> str:
        return self.token(minutes=24 * 60)


class IssuesAnUnsignedToken(IssuesATokenForAnother):
    def access_token(self) -> str:
        return f"eyJhbGciOiJub25lIn0.{self.token().split('.')[1]}."


class RefusesItsOwnToken(Miner):
    code = "TokenRefused"

    async def serve(self, request: Request, path: str) -> Response:
        return Response(status_code=401)


class HidesTheManifest(Miner):
    code = "ManifestAbsent"

    async def serve(self, request: Request, path: str) -> Response:
        return Response(status_code=404) if path == "manifest.json" else await super().serve(request, path)


class ChangesTheManifest(Miner):
    code = "ManifestMismatch"

    async def serve(self, request: Request, path: str) -> Response:
        if path != "manifest.json":
            return await super().serve(request, path)
        rows = [list(entry) for entry in self.manifest.objects]
        rows[0][2] = "0" * 64
        return self.served(path, J(self.manifest.value | {"objects": rows}))


class SpacesTheManifest(Miner):
    code = "ManifestMalformed"

    async def serve(self, request: Request, path: str) -> Response:
        return self.served(path, self.spoiled()) if path == "manifest.json" else await super().serve(request, path)

    def spoiled(self) -> bytes:
        return json.dumps(self.manifest.value).encode()


class ShufflesTheManifest(SpacesTheManifest):
    def spoiled(self) -> bytes:
        return J(self.manifest.value | {"objects": self.manifest.value["objects"][::-1]})


class ChoosesTheHashOfTheManifest(SpacesTheManifest):
    def spoiled(self) -> bytes:
        return J(self.manifest.value | {"hash": "xxh64"})


class ServesAManifestWithoutEnd(SpacesTheManifest):
    async def serve(self, request: Request, path: str) -> Response:
        async def zeros() -> AsyncGenerator[bytes]:
            for _ in range(16_384):
                yield bytes(65_536)

        return StreamingResponse(zeros()) if path == "manifest.json" else await super().serve(request, path)


class ClimbsOutOfItsStore(Miner):
    code = "ManifestPathsWrong"
    path = "../x"

    def spoil_objects(self, objects: Objects) -> Objects:
        body = objects.pop("2t/c/0/0/0")
        return objects | {self.path: body}


class NamesTheRoot(ClimbsOutOfItsStore):
    path = "/etc/x"


class EscapesItsPath(ClimbsOutOfItsStore):
    path = "%2e%2e/x"


class WritesABackslash(ClimbsOutOfItsStore):
    path = "a\\b"


class NamesAStranger(ClimbsOutOfItsStore):
    path = "2t/c/0/0/1"


class WritesALongPath(ClimbsOutOfItsStore):
    path = "a" * 201


class ServesTheStoreOfAnother(Miner):
    code = "MetadataRefused"

    def spoil_objects(self, objects: Objects) -> Objects:
        return objects | {"zarr.json": root_metadata(self.opened.identity(self.others["honest-1"].key.hotkey))}


class TurnsLatitudesRound(Miner):
    code = "CoordinatesWrong"

    def spoil_objects(self, objects: Objects) -> Objects:
        body = objects["latitude/c/0"]
        turned = b"".join(body[start : start + 8] for start in range(len(body) - 8, -1, -8))
        return objects | {"latitude/c/0": turned}


class FillsItsMetadata(Miner):
    code = "ManifestSizesWrong"

    def spoil_objects(self, objects: Objects) -> Objects:
        metadata = json.loads(objects[ARRAY])
        metadata["attributes"]["title"] = "x" * 2**20
        return objects | {ARRAY: json.dumps(metadata).encode()}


def spoiled_metadata(name: str, change: Callable[[dict[str, Any]], Any]) -> type[Miner]:
    """A miner whose array metadata is changed in one way."""

    def spoil_objects(self: Miner, objects: Objects) -> Objects:
        metadata = json.loads(objects[ARRAY])
        change(metadata)
        return objects | {ARRAY: json.dumps(metadata).encode()}

    return type(name, (Miner,), {"code": "MetadataRefused", "spoil_objects": spoil_objects})


PICKLE = {"name": "numcodecs.pickle", "configuration": {}}
METADATA = tuple(
    spoiled_metadata(name, change)
    for name, change in (
        ("RunsPickle", lambda m: m.update(codecs=[PICKLE])),
        ("HidesPickleBehindPcodec", lambda m: m["codecs"].append(PICKLE)),
        ("UsesAnUnknownCodec", lambda m: m.update(codecs=[{"name": "acme", "configuration": {}}])),
        ("UsesFloat64", lambda m: m.update(data_type="float64")),
        ("UsesAnotherShape", lambda m: m.update(shape=[1, *m["shape"][1:]])),
        ("UsesOneChunk", lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=m["shape"])),
        ("FillsWithZero", lambda m: m.update(fill_value=0)),
        ("Shards", lambda m: m.update(codecs=[{"name": "sharding_indexed", "configuration": {}}])),
        ("Transforms", lambda m: m.update(storage_transformers=[{"name": "x"}])),
        ("Consolidates", lambda m: m.update(consolidated_metadata={})),
        ("ScalesValues", lambda m: m["attributes"].update(scale_factor=2)),
        ("SaysDegreesCelsius", lambda m: m["attributes"].update(units="degC")),
    )
)


class StreamsItsManifestShort(Miner):
    code = "ManifestMismatch"

    async def serve(self, request: Request, path: str) -> Response:
        if path != "manifest.json":
            return await super().serve(request, path)
        fewer = Manifest(protocol="barograph/1", job_id=self.opened.job_id, objects=self.manifest.objects[1:])
        return self.served(path, fewer.canonical)


ATTACKS = (
    PointsElsewhere,
    IssuesATokenForAnother,
    IssuesATokenForAnotherJob,
    IssuesATokenForADay,
    IssuesAnUnsignedToken,
    RefusesItsOwnToken,
    HidesTheManifest,
    ChangesTheManifest,
    StreamsItsManifestShort,
    SpacesTheManifest,
    ShufflesTheManifest,
    ChoosesTheHashOfTheManifest,
    ServesAManifestWithoutEnd,
    ClimbsOutOfItsStore,
    NamesTheRoot,
    EscapesItsPath,
    WritesABackslash,
    NamesAStranger,
    WritesALongPath,
    ServesTheStoreOfAnother,
    TurnsLatitudesRound,
    FillsItsMetadata,
    *METADATA,
)
