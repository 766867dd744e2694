"""The validator's HTTP side on a real ledger, with a clock and a switch for each thing that may go wrong."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.roster import freeze_roster
from adapters.ledger.runs import open_run
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import ReceivedCommitment, RecordedCommitment
from protocol.commitment import Commitment, first_broken
from protocol.identity import PrivateKey
from protocol.messages import CommitmentData
from protocol.problems import Problem
from protocol.receipt import CommitmentAnswer
from protocol.registry import RosterEntry
from protocol.tokens import Call, sign_request
from tests.fixed_clock import FixedClock
from tests.hostile_miner import LAYOUT, MINER, RUN, T0, VALIDATOR, HostileMiner, Server, call_data
from weather.faults import CommitmentLate, LedgerUnavailable
from workers.validator_service import OpenCall, ServiceConfig, validator_app

PATH = "/v/weather-commitment"
DEADLINE = T0 + timedelta(hours=5)
OTHER = PrivateKey.from_bytes(bytes([7]) * 32)


class Records:
    """The real ledger, with a switch for what a test lets go wrong."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.call = OpenCall(call_data(), LAYOUT, frozenset({MINER.hotkey, OTHER.hotkey}), DEADLINE)
        self.down = False
        self.closing = False

    def call_of(self, run_id: str) -> OpenCall | None:
        self.probe()
        return self.call if run_id == RUN else None

    def record(self, received: ReceivedCommitment) -> RecordedCommitment:
        if self.closing:
            raise CommitmentLate("the run is sealed")
        with self.ledger.begin() as session:
            return record_commitment(session, VALIDATOR, received)

    def probe(self) -> None:
        if self.down:
            raise LedgerUnavailable("no database")


class Validator:
    """The service under test, its clock, and what it told."""

    def __init__(self, server: Server, ledger: Ledger) -> None:
        self.records = Records(ledger)
        self.clock = FixedClock(DEADLINE - timedelta(minutes=10))
        self.told: list[tuple[str, bool]] = []
        self.heard = asyncio.Event()
        self.url = server.url
        self.loop = asyncio.get_running_loop()
        self.config = ServiceConfig(VALIDATOR, "test", "/v", posts_per_hotkey=None, posts_per_address=None)
        self._server = server
        self.restart()

    def restart(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)
        self._server.app = validator_app(self.config, self.records, self.hear, self.clock)
        self.clock.advance(timedelta(seconds=1))

    async def hear(self, recorded: RecordedCommitment, in_time: bool) -> None:
        self.told.append((recorded.commitment_digest, in_time))
        self.loop.call_soon_threadsafe(self.heard.set)

    async def post(self, body: bytes, key: PrivateKey = MINER, **headers: str) -> httpx.Response:
        call = Call(VALIDATOR.hotkey, "POST", PATH, body)
        token = sign_request(key, call, self.clock.now())
        return await self.send(body, token, **headers)

    async def send(self, body: bytes, token: str | None, **headers: str) -> httpx.Response:
        own = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(self.url + PATH, content=body, headers=own | headers)

    def refused(self, response: httpx.Response, code: str) -> Problem:
        """The problem in an answer, after its form was checked."""
        assert response.headers["content-type"] == "application/problem+json"
        found = Problem.parse(response.content)
        assert (found.code, found.status) == (code, response.status_code)
        return found

    def accepted(self, response: httpx.Response, body: bytes, status: int = 201) -> CommitmentAnswer:
        """The receipt in an answer, after all proofs were checked offline."""
        assert response.status_code == status
        answer = CommitmentAnswer.parse(response.content)
        assert (
            first_broken(CommitmentData.of_value(json.loads(body)["data"]), answer, MINER.hotkey, VALIDATOR.hotkey)
            is None
        )
        return answer


def ledger_file(folder: Path) -> bytes:
    """A SQLite file with one open run of two miners."""
    file = folder / "template.sqlite"
    upgrade(f"sqlite:///{file}")
    run = ForecastRunRow(
        network="test",
        run_id=RUN,
        validator_hotkey=VALIDATOR.hotkey,
        purpose="live",
        init_time=T0,
        grid=LAYOUT.grid,
        layout_digest=LAYOUT.digest,
        score_spec_digest="2" * 64,
        case_set_digest="c" * 64,
        close_by=T0 + timedelta(days=25),
        opened_at=T0 + timedelta(hours=4),
        config={},
    )
    entries = [
        RosterEntry(hotkey=key.hotkey, uid=None, name=name, base_url=f"https://{name}.example", tls_sha256=None)
        for name, key in (("one", MINER), ("two", OTHER))
    ]
    with Ledger(f"sqlite:///{file}") as ledger, ledger.begin() as session:
        open_run(session, run)
        freeze_roster(session, RUN, entries, "9" * 64)
    return file.read_bytes()


A_COMMITMENT = HostileMiner().commitment


def push(commitment: Commitment | dict[str, Any] = A_COMMITMENT, signature: str | None = None, **more: Any) -> bytes:
    """The body of call 3 with a fresh nonce."""
    value = commitment.value if isinstance(commitment, Commitment) else commitment
    signature = signature or A_COMMITMENT.sign(MINER)
    return json.dumps({"nonce": str(uuid4()), "data": {"commitment": value, "signature": signature}} | more).encode()


def changed(**members: Any) -> bytes:
    """A commitment with other members, signed as it is."""
    other = A_COMMITMENT.model_copy(update=members)
    return push(other, other.sign(MINER))
