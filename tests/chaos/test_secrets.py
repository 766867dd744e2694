"""AT-S2: a run of real processes that is held after its seal, and no secret in all that was told of it up to then."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from adapters.ledger.audits import secret_of
from adapters.ledger.engine import Ledger
from protocol.identity import PrivateKey
from starter.embedded import REQUESTS, VALIDATOR, Ports
from tests.chaos.test_observability import CALL_2, collecting
from tests.stack import MINERS, Stack, running, schedules
from tests.stack import seen as awaited

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

TOKEN = re.compile(rb"eyJ[\w-]{20,}\.[\w-]+")
BACKEND_TOKEN = "a token of the round backend"
SETTINGS = {"WEATHER_VERIFICATION_WAIT_MINUTES": "0.1", "BAROGRAPH_ROUND_BACKEND_TOKEN": BACKEND_TOKEN}
BY = {"actor": "ada", "reason": "a look at it"}
KEYS = (VALIDATOR, REQUESTS, *(f"miner-{miner.name}" for miner in MINERS))
TO_ANYONE = (
    "health",
    "live",
    "ready",
    "log/head",
    "log/entries?start=0&end=2",
    "log/inclusion?leaf_index=1&tree_size=2",
    "log/consistency?first=1&second=2",
    "log/commitments?run_id={run}",
)
WRONG = {
    "Address already in use": {},
    "BAROGRAPH_VALIDATOR_PORT": {"BAROGRAPH_VALIDATOR_PORT": "no port"},
    "32 bytes": {"BAROGRAPH_METRICS_PORT": "", "BAROGRAPH_HOTKEY_PATH": "{broken}"},
}


@dataclass(frozen=True)
class Told:
    """All bytes of each kind that left a process, or were kept outside `keys`; `shown` is what the log reveals last."""

    secrets: Mapping[str, bytes]
    kinds: Mapping[str, bytes]
    shown: bytes


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    with pytest.MonkeyPatch.context() as patch:
        return asyncio.run(play(tmp_path_factory.mktemp("told") / "state", patch))


async def play(root: Path, patch: pytest.MonkeyPatch) -> Told:
    """Everything is taken twice: while the run is held, and the files of the ledger once it is closed."""
    async with collecting() as (endpoint, collector):
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with running(root, Ports.free(), SETTINGS) as stack:
            midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            run = await stack.start(midnight - timedelta(days=20))
            await run.execute_update("hold", BY)
            await awaited(run, schedules("announce"))
            secrets = dict(secrets_of(stack, run.id))
            kinds = {
                "answers": await answers(stack, run.id),
                "crashes": await crashes(stack, root),
                "open run": b"".join(files(root)),
            }
            await run.execute_update("release", BY)
            await run.result()
            kinds |= {"histories": await histories(stack.client), "metrics": await metrics(stack)}
    kinds |= {"logs": b"".join(files(root / "logs")), "spans": b"".join(collector.bodies)}
    return Told(secrets, kinds, b"".join(files(root)))


def secrets_of(stack: Stack, run_id: str) -> Iterator[tuple[str, bytes]]:
    for name in KEYS:
        yield name, hashlib.sha256(name.encode()).digest()
    yield "token", BACKEND_TOKEN.encode()
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        drawn = secret_of(session, PrivateKey.load(stack.embedded.folder.key_file(VALIDATOR)), run_id)
    assert drawn is not None
    yield "audit", drawn.raw


def files(folder: Path) -> Iterator[bytes]:
    """Of the ledger, of Temporal, of objects, logs and settings: all but the keys."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "keys" not in path.parts:
            yield path.read_bytes()


async def answers(stack: Stack, run_id: str) -> bytes:
    """Of the validator and a miner to anyone, with their heads."""
    ports = stack.embedded.ports
    urls = [f"http://127.0.0.1:{ports.validator}/{path.format(run=run_id)}" for path in TO_ANYONE]
    urls += [f"http://127.0.0.1:{ports.miners}/trade-wind/{path}" for path in ("health", "zarr/x/manifest.json")]
    async with httpx.AsyncClient(trust_env=False) as client:
        got = [await client.request(method, url) for url in urls for method in ("GET", "POST")]
    assert sum(one.is_success for one in got) > len(TO_ANYONE)
    return b"".join(str(one.headers.raw).encode() + one.content for one in got)


async def metrics(stack: Stack) -> bytes:
    async with httpx.AsyncClient(trust_env=False) as client:
        return b"".join([(await client.get(url)).content for url in stack.embedded.metrics.values()])


async def histories(client: Client) -> bytes:
    """Of all workflows, with what is listed of them; payloads are plain."""
    parts: list[bytes] = []
    async for workflow in client.list_workflows():
        parts.append(workflow.raw_info.SerializeToString())
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        parts += [event.SerializeToString() async for event in handle.fetch_history_events()]
    return b"".join(parts)


async def crashes(stack: Stack, root: Path) -> bytes:
    """What a worker says that cannot start."""
    (broken := root / "broken").write_bytes(hashlib.sha256(VALIDATOR.encode()).digest() + b"\n")
    broken.chmod(0o600)
    said = []
    for wrong in WRONG.values():
        changed = {name: value.format(broken=broken) for name, value in wrong.items()}
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "starter", "worker", "--mode", "control"),
            env={**os.environ, **stack.embedded.environment("control"), **changed},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await command.communicate()
        assert command.returncode and out
        said.append(out)
    broken.unlink()
    return b"".join(said)


def forms(secret: bytes) -> Iterator[bytes]:
    """As it is, in hex, and in base64 wherever it begins within a longer text."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode())
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + secret)[before and before + 1 : (before + len(secret)) // 3 * 4]


def test_every_way_to_write_a_secret_is_looked_for() -> None:
    secret = bytes(range(100, 132))
    for before in (b"", b"x", b"xy", b"xyz"):
        for text in (base64.b64encode(before + secret + b"end"), base64.urlsafe_b64encode(before + secret)):
            assert any(form in text for form in forms(secret))


def test_what_was_told_is_there_and_the_secret_of_audits_once_the_run_is_closed(told: Told) -> None:
    assert all(told.kinds.values())
    assert CALL_2.encode() in told.kinds["spans"] and b"request_forecast" in told.kinds["logs"]
    assert [word for word in WRONG if word not in told.kinds["crashes"].decode()] == []
    assert b"barograph_runs_closed" in told.kinds["metrics"] and b"request_forecast" in told.kinds["histories"]
    assert told.secrets["audit"].hex().encode() in told.shown


@pytest.mark.parametrize("kind", ["answers", "crashes", "open run", "histories", "metrics", "logs", "spans"])
def test_no_secret_stands_in_what_is_told(told: Told, kind: str) -> None:
    found = [name for name, secret in told.secrets.items() if any(form in told.kinds[kind] for form in forms(secret))]
    assert found == []
    if kind != "open run":
        assert not TOKEN.search(told.kinds[kind])
