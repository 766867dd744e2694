"""`RunRecords` on the ledger: a run is sealed and closed once."""

from __future__ import annotations

from sqlalchemy.orm import Session
from temporalio import activity

from activities import absence, attempts, documents, log_entries, outbox
from activities.closing import aggregate, close
from activities.messages.run import (
    AbsenceSettled,
    AdvanceRun,
    Aggregated,
    AggregateRun,
    CancelRun,
    CloseRun,
    Deregistered,
    ForecastRunResult,
    Run,
    Sealed,
    SealRun,
    SettleAbsence,
)
from activities.run_opening import RunDefaults
from adapters import instruments
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger import commitments, log, roster, runs, secrets
from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from protocol.identity import PrivateKey
from weather.score_spec import ScoreSpec


class LedgerRunRecords:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(  # noqa: PLR0913 -- the ports that a run's records stand on
        self,
        ledger: Ledger,
        store: ObjectStore,
        catalog: Catalog,
        defaults: RunDefaults,
        clock: Clock,
        key: PrivateKey,
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
            return absence.settle(session, self._defaults.deadline_rules(request.run.purpose), request)

    @activity.defn
    def seal_run(self, request: SealRun) -> Sealed:
        """Close the commit window, with the secret of its audits; later commitments are refused."""
        with self._ledger.begin() as session:
            run = runs.reach_run(session, request.run_id, "initial_scoring_queued", "sealed", request.at)
            stored = commitments.commitments_of(session, request.run_id)
            secret_digest = secrets.draw_secret(session, self._key, request.run_id)
            log.append_leaf(session, log_entries.sealed(run, stored, secret_digest, self._clock.now()))
            outbox.agents_started(session, run, stored)
            deadline = run.commit_deadline
            assert deadline is not None
        sealed = documents.SealedCommitments(
            {one.commitment.hotkey: documents.recorded(self._store, one, deadline) for one in stored}
        )
        return Sealed(
            commitments=documents.put_model(self._store, sealed),
            accepted=sum(1 for one in sealed.root.values() if one.in_time),
        )

    @activity.defn
    def cancel_run(self, request: CancelRun) -> None:
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
    def aggregate_run(self, request: AggregateRun) -> Aggregated:
        """Decide coverage from the facts, and project whether the final scoring is complete."""
        with attempts.beating_thread(), self._ledger.begin() as session:
            run, rules = self._rules(session, request.run_id)
            return aggregate(session, run, rules, request.at)

    @activity.defn
    def close_run(self, request: CloseRun) -> ForecastRunResult:
        """Decide coverage, scores and ranks from the facts, once."""
        with attempts.beating_thread(), self._ledger.begin() as session:
            run, rules = self._rules(session, request.run_id)
            result = close(session, run, rules, request)
            secret = secrets.secret_of(session, self._key, run.run_id)
            row = runs.changed_run(session, run.run_id)
            log.append_leaf(session, log_entries.closed(row, secret, self._clock.now()))
            outbox.round_finished(session, row)
        instruments.FAULTS_RECORDED.tally(filter(None, [request.fault]), "code", "cause")
        instruments.RUNS_CLOSED.add(outcome=result.outcome)
        return result

    def _rules(self, session: Session, run_id: str) -> tuple[Run, ScoreSpec]:
        run = Run.model_validate(runs.changed_run(session, run_id).config)
        return run, self._catalog.pinned_rules(run.grid, run.score_spec_digest)
