"""Rounds by serial, miners of a registry, sinks, and one epoch after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

from activities.messages.run import MinerDeregistered
from activities.messages.weights import ComputeVector, Epoch, EpochStep, Publication, PublishWeights, Vector
from activities.messages.weights import WeightsEpochInput as Asked
from activities.rounds import LedgerRounds
from activities.weight_sinks import LedgerWeightSinks
from activities.weights import LedgerWeights, WeightsRules
from adapters.ledger.engine import Ledger
from adapters.ledger.roster import freeze_roster
from adapters.ledger.runs import advance_run, close_run, open_run
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRow
from adapters.ledger.values import RoundScore
from adapters.object_store import ObjectStore
from adapters.sinks.file import FileSink
from adapters.sinks.port import Submitted, WeightSink
from protocol.identity import PrivateKey
from protocol.names import run_id
from protocol.registry import MinerEntry, Registry
from protocol.weights import BASELINE, ScheduledPolicy, WeightsPayload
from tests.activities.ledger.builders import VALIDATOR, closing, entry, new_run
from tests.fixed_clock import FixedClock
from weather.faults import SinkUnavailable, WeightsNotPublished
from weather.weights.policies import Proportional

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)
CADENCE, TEMPO = timedelta(hours=6), timedelta(seconds=4_320)
FIRST = 1_303
ALICE, BOB, CAROL = (PrivateKey.from_bytes(bytes([seed]) * 32).hotkey for seed in (11, 12, 13))
TO_THE_END = (
    "initial_scoring_queued",
    "initial_scoring_skipped",
    "final_scoring_triggered",
    "final_scoring_completed",
)


def init_time(serial: int) -> datetime:
    return GENESIS + serial * CADENCE


def closed_at(serial: int) -> datetime:
    return init_time(serial) + timedelta(days=16)


class ScriptedSink(WeightSink):
    """Takes one resource an epoch; it may be down, or die after the effect."""

    name = "http"

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self.submissions = 0
        self.down = self.dies = self.hides = False
        self.refuses: set[int] = set()

    def submit(self, payload: WeightsPayload, key: str) -> Submitted:
        if self.down:
            raise SinkUnavailable("down")
        if payload.epoch in self.refuses:
            raise WeightsNotPublished("this epoch is over")
        self.submissions += 1
        self.held.setdefault(payload.epoch, payload.canonical)
        if self.dies:
            raise SinkUnavailable("the answer was lost")
        return Submitted("committed" if self.hides else "submitted", key)

    def confirm(self, payload: WeightsPayload, key: str) -> bool | None:
        if self.down:
            raise SinkUnavailable("down")
        return None if self.hides else self.held.get(payload.epoch) == payload.canonical


class Signals:
    """What open runs are told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, MinerDeregistered]] = []

    def get_workflow_handle(self, workflow_id: str) -> Any:
        self.addressed = workflow_id
        return self

    async def signal(self, name: str, message: MinerDeregistered) -> None:
        assert name == "miner_deregistered"
        self.sent.append((self.addressed, message))


