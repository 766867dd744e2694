"""`ScoreRecords` on the ledger: scoring jobs, facts and faults."""

from __future__ import annotations

from temporalio import activity

from activities import documents
from activities.messages.scoring import FinishPass, RecordScores, StartPass
from activities.signatures.scores import ScoreRecords
from adapters.ledger import facts, jobs, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.values import FaultRecord, JobStep
from adapters.object_store import ObjectStore


class LedgerScoreRecords(ScoreRecords):
    """Blocking: runs in the thread pool of `control`."""

    def __init__(self, ledger: Ledger, store: ObjectStore) -> None:
        self._ledger, self._store = ledger, store

    @activity.defn
    def start_pass(self, request: StartPass) -> None:
        """Move the scoring job along a legal edge."""
        with self._ledger.begin() as session:
            jobs.reach_job(session, _step(request, request.to))
            if request.pass_name == "day1_qc" and request.to == "in_progress":
                runs.reach_run(session, request.run_id, "initial_scoring_running", "truth is ready", request.at)

    @activity.defn
    def record_scores(self, request: RecordScores) -> int:
        """Write facts and faults, insert-if-absent; answers the number of rows."""
        part = documents.get_model(self._store, documents.Part, request.part.sha256)
        with self._ledger.begin() as session:
            facts.record_facts(session, part.facts)
            facts.record_faults(session, part.faults)
        return len(part.facts) + len(part.faults)

    @activity.defn
    def finish_pass(self, request: FinishPass) -> None:
        """End the scoring job; a fault voids its cases for all miners."""
        to, run_id = "failed" if request.fault else "completed", request.run.run_id
        code = request.fault.code if request.fault else None
        with self._ledger.begin() as session:
            if request.fault:
                facts.record_faults(session, [_void(request)])
            step = StartPass(to=to, run_id=run_id, **request.model_dump(include=_JOB))
            jobs.reach_job(session, _step(step, to).model_copy(update={"code": code}))
            if request.pass_name == "day1_qc":
                done = "initial_scoring_failed" if request.fault else "initial_scoring_done"
                runs.reach_run(session, run_id, done, code or "day-1 facts are recorded", request.at)


_JOB = {"pass_name", "lead_hours", "generation", "at"}


def _step(request: StartPass, to: str) -> JobStep:
    return JobStep.model_validate(
        {
            "run_id": request.run_id,
            "score_type": request.pass_name,
            "lead_hours": request.lead_hours,
            "generation": request.generation,
            "to": to,
            "at": request.at,
        }
    )


def _void(request: FinishPass) -> FaultRecord:
    assert request.fault is not None
    return FaultRecord(
        run_id=request.run.run_id,
        pass_=request.pass_name,
        lead_hours=request.lead_hours if request.pass_name == "era5_final" else -1,
        generation=request.generation,
        effect="V",
        recorded_at=request.at,
        **request.fault.model_dump(),
    )
