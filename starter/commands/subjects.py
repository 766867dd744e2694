"""What a subject of `why` is, and what the ledger answers of it and of its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import typer
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, defer

from activities.messages.weights import Epoch, WeightsEpochInput
from activities.weights import WeightsRules
from adapters.ledger.publications import shown
from adapters.ledger.roster import roster_of
from adapters.ledger.rows import rows_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, OutboxRow, RosterRow, ScoringJobRow
from adapters.ledger.tables.scores import FaultRecordRow, LeadScoreRow, RoundScoreRow
from adapters.ledger.tables.weights import WeightPublicationRow
from adapters.ledger.values import FaultRecord
from adapters.ledger.weights import frozen_rounds, live_rounds, newest_vector
from protocol.names import miner_workflow_id, pass_workflow_id
from protocol.weights import WeightInputs
from starter.commands.options import SUBJECTS, find_run_id
from starter.commands.reports import hotkey_of, run_leaf
from starter.commands.whys import EFFECTS, JOBS, OUTBOX, PUBLICATIONS, RESPONSES, Leaf, State, of_row
from weather.faults import NothingToPublish
from weather.weights.policies import reasons
from weather.weights.window import MILLION, RoundState, Window, head
from workers.settings import Settings
from workers.weight_sinks import weights_rules

EPOCH = re.compile(r"weights/([^/]+)/([0-9]{1,7})")
ALL, NOBODY = "*", "0" * 64
WORST = State("miner", "scores zero: worst by the formula")
SCORED = State(None, "is scored, nothing failed")
WORST_FIRST = ("missed", "planned", "submitted", "committed", "confirmed")
UNPLANNED = (
    State("timer", "is not begun", "as_of"),
    State("worker", "has no vector yet", "publish_until"),
    State("platform", "is past, and nothing was planned for any sink: no worker ran, or no sink is configured"),
)

HOTKEY = re.compile(r"[0-9a-f]{64}")
NO_VECTOR = State(
    "platform", "no weights are there: no round counts yet, no epoch was played, or none is revealed", "ends"
)
ROUNDS = {
    "void": State(None, "does not count"),
    "open": State("timer", "does not count: it is open", "close_by"),
    "thin": State("policy", "does not count: it covers too little"),
    "behind": State("timer", "does not count: a round before it is not closed", "close_by"),
    "next": State("timer", "counts from the next epoch on", "ends"),
}


class Found(NamedTuple):
    """The subject's own leaf and those of its parts, none if the ledger does not know it; and who may know more."""

    leaves: list[Leaf]
    workflows: Sequence[str] = ()


def found(session: Session, subject: str, settings: Settings, now: datetime) -> Found:
    """What the ledger answers; a subject that nobody can know is refused."""
    rules = weights_rules(settings, NOBODY)
    if epoch := EPOCH.fullmatch(subject):
        asked = WeightsEpochInput(network=epoch[1], epoch=int(epoch[2]))
        return _epoch(session, rules.resolve(asked, now), now)
    name, _, miner = subject.partition("/miner/")
    run_id = find_run_id(name, f"forecast/{name}")
    if run_id is None:
        return Found(of_share(session, subject, rules, now))
    hotkey, run = hotkey_of(session, run_id, miner) if miner else None, get_run(session, run_id)
    if run is None:
        return Found([], [run_id])
    if hotkey:
        return Found(_miner(session, run, hotkey), () if run.outcome else [miner_workflow_id(run_id, hotkey)])
    newest = {(job.score_type, job.lead_hours): job for job in rows_of(session, ScoringJobRow, run_id)}
    jobs = [job for job in newest.values() if job.status != "completed"]
    passes = [_job(run, job, timedelta(hours=settings.era5_delay_hours), now) for job in jobs]
    waiting = [run_id, *(leaf.subject for leaf, job in zip(passes, jobs, strict=True) if job.status != "failed")]
    leaves = [run_leaf(session, run), *passes, *_miners(session, run, _faults(session, run)), *_outbox(session, run)]
    return Found(leaves, () if run.outcome else waiting)


