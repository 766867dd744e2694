"""Cases: what a score spec asks of a run, with the weight of each answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from weather.canonical import J
from weather.score_spec import GATE, Group, ScoreSpec

GLOBAL = "global"


class CaseKey(NamedTuple):
    """A case without its weight; surface fields and the gate have level 0."""

    pass_: str
    lead_time_hours: int
    variable: str
    level: int
    region: str


@dataclass(frozen=True)
class Case:
    """A case in its group."""

    key: CaseKey
    weight: int
    group: str


def case_set(spec: ScoreSpec) -> tuple[Case, ...]:
    """All cases of a run: per final lead its fields in each region, then the day-1 gate if the spec has one."""
    return tuple(
        case for group in spec.era5_final.groups for lead in group.lead_time_hours for case in _lead(spec, group, lead)
    )


def case_set_digest(cases: Iterable[Case]) -> str:
    """SHA-256 of the canonical JSON of the cases in the order given."""
    rows = [[*case.key, case.weight, case.group] for case in cases]
    return hashlib.sha256(J({"document": "barograph/case-set/1", "cases": rows})).hexdigest()


def _lead(spec: ScoreSpec, group: Group, lead: int) -> list[Case]:
    fields = [
        Case(CaseKey("era5_final", lead, field.variable, level, region), weight, group.name)
        for region in spec.regions
        for field in spec.era5_final.fields
        for level, weight in zip(field.levels, field.weights, strict=True)
    ]
    gate = Case(CaseKey("day1_qc", lead, GATE, 0, GLOBAL), spec.era5_final.gate_weight, group.name)
    return [*fields, gate] if spec.day1_qc.lead_time_hours else fields
