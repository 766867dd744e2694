"""An operator's verbs on a run before it is closed: scopes, refusals, effect and blast radius."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, NamedTuple, NoReturn, Self

from weather.cases import CaseKey, case_set
from weather.faults import InterventionRefused, VoidedByOperator
from weather.round_score import (
    EVERY_CASE,
    OPEN,
    PARTIAL_COVERAGE,
    Closing,
    FaultScope,
    Outcome,
    RunRecord,
    Standing,
    decide_close,
    ranking,
    standings,
)
from weather.score_spec import ScoreSpec
from weather.weights.stake import Stake

Verb = Literal["hold", "release", "rerun", "skip", "accept", "void"]
MinerState = Literal["absent", "working", "failed", "spent", "verified"]
VOIDED = VoidedByOperator.__name__
DAY1 = 0
PARTS = {
    "pass": r"day1_qc|era5_final",
    "lead": r"[0-9]{1,4}",
    "variable": r"[A-Za-z0-9_-]+",
    "level": r"surface|[0-9]{1,4}",
    "region": r"[^\s*,:]+",
    "miner": r"[0-9a-f]{64}",
}
NO_RERUN: dict[MinerState | None, str] = {
    None: "the miner is not on the roster, which never changes",
    "absent": "the miner committed to nothing in time, and the deadline stands",
    "working": "the miner's work still runs",
    "spent": "the miner's commitment was verified once more already",
}


@dataclass(frozen=True)
class Scope:
    """The cases that match all parts, where `*` and −1 match all; of one miner if it is named."""

    cases: CaseKey = EVERY_CASE
    miner: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `run`, or parts such as `lead:24,variable:t`: each at most once, together their intersection.

        Raises:
            InterventionRefused: no such part, or no such value.
        """
        given = [] if text == "run" else [part.partition(":")[::2] for part in text.split(",")]
        parts = dict(given)
        known = all(name in PARTS and re.fullmatch(PARTS[name], value, re.ASCII) for name, value in given)
        if not known or len(parts) < len(given):
            expected = f"run, or some of {', '.join(f'{name}:' for name in PARTS)} joined by commas"
            raise InterventionRefused("the scope cannot be read", found=text, expected=expected)
        level = parts.get("level", "-1").replace("surface", "0")
        lead, variable, region = int(parts.get("lead", -1)), parts.get("variable", "*"), parts.get("region", "*")
        return cls(CaseKey(parts.get("pass", "*"), lead, variable, int(level), region), parts.get("miner"))

    def __str__(self) -> str:
        """The one spelling of the scope."""
        values = dict(zip(PARTS, (*self.cases, self.miner), strict=True))
        values["level"] = values["level"] or "surface"
        return ",".join(f"{name}:{value}" for name, value in values.items() if value not in ("*", -1, None)) or "run"

    def covers(self, key: CaseKey) -> bool:
        """Whether the case lies in the scope, whoever's it is."""
        return FaultScope("*", self.cases, "V", VOIDED).covers(key)

    def plays(self, lead_hours: int) -> bool:
        """Whether the pass of this lead lies in the scope; lead 0 is the day-1 pass."""
        pass_, lead, *_ = self.cases
        return pass_ in ("*", "era5_final" if lead_hours else "day1_qc") and lead in (-1, lead_hours)


@dataclass(frozen=True)
class RunState:
    """What else is known of a run.

    Attributes:
        overdue: whether `close_by` is past.
        passes: whether it still runs, by lead time in hours of each started pass; lead 0 is the day-1 pass.
        miners: by hotkey of the roster; `spent` has failed and was verified once more already.
    """

    closed: bool = False
    overdue: bool = False
    held: bool = False
    in_review: bool = False
    passes: Mapping[int, bool] = field(default_factory=dict)
    miners: Mapping[str, MinerState] = field(default_factory=dict)


class Act(NamedTuple):
    """A verb on a scope; `generation` is above that of all that is recorded."""

    verb: Verb
    scope: Scope
    generation: int


@dataclass(frozen=True)
class Effect:
    """What a verb does.

    Attributes:
        record: the run's record afterwards.
        void: scopes that become void for all.
        leads: that nobody has to wait for any more; of a rerun those that are played again.
        again: cases that are scored once more.
        hotkey: the only miner that it is about.
        verify: whether that miner's commitment is verified once more.
    """

    record: RunRecord
    void: tuple[CaseKey, ...] = ()
    leads: tuple[int, ...] = ()
    again: frozenset[CaseKey] = frozenset()
    hotkey: str | None = None
    verify: bool = False


@dataclass(frozen=True)
class BlastRadius:
    """What a verb changes, if all cases that are open otherwise are still to be counted and tell no miners apart.

    Attributes:
        coverage_before: an exact fraction such as `7/10`, and so `coverage_after`.
        cases_voided: those of leads that become too thin are among them.
        ranks_moved: (hotkey, from, to), the best first; None is no rank.
        share_l1_ppb: how far the newest weights with this run as the next round lie apart, as the sum over all miners.
        epochs_touched: begin while the run is in the window, if each round counts; 0 if its place there is unchanged.
    """

    facts_superseded: int
    cases_voided: int
    miners_touched: int
    coverage_before: str
    coverage_after: str
    outcome_after: Outcome
    ranks_moved: tuple[tuple[str, int | None, int | None], ...]
    share_l1_ppb: int
    epochs_touched: int


