"""A miner that is honest but for what a test overrides, on a real loopback port."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import count
from typing import Any

import numpy as np
import uvicorn
import zstandard
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.clock import Clock
from adapters.egress import Egress
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.messages import ForecastRequestData, InitMetadata, InputObject, input_data_hash
from protocol.names import job_id
from protocol.registry import RosterEntry
from protocol.store import Codec, array_metadata, coordinate_chunks, root_metadata
from protocol.tokens import Access, Answer, Call, Gate, sign_access, sign_answer, verify_request

Override = Callable[[Request, Response], "Response | Awaitable[Response]"]

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
RUN = "forecast/2026-11-22T18Z"
VALIDATOR = PrivateKey.from_bytes(bytes([2]) * 32)
REQUEST_KEY = PrivateKey.from_bytes(bytes([3]) * 32)
MINER = PrivateKey.from_bytes(bytes([1]) * 32)
STRANGER = PrivateKey.from_bytes(bytes([9]) * 32)
CODECS: dict[str, Codec] = {"2t": "pcodec", "t": "zstd"}

LAYOUT = Layout.of_value(
    {
        "protocol": "barograph/1",
        "grid": "tiny",
        "lead_time_hours": [6, 12],
        "microdegrees": {
            "latitude_first": 67500000,
            "latitude_step": -45000000,
            "latitude_count": 4,
            "longitude_first": 0,
            "longitude_step": 45000000,
            "longitude_count": 8,
        },
        "level_hectopascal": [500, 850],
        "variables": [
            {"name": "2t", "levels": False, "units": "K", "standard_name": "air_temperature"},
            {"name": "t", "levels": True, "units": "K", "standard_name": "air_temperature"},
        ],
    }
)


# long: one value
def call_data(**changes: Any) -> ForecastRequestData:
    source = InputObject(
        source="noaa-gfs",
        name="gfs.t18z.pgrb2.0p25.f000",
        init_time=T0,
        lead_time_hours=0,
        variable="t",
        level=850,
        offset=0,
        length=1,
        sha256="0" * 64,
    )
    values: dict[str, Any] = {
        "network": "test",
        "run_id": RUN,
        "purpose": "live",
        "job_id": job_id("test", RUN, MINER.hotkey),
        "gfs_init_time": T0,
        "gfs_init_metadata": InitMetadata(objects=(source,)),
        "input_data_hash": input_data_hash((source,)),
        "forecast_step_hours": 6,
        "inference_steps": 2,
        "grid": LAYOUT.grid,
        "layout_digest": LAYOUT.digest,
        "score_spec_digest": "2" * 64,
        "first_scored_lead_hours": 6,
        "requested_at": T0 + timedelta(hours=4),
        "commit_deadline": T0 + timedelta(hours=5),
        "retain_until": T0 + timedelta(days=18),
    }
    return ForecastRequestData(**values | changes)


def field_values(variable: str, level: int, lead: int) -> np.ndarray:
    seed = [len(variable), level, lead]
    return np.random.default_rng(seed).normal(280, 10, LAYOUT.grid_value.shape).astype("<f4")


def encoded(values: np.ndarray, codec: Codec) -> bytes:
    if codec == "zstd":
        return zstandard.compress(values.astype("<f4").tobytes())
    return standalone.simple_compress(values.astype("<f4").ravel(), ChunkConfig(compression_level=8))


def honest_objects(call: ForecastRequestData) -> dict[str, bytes]:
    names = LAYOUT.array_names()
    objects = {f"{name}/zarr.json": array_metadata(LAYOUT, name, CODECS.get(name, "pcodec")) for name in names}
    objects["zarr.json"] = root_metadata(call.identity(MINER.hotkey))
    objects |= coordinate_chunks(LAYOUT, T0)
    for variable, level in LAYOUT.fields():
        for lead in LAYOUT.lead_time_hours:
            values = field_values(variable, level, lead)
            objects[LAYOUT.chunk_path(variable, level, lead)] = encoded(values, CODECS[variable])
    return objects


def commitment_of(call: ForecastRequestData, manifest: Manifest, **changes: Any) -> Commitment:
    identity = call.identity(MINER.hotkey)
    values: dict[str, Any] = {
        **identity.model_dump(),
        "score_spec_digest": call.score_spec_digest,
        "input_data_hash": call.input_data_hash,
        "root": manifest.root,
        "object_count": manifest.object_count,
        "total_bytes": manifest.total_bytes,
        "salt": "4" * 64,
    }
    return Commitment(**values | changes)


class HostileMiner:
    """Serves `objects` as committed; `overrides` change answers to paths by their ending.

    `gets` counts GETs by path, `posts` calls whose request token held.
    """

    def __init__(self) -> None:
        self.call = call_data()
        self.objects = honest_objects(self.call)
        self.served: dict[str, bytes] = {}
        self.overrides: dict[str, Override] = {}
        self.gets: Counter[str] = Counter()
        self.posts: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.base_path = ""
        self._tokens = count()
        self.commit()

    def commit(self) -> Commitment:
        """Fix manifest and commitment to what `objects` now are."""
        found = ((path, len(body), hashlib.sha256(body).hexdigest()) for path, body in self.objects.items())
        self.manifest = Manifest.build(self.call.job_id, found)
        self.served = {"manifest.json": self.manifest.canonical, **self.objects}
        self.commitment = commitment_of(self.call, self.manifest)
        return self.commitment

    def kerchunk_answer(self, **changes: Any) -> dict[str, Any]:
        access = Access(MINER.hotkey, VALIDATOR.hotkey, self.call.job_id)
        span = (Clock().now(), timedelta(minutes=30))
        answer = {
            "status": "completed",
            "job_id": self.call.job_id,
            "access_token": sign_access(MINER, access, f"token-{next(self._tokens)}", span),
            "zarr_store_url": f"{self.base_url}/zarr/{self.call.job_id}/",
            "verification_hash": self.commitment.root,
            "commitment": self.commitment.value,
            "signature": self.commitment.sign(MINER),
        }
        return answer | changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.base_url = f"http://{request.headers['host']}{self.base_path}"
        self.headers.append(dict(request.headers))
        response = self._get(request) if request.method == "GET" else self._post(request, body)
        for ending, override in self.overrides.items():
            if request.url.path.endswith(ending):
                changed = override(request, response)
                response = changed if isinstance(changed, Response) else await changed
        await response(scope, receive, send)

    def _get(self, request: Request) -> Response:
        path = request.url.path.removeprefix(f"{self.base_path}/zarr/{self.call.job_id}/")
        self.gets[path] += 1
        return Response(self.served[path]) if path in self.served else Response(status_code=404)

    def _post(self, request: Request, body: bytes) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        gate = Gate({REQUEST_KEY.hotkey: VALIDATOR.hotkey}, lambda jti, until: True)
        verify_request(token, Call(MINER.hotkey, "POST", request.url.path, body), gate, Clock().now())
        name = request.url.path.rpartition("/")[2]
        self.posts.append(name)
        answers = {
            "weather-forecast-request": {
                "job_id": self.call.job_id,
                "status": "received",
                "estimated_ready_at": None,
                "input_data_hash": None,
                "error": None,
            },
            "weather-kerchunk-request": self.kerchunk_answer(),
            "weather-receipt": {"job_id": self.call.job_id, "status": "stored"},
        }
        request.scope["nonce"] = json.loads(body)["nonce"]
        return signed(request, answers[name])


def signed(
    request: Request,
    content: object,
    status: int = 200,
    *,
    key: PrivateKey = MINER,
    nonce: str | None = None,
    at: datetime | None = None,
) -> Response:
    """An answer with its token, by default a good one."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = Answer(VALIDATOR.hotkey, nonce or request.scope["nonce"], status, body)
    token = sign_answer(key, answer, at or Clock().now())
    return Response(body, status, {"Barograph-Answer": token}, "application/json")


def streamed(parts: AsyncGenerator[bytes], **headers: str) -> StreamingResponse:
    return StreamingResponse(parts, headers=headers)


class Server:
    """One uvicorn in a thread, for whatever app a test puts in."""

    app: ASGIApp

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def entry(self, **changes: Any) -> RosterEntry:
        values: dict[str, Any] = {
            "hotkey": MINER.hotkey,
            "uid": 1,
            "name": "trade-wind",
            "base_url": self.url,
            "tls_sha256": None,
        }
        return RosterEntry(**values | changes)


@contextmanager
def running(**options: Any) -> Generator[Server]:
    """A server on a free port; `options` are uvicorn's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Server(listener.getsockname()[1])
        config = uvicorn.Config(
            served, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1, **options
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield served
        finally:
            server.should_exit = True
            thread.join()


def loopback(**changes: Any) -> Egress:
    """Egress that may reach the servers of the tests."""
    return Egress(Clock(), allow=(ip_network("127.0.0.0/8"),), **changes)
