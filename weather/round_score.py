"""Closing a run: which cases count, what was covered, and what each miner scored; integers and exact fractions only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import attrgetter
from typing import Literal, NamedTuple, TypeVar

from weather.cases import Case, CaseKey, case_set
from weather.score_spec import Group, ScoreSpec
from weather.second_chances import helped_by_rerun

EVERY_CASE = CaseKey("*", -1, "*", -1, "*")
Outcome = Literal["closed", "closed_partial", "void"]
Reason = Literal["complete", "partial", "coverage", "empty_roster", "no_lead", "ingress", "operator"]
PARTIAL_COVERAGE = Fraction(7, 10)
LEAD_COVERAGE = Fraction(8, 10)
GROUP_COVERAGE = Fraction(1, 2)
Part = TypeVar("Part", int, str)
_GROUP: Callable[[Case], str] = attrgetter("group")
_LEAD: Callable[[Case], int] = attrgetter("key.lead_time_hours")
_REASONS: dict[str, Reason] = {
    "VoidedByOperator": "operator",
    "IngressDown": "ingress",
    "RunLate": "no_lead",
    "InputsLate": "no_lead",
}


@dataclass(frozen=True)
class FaultScope:
    """A final fault over the cases that match its scope, where `*` and −1 match all.

    Attributes:
        effect: W, worst for this hotkey; V, void for all miners whatever the hotkey.
        generation: a score of a higher one is not touched.
    """

    hotkey: str
    scope: CaseKey
    effect: Literal["W", "V"]
    code: str
    generation: int = 1

    def covers(self, key: CaseKey) -> bool:
        """Whether the case lies in the scope."""
        return all(mine in ("*", -1) or mine == its for mine, its in zip(self.scope, key, strict=True))


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run: facts and faults in force, faults in the order in which they became final.

    Attributes:
        roster: hotkeys that are ranked, so without those that declined a hindcast.
        scores: nano by (hotkey, case).
        generations: of those scores that a rerun made, by (hotkey, case).
        entrants: our own forecasts; ranked if scored in each counted case, and never needed for one to count.
    """

    roster: tuple[str, ...]
    scores: Mapping[tuple[str, CaseKey], int]
    faults: Sequence[FaultScope] = ()
    generations: Mapping[tuple[str, CaseKey], int] = field(default_factory=dict)
    entrants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """State of a case; a void one carries the code that made it so."""

    state: Literal["counted", "void", "open"]
    code: str | None = None


COUNTED = Standing("counted")
OPEN = Standing("open")


@dataclass(frozen=True)
class Closing:
    """The verdict on a run; scores in nano, and none of them if the outcome is void.

    Attributes:
        void: code by void case.
        group_scores: p by (hotkey, group), without void groups.
        round_scores: R by hotkey.
        lead_scores: by (hotkey, lead time in hours), for display.
    """

    outcome: Outcome
    reason: Reason
    coverage: Fraction
    counted: tuple[CaseKey, ...]
    void: dict[CaseKey, str]
    group_scores: dict[tuple[str, str], int]
    round_scores: dict[str, int]
    lead_scores: dict[tuple[str, int], int]


class Ranked(NamedTuple):
    """A miner with its place; score in nano."""

    rank: int
    hotkey: str
    score: int


def standings(cases: Iterable[Case], record: RunRecord) -> dict[CaseKey, Standing]:
    """State of each case now: counted once every miner is settled in it, unless an operator voided it."""
    keys = [case.key for case in cases]
    worst = _worst(keys, record)
    return {key: _standing(key, record, worst) for key in keys}


def decide_close(spec: ScoreSpec, record: RunRecord) -> Closing:
    """Close a run on what is recorded: open cases become void, then leads and groups that are too thin."""
    cases, groups = case_set(spec), spec.era5_final.groups
    settled = standings(cases, record)
    closed = {key: Standing("void", "InternalError") if state == OPEN else state for key, state in settled.items()}
    final = closed | _thin_leads(cases, closed)
    counted = [case for case in cases if final[case.key] == COUNTED]
    void = {key: state.code for key, state in final.items() if state.code is not None}
    total, kept = _weights(cases, _GROUP), _weights(counted, _GROUP)
    covered = sum(group.weight * Fraction(kept[group.name], total[group.name]) for group in groups)
    coverage = Fraction(covered, sum(group.weight for group in groups))
    outcome, reason = _outcome(coverage, record.roster, void)
    keys = tuple(case.key for case in counted)
    if outcome == "void":
        return Closing(outcome, reason, coverage, keys, void, {}, {}, {})
    ranked = replace(record, roster=(*record.roster, *_complete_entrants(keys, record)))
    whole = [case for case in counted if kept[case.group] >= GROUP_COVERAGE * total[case.group]]
    parts = _mean_scores(whole, ranked, _GROUP)
    scores = _round_scores(groups, parts, ranked.roster)
    return Closing(outcome, reason, coverage, keys, void, parts, scores, lead_scores(counted, ranked))


