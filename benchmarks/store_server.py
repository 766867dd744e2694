"""A miner's store over HTTP in a process of its own: `python -m benchmarks.store_server FOLDER`; tells its port."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.clock import Clock
from adapters.http_service import bound
from benchmarks.world import MINER, VALIDATOR
from protocol.commitment import Commitment
from protocol.messages import KerchunkCompleted
from protocol.tokens import Access, Answer, sign_access, sign_answer


@contextmanager
def served(folder: Path) -> Generator[str]:
    """Base URL of the store in a child process."""
    command = [sys.executable, "-m", "benchmarks.store_server", str(folder)]
    with Popen(command, stdout=PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def store_app(folder: Path) -> Starlette:
    """Gives tokens, and the bytes to whoever asks."""
    commitment, clock, tokens = Commitment.parse((folder / "commitment.json").read_bytes()), Clock(), count()
    job = commitment.job_id

    async def kerchunk(request: Request) -> Response:
        nonce, access = json.loads(await request.body())["nonce"], Access(MINER.hotkey, VALIDATOR.hotkey, job)
        completed = KerchunkCompleted(
            job_id=job,
            access_token=sign_access(MINER, access, str(next(tokens)), (clock.now(), timedelta(hours=1))),
            zarr_store_url=f"http://{request.headers['host']}/zarr/{job}/",
            verification_hash=commitment.root,
            commitment=commitment.value,
            signature=commitment.sign(MINER),
        )
        token = sign_answer(MINER, Answer(VALIDATOR.hotkey, nonce, 200, completed.body), clock.now())
        return Response(completed.body, headers={"Barograph-Answer": token}, media_type="application/json")

    async def get(request: Request) -> Response:
        return Response((folder / "objects" / request.path_params["path"]).read_bytes())

    routes = [
        Route("/weather-kerchunk-request", kerchunk, methods=["POST"]),
        Route("/zarr/{job_id}/{path:path}", get),
    ]
    return Starlette(routes=routes)


if __name__ == "__main__":
    with bound("127.0.0.1", 0) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(store_app(Path(sys.argv[1])), log_level="error", lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listener])
