"""What the ledger keeps of a pass: its job, facts and faults, and who is in our ensembles by the past alone."""

from __future__ import annotations

from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts, documents, outbox
from activities.entrants import EnsembleWeights
from activities.messages.base import FaultNote
from activities.messages.scoring import (
    FinishPass,
    MembersWeighed,
    PassStarted,
    RecordEnsemble,
    RecordScores,
    Scoring,
    StartPass,
)
from adapters import instruments
from adapters.catalog import Catalog
from adapters.ledger import clones, ensembles, facts, jobs, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.scores import EnsembleForecastRow
from adapters.ledger.values import FaultRecord, JobStep
from adapters.object_store import ObjectStore
from weather.clones import Likeness
from weather.ensemble import Member, weigh_members
from weather.faults import ActivityTimeout
from weather.field_sets import field_digests
from weather.score_spec import ScoreSpec


class LedgerScoreRecords:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(self, ledger: Ledger, store: ObjectStore, catalog: Catalog) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog

    @activity.defn
    def start_pass(self, request: StartPass) -> PassStarted:
        """Move the scoring job along a legal edge; answers what the run's inputs are."""
        with self._ledger.begin() as session:
            jobs.reach_job(session, _step(request, request.run_id, request.to))
            if request.pass_name == "day1_qc" and request.to == "in_progress":
                runs.reach_run(session, request.run_id, "initial_scoring_running", "truth is ready", request.at)
            return PassStarted(inputs=runs.changed_run(session, request.run_id).bundle_digest)

    @activity.defn
    def record_scores(self, request: RecordScores) -> int:
        """Write facts and faults, insert-if-absent; answers the number of rows."""
        part = documents.get_model(self._store, documents.Part, request.part.sha256)
        with attempts.beating_thread(), self._ledger.begin() as session:
            facts.record_facts(session, part.facts)
            facts.record_faults(session, part.faults)
        instruments.FACTS_RECORDED.tally(part.facts, "pass_")
        instruments.FAULTS_RECORDED.tally(part.faults, "code", "cause")
        return len(part.facts) + len(part.faults)

    @activity.defn
    def finish_pass(self, request: FinishPass) -> None:
        """End the scoring job; a fault voids its cases for all miners, and a clone, exact or near, loses its run."""
        void = _void(request)
        to, run_id = "failed" if void else "completed", request.run.run_id
        code = void.code if void else None
        with self._ledger.begin() as session:
            copies = self._clones(session, request)
            facts.record_faults(session, [*copies, *filter(None, [void])])
            facts.record_faults(session, near := self._near_clones(session, request))
            jobs.reach_job(session, _step(request, run_id, to, code))
            if request.pass_name == "day1_qc":
                done = "initial_scoring_failed" if request.fault else "initial_scoring_done"
                runs.reach_run(session, run_id, done, code or "day-1 facts are recorded", request.at)
            outbox.pass_evaluated(session, request, self._catalog)
        instruments.FAULTS_RECORDED.tally([*copies, *near, *filter(None, [void])], "code", "cause")

    @activity.defn
    def weigh_members(self, request: Scoring) -> MembersWeighed:
        """Weigh the miners that are scored in a pass by their past errors."""
        rules = self._catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
        levels = _level_weights(rules, request)
        key = ensembles.PassKey(request.run.run_id, request.pass_name, request.generation)
        weights: dict[int, dict[str, list[Member]]] = {}
        with attempts.beating_thread(), self._ledger.read() as session:
            for lead in (one.lead_hours for one in request.truth.sets):
                found = ensembles.candidates(session, key, lead, levels)
                weighed = {name: weigh_members(those, levels[name]) for name, those in found.items()}
                if chosen := {name: those for name, those in weighed.items() if those}:
                    weights[lead] = chosen
        members = {one.hotkey for chosen in weights.values() for those in chosen.values() for one in those}
        if not members:
            return MembersWeighed()
        document = documents.put_model(self._store, EnsembleWeights(members=weights))
        return MembersWeighed(weights=document, hotkeys=tuple(sorted(members)))

    @activity.defn
    def record_ensemble(self, request: RecordEnsemble) -> None:
        """Write the ensembles of a pass, or that they failed; again: nothing new."""
        weights = documents.get_model(self._store, EnsembleWeights, request.weights.sha256)
        built = request.built
        part = documents.get_model(self._store, documents.Part, built.part.sha256) if built else None
        with self._ledger.begin() as session:
            for lead, members in weights.members.items():
                ensembles.record_ensemble(session, _ensemble_row(request, lead), members)
            facts.record_facts(session, part.facts if part else ())

    def _clones(self, session: Session, request: FinishPass) -> list[FaultRecord]:
        """Who copies whom in all that is scored so far; the analyses that the run began with are anybody's."""
        bundle = runs.changed_run(session, request.run.run_id).bundle_digest

        def inputs() -> frozenset[str]:
            return field_digests(self._store.get(bundle)) if bundle else frozenset()

        return clones.clone_faults(session, request.run.run_id, inputs, request.at)

    def _near_clones(self, session: Session, request: FinishPass) -> list[FaultRecord]:
        if request.likeness is None:
            return []
        found = documents.get_model(self._store, Likeness, request.likeness.sha256)
        run = runs.changed_run(session, request.run.run_id)
        return clones.near_clone_faults(session, run, found, request.at)


def _step(request: StartPass | FinishPass, run_id: str, to: str, code: str | None = None) -> JobStep:
    key = request.model_dump(include={"lead_hours", "generation", "at"})
    return JobStep.model_validate({"run_id": run_id, "score_type": request.pass_name, "to": to, "code": code, **key})


def _void(request: FinishPass) -> FaultRecord | None:
    """The fault that ended a pass, over its cases; ours if all that is known of it is what one miner did last."""
    fault = request.fault
    if fault is None:
        return None
    if fault.cause == "miner":
        fault = FaultNote.of(ActivityTimeout(f"{fault.code}: {fault.detail}"))
    return FaultRecord(
        run_id=request.run.run_id,
        pass_=request.pass_name,
        lead_hours=request.lead_hours if request.pass_name == "era5_final" else -1,
        generation=request.generation,
        effect="V",
        recorded_at=request.at,
        **fault.model_dump(),
    )


def _level_weights(rules: ScoreSpec, request: Scoring) -> dict[str, dict[int, int]]:
    """Weights of the levels of each variable that the pass scores; a level without one counts once."""
    final = {
        (field.variable, level): w
        for field in rules.era5_final.fields
        for level, w in zip(field.levels, field.weights, strict=True)
    }
    fields = rules.day1_fields if request.pass_name == "day1_qc" else rules.final_fields
    weights: dict[str, dict[int, int]] = {}
    for variable, level in fields:
        weights.setdefault(variable, {})[level] = final.get((variable, level), 1)
    return weights


def _ensemble_row(request: RecordEnsemble, lead_hours: int) -> EnsembleForecastRow:
    return EnsembleForecastRow(
        run_id=request.run.run_id,
        pass_=request.pass_name,
        lead_hours=lead_hours,
        generation=request.generation,
        spec_digest=request.run.score_spec_digest,
        weights_digest=request.weights.sha256,
        fields_digest=request.built.fields.sha256 if request.built else None,
        status="built" if request.built else "failed",
        code=request.fault.code if request.fault else None,
        recorded_at=request.at,
    )