def ranking(scores: Mapping[str, int]) -> list[Ranked]:
    """Best first; equal scores share a rank and stand in the order of their hotkeys."""
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Ranked(1 + sum(other > score for other in scores.values()), hotkey, score) for hotkey, score in ordered]


def lead_scores(counted: Sequence[Case], record: RunRecord) -> dict[tuple[str, int], int]:
    """Mean score of each miner by lead time over the counted cases."""
    return _mean_scores(counted, record, _LEAD)


def _worst(keys: Sequence[CaseKey], record: RunRecord) -> set[tuple[str, CaseKey]]:
    """What is lost by a fault, unless a rerun has scored it since; a copy stays a copy."""
    return {
        (fault.hotkey, key)
        for fault in record.faults
        for key in keys
        if fault.effect == "W" and fault.covers(key)
        if record.generations.get((fault.hotkey, key), 1) <= fault.generation or not helped_by_rerun(fault.code)
    }


def _complete_entrants(keys: Sequence[CaseKey], record: RunRecord) -> tuple[str, ...]:
    settled = _worst(keys, record) | record.scores.keys()
    return tuple(entrant for entrant in record.entrants if all((entrant, key) in settled for key in keys))


def _standing(key: CaseKey, record: RunRecord, worst: set[tuple[str, CaseKey]]) -> Standing:
    scored = [hotkey for hotkey in record.roster if (hotkey, key) in record.scores]
    latest = min((record.generations.get((hotkey, key), 1) for hotkey in scored), default=1)
    over = [fault for fault in record.faults if fault.effect == "V" and fault.covers(key)]
    voids = [fault.code for fault in over if fault.code != "VoidedByOperator" or latest <= fault.generation]
    if "VoidedByOperator" in voids:
        return Standing("void", "VoidedByOperator")
    if all((hotkey, key) in worst or (hotkey, key) in record.scores for hotkey in record.roster):
        return COUNTED
    return Standing("void", voids[-1]) if voids else OPEN


def _thin_leads(cases: Sequence[Case], closed: Mapping[CaseKey, Standing]) -> dict[CaseKey, Standing]:
    total = _weights(cases, _LEAD)
    kept = _weights([case for case in cases if closed[case.key] == COUNTED], _LEAD)
    lost = {key.lead_time_hours: state for key, state in closed.items() if state.state == "void"}
    thin = {lead for lead in total if kept[lead] < LEAD_COVERAGE * total[lead]}
    return {
        key: lost[key.lead_time_hours]
        for key, state in closed.items()
        if state == COUNTED and key.lead_time_hours in thin
    }


def _outcome(coverage: Fraction, roster: Sequence[str], void: Mapping[CaseKey, str]) -> tuple[Outcome, Reason]:
    if not roster:
        return "void", "empty_roster"
    if coverage == 1:
        return "closed", "complete"
    if coverage >= PARTIAL_COVERAGE:
        return "closed_partial", "partial"
    reasons = {_REASONS.get(code, "coverage") for code in void.values()}
    return "void", reasons.pop() if coverage == 0 and len(reasons) == 1 else "coverage"


def _round_scores(
    groups: Sequence[Group], scores: Mapping[tuple[str, str], int], roster: Sequence[str]
) -> dict[str, int]:
    weights = {group.name: group.weight for group in groups if (roster[0], group.name) in scores}
    return {
        hotkey: round(Fraction(sum(weights[name] * scores[hotkey, name] for name in weights), sum(weights.values())))
        for hotkey in roster
    }


def _mean_scores(
    counted: Sequence[Case], record: RunRecord, part: Callable[[Case], Part]
) -> dict[tuple[str, Part], int]:
    worst = _worst([case.key for case in counted], record)
    weights = _weights(counted, part)
    sums: Counter[tuple[str, Part]] = Counter()
    for hotkey in record.roster:
        for case in counted:
            score = 0 if (hotkey, case.key) in worst else record.scores[hotkey, case.key]
            sums[hotkey, part(case)] += case.weight * score
    return {(hotkey, name): round(Fraction(total, weights[name])) for (hotkey, name), total in sums.items()}


def _weights(cases: Iterable[Case], part: Callable[[Case], Part]) -> Counter[Part]:
    weights: Counter[Part] = Counter()
    for case in cases:
        weights[part(case)] += case.weight
    return weights
