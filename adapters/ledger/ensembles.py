"""What ensembles are made from, as of a commit deadline, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.commitments import leaf_order
from adapters.ledger.rows import insert_absent, insert_if_absent
from adapters.ledger.runs import earlier_runs
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import EnsembleComponentRow, EnsembleForecastRow, ScoreFactRow
from adapters.ledger.tables.weights import HistoricalWeightRow
from weather.cases import GLOBAL
from weather.ensemble import PAST_ROUNDS, Candidate, Errors, Member

Part = tuple[str, str]  # miner and variable


class PassKey(NamedTuple):
    """One pass of a run, played for the n-th time."""

    run_id: str
    pass_: str
    generation: int


def candidates(
    session: Session, key: PassKey, lead_hours: int, fields: Mapping[str, Collection[int]]
) -> dict[str, list[Candidate]]:
    """By variable, the miners that have all of its levels at this lead; their past ends at the commit deadline."""
    run = session.get_one(ForecastRunRow, key.run_id)
    runs = _earlier_runs(session, run)
    digests, leaves = _verified(session, key, lead_hours)
    past = _past_sums(session, key.pass_, lead_hours, runs, run.commit_deadline or run.opened_at)
    found: dict[str, list[Candidate]] = {}
    for variable, levels in fields.items():
        whole = {hotkey: own for (hotkey, name), own in digests.items() if name == variable and len(own) == len(levels)}
        found[variable] = [
            Candidate(hotkey, leaves[hotkey], frozenset(own.values()), _whole(past[hotkey, variable], levels))
            for hotkey, own in whole.items()
        ]
    return found


def record_ensemble(session: Session, ensemble: EnsembleForecastRow, members: Mapping[str, Iterable[Member]]) -> None:
    """Store the ensemble of a lead, built or failed, with the past errors and weights of its members by variable.

    Raises:
        LedgerConflict: it is stored with other weights, other fields or another end.
    """
    key = {name: getattr(ensemble, name) for name in ("run_id", "pass_", "lead_hours", "generation")}
    digest, lead_hours = ensemble.weights_digest, ensemble.lead_hours
    _, created = insert_if_absent(session, ensemble, ["weights_digest", "fields_digest", "status"])
    chosen = [(variable, member) for variable, found in members.items() for member in found if created]
    session.add_all(
        EnsembleComponentRow(**key, variable=variable, hotkey=member.hotkey, weight=member.weight)
        for variable, member in chosen
    )
    weights = [
        {
            "run_id": key["run_id"],
            "score_type": f"ensemble/{variable}/{lead_hours}h",
            "digest": digest,
            "miner_hotkey": member.hotkey,
            "score": member.error,
            "weight": member.weight,
        }
        for variable, member in chosen
    ]
    insert_absent(session, HistoricalWeightRow, weights)


def _earlier_runs(session: Session, run: ForecastRunRow) -> list[str]:
    """The last rounds that were closed before the commit deadline."""
    other = ForecastRunRow
    closed = (other.outcome != "void") & (other.closed_at < (run.commit_deadline or run.opened_at))
    chosen = select(other.run_id).where(earlier_runs(run), closed).order_by(other.init_time.desc())
    return list(session.scalars(chosen.limit(PAST_ROUNDS)))


def _verified(session: Session, key: PassKey, lead_hours: int) -> tuple[dict[Part, dict[int, str]], dict[str, int]]:
    """Digests of the fields by miner and variable, and by level; and the leaf of each miner."""
    fact = ScoreFactRow
    leaves = leaf_order(session, key.run_id)
    chosen = select(fact.hotkey, fact.variable, fact.level, fact.forecast_digest).where(
        fact.run_id == key.run_id,
        fact.pass_ == key.pass_,
        fact.generation == key.generation,
        fact.lead_hours == lead_hours,
        fact.region == GLOBAL,
    )
    digests: dict[Part, dict[int, str]] = defaultdict(dict)
    for hotkey, variable, level, digest in session.execute(chosen):
        if hotkey in leaves:
            digests[hotkey, variable][level] = digest
    return digests, leaves


def _past_sums(
    session: Session, pass_: str, lead_hours: int, runs: Sequence[str], deadline: datetime
) -> defaultdict[Part, dict[str, dict[int, tuple[float, float]]]]:
    """(D2, Q2) by miner and variable, by run, by level; of several facts of a case the one that was in force then."""
    fact = ScoreFactRow
    past: defaultdict[Part, dict[str, dict[int, tuple[float, float]]]] = defaultdict(dict)
    chosen = (
        select(fact.hotkey, fact.variable, fact.run_id, fact.level, fact.sums)
        .where(fact.run_id.in_(runs), fact.pass_ == pass_, fact.lead_hours == lead_hours, fact.scored_at < deadline)
        .order_by(fact.generation, func.length(fact.truth_version).desc())  # `era5t`, then `era5`
    )
    for hotkey, variable, run_id, level, sums in session.execute(chosen):
        if sums:
            past[hotkey, variable].setdefault(run_id, {})[level] = (sums["D2"], sums["Q2"])
    return past


def _whole(past: Mapping[str, Errors], levels: Collection[int]) -> dict[str, Errors]:
    return {run_id: errors for run_id, errors in past.items() if len(errors) == len(levels)}
