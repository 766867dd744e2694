"""A miner's store over HTTP in a process of its own: `python -m benchmarks.store_server FOLDER`; tells its port."""

from __future__ import annotations

import json
import socket
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

from adapters.clock import SystemClock
from benchmarks.world import MINER, VALIDATOR
from protocol.commitment import Commitment
from protocol.messages import KerchunkCompleted
from protocol.tokens import Access, Answer, sign_access, sign_answer

CLOCK = SystemClock()


class MinerStore:
    """Gives tokens, and the bytes to whoever asks."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._commitment = Commitment.parse((folder / "commitment.json").read_bytes())
        self._tokens = count()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/weather-kerchunk-request", self.kerchunk, methods=["POST"]),
                Route("/zarr/{job_id}/{path:path}", self.get),
            ]
        )

    async def kerchunk(self, request: Request) -> Response:
        nonce = json.loads(await request.body())["nonce"]
        job = self._commitment.job_id
        access = Access(MINER.hotkey, VALIDATOR.hotkey, job)
        completed = KerchunkCompleted(
            job_id=job,
            access_token=sign_access(MINER, access, str(next(self._tokens)), (CLOCK.now(), timedelta(hours=1))),
            zarr_store_url=f"http://{request.headers['host']}/zarr/{job}/",
            verification_hash=self._commitment.root,
            commitment=self._commitment.value,
            signature=self._commitment.sign(MINER),
        )
        token = sign_answer(MINER, Answer(VALIDATOR.hotkey, nonce, 200, completed.body), CLOCK.now())
        return Response(completed.body, headers={"Barograph-Answer": token}, media_type="application/json")

    async def get(self, request: Request) -> Response:
        return Response((self._objects / request.path_params["path"]).read_bytes())


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


def main() -> None:
    # the protocol by its number: only then asyncio switches Nagle's delay off
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(MinerStore(Path(sys.argv[1])).app(), log_level="error", lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
