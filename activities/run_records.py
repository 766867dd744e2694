"""The steps of an opened run in the ledger: it is sealed and closed once."""

from __future__ import annotations

from temporalio import activity

from activities import attempts, documents, outbox
from activities.closing import aggregate, close
from activities.messages.run import (
    AbsenceSettled,
    AdvanceRun,
    Aggregated,
    CloseRun,
    Deregistered,
    ForecastRunResult,
    Sealed,
    SettleAbsence,
    Step,
)
from activities.run_opening import RunDefaults
from adapters import instruments
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger import absence, audits, commitments, log, roster, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.object_store import ObjectStore
from protocol.deadline import in_time
from protocol.identity import PrivateKey
from protocol.receipt import RunClosed, RunSealed, commitments_digest
from weather.score_spec import ScoreSpec


class LedgerRunRecords:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(  # noqa: PLR0913 -- the ports that a run's records stand on
        self, ledger: Ledger, store: ObjectStore, catalog: Catalog, defaults: RunDefaults, clock: Clock, key: PrivateKey
    ) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog
        self._defaults, self._clock, self._key = defaults, clock, key

    @activity.defn
    def advance_run(self, request: AdvanceRun) -> None:
        """Move the run's status along a legal edge."""
        with self._ledger.begin() as session:
            runs.reach_run(session, request.run_id, request.to, request.reason, request.at)

    @activity.defn
    def settle_absence(self, request: SettleAbsence) -> AbsenceSettled:
        """Prove every absence, or move the deadline for all; again: the same answer."""
        with self._ledger.begin() as session:
            row = runs.changed_run(session, request.run.run_id)
            if row.status != "pending":
                return AbsenceSettled(proved=True)
            deadline = row.commit_deadline or request.deadline
            if deadline > request.deadline:
                return AbsenceSettled(proved=False, moved_to=deadline)
            if absence.is_proved(session, row, deadline):
                return AbsenceSettled(proved=True)
            rules = self._defaults.deadline_rules(request.run.purpose)
            moved = rules.moved(deadline, request.run.init_time, row.first_lead_hours or 0, request.moves)
            if moved is not None:
                absence.move_deadline(session, row, moved, request.at)
            return AbsenceSettled(proved=False, moved_to=moved)

    @activity.defn
    def seal_run(self, request: Step) -> Sealed:
        """Close the commit window, with the secret of its audits; later commitments are refused."""
        with self._ledger.begin() as session:
            run = runs.reach_run(session, request.run_id, "initial_scoring_queued", "sealed", request.at)
            stored = commitments.commitments_of(session, request.run_id)
            secret_digest, deadline = audits.draw_secret(session, self._key, request.run_id), run.commit_deadline
            assert deadline is not None
            accepted = [one.commitment_digest for one in stored if in_time(one.received_at, deadline)]
            leaf = RunSealed(
                network=run.network,
                run_id=run.run_id,
                commit_deadline=deadline,
                accepted=len(accepted),
                commitments_digest=commitments_digest(accepted),
                audit_secret_hash=secret_digest,
                recorded_at=self._clock.now(),
            )
            log.append_leaf(session, leaf)
            outbox.agents_started(session, run, stored)
        sealed = documents.SealedCommitments(
            {one.commitment.hotkey: documents.recorded(self._store, one, deadline) for one in stored}
        )
        return Sealed(commitments=documents.put_model(self._store, sealed), accepted=len(accepted))

    @activity.defn
    def cancel_run(self, request: Step) -> None:
        """Tell that the run was cancelled; a restart adopts what is recorded."""
        with self._ledger.begin() as session:
            runs.record_cancelled(session, request.run_id, request.at)

    @activity.defn
    def record_deregistered(self, request: Deregistered) -> None:
        """Append that a miner left the registry; a stranger to the roster is passed over."""
        gone = request.miner
        with self._ledger.begin() as session:
            roster.record_deregistered(session, request.run_id, gone.hotkey, gone.at, gone.block)

    @activity.defn
    def aggregate_run(self, request: Step) -> Aggregated:
        """Decide coverage from the facts, and project whether the final scoring is complete."""
        with attempts.beating_thread(), self._ledger.begin() as session:
            run = runs.changed_run(session, request.run_id)
            return aggregate(session, run, self._rules(run), request.at)

    @activity.defn
    def close_run(self, request: CloseRun) -> ForecastRunResult:
        """Decide coverage, scores and ranks from the facts, once."""
        with attempts.beating_thread(), self._ledger.begin() as session:
            run = runs.changed_run(session, request.run_id)
            result = close(session, run, self._rules(run), request)
            secret = audits.secret_of(session, self._key, run.run_id)
            leaf = RunClosed(
                network=run.network,
                run_id=run.run_id,
                outcome="void" if result.outcome == "void" else "scored",
                facts_digest=result.facts_digest,
                faults_digest=result.faults_digest,
                audit_secret=secret.raw.hex() if secret else None,
                recorded_at=self._clock.now(),
            )
            log.append_leaf(session, leaf)
            outbox.round_finished(session, run)
        instruments.FAULTS_RECORDED.tally(filter(None, [request.fault]), "code", "cause")
        instruments.RUNS_CLOSED.add(outcome=result.outcome)
        return result

    def _rules(self, run: ForecastRunRow) -> ScoreSpec:
        return self._catalog.pinned_rules(run.grid, run.score_spec_digest)
