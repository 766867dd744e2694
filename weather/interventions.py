"""An operator's verbs on a run before it is closed: scopes, refusals, effect and blast radius."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, NamedTuple, NoReturn, Self

from weather.cases import CaseKey, case_set
from weather.faults import InterventionRefused, VoidedByOperator
from weather.ranking import ranking
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
    standings,
)
from weather.score_spec import ScoreSpec

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
    """

    facts_superseded: int
    cases_voided: int
    miners_touched: int
    coverage_before: str
    coverage_after: str
    outcome_after: Outcome
    ranks_moved: tuple[tuple[str, int | None, int | None], ...]


def effect(spec: ScoreSpec, record: RunRecord, state: RunState, act: Act) -> Effect:
    """What a verb does to a run.

    Raises:
        InterventionRefused: the verb does not apply to the run as it stands.
    """
    if state.closed:
        _refuse("the run is closed, and no verb reaches it any more")
    cases = standings(case_set(spec), record)
    if act.verb in ("skip", "accept") and act.scope.miner:
        _refuse("a case is void for all miners or for none", act.scope)
    if act.verb in ("hold", "release", "void") and act.scope != Scope():
        _refuse(f"{act.verb} takes the whole run", act.scope)
    done = _EFFECTS[act.verb](_Known(record, state, cases), act)
    if act.verb == "accept" and (coverage := _expected(spec, done.record).coverage) < PARTIAL_COVERAGE:
        _refuse("too little would be covered", coverage, f"at least {PARTIAL_COVERAGE}")
    return done


def blast_radius(spec: ScoreSpec, record: RunRecord, done: Effect) -> BlastRadius:
    """What an effect changes in how the run will close."""
    before, after = _expected(spec, record), _expected(spec, done.record)
    voided = after.void.keys() - before.void.keys()
    gone = voided | done.again
    lost = {(hotkey, key) for hotkey, key in record.scores if key in gone and done.hotkey in (None, hotkey)}
    moved = _ranks_moved(before, after)
    touched = {hotkey for hotkey, _ in lost} | {hotkey for hotkey, _, _ in moved} | {done.hotkey}
    return BlastRadius(
        facts_superseded=len(lost),
        cases_voided=len(voided),
        miners_touched=len(touched & set(record.roster)),
        coverage_before=_words(before.coverage),
        coverage_after=_words(after.coverage),
        outcome_after=after.outcome,
        ranks_moved=moved,
    )


class _Known(NamedTuple):
    record: RunRecord
    state: RunState
    cases: Mapping[CaseKey, Standing]


def _hold_or_release(known: _Known, act: Act) -> Effect:
    if known.state.held == (act.verb == "hold"):
        _refuse("the run is held already" if known.state.held else "the run is not held")
    return Effect(known.record)


def _skip(known: _Known, act: Act) -> Effect:
    gone = {key for key, case in known.cases.items() if act.scope.covers(key) and case.state != "void"}
    if not gone and act.verb == "skip":
        _refuse("all in the scope is void", act.scope)
    return _voided(known, gone, [act.scope.cases], act)


def _accept(known: _Known, act: Act) -> Effect:
    gone = {key for key, case in known.cases.items() if act.scope.covers(key) and case == OPEN}
    if not gone and not known.state.in_review:
        _refuse("nothing in the scope is open or in review", act.scope)
    kept = {key[:2] for key in known.cases.keys() - gone}
    scopes = {key if key[:2] in kept else CaseKey(*key[:2], "*", -1, "*") for key in gone}
    return _voided(known, gone, sorted(scopes), act)


def _rerun(known: _Known, act: Act) -> Effect:
    scope, passes, miners = act.scope, known.state.passes, known.state.miners
    if known.state.overdue:
        _refuse("close_by is past, and does not move")
    if scope == Scope() or scope.cases[2:] != EVERY_CASE[2:]:
        _refuse("a rerun takes passes, leads or one miner", scope, "pass:, lead: or miner:")
    miner = miners.get(scope.miner) if scope.miner else "verified"
    if miner in NO_RERUN:
        _refuse(NO_RERUN[miner], scope.miner)
    leads, verify = tuple(lead for lead in sorted(passes) if scope.plays(lead)), miner == "failed"
    if running := [lead for lead in leads if passes[lead] and not verify]:
        _refuse("a pass in the scope still runs", f"leads {running}")
    if not leads and not verify:
        _refuse("no pass in the scope was started", scope)
    again = frozenset(key for key in known.cases if _lead(key) in leads)
    return Effect(known.record, leads=leads, again=again, hotkey=scope.miner, verify=verify)


_EFFECTS: dict[str, Callable[[_Known, Act], Effect]] = {
    "hold": _hold_or_release,
    "release": _hold_or_release,
    "rerun": _rerun,
    "skip": _skip,
    "accept": _accept,
    "void": _skip,
}


def _voided(known: _Known, gone: set[CaseKey], scopes: Sequence[CaseKey], act: Act) -> Effect:
    """Void the cases, which the scopes cover, for all; nobody waits for leads of which none is open afterwards."""
    open_ = {key for key, case in known.cases.items() if case == OPEN}
    leads = {_lead(key) for key in open_ & gone} - {_lead(key) for key in open_ - gone}
    faults = [FaultScope("*", scope, "V", VOIDED, act.generation) for scope in scopes]
    record = replace(known.record, faults=(*known.record.faults, *faults))
    return Effect(record, void=tuple(scopes), leads=tuple(sorted(leads)))


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