class Scene:
    """The clock stands at the start of the epoch that is played last."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger, self.folder, self.clock = ledger, folder, FixedClock(closed_at(FIRST))
        self.store, self.sink, self.signals = ObjectStore(folder / "objects"), ScriptedSink(), Signals()
        self.miners: dict[str, dict[str, Any]] = {}
        self.chains: list[WeightSink] = []
        self.rules = WeightsRules(
            network="test",
            validator=VALIDATOR.hotkey,
            genesis=GENESIS,
            cadence=CADENCE,
            tempo=TEMPO,
            buffer=timedelta(seconds=180),
            policies=(ScheduledPolicy(policy=Proportional()),),
            sinks=("file", "http"),
        )

    def register(self, *hotkeys: str, **changes: Any) -> None:
        for hotkey in hotkeys:
            self.miners[hotkey] = {"valid_from": GENESIS} | changes

    def registry(self) -> Registry:
        miners = [
            MinerEntry.model_validate({"hotkey": hotkey, "name": hotkey[:8], "base_url": "https://m.example"} | given)
            for hotkey, given in self.miners.items()
        ]
        return Registry(network="test", miners=tuple(miners))

    def open(self, serial: int, *hotkeys: str, campaign: str | None = None) -> str:
        name = run_id(init_time(serial), campaign)
        start, purpose = init_time(serial), "hindcast" if campaign else "live"
        times = {"opened_at": start + timedelta(hours=3, minutes=30), "close_by": start + timedelta(days=25)}
        with self.ledger.begin() as session:
            open_run(session, new_run(run_id=name, purpose=purpose, init_time=start, **times))
            freeze_roster(session, name, [entry(hotkey, n) for n, hotkey in enumerate(sorted(hotkeys))], "9" * 64)
        return name

    def close(self, serial: int, scores: Mapping[str, float] | None, **changes: Any) -> str:
        """A round that was closed with these scores, in two groups; void without any."""
        name = self.open(serial, *(scores or {}), campaign=changes.pop("campaign", None))
        nano = {hotkey: round(score * 10**9) for hotkey, score in ({BASELINE: 0.3} | dict(scores or {})).items()}
        values = {
            "outcome": "closed" if scores else "void",
            "reason": "complete" if scores else "coverage",
            "closed_at": closed_at(serial),
            "lead_scores": {},
            "scores": [RoundScore(hotkey=h, score_nano=s, rank=1) for h, s in nano.items()] if scores else [],
            "group_scores": {(h, g): s for h, s in nano.items() for g in ("early", "late")} if scores else {},
        }
        with self.ledger.begin() as session:
            for status in TO_THE_END if scores else ():
                advance_run(session, name, status, "told", closed_at(serial))
            close_run(session, name, closing(**values | changes))
        return name

    def epoch(self, number: int) -> Epoch:
        """Go to the start of the epoch after the one in which the first round closes, or as many later."""
        first = (closed_at(FIRST) - GENESIS) // TEMPO + 1
        self.clock = FixedClock(GENESIS + (first + number) * TEMPO)
        return self.weights.open_epoch(Asked())

    @property
    def weights(self) -> LedgerWeights:
        return LedgerWeights(self.ledger, self.store, self.rules, self.clock)

    def sinks(self) -> LedgerWeightSinks:
        after_reveal, sinks = self.rules.after_reveal, [FileSink(self.folder), self.sink, *self.chains]
        return LedgerWeightSinks(self.ledger, sinks, self.clock, after_reveal=after_reveal)

    def compare(self, epoch: Epoch) -> int:
        """Answers how many signals went out."""
        nothing: Any = None
        signals: Any = self.signals
        rounds = LedgerRounds(self.ledger, signals, nothing, nothing, self.registry, GENESIS, CADENCE)
        compared = ActivityEnvironment().run(rounds.compare_registry, self.step(epoch))
        return asyncio.run(compared).signals

    def step(self, epoch: Epoch) -> EpochStep:
        return EpochStep(epoch=epoch, at=self.clock.now())

    def compute(self, epoch: Epoch) -> Vector:
        self.compare(epoch)
        frozen = ActivityEnvironment().run(self.weights.freeze_epoch_inputs, self.step(epoch))
        request = ComputeVector(epoch=epoch, at=self.clock.now(), inputs=frozen.inputs)
        return ActivityEnvironment().run(self.weights.compute_vector, request)

    def publish(self, epoch: Epoch, sink: str, attempt: int = 1) -> Publication:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        return environment.run(self.sinks().publish_weights, self.asked(epoch, sink))

    def confirm(self, epoch: Epoch, sink: str) -> Publication:
        return ActivityEnvironment().run(self.sinks().confirm_weights, self.asked(epoch, sink))

    def asked(self, epoch: Epoch, sink: str) -> PublishWeights:
        return PublishWeights(epoch=epoch, at=self.clock.now(), sink=sink)

    def play(self, number: int) -> Vector:
        """A whole epoch."""
        epoch = self.epoch(number)
        vector = self.compute(epoch)
        for sink in epoch.sinks:
            self.publish(epoch, sink)
            assert self.confirm(epoch, sink).state == "confirmed"
        return vector

    def lines(self) -> list[str]:
        return (self.folder / "weights" / "test.jsonl").read_text().splitlines()

    def vectors(self) -> Sequence[WeightVectorRow]:
        with self.ledger.read() as session:
            return session.scalars(select(WeightVectorRow).order_by(WeightVectorRow.computed_at)).all()

    def shares(self) -> dict[str, int]:
        """Those of the vector that was planned last."""
        rows = self.publications()
        by_digest = {row.input_digest: row for row in self.vectors()}
        return dict(by_digest[rows[-1].input_digest or ""].shares)

    def publications(self) -> Sequence[WeightPublicationRow]:
        row = WeightPublicationRow
        with self.ledger.read() as session:
            return session.scalars(select(row).order_by(row.epoch, row.sink)).all()
