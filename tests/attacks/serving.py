"""The miners of the test process behind their ports, and an eye on a worker's memory."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import psutil
import uvicorn
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from tests.attacks.honest import Miner


def note_connections(listener: socket.socket, hits: list[object]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, address = listener.accept()
            hits.append(address)
            connection.close()


@contextlib.contextmanager
def serving(port: int, miners: Sequence[Miner]) -> Generator[None]:
    """All miners behind one port, each below its name; a certificate has a port of its own."""
    by_name = {miner.name: miner for miner in miners}
    (certificate,) = {miner.certificate for miner in miners}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await by_name[request.url.path.split("/")[1]](request)
        await response(scope, receive, send)

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    if certificate is not None:
        config.ssl_certfile = str(certificate.file)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextlib.contextmanager
def watching(pid: int) -> Generator[list[int]]:
    """Resident bytes of the worker and its children, twice a second."""
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(pid)
                peak.append(sum(one.memory_info().rss for one in [root, *root.children(recursive=True)]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
