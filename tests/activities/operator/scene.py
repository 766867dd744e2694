"""A sealed run as its operators find it, and what they ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from activities.messages.operator import Intervene, Intervened, Verb
from activities.messages.run import CloseRun, Step
from activities.messages.weights import ComputeVector, EpochStep, WeightsEpochInput
from activities.operator import LedgerOperator
from activities.weights import LedgerWeights, WeightsRules
from adapters.ledger import jobs, responses, runs
from adapters.ledger.facts import run_record
from adapters.ledger.roster import observe
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import JobStep, ResponseStep
from adapters.ledger.weights import newest_vector
from protocol.weights import BASELINE, ScheduledPolicy
from tests.activities.ledger.builders import fact
from tests.activities.validator.test_run_records import commit
from tests.activities.validator.world import ALICE, BOB, CAROL, GRID, LIVE, T0, VALIDATOR, Opened, Validator, do
from tests.fixed_clock import FixedClock
from weather.cases import CaseKey, case_set
from weather.faults import InterventionRefused
from weather.round_score import RunRecord
from weather.score_spec import ScoreSpec
from weather.weights.policies import Proportional

MINERS = (ALICE.hotkey, BOB.hotkey, CAROL.hotkey)
VERBS: tuple[Verb, ...] = get_args(Verb)
LEADS = tuple(range(24, 241, 24))
LATER = T0 + timedelta(days=8)
RULES = WeightsRules(
    network="test",
    validator=VALIDATOR.hotkey,
    genesis=T0 - timedelta(days=325, hours=18),
    cadence=timedelta(hours=6),
    tempo=timedelta(seconds=4_320),
    buffer=timedelta(seconds=180),
    policies=(ScheduledPolicy(policy=Proportional()),),
    sinks=(),
)


@dataclass
class Scene:
    """`ALICE` is verified, `BOB` failed his verification, `CAROL` committed to nothing."""

    validator: Validator
    opened: Opened
    two_person: bool = False
    now: datetime = LATER
    shift: int = 0
    """Which miner is the best."""

    @classmethod
    def sealed(cls, validator: Validator, init_time: datetime = T0) -> Scene:
        opened = validator.open(LIVE.model_copy(update={"init_time": init_time}))
        scene, at = cls(validator, opened), opened.window.commit_deadline
        for key in (ALICE, BOB):
            commit(validator, opened, key, at)
        do(validator.runs.seal_run, Step(run_id=scene.run_id, at=at))
        ends = ("verified_manifest_store_opened", "failed_manifest_verification", "verification_error")
        with validator.ledger.begin() as session:
            for hotkey, end in zip(MINERS, ends, strict=True):
                step = ResponseStep(run_id=scene.run_id, hotkey=hotkey, to="verifying_manifest", at=at)
                if hotkey != CAROL.hotkey:
                    responses.advance_response(session, step)
                responses.advance_response(session, step.model_copy(update={"to": end}))
        return scene

    @property
    def run_id(self) -> str:
        return self.opened.run.run_id

    @property
    def rules(self) -> ScoreSpec:
        return self.validator.catalog.rules(GRID)

    @property
    def keys(self) -> list[CaseKey]:
        return [case.key for case in case_set(self.rules)]

    @property
    def row(self) -> ForecastRunRow:
        with self.validator.ledger.read() as session:
            run = runs.get_run(session, self.run_id)
            assert run is not None
            return run

    @property
    def record(self) -> RunRecord:
        with self.validator.ledger.read() as session:
            return run_record(session, self.run_id)

    def score(self, keys: Iterable[CaseKey], hotkeys: Iterable[str] = MINERS, generation: int = 1) -> None:
        """Plant facts; each miner has its own score."""
        self.validator.record(
            *(
                fact(
                    run_id=self.run_id,
                    hotkey=hotkey,
                    pass_=key.pass_,
                    lead_hours=key.lead_time_hours,
                    variable=key.variable,
                    level=key.level,
                    generation=generation,
                    score=self._score(hotkey, key),
                )
                for key in keys
                for hotkey in hotkeys
            )
        )

    def _score(self, hotkey: str, key: CaseKey) -> float:
        best = 5 + (MINERS.index(hotkey) + self.shift) % len(MINERS) if hotkey != BASELINE else 0
        return best / (10 + key.level % 7) if best else 0.2

    def lead(self, hours: int) -> list[CaseKey]:
        return [key for key in self.keys if key.lead_time_hours == hours]

    def play(self, lead: int, *, running: bool = False, generation: int = 1) -> None:
        """A pass as its job row tells of it; lead 0 is the day-1 pass."""
        kind = "era5_final" if lead else "day1_qc"
        with self.validator.ledger.begin() as session:
            for to in ("queued", "in_progress") if running else ("queued", "in_progress", "completed"):
                step = {"run_id": self.run_id, "score_type": kind, "lead_hours": lead, "generation": generation}
                jobs.reach_job(session, JobStep.model_validate({**step, "to": to, "at": LATER}))

    def finished(self) -> Scene:
        """The run with all its passes played and every case settled."""
        for lead in (0, *LEADS):
            self.play(lead)
        self.score(self.keys)
        return self

    def weigh(self, days: int) -> dict[str, int]:
        """Close the run, and answer the shares of an epoch so many days later."""
        self.advance("initial_scoring_skipped", "final_scoring_triggered").score(self.keys, [BASELINE])
        validator, clock = self.validator, FixedClock(self.opened.run.init_time + timedelta(days=days))
        do(validator.runs.close_run, CloseRun(run_id=self.run_id, at=LATER))
        with validator.ledger.begin() as session:
            observe(session, "test", dict.fromkeys(MINERS), at=clock.now(), always=RULES.genesis)
        weights = LedgerWeights(validator.ledger, validator.store, RULES, clock)
        step = EpochStep(epoch=weights.open_epoch(WeightsEpochInput()), at=clock.now())
        inputs = do(weights.freeze_epoch_inputs, step).inputs
        do(weights.compute_vector, ComputeVector(epoch=step.epoch, at=step.at, inputs=inputs))
        with validator.ledger.read() as session:
            newest = newest_vector(session, "test")
            assert newest is not None
            return dict(newest.shares)

    def advance(self, *statuses: str) -> Scene:
        with self.validator.ledger.begin() as session:
            for status in statuses:
                runs.advance_run(session, self.run_id, status, "test", LATER)
        return self

    def ask(self, verb: str, scope: str | None = None, *, at: datetime | None = None, **asked: Any) -> Intervened:
        """What an operator is answered; alice acts for a reason of hers unless it is said otherwise."""
        validator = self.validator
        ports = (validator.ledger, validator.store, validator.catalog)
        operator = LedgerOperator(*ports, RULES, self.two_person)
        self.now += timedelta(seconds=1)
        intervention = {"actor": "alice", "reason": "a reason", "scope": scope, **asked}
        request = {"run": self.opened.run, "verb": verb, "intervention": intervention, "at": at or self.now}
        return do(operator.intervene, Intervene.model_validate(request))

    def refused(self, verb: str, scope: str | None = None, **asked: Any) -> str:
        """Why a verb is refused; empty if it is not."""
        try:
            self.ask(verb, scope, **asked)
        except InterventionRefused as refusal:
            return str(refusal)
        return ""
