"""Rounds as weights read them, vectors that are computed once, and where they stand in each sink."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from adapters.ledger import transitions
from adapters.ledger.events import Change, put_event
from adapters.ledger.rows import insert_if_absent, locked
from adapters.ledger.tables.base import Row
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import GroupScoreRow, RoundScoreRow, TruthRevisionRow
from adapters.ledger.tables.weights import (
    HistoricalWeightRow,
    RegistryObservationRow,
    WeightPublicationRow,
    WeightVectorRoundRow,
    WeightVectorRow,
)
from protocol.weights import CountedRound, WeightInputs, WeightsPayload
from weather.faults import LedgerConflict, WeightsNotPublished
from weather.round_score import Outcome
from weather.weights.apportion import BILLION
from weather.weights.window import RoundState

UNDER_WAY = ("planned", "submitted")
HIDING, ANY_HEAD = "chain", 2**31 - 1
TOLD = {"submitted": "weights.published", "committed": "weights.published", "confirmed": "weights.confirmed"}


class Cadence(NamedTuple):
    """Where rounds are counted from, and how far apart they are, in seconds."""

    genesis: int
    step: int


def live_rounds(session: Session, network: str, cadence: Cadence) -> list[RoundState]:
    """All rounds of a network by serial, without their scores; what lies between two rounds is none."""
    row = ForecastRunRow
    columns = (row.run_id, row.init_time, row.outcome, row.coverage, row.closed_at)
    chosen = select(*columns).where(row.network == network, row.purpose == "live").order_by(row.init_time)
    rounds = []
    for run_id, init_time, outcome, coverage, closed_at in session.execute(chosen):
        serial, between = divmod(int(init_time.timestamp()) - cadence.genesis, cadence.step)
        if serial >= 0 and not between:
            ended = None if closed_at is None else int(closed_at.timestamp())
            outcome = cast("Outcome | None", outcome)
            rounds.append(RoundState(serial, run_id, outcome, Fraction(coverage or 0), ended, {}, {}, {}))
    return rounds


def with_scores(session: Session, rounds: Sequence[RoundState]) -> tuple[RoundState, ...]:
    """The rounds with R and p of everybody in them; their groups are those that any of them has a score of."""
    run_ids = [each.run_id for each in rounds]
    totals: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
    scores: dict[str, dict[str, dict[str, int]]] = {run_id: {} for run_id in run_ids}
    row = RoundScoreRow
    chosen = select(row.run_id, row.hotkey, row.score_nano).where(row.run_id.in_(run_ids))
    for run_id, hotkey, nano in session.execute(chosen):
        totals[run_id][hotkey] = nano
    groups: dict[str, int] = {}
    part = GroupScoreRow
    parts = select(part.run_id, part.hotkey, part.group_name, part.score_nano).where(part.run_id.in_(run_ids))
    for run_id, hotkey, group, nano in session.execute(parts):
        scores[run_id].setdefault(hotkey, {})[group] = nano
        groups[group] = 1
    return tuple(
        replace(each, group_weights=groups, scores=scores[each.run_id], totals=totals[each.run_id]) for each in rounds
    )


def latest(session: Session, rounds: Sequence[RoundState], before: datetime) -> tuple[RoundState, ...]:
    """The rounds with their scores by the newest truth that was recorded before an instant."""
    closed = with_scores(session, rounds)
    revised = _revisions(session, closed, TruthRevisionRow.recorded_at < before)
    return tuple({each.run_id: each for each in [*closed, *revised]}.values())


def frozen_rounds(session: Session, inputs: WeightInputs) -> tuple[RoundState, ...]:
    """The rounds of frozen inputs with those scores, as closed or by newer truth, whose digests they name."""
    states = [
        RoundState(each.serial, each.run_id, each.outcome, Fraction(1), 0, group_weights={}, scores={}, totals={})
        for each in inputs.rounds
    ]
    closed = with_scores(session, states)
    known = {CountedRound.of(each): each for each in [*_revisions(session, closed), *closed]}
    return tuple(known.get(each, state) for each, state in zip(inputs.rounds, closed, strict=True))


def _revisions(session: Session, closed: Sequence[RoundState], *where: ColumnElement[bool]) -> list[RoundState]:
    row, by_run = TruthRevisionRow, {each.run_id: each for each in closed}
    chosen = select(row.run_id, row.scores).where(row.run_id.in_(by_run), *where).order_by(row.ordinal)
    return [
        replace(by_run[run_id], totals=scores["totals"], scores=scores["groups"])
        for run_id, scores in session.execute(chosen)
        if scores
    ]


def shown_head(session: Session, network: str, *, after_reveal: bool) -> int:
    """Up to which head weights may be shown: any, or that of the newest weights that the chain has revealed."""
    row, vector = WeightPublicationRow, WeightVectorRow
    same = (row.network == vector.network) & (row.input_digest == vector.input_digest)
    revealed = (row.network == network) & (row.sink == HIDING) & (row.state == "confirmed")
    newest = select(func.coalesce(func.max(vector.head), -1)).join(row, same).where(revealed)
    return session.execute(newest).scalar_one() if after_reveal else ANY_HEAD


def newest_vector(session: Session, network: str, up_to: int = ANY_HEAD) -> WeightVectorRow | None:
    """The vector that was planned last, or else computed last, of those with a head up to this one."""
    row, planned = WeightVectorRow, WeightPublicationRow
    same = (planned.network == row.network) & (planned.input_digest == row.input_digest)
    chosen = select(row).outerjoin(planned, same).where(row.network == network, row.head <= up_to)
    return session.scalars(
        chosen.order_by(planned.epoch.is_(None), planned.epoch.desc(), row.computed_at.desc())
    ).first()


def entries(session: Session, network: str, counted: Sequence[RoundState]) -> dict[str, datetime]:
    """Init time of the first of these rounds since each hotkey is registered that has it on its roster."""
    run, score, presence = ForecastRunRow, RoundScoreRow, RegistryObservationRow
    chosen = (
        select(score.hotkey, func.min(run.init_time))
        .join(run, run.run_id == score.run_id)
        .join(presence, presence.hotkey == score.hotkey)
        .where(
            run.run_id.in_([each.run_id for each in counted]),
            presence.network == network,
            presence.present_until.is_(None),
            run.opened_at >= presence.present_from,
        )
        .group_by(score.hotkey)
    )
    return dict(session.execute(chosen).all())


class EpochKey(NamedTuple):
    """An epoch of this validator."""

    validator: str
    network: str
    epoch: int

    @property
    def workflow_id(self) -> str:
        return f"weights/{self.network}/{self.epoch}"


class PublicationStep(NamedTuple):
    """A publication moves to `to`; only a missed one has a code."""

    sink: str
    to: str
    at: datetime
    reference: str | None = None
    code: str | None = None


def record_vector(
    session: Session, epoch: EpochKey, inputs: WeightInputs, rounds: Sequence[RoundState], at: datetime
) -> WeightVectorRow:
    """Store what the inputs come to, with its rounds and what each hotkey gets; again: the stored vector."""
    row = WeightVectorRow(
        network=epoch.network,
        input_digest=inputs.digest,
        policy=inputs.policy.policy,
        version=inputs.policy.version,
        head=inputs.head,
        inputs=inputs.value,
        shares=[list(share) for share in inputs.shares(rounds)],
        computed_at=at,
    )
    row.shares_digest = payload_of(row, epoch.epoch).shares_digest
    stored, created = insert_if_absent(session, row, ["shares_digest"])
    if created:
        session.add_all(_rows_of(stored, inputs))
        _tell(session, epoch, "weights.computed", stored.input_digest, at, {"digest": stored.input_digest})
    return stored


def payload_of(vector: WeightVectorRow, epoch: int) -> WeightsPayload:
    """What every sink is told in this epoch."""
    return WeightsPayload(
        network=vector.network,
        epoch=epoch,
        policy=vector.policy,
        version=vector.version,
        head=vector.head,
        input_digest=vector.input_digest,
        shares=tuple((hotkey, share) for hotkey, share in vector.shares),
    )


def plan(session: Session, epoch: EpochKey, vector: WeightVectorRow, sinks: Iterable[str], at: datetime) -> None:
    """Say what each sink is to get in this epoch, the first time; whatever is under way from before is missed."""
    _miss_all_before(session, epoch, at)
    for sink in sinks:
        row = WeightPublicationRow(network=epoch.network, epoch=epoch.epoch, sink=sink, state="planned", updated_at=at)
        row.input_digest = vector.input_digest
        insert_if_absent(session, row)


def publication(session: Session, epoch: EpochKey, sink: str) -> WeightPublicationRow:
    """Where an epoch stands in a sink, locked for a change.

    Raises:
        LedgerConflict: nothing was planned.
    """
    row = locked(session, WeightPublicationRow, (epoch.network, epoch.epoch, sink))
    if row is None:
        raise LedgerConflict(f"{epoch.workflow_id} has nothing planned for {sink}")
    return row


def payload(session: Session, row: WeightPublicationRow) -> WeightsPayload:
    """What the sink is to get."""
    return payload_of(session.get_one(WeightVectorRow, (row.network, row.input_digest)), row.epoch)


def to_confirm(session: Session, epoch: EpochKey, sink: str) -> list[WeightPublicationRow]:
    """What was submitted in this epoch, and all that a sink took up to then and has not revealed; by epoch."""
    row = WeightPublicationRow
    open_ = (row.state == "committed") | ((row.state == "submitted") & (row.epoch == epoch.epoch))
    chosen = select(row).where(row.network == epoch.network, row.sink == sink, row.epoch <= epoch.epoch, open_)
    return list(session.scalars(chosen.order_by(row.epoch)))


def move(session: Session, epoch: EpochKey, step: PublicationStep) -> WeightPublicationRow:
    """Move a publication along a legal edge; one that is there already stays as it is.

    What is kept back is committed without a reference, and not told before it is published.
    """
    row = publication(session, epoch, step.sink)
    if row.state != step.to:
        transitions.require(transitions.PUBLICATION, f"{epoch.workflow_id} in {step.sink}", row.state, step.to)
        row.state, row.code, row.updated_at = step.to, step.code, step.at
        row.reference = step.reference or row.reference
        if row.reference and (kind := TOLD.get(step.to)):
            told = {"sink": step.sink, "reference": row.reference}
            _tell(session, epoch, kind, f"{step.sink}|{step.to}", step.at, told)
    return row


def miss(session: Session, epoch: EpochKey, sinks: Iterable[str], code: str, at: datetime) -> None:
    """End an epoch that failed: what is neither confirmed nor to be revealed is missed, and this is told once."""
    _miss_all_before(session, epoch, at)
    for sink in sinks:
        row = WeightPublicationRow(network=epoch.network, epoch=epoch.epoch, sink=sink, state="missed", code=code)
        row.updated_at = at
        stored, _ = insert_if_absent(session, row)
        if stored.state in UNDER_WAY:
            stored.state, stored.code, stored.updated_at = "missed", code, at
    _tell(session, epoch, "run.failed", "0", at, {"code": code, "cause": "platform"})


def silent_epochs(session: Session, network: str, current: int) -> int:
    """How many epochs in a row before the current one are not in every sink; those never begun count too."""
    row = WeightPublicationRow
    ours = row.network == network
    broken = select(row.epoch).where(ours, row.state.not_in(("confirmed", "committed")))
    heard = select(func.max(row.epoch)).where(ours, row.epoch <= current, row.epoch.not_in(broken))
    first, last = session.execute(select(func.min(row.epoch), heard.scalar_subquery()).where(ours)).one()
    return 0 if first is None else max(0, current - 1 - (first - 1 if last is None else last))


def _rows_of(vector: WeightVectorRow, inputs: WeightInputs) -> list[Row]:
    """The rounds of a vector, and its weights under the last of them."""
    key = {"network": vector.network, "input_digest": vector.input_digest}
    weight = {"run_id": inputs.rounds[-1].run_id, "score_type": vector.policy, "digest": vector.input_digest}
    return [
        *(WeightVectorRoundRow(**key, run_id=each.run_id, outcome=each.outcome) for each in inputs.rounds),
        *(HistoricalWeightRow(**weight, miner_hotkey=hotkey, weight=ppb / BILLION) for hotkey, ppb in vector.shares),
    ]


def _miss_all_before(session: Session, epoch: EpochKey, at: datetime) -> None:
    row = WeightPublicationRow
    left = update(row).where(row.network == epoch.network, row.epoch < epoch.epoch, row.state.in_(UNDER_WAY))
    session.execute(left.values(state="missed", code=WeightsNotPublished.__name__, updated_at=at))


def _tell(  # noqa: PLR0913 -- the parts of an event
    session: Session, epoch: EpochKey, kind: str, key: str, at: datetime, data: dict[str, Any]
) -> None:
    change = Change(kind, epoch.workflow_id, key, at, {"epoch": epoch.epoch} | data)
    put_event(session, epoch.validator, epoch.workflow_id, change)