def effect(spec: ScoreSpec, record: RunRecord, state: RunState, act: Act) -> Effect:
    """What a verb does to a run; InterventionRefused if it does not apply to the run as it stands."""
    _require_applicable(state, act)
    cases = standings(case_set(spec), record)
    if act.verb in ("hold", "release"):
        return Effect(record)
    if act.verb == "rerun":
        done = _rerun(record, state, act)
        return replace(done, again=frozenset(key for key in cases if _lead(key) in done.leads))
    affected = ("open",) if act.verb == "accept" else ("open", "counted")
    gone = {key for key, case in cases.items() if act.scope.covers(key) and case.state in affected}
    if not gone and not (act.verb == "void" or (act.verb == "accept" and state.in_review)):
        _refuse(f"the scope has no case that is {' or '.join(affected)}", act.scope)
    done = _voided(record, cases, gone, act)
    if act.verb == "accept" and (coverage := _expected(spec, done.record).coverage) < PARTIAL_COVERAGE:
        _refuse("too little would be covered", coverage, f"at least {PARTIAL_COVERAGE}")
    return done


def blast_radius(spec: ScoreSpec, record: RunRecord, done: Effect, stake: Stake | None = None) -> BlastRadius:
    """What an effect changes in how the run will close, and in the weights that are at stake."""
    before, after = _expected(spec, record), _expected(spec, done.record)
    voided = after.void.keys() - before.void.keys()
    gone = voided | done.again
    lost = {(hotkey, key) for hotkey, key in record.scores if key in gone and done.hotkey in (None, hotkey)}
    moved = _ranks_moved(before, after)
    share_l1_ppb, epochs = stake.moved(before, after) if stake else (0, 0)
    touched = {hotkey for hotkey, _ in lost} | {hotkey for hotkey, _, _ in moved} | {done.hotkey}
    return BlastRadius(
        facts_superseded=len(lost),
        cases_voided=len(voided),
        miners_touched=len(touched & set(record.roster)),
        coverage_before=_words(before.coverage),
        coverage_after=_words(after.coverage),
        outcome_after=after.outcome,
        ranks_moved=moved,
        share_l1_ppb=share_l1_ppb,
        epochs_touched=epochs,
    )


def _require_applicable(state: RunState, act: Act) -> None:
    if state.closed:
        _refuse("the run is closed, and no verb reaches it any more")
    if act.verb in ("skip", "accept") and act.scope.miner:
        _refuse("a case is void for all miners or for none", act.scope)
    if act.verb in ("hold", "release", "void") and act.scope != Scope():
        _refuse(f"{act.verb} takes the whole run", act.scope)
    if act.verb == "hold" and state.held:
        _refuse("the run is held already")
    if act.verb == "release" and not state.held:
        _refuse("the run is not held")


def _rerun(record: RunRecord, state: RunState, act: Act) -> Effect:
    scope, miner = act.scope, state.miners.get(act.scope.miner) if act.scope.miner else "verified"
    if state.overdue:
        _refuse("close_by is past, and does not move")
    if scope == Scope() or scope.cases[2:] != EVERY_CASE[2:]:
        _refuse("a rerun takes passes, leads or one miner", scope, "pass:, lead: or miner:")
    if miner in NO_RERUN:
        _refuse(NO_RERUN[miner], scope.miner)
    leads, verify = tuple(lead for lead in sorted(state.passes) if scope.plays(lead)), miner == "failed"
    if running := [lead for lead in leads if state.passes[lead] and not verify]:
        _refuse("a pass in the scope still runs", f"leads {running}")
    if not leads and not verify:
        _refuse("no pass in the scope was started", scope)
    return Effect(record, leads=leads, hotkey=scope.miner, verify=verify)


def _voided(record: RunRecord, cases: Mapping[CaseKey, Standing], gone: set[CaseKey], act: Act) -> Effect:
    """Void cases for all; nobody waits for a pass of which none is open afterwards."""
    open_ = {key for key, case in cases.items() if case == OPEN}
    leads = {_lead(key) for key in open_ & gone} - {_lead(key) for key in open_ - gone}
    scopes = [act.scope.cases]
    if act.verb == "accept":
        kept = {key[:2] for key in cases.keys() - gone}
        scopes = sorted({key if key[:2] in kept else CaseKey(*key[:2], "*", -1, "*") for key in gone})
    faults = [FaultScope("*", scope, "V", VOIDED, act.generation) for scope in scopes]
    after = replace(record, faults=(*record.faults, *faults))
    return Effect(after, void=tuple(scopes), leads=tuple(sorted(leads)))


def _expected(spec: ScoreSpec, record: RunRecord) -> Closing:
    """The close if each open case is counted, with one score for all."""
    missing = [key for key, case in standings(case_set(spec), record).items() if case == OPEN]
    level = {(hotkey, key): 0 for hotkey in (*record.roster, *record.entrants) for key in missing}
    return decide_close(spec, replace(record, scores={**record.scores, **level}))


def _ranks_moved(before: Closing, after: Closing) -> tuple[tuple[str, int | None, int | None], ...]:
    old, new = ({row.hotkey: row.rank for row in ranking(closing.round_scores)} for closing in (before, after))
    moved = [(hotkey, old.get(hotkey), new.get(hotkey)) for hotkey in old.keys() | new.keys()]
    return tuple(sorted((m for m in moved if m[1] != m[2]), key=lambda m: (m[1] or m[2] or 0, m[0])))


def _words(coverage: Fraction) -> str:
    return f"{coverage.numerator}/{coverage.denominator}"


def _lead(key: CaseKey) -> int:
    return DAY1 if key.pass_ == "day1_qc" else key.lead_time_hours


def _refuse(why: str, found: object = None, expected: object = None) -> NoReturn:
    raise InterventionRefused(why, found=found, expected=expected)
