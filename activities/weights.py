"""What counts at the start of an epoch, and the weights that it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts, documents
from activities.messages.weights import (
    ComputeVector,
    Epoch,
    EpochStep,
    FrozenInputs,
    RecordMissed,
    Vector,
    WeightsEpochInput,
)
from adapters.clock import Clock
from adapters.ledger import publications, roster, weights
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.weights import WeightVectorRow
from adapters.object_store import ObjectStore
from protocol.weights import CountedRound, ScheduledPolicy, WeightInputs
from weather.faults import ConfigurationInvalid, NothingToPublish
from weather.weights.window import RoundState, Standing, counted_window, epoch_of, head, serial_of


@dataclass(frozen=True)
class WeightsRules:
    """What an epoch is given by the settings."""

    network: str
    validator: str
    genesis: datetime
    cadence: timedelta
    tempo: timedelta
    buffer: timedelta
    policies: Sequence[ScheduledPolicy]
    sinks: Sequence[str]
    truth_stage: Literal["as_closed", "latest"] = "as_closed"
    after_reveal: bool = False
    """Whether a vector is shown, and given to other sinks, only when the chain has revealed one as new."""

    @property
    def rounds(self) -> weights.Cadence:
        """Where rounds are counted from."""
        return weights.Cadence(_seconds(self.genesis), _seconds(self.cadence))

    def epochs(self, rounds: int) -> int:
        """How many begin while so many rounds are opened."""
        return rounds * self.cadence // self.tempo

    def policy(self, epoch: int) -> ScheduledPolicy:
        """The policy that is in effect."""
        return [each for each in self.policies if each.effective_from_epoch <= epoch][-1]

    def resolve(self, request: WeightsEpochInput, now: datetime) -> Epoch:
        """The epoch with its instants."""
        if request.network not in (None, self.network):
            raise ConfigurationInvalid("another network", found=request.network, expected=self.network)
        at = request.as_of or now
        if request.epoch is not None:
            at = self.genesis + request.epoch * self.tempo
        span = epoch_of(_seconds(at), _seconds(self.genesis), _seconds(self.tempo))
        ends = datetime.fromtimestamp(span.end, UTC)
        return Epoch(
            validator=self.validator,
            network=self.network,
            epoch=span.index,
            as_of=datetime.fromtimestamp(span.start, UTC),
            publish_until=ends - self.buffer,
            ends=ends,
            sinks=tuple(self.sinks),
        )


class LedgerWeights:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(self, ledger: Ledger, store: ObjectStore, rules: WeightsRules, clock: Clock) -> None:
        self._ledger, self._store, self._rules, self._clock = ledger, store, rules, clock

    @activity.defn
    def open_epoch(self, request: WeightsEpochInput) -> Epoch:
        """Resolve every setting of an epoch."""
        return self._rules.resolve(request, self._clock.now())

    @activity.defn
    def freeze_epoch_inputs(self, request: EpochStep) -> FrozenInputs:
        """Fix head, window, standings and policy as one document."""
        with attempts.beating_thread(), self._ledger.read() as session:
            inputs = self._inputs(session, request.epoch)
        kept = documents.put(self._store, inputs.canonical)
        return FrozenInputs(inputs=kept, head=inputs.head, rounds=len(inputs.rounds))

    @activity.defn
    def compute_vector(self, request: ComputeVector) -> Vector:
        """Compute once by input digest, and plan what each sink is to get; again: the stored vector."""
        inputs, key = WeightInputs.parse(self._store.get(request.inputs.sha256)), key_of(request.epoch)
        with attempts.beating_thread(), self._ledger.begin() as session:
            stored = session.get(WeightVectorRow, (inputs.network, inputs.digest))
            rounds = weights.frozen_rounds(session, inputs)
            vector = stored or weights.record_vector(session, key, inputs, rounds, request.at)
            publications.plan(session, key, vector, request.epoch.sinks, request.at)
            return Vector(
                input_digest=vector.input_digest,
                shares_digest=vector.shares_digest,
                hotkeys=len(vector.shares),
                created=stored is None,
            )

    @activity.defn
    def record_missed(self, request: RecordMissed) -> None:
        """End what is not confirmed in this epoch or before; it is never made up for."""
        with self._ledger.begin() as session:
            publications.miss(session, key_of(request.epoch), request.epoch.sinks, request.fault.code, request.at)

    def _inputs(self, session: Session, epoch: Epoch) -> WeightInputs:
        scheduled = self._rules.policy(epoch.epoch)
        rounds = weights.live_rounds(session, epoch.network, self._rules.rounds)
        top = head(rounds, _seconds(epoch.as_of))
        counted = counted_window(rounds, top, len(rounds), scheduled.policy.min_coverage_ppm)
        if top is None or not counted:
            raise NothingToPublish("no round counts yet", found=f"{len(rounds)} rounds, head {top}")
        window = self._scores(session, counted[-scheduled.policy.window :], epoch)
        return WeightInputs(
            network=epoch.network,
            policy=scheduled.policy,
            head=top,
            rounds=tuple(CountedRound.of(each) for each in window),
            standings=self._standings(session, scheduled, counted),
        )

    def _scores(self, session: Session, window: Sequence[RoundState], epoch: Epoch) -> tuple[RoundState, ...]:
        if self._rules.truth_stage == "latest":
            return weights.latest(session, window, epoch.as_of)
        return weights.with_scores(session, window)

    def _standings(
        self, session: Session, scheduled: ScheduledPolicy, counted: Sequence[RoundState]
    ) -> tuple[Standing, ...]:
        network, cadence = self._rules.network, self._rules.rounds
        entered = weights.entries(session, network, counted)
        entry = {hotkey: serial_of(_seconds(init), *cadence) for hotkey, init in entered.items()}
        classes = {hotkey: name for name, members in scheduled.identity_classes.items() for hotkey in members}
        standings = [
            Standing(hotkey, _seconds(since), entry.get(hotkey), classes.get(hotkey))
            for hotkey, since in roster.registered(session, network).items()
        ]
        return tuple(sorted(standings, key=lambda standing: standing.seniority))


def key_of(epoch: Epoch) -> publications.EpochKey:
    """How the ledger knows an epoch."""
    return publications.EpochKey(epoch.validator, epoch.network, epoch.epoch)


def _seconds(value: datetime | timedelta) -> int:
    return int(value.timestamp() if isinstance(value, datetime) else value.total_seconds())
