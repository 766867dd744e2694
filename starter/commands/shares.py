"""Why a miner's share of the weights is what it is, and why rounds do not count in it yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from activities.messages.weights import Epoch, WeightsEpochInput
from activities.weights import WeightsRules
from adapters.ledger.tables.runs import ForecastRunRow, RosterRow
from adapters.ledger.weights import frozen_rounds, live_rounds, newest_vector, shown_head
from protocol.weights import WeightInputs
from starter.commands.options import SUBJECTS
from starter.commands.reports import run_leaf
from starter.commands.whys import Leaf, State, of_row
from weather.faults import NothingToPublish
from weather.weights.policies import reasons
from weather.weights.window import MILLION, RoundState, Window, head

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


def of_share(session: Session, miner: str, rules: WeightsRules, now: datetime) -> list[Leaf]:
    """The share in the newest vector, then the rounds since the first of its window that do not count in it."""
    epoch, hotkey = rules.resolve(WeightsEpochInput(), now), _hotkey(session, miner)
    shown = shown_head(session, rules.network, after_reveal=rules.after_reveal)
    live, vector = live_rounds(session, rules.network, rules.rounds), newest_vector(session, rules.network, shown)
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
    words = {each.run_id: round_word(each, top, policy.min_coverage_ppm) for each in left}
    return [leaf, *_uncounted(session, words, epoch, top)]


def round_word(state: RoundState, top: int | None, least_ppm: int) -> str:
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
    named = select(RosterRow.hotkey).join(ForecastRunRow, ForecastRunRow.run_id == RosterRow.run_id)
    newest = named.where(RosterRow.name == miner).order_by(ForecastRunRow.init_time.desc()).limit(1)
    if hotkey := session.scalar(newest):
        return hotkey
    raise typer.BadParameter(f"found {miner!r}, expected {SUBJECTS}")
