"""`EnsembleRecords` on the ledger: who is a member by the past alone, and what became of the ensembles."""

from __future__ import annotations

from temporalio import activity

from activities import attempts, documents
from activities.entrants import EnsembleWeights
from activities.messages.scoring import MembersWeighed, RecordEnsemble, Scoring
from adapters.catalog import Catalog
from adapters.ledger import ensembles, facts
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.scores import EnsembleForecastRow
from adapters.object_store import ObjectStore
from weather.ensemble import Member, weigh_members
from weather.score_spec import ScoreSpec


class LedgerEnsembles:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(self, ledger: Ledger, store: ObjectStore, catalog: Catalog) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog

    @activity.defn
    def weigh_members(self, request: Scoring) -> MembersWeighed:
        """Weigh the miners that are scored in a pass by their past errors."""
        rules = self._catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
        levels = _level_weights(rules, request)
        weights: dict[int, dict[str, list[Member]]] = {}
        with attempts.beating_thread(), self._ledger.read() as session:
            for lead in (one.lead_hours for one in request.truth.sets):
                found = ensembles.candidates(session, _key(request), lead, levels)
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
                ensembles.record_ensemble(session, _row(request, lead), members)
            facts.record_facts(session, part.facts if part else ())


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


def _key(request: Scoring) -> ensembles.PassKey:
    return ensembles.PassKey(request.run.run_id, request.pass_name, request.generation)


def _row(request: RecordEnsemble, lead_hours: int) -> EnsembleForecastRow:
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