def _job(run: ForecastRunRow, job: ScoringJobRow, delay: timedelta, now: datetime) -> Leaf:
    lead = job.lead_hours or None
    leaf = of_row(pass_workflow_id(run.run_id, job.score_type, lead, job.generation), JOBS[job.status], job, run)
    due = run.init_time + timedelta(hours=job.lead_hours) + delay
    waits = job.status == "queued" and lead and now < due
    return replace(leaf, says="waits until its truth is due", kind="timer", next=due) if waits else leaf


def _miners(session: Session, run: ForecastRunRow, faults: Sequence[FaultRecordRow], *only: str) -> list[Leaf]:
    """What is void for all, then each miner of the roster, or those named only."""
    why, costs, void = run_leaf(session, run), dict[str, list[FaultRecordRow]](), dict[str, list[FaultRecordRow]]()
    for fault in faults:
        group = costs.setdefault(fault.hotkey, []) if fault.effect == "W" else void.setdefault(fault.code, [])
        group.append(fault)
    answers = {row.hotkey: row for row in rows_of(session, MinerResponseRow, run.run_id)}
    scored = select(RoundScoreRow.hotkey).where(RoundScoreRow.run_id == run.run_id, RoundScoreRow.score_nano > 0)
    above, told = set(session.scalars(scored)), []
    for entry in roster_of(session, run.run_id):
        subject, answer = f"{run.run_id}/miner/{entry.name}", answers.get(entry.hotkey)
        closed = SCORED if entry.hotkey in above else WORST
        if entry.hotkey in costs:
            leaf = _fault(run, subject, costs[entry.hotkey])
        elif run.outcome == "void":
            leaf = replace(why, subject=subject)
        else:
            state = closed if run.outcome else RESPONSES[answer.status if answer else None]
            leaf = of_row(subject, state, answer, run)
        told += [leaf] if not only or entry.hotkey in only else []
    return [*(_fault(run, run.run_id, group) for group in void.values()), *told]


def _miner(session: Session, run: ForecastRunRow, hotkey: str) -> list[Leaf]:
    """The miner, then each fault and each lead that costs it points."""
    mine, row = (FaultRecordRow.hotkey == hotkey) | (FaultRecordRow.effect == "V"), LeadScoreRow
    faults = _faults(session, run, mine)
    leaf = _miners(session, run, faults, hotkey)[-1]
    zero = select(row).where(row.run_id == run.run_id, row.hotkey == hotkey, row.score_nano == 0)
    unexplained = [
        lead for lead in session.scalars(zero) if not any(fault.lead_hours in (-1, lead.lead_hours) for fault in faults)
    ]
    leads = [of_row(f"{leaf.subject}/{lead.pass_}/{lead.lead_hours:03d}h", WORST, None, run) for lead in unexplained]
    return [leaf, *(_fault(run, leaf.subject, [fault]) for fault in faults), *leads]


def _faults(session: Session, run: ForecastRunRow, *where: ColumnElement[bool]) -> list[FaultRecordRow]:
    """In the order in which they became final, by case."""
    row = FaultRecordRow
    chosen = select(row).where(row.run_id == run.run_id, *where).options(defer(row.attempts))
    return list(session.scalars(chosen.order_by(row.recorded_at, row.lead_hours, row.variable, row.level)))


def _fault(run: ForecastRunRow, subject: str, group: Sequence[FaultRecordRow]) -> Leaf:
    state = EFFECTS[group[0].effect]
    return of_row(subject, State(state.kind, f"{state.says} in {scope(group)}"), group[0], run)


def scope(group: Sequence[FaultRecordRow | FaultRecord]) -> str:
    """The cases of the first fault, and how many more there are."""
    first = group[0]
    lead = f"{first.lead_hours:03d}h" if first.lead_hours >= 0 else ""
    variable = "" if first.variable == ALL else f"{first.variable}{max(first.level, 0) or ''}"
    words = [first.pass_.strip(ALL), lead, variable]
    said = " ".join(filter(None, words)) or "the whole run"
    return said if len(group) == 1 else f"{said} and {len(group) - 1} more"


def _outbox(session: Session, run: ForecastRunRow) -> list[Leaf]:
    """What the round backend does not hold yet, one of each operation and state."""
    left = select(OutboxRow).where(OutboxRow.run_id == run.run_id, OutboxRow.state != "stored")
    rows = {(row.operation, row.state): row for row in session.scalars(left.order_by(OutboxRow.next_at.desc()))}
    return [of_row(f"{run.run_id}/outbox/{row.operation}", OUTBOX[row.state], row, row) for row in rows.values()]


