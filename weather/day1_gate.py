"""The day-1 gate: quality control and clone check against the GFS analysis; it opens or not, and earns no rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Literal, NamedTuple

from weather import metrics
from weather.fields import Field
from weather.score_spec import Day1Field, Day1Rules
from weather.sums import FieldSums, ReferenceSums, field_sums, reference_sums


class Place(NamedTuple):
    """Where a component stands."""

    lead_time_hours: int
    variable: str
    level: int


@dataclass(frozen=True)
class Evidence:
    """All that is judged of a field; `minimum` and `maximum` over all cells, in its unit."""

    sums: FieldSums
    references: ReferenceSums
    minimum: float
    maximum: float


@dataclass(frozen=True)
class FailedCheck:
    """What a field failed, what was found, and the limit that it missed."""

    check: Literal["minimum", "maximum", "pattern_correlation"]
    found: float
    limit: float


@dataclass(frozen=True)
class Component:
    """One field at one lead: the terms u and a of the gate, 0 under a code; π > 0 is near a public forecast."""

    place: Place
    u: float = 0.0
    a: float = 0.0
    penalty: float = 0.0
    code: str | None = None
    failed: FailedCheck | None = None


@dataclass(frozen=True)
class Gate:
    """The verdict on one miner.

    Attributes:
        q: after the clone clamp; None without any component.
        full_clone: a public forecast in all components, so that `code` covers the whole run.
    """

    q: float | None
    passed: bool
    code: str | None
    full_clone: bool


def gather_evidence(forecast: Field, truth: Field, climatology: Field, references: Sequence[Field]) -> Evidence:
    """Take the sums and extremes of one field.

    Raises:
        ValueError: the fields are not comparable.
        IncompleteForecast: cells of the forecast are not finite.
        SourceCorrupt: cells of another input are not finite.
    """
    return Evidence(
        sums=field_sums(forecast, truth, climatology),
        references=reference_sums(forecast, truth, climatology, references),
        minimum=float(forecast.values.min()),
        maximum=float(forecast.values.max()),
    )


def judge_component(rules: Day1Rules, place: Place, evidence: Evidence) -> Component:
    """Judge a whole and finite field; SourceCorrupt if the first public forecast equals the truth."""
    field = rules.field(place.variable, place.level)
    if failed := _first_failure(rules, field, evidence):
        return Component(place, code="QualityControlFailed", failed=failed)
    distance = metrics.public_distance(evidence.sums, evidence.references)
    penalty = float(rules.gamma) * max(0.0, 1.0 - distance / float(field.clone_mse))
    skill = metrics.skill_against_reference(evidence.sums, evidence.references)
    return Component(
        place,
        u=min(1.0, max(0.0, skill - penalty)),
        a=(metrics.acc(evidence.sums) + 1.0) / 2.0,
        penalty=penalty,
    )


def gate(rules: Day1Rules, components: Iterable[Component]) -> Gate:
    """Judge a miner by all its components, those that failed with their code."""
    everything = list(components)
    if not everything:
        return Gate(q=None, passed=False, code=None, full_clone=False)
    usefulness = fsum(component.u for component in everything) / len(everything)
    agreement = fsum(component.a for component in everything) / len(everything)
    q = float(rules.alpha) * usefulness + float(rules.beta) * agreement
    cloned = [component.penalty > 0 for component in everything]
    q = min(q, float(rules.clone_clamp)) if any(cloned) else q
    passed = q >= float(rules.pass_threshold)
    code = None if passed else "BaselineClone" if any(cloned) else "QualityControlFailed"
    return Gate(q=q, passed=passed, code=code, full_clone=all(cloned))


def _first_failure(rules: Day1Rules, field: Day1Field, evidence: Evidence) -> FailedCheck | None:
    if evidence.minimum < float(field.minimum):
        return FailedCheck("minimum", evidence.minimum, float(field.minimum))
    if evidence.maximum > float(field.maximum):
        return FailedCheck("maximum", evidence.maximum, float(field.maximum))
    pattern = metrics.pattern_correlation(evidence.sums, evidence.references)
    if pattern < float(rules.pattern_correlation):
        return FailedCheck("pattern_correlation", pattern, float(rules.pattern_correlation))
    return None
