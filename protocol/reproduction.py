"""The numbers of a dossier, made anew: forecast, truth and climatology in, the same bits out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from protocol.dossier import CHECK, CLONE, REFUSALS, FactDocument, FaultDocument, holding, require
from protocol.examination import Evidence, Get
from protocol.facts import bits_of
from protocol.merkle import tree_hash
from weather.cases import GLOBAL, CaseKey
from weather.day1_gate import Component, Gate, Place, gate, gather_evidence, judge_component
from weather.faults import MinerFault
from weather.field_sets import FieldEntry, Kind, field_set_document
from weather.fields import Field
from weather.final_score import case_score
from weather.grids import Grid
from weather.round_score import EVERY_CASE
from weather.score_spec import GATE
from weather.sums import field_sums

GATES = CaseKey("day1_qc", -1, GATE, 0, "*")


@dataclass(frozen=True)
class Reproduction:
    """A dossier's documents, and where its bytes come from, compared with their digests already.

    Attributes:
        get: an object by its digest.
        field: a field by grid, variable, level, valid time and digest.
        forecast: the miner's field of a case; a MinerFault if its bytes hold none.
    """

    evidence: Evidence
    get: Get
    field: Callable[[Grid, str, int, datetime, str], Field]
    forecast: Callable[[CaseKey], Field]

    def check(self) -> None:
        """Make every fact, and every fault of bytes, anew; DossierBroken at the first that comes out otherwise."""
        scored = [fact for fact in self.evidence.facts if fact.variable != GATE]
        for fact in scored:
            if fact.pass_ == "era5_final":
                self._check_final(fact)
        day1 = [fact for fact in scored if fact.pass_ == "day1_qc"]
        components = [self._checked_component(fact) for fact in day1]
        faults = [fault for fault in self.evidence.faults if fault.hotkey == self.evidence.miner]
        for fault in faults:
            if fault.code in REFUSALS:
                require(f"fault {fault}", fault.code, self._refusal(fault))
        known = {fact.case for fact in day1}
        lost = [fault for fault in faults if fault.pass_ == "day1_qc" and fault.variable != GATE]
        components += [Component(_place(fault), code=fault.code) for fault in lost if fault.case not in known]
        places = {component.place for component in components}
        require("day1_qc: components", places, self._day1_places if places else set())
        verdict = gate(self.evidence.rules.day1_qc, components)
        self._check_gate(verdict, day1, min((place.lead_time_hours for place in places), default=0))
        _check_verdicts(verdict, components, faults)

    @property
    def _day1_places(self) -> set[Place]:
        """All components that the deadline rule left."""
        rules, first = self.evidence.rules, self.evidence.call.first_scored_lead_hours
        leads = [lead for lead in rules.day1_qc.lead_time_hours if lead >= first]
        return {Place(lead, *one) for lead in leads for one in rules.day1_fields}

    def _check_final(self, fact: FactDocument) -> None:
        rules = self.evidence.rules.era5_final
        with holding(f"fact {fact}"):
            forecast, truth, climatology = self._fields(fact)
            sums = field_sums(forecast, truth, climatology)
            _check_numbers(fact, forecast, sums.as_dict(), case_score(rules, sums))
            require(f"fact {fact}: rules", (fact.truth_version in rules.truth, fact.reference_digests), (True, {}))

    def _checked_component(self, fact: FactDocument) -> Component:
        rules = self.evidence.rules.day1_qc
        with holding(f"fact {fact}"):
            forecast, truth, climatology = self._fields(fact)
            names = [name for name in rules.public_forecasts if name in fact.reference_digests]
            references = [self._field(fact, fact.reference_digests[name]) for name in names]
            evidence = gather_evidence(forecast, truth, climatology, references)
            _check_numbers(fact, forecast, evidence.sums.as_dict() | evidence.references.as_dict(), None)
            used = (fact.truth_version in rules.truth, len(fact.reference_digests))
            require(f"fact {fact}: rules", used, (True, len(names)))
            return judge_component(rules, _place(fact), evidence)

    def _check_gate(self, verdict: Gate, day1: list[FactDocument], first_lead: int) -> None:
        """If it opened, it stands at each final lead, bound to its components and to the first lead's field sets."""
        rules = self.evidence.rules
        gates = [fact for fact in self.evidence.facts if fact.variable == GATE]
        require("gate: leads", [fact.lead_hours for fact in gates], list(rules.final_leads) if verdict.passed else [])
        components = tree_hash([fact.canonical for fact in day1]).hex()
        first = [fact for fact in day1 if fact.lead_hours == first_lead]
        for fact in gates:
            found = (fact.forecast_digest, fact.sums, fact.score, fact.reference_digests)
            require(f"fact {fact}", found, (components, {}, bits_of(1.0), {}))
            truths = {one.case: one.truth_digest for one in first}
            normals = {one.case: one.climatology_digest for one in first}
            self._check_set(fact.truth_digest, ("truth", fact.truth_version), first_lead, truths)
            self._check_set(fact.climatology_digest, ("climatology", rules.climatology), first_lead, normals)

    def _check_set(self, digest: str, kind: tuple[Kind, str], lead_hours: int, fields: Mapping[CaseKey, str]) -> None:
        part, grid = f"{kind[0]} set {digest}", self.evidence.layout.grid_value
        valid_time = self.evidence.valid_time(lead_hours)
        with holding(part):
            body = self.get(digest)
            rows = [(row["variable"], row["level"], row["sha256"]) for row in json.loads(body)["fields"]]
            entries = [FieldEntry(name, level, valid_time, grid.shape, sha256) for name, level, sha256 in rows]
            require(part, body, field_set_document(*kind, grid.name, entries))
        require(part, {(case.variable, case.level, sha256) for case, sha256 in fields.items()} <= set(rows), True)

    def _refusal(self, fault: FaultDocument) -> str | None:
        """The code for which the miner's bytes are refused."""
        with holding(f"fault {fault}"):
            try:
                self.forecast(fault.case)
            except MinerFault as refused:
                return refused.code
        return None

    def _fields(self, fact: FactDocument) -> tuple[Field, Field, Field]:
        truth, climatology = self._field(fact, fact.truth_digest), self._field(fact, fact.climatology_digest)
        return self.forecast(fact.case), truth, climatology

    def _field(self, fact: FactDocument, digest: str) -> Field:
        grid, valid_time = self.evidence.layout.grid_value, self.evidence.valid_time(fact.lead_hours)
        return self.field(grid, fact.variable, fact.case.level, valid_time, digest)


def _check_numbers(fact: FactDocument, forecast: Field, sums: Mapping[str, float], score: float | None) -> None:
    require(f"fact {fact}: forecast_digest", fact.forecast_digest, forecast.digest)
    require(f"fact {fact}: sums", fact.sums, {name: bits_of(value) for name, value in sums.items()})
    require(f"fact {fact}: score", fact.score, None if score is None else bits_of(score))


def _check_verdicts(verdict: Gate, components: list[Component], faults: list[FaultDocument]) -> None:
    """Each failed check has its fault, and so has a gate that did not open; there are no others of their codes."""
    made = {(CHECK, CaseKey("day1_qc", *one.place, GLOBAL)) for one in components if one.failed}
    if verdict.code:
        made.add((verdict.code, EVERY_CASE if verdict.full_clone else GATES))
    told = {(fault.code, fault.case) for fault in faults if fault.code in (CHECK, CLONE)}
    for code, case in sorted(made ^ told):
        require(
            f"fault {code} of {case.variable} at {case.lead_time_hours} h", (code, case) in told, (code, case) in made
        )


def _place(document: FactDocument | FaultDocument) -> Place:
    return Place(*document.case[1:4])
