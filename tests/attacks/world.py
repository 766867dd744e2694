"""The stage of the attacks: a small grid, the planet, a real stack whose miners live in the test process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput
from adapters import temporal_server
from adapters.clock import Clock
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of
from adapters.ledger.values import FaultRecord, ScoreFact
from adapters.ledger.views import BoardRow, board_rows, faults_by_miner
from adapters.temporal_client import connect
from protocol import names
from protocol.facts import fact_document
from protocol.identity import PrivateKey
from protocol.layout import Layout, load_layout
from protocol.messages import CommitmentData, CommitmentRequest
from protocol.tokens import Call, sign_request
from starter.embedded import NAMESPACE, REQUESTS, VALIDATOR, EmbeddedStack, MinerPlan, Ports
from starter.embedded import World as Grid
from starter.state_folder import open_state_folder
from starter.supervisor import supervise
from tests.attacks.serving import note_connections, serving, watching
from weather.planet.planet import Planet
from workflows.forecast_run import ForecastRun

if TYPE_CHECKING:
    from tests.attacks.honest import Miner

INIT_TIME = datetime(2026, 10, 1, tzinfo=UTC)
SEED = 1
PUSH = "/weather-commitment"
LEADS = (6, 12, 18, 24)
LEVELS = (500, 850)
HASTE = {
    "BAROGRAPH_SEAL_GRACE_SECONDS": "4",
    "BAROGRAPH_HEARTBEAT_TIMEOUT_SECONDS": "10",
    "BAROGRAPH_ROUND_PAUSES_SECONDS": "0.5,0.5",
    "BAROGRAPH_ATTEMPT_PAUSES_SECONDS": "0.1,0.1",
    "BAROGRAPH_CALL_SECONDS": "4",
    "BAROGRAPH_FIRST_BYTE_SECONDS": "3",
    "BAROGRAPH_TRANSFER_BASE_SECONDS": "4",
    "BAROGRAPH_DOWNLOADS_SLOTS": "8",
    "BAROGRAPH_MINERS_SLOTS": "64",
}


@dataclass
class World:
    """What every miner knows of the stage."""

    folder: Path
    ports: Ports = field(default_factory=Ports.free)
    validator: PrivateKey = field(default_factory=lambda: _key("validator"))
    wait_minutes: float = 0.7
    trap_port: int = 0
    days_later: int = 0

    def __post_init__(self) -> None:
        self.write_grid()

    @property
    def init_time(self) -> datetime:
        return INIT_TIME + timedelta(days=self.days_later)

    def valid_time(self, lead: int) -> datetime:
        return self.init_time + timedelta(hours=lead)

    @property
    def miners_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.miners}"

    @property
    def layout(self) -> Layout:
        return load_layout("attacked", self.grids)

    @property
    def haste(self) -> dict[str, str]:
        return {**HASTE, "WEATHER_VERIFICATION_WAIT_MINUTES": f"{self.wait_minutes}"}

    @property
    def grids(self) -> Path:
        return self.folder / "grids"

    def forecast(self, name: str, lead: int) -> dict[tuple[str, int], Any]:
        """A skilful forecast of one miner."""
        return _fields(Planet(SEED).miner_forecast(name, 1.0, self.init_time, lead), self.layout)

    def public_gfs(self, lead: int) -> dict[tuple[str, int], Any]:
        """What everybody can read."""
        return _fields(Planet(SEED).gfs_forecast(self.init_time, lead), self.layout)

    @property
    def trap_url(self) -> str:
        """Where no connection may ever arrive."""
        return f"http://127.0.0.1:{self.trap_port}"

    @contextlib.contextmanager
    def trap(self) -> Generator[list[object]]:
        """A listener that notes every connection."""
        hits: list[object] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.trap_port = listener.getsockname()[1]
            thread = threading.Thread(target=note_connections, args=(listener, hits), daemon=True)
            thread.start()
            yield hits
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    async def sleep_past(self, instant: datetime) -> None:
        """Until the clock is past an instant."""
        await asyncio.sleep(max((instant - Clock().now()).total_seconds(), 0))

    async def push(self, miner: Miner) -> None:
        """Call 3 of a miner."""
        body = self.offer(miner)
        (await self.post(body, self.token(miner.key, body))).raise_for_status()

    def offer(self, miner: Miner) -> bytes:
        """The body of call 3."""
        value = miner.commitment_value()
        data = CommitmentData(commitment=value, signature=miner.signature(value))
        return CommitmentRequest(nonce=str(uuid4()), data=data).body

    def token(self, key: PrivateKey, body: bytes) -> str:
        """A good token for it."""
        return sign_request(key, Call(self.validator.hotkey, "POST", PUSH, body), Clock().now())

    async def post(self, body: bytes, token: str) -> httpx.Response:
        """The real HTTP side's answer."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports.validator}") as client:
            return await client.post(PUSH, content=body, headers=headers)

    def write_grid(self) -> None:
        """Four leads, two levels, one scored lead."""
        self.grids.mkdir(parents=True)
        layout = json.loads((resources.files("protocol") / "layouts" / "5p625-small.json").read_bytes())
        layout |= {"grid": "attacked", "lead_time_hours": LEADS, "level_hectopascal": LEVELS}
        rules = json.loads((resources.files("weather") / "rules" / "5p625-small.json").read_bytes())
        rules["grid"]["name"] = "attacked"
        rules["era5_final"]["groups"] = [{"lead_time_hours": [24], "name": "day-1", "weight": 1}]
        for each in rules["era5_final"]["fields"]:
            if each["levels"] != [0]:
                each |= {"levels": LEVELS, "weights": [950, 950]}
        for kind, document in (("layout", layout), ("rules", rules)):
            (self.grids / f"attacked.{kind}.json").write_text(json.dumps(document))


