"""One miner in one pass: each field becomes a fact, or a fault that says why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

from activities.documents import Part
from activities.messages.scoring import Scoring, TruthSet
from adapters.chunk_decoder import FetchedChunk, FieldCase
from adapters.forecast_reader import FetchedObjects, ObjectFault
from adapters.ledger.values import FaultRecord, ScoreFact
from adapters.object_store import Fields
from protocol.facts import ENTRANT, facts_digest
from weather import metrics
from weather.cases import GLOBAL
from weather.day1_gate import Component, Gate, Place, gate, gather_evidence, judge_component
from weather.faults import MinerFault, QualityControlFailed, tree
from weather.fields import Field
from weather.final_score import case_score
from weather.score_spec import GATE, ScoreSpec
from weather.second_chances import effect_of
from weather.sums import field_sums


@dataclass(frozen=True)
class LeadWorld:
    """What one lead is scored against."""

    sets: TruthSet
    truth: Fields
    climatology: Fields
    references: list[Fields]
    gfs: Fields | None = None


@dataclass(frozen=True)
class Judge:
    """The rules of a pass with everything they need."""

    request: Scoring
    rules: ScoreSpec
    worlds: dict[int, LeadWorld]
    decode: Callable[[FetchedChunk], Field]
    now: datetime

    def part(self, hotkey: str, objects: FetchedObjects) -> Part:
        """Facts and faults of one miner."""
        faults = [self._fault(hotkey, fault) for fault in objects.faults]
        if self.request.pass_name == "day1_qc":
            return self._day1(hotkey, objects, faults)
        facts = []
        for chunk in objects.chunks:
            try:
                facts.append(self.final(hotkey, chunk, self.decode(chunk)))
            except MinerFault as fault:
                faults.append(self._fault(hotkey, ObjectFault.of(chunk, fault)))
        return Part(facts=tuple(facts), faults=tuple(faults))

    def entrant(self, name: str, cases: Sequence[FieldCase], forecast: Callable[[FieldCase], Field]) -> Part:
        """Facts of a forecast of our own: it copies nobody, and what it fails is a score of 0 and no fault."""
        hotkey = ENTRANT + name
        if self.request.pass_name == "era5_final":
            return Part(facts=tuple(self.final(hotkey, case, forecast(case)) for case in cases), faults=())
        day1 = self.rules.day1_qc.model_copy(update={"gamma": "0"})
        exempt = replace(self, rules=self.rules.model_copy(update={"day1_qc": day1}))
        judged = [exempt._component(hotkey, case, forecast(case)) for case in cases]
        facts = [fact for _, fact in judged]
        if len(cases) == len(self.worlds) * len(day1.fields):
            verdict = gate(day1, [component for component, _ in judged])
            facts += self._gate_facts(hotkey, verdict, facts_digest(facts))
        return Part(facts=tuple(facts), faults=())

    def final(self, hotkey: str, chunk: FieldCase, forecast: Field) -> ScoreFact:
        """The fact of one field of the final pass."""
        world, key = self.worlds[chunk.lead_hours], (chunk.variable, chunk.level)
        sums = field_sums(forecast, world.truth[key], world.climatology[key])
        metrics.check_identity(sums)
        return self._fact(
            hotkey, chunk, forecast=forecast, sums=sums.as_dict(), score=case_score(self.rules.era5_final, sums)
        )

    def _day1(self, hotkey: str, objects: FetchedObjects, faults: list[FaultRecord]) -> Part:
        components = [
            Component(Place(fault.lead_hours, fault.variable, fault.level), code=fault.code) for fault in objects.faults
        ]
        facts = []
        for chunk in objects.chunks:
            try:
                component, fact = self._component(hotkey, chunk, self.decode(chunk))
                facts.append(fact)
                faults += self._failed_check(hotkey, chunk, component)
            except MinerFault as fault:
                component = Component(Place(chunk.lead_hours, chunk.variable, chunk.level), code=fault.code)
                faults.append(self._fault(hotkey, ObjectFault.of(chunk, fault)))
            components.append(component)
        verdict = gate(self.rules.day1_qc, components)
        if verdict.passed:
            facts += self._gate_facts(hotkey, verdict, facts_digest(facts))
        faults += self._gate_faults(hotkey, verdict)
        return Part(facts=tuple(facts), faults=tuple(faults))

    def _component(self, hotkey: str, chunk: FieldCase, forecast: Field) -> tuple[Component, ScoreFact]:
        world, key = self.worlds[chunk.lead_hours], (chunk.variable, chunk.level)
        evidence = gather_evidence(
            forecast, world.truth[key], world.climatology[key], [reference[key] for reference in world.references]
        )
        component = judge_component(self.rules.day1_qc, Place(chunk.lead_hours, *key), evidence)
        checks = {name: getattr(evidence, name) for name in ("minimum", "maximum")}
        checks |= {name: getattr(component, name) for name in ("u", "a", "penalty")}
        fact = self._fact(
            hotkey,
            chunk,
            forecast=forecast,
            sums={**evidence.sums.as_dict(), **evidence.references.as_dict()},
            checks=checks,
        )
        return component, fact

    def _failed_check(self, hotkey: str, chunk: FetchedChunk, component: Component) -> list[FaultRecord]:
        if (failed := component.failed) is None:
            return []
        fault = QualityControlFailed(f"check {failed.check}", found=failed.found, expected=failed.limit)
        return [self._fault(hotkey, ObjectFault.of(chunk, fault))]

    def _gate_facts(self, hotkey: str, verdict: Gate, components_digest: str) -> list[ScoreFact]:
        first = self.worlds[min(self.worlds)].sets
        return [
            ScoreFact(
                hotkey=hotkey,
                lead_hours=lead,
                variable=GATE,
                forecast_digest=components_digest,
                truth_digest=first.truth.sha256,
                climatology_digest=first.climatology.sha256,
                sums={},
                score=float(verdict.passed),
                checks={"q": verdict.q},
                truth_version=first.truth_version,
                **self._common(lead),
            )
            for lead in self.request.run.final_lead_hours
        ]

    def _gate_faults(self, hotkey: str, verdict: Gate) -> list[FaultRecord]:
        if verdict.passed:
            return []
        code = "SourceGone" if verdict.q is None else verdict.code or QualityControlFailed.__name__
        scope = {} if verdict.full_clone else {"pass_": "day1_qc", "variable": GATE, "level": 0}
        evidence = {"detail": "day-1 gate", "found": str(verdict.q), "expected": self.rules.day1_qc.pass_threshold}
        return [self._record(hotkey, code, scope | evidence)]

    def _fact(  # noqa: PLR0913 -- the columns of a fact
        self,
        hotkey: str,
        chunk: FieldCase,
        *,
        forecast: Field,
        sums: dict[str, float],
        score: float | None = None,
        checks: dict[str, Any] | None = None,
    ) -> ScoreFact:
        world, key = self.worlds[chunk.lead_hours], (chunk.variable, chunk.level)
        references = zip(self.rules.day1_qc.public_forecasts, world.references, strict=False)
        return ScoreFact(
            hotkey=hotkey,
            lead_hours=chunk.lead_hours,
            variable=chunk.variable,
            level=chunk.level,
            forecast_digest=forecast.digest,
            truth_digest=world.truth[key].digest,
            climatology_digest=world.climatology[key].digest,
            reference_digests={name: fields[key].digest for name, fields in references},
            sums=sums,
            score=score,
            checks=checks or {},
            truth_version=world.sets.truth_version,
            **self._common(chunk.lead_hours),
        )

    def _common(self, lead_hours: int) -> dict[str, Any]:
        request = self.request
        return {
            "run_id": request.run.run_id,
            "pass_": request.pass_name,
            "region": GLOBAL,
            "spec_digest": request.run.score_spec_digest,
            "generation": request.generation,
            "kind": request.run.purpose,
            "valid_time": request.run.valid_time(lead_hours),
            "kernel_order": self.rules.arithmetic.order,
            "package_version": version("barograph"),
            "scored_at": self.now,
        }

    def _fault(self, hotkey: str, fault: ObjectFault) -> FaultRecord:
        where = {"pass_": self.request.pass_name, "region": GLOBAL}
        evidence = fault.model_dump(include={"lead_hours", "variable", "level", "detail", "found", "expected"})
        return self._record(hotkey, fault.code, where | evidence)

    def _record(self, hotkey: str, code: str, scope: dict[str, Any]) -> FaultRecord:
        return FaultRecord(
            run_id=self.request.run.run_id,
            hotkey=hotkey,
            generation=self.request.generation,
            code=code,
            cause=tree()[code].cause,
            effect=effect_of(code),
            recorded_at=self.now,
            **scope,
        )