def _epoch(session: Session, epoch: Epoch, now: datetime) -> Found:
    """An epoch as it stands in the sink in which it stands worst, then each sink."""
    name, row = f"weights/{epoch.network}/{epoch.epoch}", WeightPublicationRow
    chosen = select(row).where(row.network == epoch.network, row.epoch == epoch.epoch).order_by(row.sink)
    rows = sorted(session.scalars(chosen), key=lambda one: WORST_FIRST.index(one.state))
    sinks = [of_row(f"{name}/{one.sink}", PUBLICATIONS[one.state], one, epoch) for one in rows]
    state = UNPLANNED[(now >= epoch.as_of) + (now >= epoch.ends)]
    top = replace(sinks[0], subject=name) if sinks else of_row(name, state, None, epoch)
    return Found([top, *sinks], [name] if epoch.as_of <= now < epoch.ends else ())


def of_share(session: Session, miner: str, rules: WeightsRules, now: datetime) -> list[Leaf]:
    """The share in the newest vector, then the rounds since the first of its window that do not count in it."""
    epoch, hotkey = rules.resolve(WeightsEpochInput(), now), _hotkey(session, miner)
    visible = shown(rules.network, after_reveal=rules.after_reveal)
    live, vector = live_rounds(session, rules.network, rules.rounds), newest_vector(session, rules.network, visible)
    counted, first, policy = set[str](), 0, rules.policy(epoch.epoch).policy
    leaf = replace(of_row(hotkey, NO_VECTOR, None, epoch), code=NothingToPublish.__name__)
    if vector:
        inputs = WeightInputs.of_value(vector.inputs)
        counted, first = {each.run_id for each in inputs.rounds}, inputs.rounds[0].serial
        window, share = Window(frozen_rounds(session, inputs), inputs.baseline), dict(vector.shares).get(hotkey, 0)
        told = reasons(inputs.policy, window, inputs.standings, hotkey)
        says = f"has {share / 10**7:.4f} % of the weights: {'; '.join(told)}"
        evidence = {"share_ppb": share, "head": vector.head, "input_digest": vector.input_digest}
        leaf = Leaf(hotkey, says, "policy", None, vector.computed_at, epoch.ends, evidence)
    top = head(live, int(epoch.ends.timestamp()))
    left = [each for each in live if each.serial >= first and each.run_id not in counted]
    words = {each.run_id: _round_word(each, top, policy.min_coverage_ppm) for each in left}
    return [leaf, *_uncounted(session, words, epoch, top)]


def _round_word(state: RoundState, top: int | None, least_ppm: int) -> str:
    """Why a round does not count yet, if the head stands at `top`."""
    if state.outcome is None or state.outcome == "void":
        return state.outcome or "open"
    if state.coverage * MILLION < least_ppm:
        return "thin"
    return "next" if top is not None and state.serial <= top else "behind"


def _uncounted(session: Session, words: Mapping[str, str], epoch: Epoch, top: int | None) -> list[Leaf]:
    runs = session.scalars(select(ForecastRunRow).where(ForecastRunRow.run_id.in_(words)))
    rows = sorted(runs, key=lambda run: run.init_time)
    first_open, leaves = next((run for run in rows if run.closed_at is None), None), []
    for run in rows:
        word = words[run.run_id]
        leaf = of_row(run.run_id, ROUNDS[word], run, {"next": epoch, "behind": first_open}.get(word, run))
        if word == "void":
            why = run_leaf(session, run)
            leaf = replace(why, says=f"{leaf.says}: {why.says}")
        leaves.append(replace(leaf, evidence={**leaf.evidence, "head": top}))
    return leaves


def _hotkey(session: Session, miner: str) -> str:
    """A hotkey, or that of the name on the newest roster that has it."""
    if HOTKEY.fullmatch(miner):
        return miner
    named = select(RosterRow.hotkey).join(ForecastRunRow)
    newest = named.where(RosterRow.name == miner).order_by(ForecastRunRow.init_time.desc()).limit(1)
    if hotkey := session.scalar(newest):
        return hotkey
    raise typer.BadParameter(f"found {miner!r}, expected {SUBJECTS}")