@dataclass(frozen=True)
class Outcome:
    """What one run left behind."""

    rows: dict[str, BoardRow]
    faults: dict[str, list[FaultRecord]]
    facts: list[ScoreFact]
    outcome: str
    peak_worker_bytes: int
    longest_attempt_seconds: float

    def documents(self, hotkey: str) -> list[bytes]:
        """The proofs of one miner's facts, which hold every bit of them."""
        return sorted(fact_document(fact) for fact in self.facts if fact.hotkey == hotkey)


async def play(world: World, miners: Sequence[Miner]) -> Outcome:
    """One hindcast with these miners."""
    for miner in miners:
        miner.others = {other.name: other for other in miners}
    folder = open_state_folder(world.folder / "state", temporal_server.binary_version(temporal_server.find_binary()))
    try:
        _save_keys(folder.key_file, miners)
        grid = Grid("attacked", grid_folder=world.grids)
        plans = [MinerPlan(miner.name) for miner in miners]
        stack = EmbeddedStack(folder, world.ports, grid, plans, settings=world.haste, durable=False)
        stack.write_files()
        _move_in(folder.root / "registry.toml", miners)
        processes = [process for process in stack.processes() if process.name != "miners"]
        with contextlib.ExitStack() as served:
            for port in {miner.port for miner in miners}:
                served.enter_context(serving(port, [miner for miner in miners if miner.port == port]))
            async with supervise(processes, lock=folder.lock) as supervisor:
                with watching(await supervisor.ready_pid("worker-hybrid")) as peak:
                    run_id, outcome = await _run(stack, world.init_time)
                    longest = await _longest_attempt(stack, run_id, miners)
        with Ledger(folder.ledger_url) as ledger, ledger.read() as session:
            rows = {row.name: row for row in board_rows(session, run_id)}
            return Outcome(
                rows, faults_by_miner(session, run_id), facts_of(session, run_id), outcome, max(peak), longest
            )
    finally:
        folder.close()


async def _run(stack: EmbeddedStack, init_time: datetime) -> tuple[str, str]:
    client = await connect(stack.temporal_address, NAMESPACE)
    request = ForecastRunInput(init_time=init_time, campaign=CampaignRef(name="attacks"))
    result = await client.execute_workflow(
        ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
    )
    return request.workflow_id, result.outcome


async def _longest_attempt(stack: EmbeddedStack, run_id: str, miners: Iterable[Miner]) -> float:
    """How long any attempt held its slot, over the workflows of all miners and both passes."""
    client = await connect(stack.temporal_address, NAMESPACE)
    ids = [names.miner_workflow_id(run_id, miner.key.hotkey) for miner in miners]
    ids += [names.pass_workflow_id(run_id, "day1_qc"), names.pass_workflow_id(run_id, "era5_final", 24)]
    longest = 0.0
    for workflow_id in ids:
        started: dict[int, float] = {}
        async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
            started[event.event_id] = event.event_time.ToMicroseconds() / 1e6
            for ended in (event.activity_task_completed_event_attributes, event.activity_task_failed_event_attributes):
                if ended.started_event_id:
                    longest = max(longest, started[event.event_id] - started[ended.started_event_id])
    return longest


def _move_in(registry: Path, miners: Iterable[Miner]) -> None:
    """Addresses and pins that are not the stack's."""
    text = registry.read_text()
    for miner in miners:
        usual = f'base_url = "{miner.world.miners_url}/{miner.name}"\n'
        pin = f'tls_sha256 = "{miner.pin}"\n' if miner.pin else ""
        text = text.replace(usual, f'base_url = "{miner.base_url}"\n{pin}')
    registry.write_text(text)


def _save_keys(key_file: Callable[[str], Path], miners: Iterable[Miner]) -> None:
    for name in (VALIDATOR, REQUESTS):
        _key(name).save(key_file(name))
    for miner in miners:
        miner.key.save(key_file(f"miner-{miner.name}"))


def _key(name: str) -> PrivateKey:
    return PrivateKey.from_bytes(hashlib.sha256(f"attacks {name}".encode()).digest())


def _fields(weather: Any, layout: Layout) -> dict[tuple[str, int], Any]:
    return {(name, level): weather.field(name, level, layout.grid_value).values for name, level in layout.fields()}
