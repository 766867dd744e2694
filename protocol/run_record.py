"""From facts and faults, wherever they are read, to what decides how a run closes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from protocol.facts import TRUTH_VERSIONS
from weather.cases import CaseKey
from weather.faults import HindcastDeclined
from weather.final_score import nano
from weather.round_score import FaultScope, RunRecord

ENTRANT = "baseline/"


class Scored(NamedTuple):
    """As much of a fact as the close needs."""

    hotkey: str
    case: CaseKey
    generation: int
    truth_version: str
    score: float | None


def run_record(roster: Iterable[str], facts: Iterable[Scored], faults: Sequence[FaultScope]) -> RunRecord:
    """The record without members of the roster that declined a hindcast.

    Args:
        roster: hotkeys as frozen.
        facts: superseded ones may be among them; of each case the one in force counts.
        faults: in the order in which they became final.
    """
    in_force = {(fact.hotkey, fact.case): fact for fact in sorted(facts, key=_force)}
    declined = {fault.hotkey for fault in faults if fault.code == HindcastDeclined.__name__}
    return RunRecord(
        roster=tuple(hotkey for hotkey in roster if hotkey not in declined),
        scores={pair: nano(fact.score) for pair, fact in in_force.items() if fact.score is not None},
        faults=faults,
        generations={pair: fact.generation for pair, fact in in_force.items()},
        entrants=tuple(sorted({hotkey for hotkey, _ in in_force if hotkey.startswith(ENTRANT)})),
    )


def _force(fact: Scored) -> tuple[int, int]:
    return fact.generation, TRUTH_VERSIONS.index(fact.truth_version)
