"""An operator's verb: checked, done and recorded in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts, documents
from activities.messages.miner import CommitmentRecorded
from activities.messages.operator import Intervene, Intervened, InterventionReceipt
from activities.weights import WeightsRules
from adapters.catalog import Catalog
from adapters.ledger import commitments, interventions, runs, weights
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import run_record
from adapters.ledger.tables.runs import ForecastRunRow, InterventionRow
from adapters.object_store import ObjectStore
from protocol.canonical import J
from protocol.weights import WeightInputs
from weather.faults import InterventionRefused
from weather.interventions import Act, BlastRadius, Effect, Scope, blast_radius, effect
from weather.weights.stake import Stake
from weather.weights.window import Window

TWO_PERSON = ("skip", "accept", "void")
ASKED = ("verb", "actor", "reason", "scope")


@dataclass(frozen=True)
class LedgerOperator:
    """Blocking: runs in the thread pool of `control`."""

    ledger: Ledger
    store: ObjectStore
    catalog: Catalog
    rules: WeightsRules
    two_person: bool

    @activity.defn
    def intervene(self, request: Intervene) -> Intervened:
        """Check the verb, then act and record it in one transaction; a dry run writes nothing."""
        dry_run = request.intervention.dry_run
        with attempts.beating_thread(), self.ledger.read() if dry_run else self.ledger.begin() as session:
            run = runs.changed_run(session, request.run.run_id)
            known = interventions.interventions_of(session, run.run_id)
            row = self._row(session, run, request, known)
            stored = next((one for one in known if one.request_id == row.request_id), None)
            if stored is not None and not dry_run:
                return _stored(stored, row)
            rules, record = self.catalog.pinned_rules(run.grid, run.score_spec_digest), run_record(session, run.run_id)
            state = interventions.run_state(session, run, row.at, known)
            done = effect(rules, record, state, Act(request.verb, Scope.parse(row.scope), row.generation))
            answer = Intervened(
                receipt=_receipt(row, blast_radius(rules, record, done, self._stake(session, run)), dry_run=dry_run),
                acts=row.state == "acted" and not dry_run,
                leads=done.leads,
                generation=row.generation,
                hotkey=done.hotkey,
                commitment=self._commitment(session, run, done),
            )
            if not dry_run:
                row.answer = answer.model_dump(mode="json")
                session.add(row)
            if answer.acts:
                interventions.act(session, run, row, done)
            return answer

    def _stake(self, session: Session, run: ForecastRunRow) -> Stake | None:
        """Nothing for a hindcast, and before the first weights are computed."""
        newest = weights.newest_vector(session, run.network) if run.purpose == "live" else None
        if newest is None:
            return None
        inputs = WeightInputs.of_value(newest.inputs)
        window = Window(weights.frozen_rounds(session, inputs), inputs.baseline)
        return Stake(inputs.policy, window, inputs.standings, self.rules.epochs(inputs.policy.window))

    def _row(
        self, session: Session, run: ForecastRunRow, request: Intervene, known: list[InterventionRow]
    ) -> InterventionRow:
        asked = request.intervention
        row = InterventionRow(workflow_id=run.run_id, verb=request.verb, actor=asked.actor, reason=asked.reason)
        row.at, row.scope = request.at, str(Scope.parse(asked.scope or "run"))
        row.request_id = asked.request_id or _request_id(row)
        row.generation = interventions.next_generation(session, run.run_id, known)
        alone = not self.two_person or row.verb not in TWO_PERSON or interventions.is_second(row, known)
        row.state = "acted" if alone else "awaits_second_actor"
        row.state_before = {name: getattr(run, name) for name in ("status", "outcome", "held_by", "review")}
        return row

    def _commitment(self, session: Session, run: ForecastRunRow, done: Effect) -> CommitmentRecorded | None:
        if not (done.hotkey and done.verify):
            return None
        stored = commitments.commitment_of(session, run.run_id, done.hotkey)
        assert stored is not None and run.commit_deadline is not None
        return documents.recorded(self.store, stored, run.commit_deadline)


def _stored(stored: InterventionRow, row: InterventionRow) -> Intervened:
    """The first answer to a request, as long as it asks for the same."""
    asked, first = ([getattr(one, name) for name in ASKED] for one in (row, stored))
    if asked != first:
        raise InterventionRefused("the request id stands for another intervention", found=asked, expected=first)
    return Intervened.model_validate(stored.answer)


def _receipt(row: InterventionRow, radius: BlastRadius, *, dry_run: bool) -> InterventionReceipt:
    told = {name: getattr(row, name) for name in (*ASKED, "request_id", "at", "state")}
    return InterventionReceipt.model_validate(
        {**told, "run_id": row.workflow_id, "dry_run": dry_run, "blast_radius": asdict(radius)}
    )


def _request_id(row: InterventionRow) -> str:
    """The same for each attempt of one activity."""
    return hashlib.sha256(J([row.verb, row.actor, row.reason, row.scope, row.at.isoformat()])).hexdigest()[:32]
