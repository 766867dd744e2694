"""Rounds as weights read them, and vectors that are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from adapters.ledger.publications import EpochKey, payload_of, tell
from adapters.ledger.rows import insert_if_absent
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
from protocol.weights import CountedRound, WeightInputs
from weather.round_score import Outcome
from weather.weights.apportion import BILLION
from weather.weights.window import RoundState


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


def newest_vector(session: Session, network: str, *where: ColumnElement[bool]) -> WeightVectorRow | None:
    """The vector that was planned last, or else computed last, of those for which this holds."""
    row, planned = WeightVectorRow, WeightPublicationRow
    chosen = select(row).outerjoin(planned).where(row.network == network, *where)
    return session.scalars(
        chosen.order_by(planned.epoch.is_(None), planned.epoch.desc(), row.computed_at.desc())
    ).first()


def entries(session: Session, network: str, counted: Sequence[RoundState]) -> dict[str, datetime]:
    """Init time of the first of these rounds since each hotkey is registered that has it on its roster."""
    run, score, presence = ForecastRunRow, RoundScoreRow, RegistryObservationRow
    chosen = (
        select(score.hotkey, func.min(run.init_time))
        .join(run)
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
        tell(session, epoch, "weights.computed", stored.input_digest, at, {"digest": stored.input_digest})
    return stored


def _rows_of(vector: WeightVectorRow, inputs: WeightInputs) -> list[Row]:
    """The rounds of a vector, and its weights under the last of them."""
    key = {"network": vector.network, "input_digest": vector.input_digest}
    weight = {"run_id": inputs.rounds[-1].run_id, "score_type": vector.policy, "digest": vector.input_digest}
    return [
        *(WeightVectorRoundRow(**key, run_id=each.run_id, outcome=each.outcome) for each in inputs.rounds),
        *(HistoricalWeightRow(**weight, miner_hotkey=hotkey, weight=ppb / BILLION) for hotkey, ppb in vector.shares),
    ]
