"""What workflows may ask for: each activity's name, messages, queue, time-outs and retries, without its code.

Attempts are unlimited and bounded by schedule-to-close, unless a number is given. What no retry can
help is marked non-retryable where it is raised (see `activities.faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import NoneType
from typing import Any, Generic, TypeVar

from temporalio.common import RetryPolicy

from activities.messages import audits, inference, miner, operator, retention, revisions, run, scoring, weights
from activities.messages.base import Ref
from activities.task_queues import ACQUIRE, CONTROL, DOWNLOADS, INFERENCE, MINERS, PUBLISH, SCORE

Options = Mapping[str, Any]
MARK = "__temporal_activity_definition"
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Signature(Generic[Asked, Answer]):
    """An activity as a workflow sees it."""

    name: str
    takes: type[Asked]
    gives: type[Answer]
    options: Options


def methods(*implementations: object) -> list[Callable[..., Any]]:
    """The activities among the methods of these objects; of two with one name, the later."""
    found = {name: one for one in implementations for name in dir(type(one)) if hasattr(getattr(type(one), name), MARK)}
    return [getattr(one, name) for name, one in found.items()]


def _short(queue: str, seconds: int, retry: RetryPolicy) -> Options:
    return {"task_queue": queue, "start_to_close_timeout": timedelta(seconds=seconds), "retry_policy": retry}


def _long(queue: str, minutes: int, hours: int, retry: RetryPolicy) -> Options:
    return {
        "task_queue": queue,
        "start_to_close_timeout": timedelta(minutes=minutes),
        "schedule_to_close_timeout": timedelta(hours=hours),
        "heartbeat_timeout": HEARTBEAT_TIMEOUT,
        "retry_policy": retry,
    }


def _retry(first: float, longest: float, coefficient: float = 2.0, attempts: int = 0) -> RetryPolicy:
    """Seconds before the first retry and between the last ones."""
    return RetryPolicy(timedelta(seconds=first), coefficient, timedelta(seconds=longest), attempts)


HEARTBEAT_TIMEOUT = timedelta(seconds=60)

LEDGER = _retry(0.5, 30)
ARCHIVE = _retry(30, 300, 1.5)
MINER_CALL = _retry(10, 300, 3.0)
MINER_ROUND = _retry(5, 60, 12.0)
RECEIPT = _retry(5, 20, attempts=3)
CPU = _retry(1, 120)
CPU_TWICE = _retry(5, 500, attempts=2)
SUBMIT = _retry(2, 60)
SINK = _retry(1, 300)
READ_BACK = _retry(12, 12, 1.0)

RECORD = _short(CONTROL, 15, LEDGER)
SETTLE = _short(CONTROL, 30, LEDGER)
TELL = _short(CONTROL, 180, LEDGER)
COUNT = _long(CONTROL, 5, 2, LEDGER)
DECIDE = _long(CONTROL, 5, 24, LEDGER)
REMOVE = _long(CONTROL, 10, 20, LEDGER)

OPEN_RUN = Signature("open_run", run.ForecastRunInput, run.Run, RECORD)
FREEZE_ROSTER = Signature("freeze_roster", run.Run, run.Roster, RECORD)
OPEN_COMMIT_WINDOW = Signature("open_commit_window", run.OpenCommitWindow, run.CommitWindow, RECORD)
ADVANCE_RUN = Signature("advance_run", run.AdvanceRun, NoneType, RECORD)
SETTLE_ABSENCE = Signature("settle_absence", run.SettleAbsence, run.AbsenceSettled, SETTLE)
SEAL_RUN = Signature("seal_run", run.Step, run.Sealed, SETTLE)
CANCEL_RUN = Signature("cancel_run", run.Step, NoneType, RECORD)
RECORD_DEREGISTERED = Signature("record_deregistered", run.Deregistered, NoneType, RECORD)
AGGREGATE_RUN = Signature("aggregate_run", run.Step, run.Aggregated, DECIDE)
CLOSE_RUN = Signature("close_run", run.CloseRun, run.ForecastRunResult, DECIDE)
ANNOUNCE = Signature("announce", run.Announce, NoneType, TELL)
ADOPT_CHILD = Signature("adopt_child", run.AdoptChild, run.Adopted, RECORD)
INTERVENE = Signature("intervene", operator.Intervene, operator.Intervened, DECIDE)

RECORD_ANSWER = Signature("record_answer", miner.RecordAnswer, NoneType, RECORD)
RECORD_COMMITMENT = Signature("record_commitment", miner.RecordCommitment, miner.CommitmentRecorded, RECORD)
RECORD_LAST_WORD = Signature("record_last_word", miner.LastWord, NoneType, RECORD)
SETTLE_MINER = Signature("settle_miner", miner.SettleMiner, NoneType, RECORD)

START_PASS = Signature("start_pass", scoring.StartPass, scoring.PassStarted, RECORD)
RECORD_SCORES = Signature("record_scores", scoring.RecordScores, int, _long(CONTROL, 10, 24, LEDGER))
FINISH_PASS = Signature("finish_pass", scoring.FinishPass, NoneType, RECORD)
WEIGH_MEMBERS = Signature("weigh_members", scoring.Scoring, scoring.MembersWeighed, _long(CONTROL, 10, 24, LEDGER))
RECORD_ENSEMBLE = Signature("record_ensemble", scoring.RecordEnsemble, NoneType, RECORD)

TAKE_AUDITS = Signature("take_audits", audits.TakeAudits, audits.AuditsDue, SETTLE)
RECORD_AUDITS = Signature("record_audits", audits.RecordAudit, audits.AuditRecorded, SETTLE)
COMPARE_COMMITMENTS = Signature("compare_commitments", run.RunStep, audits.CommitmentsCompared, TELL)

OPEN_EPOCH = Signature("open_epoch", weights.WeightsEpochInput, weights.Epoch, RECORD)
SETTLE_OVERDUE = Signature("settle_overdue", weights.EpochStep, weights.OverdueSettled, COUNT)
COMPARE_REGISTRY = Signature("compare_registry", weights.EpochStep, weights.RegistryCompared, COUNT)
FREEZE_EPOCH_INPUTS = Signature("freeze_epoch_inputs", weights.EpochStep, weights.FrozenInputs, COUNT)
COMPUTE_VECTOR = Signature("compute_vector", weights.ComputeVector, weights.Vector, COUNT)
RECORD_MISSED = Signature("record_missed", weights.RecordMissed, NoneType, RECORD)

MARK_UNREFERENCED = Signature("mark_unreferenced", retention.MarkUnreferenced, retention.Marked, REMOVE)
DELETE_OBJECTS = Signature("delete_objects", retention.DeleteObjects, retention.Deleted, REMOVE)

FIND_REVISIONS = Signature("find_revisions", revisions.FindRevisions, revisions.ValidTimes, DECIDE)
OPEN_REVISION = Signature("open_revision", revisions.RevisionInput, revisions.ScoredLeads, DECIDE)
PLAN_REVISION = Signature("plan_revision", scoring.Scoring, revisions.RevisionPlanned, DECIDE)
RECORD_REVISION = Signature("record_revision", revisions.RecordRevision, revisions.LeadRevised, DECIDE)

FETCH_INPUTS = Signature("fetch_inputs", run.Run, run.Inputs, _long(ACQUIRE, 30, 12, ARCHIVE))
ENSURE_TRUTH = Signature("ensure_truth", scoring.EnsureTruth, scoring.TruthReady, _long(ACQUIRE, 60, 240, ARCHIVE))
PUBLISHED_TRUTH = Signature(
    "published_truth", revisions.ValidTimes, revisions.ValidTimes, _long(ACQUIRE, 5, 20, ARCHIVE)
)

REQUEST_FORECAST = Signature("request_forecast", miner.MinerCall, miner.MinerAnswer, _short(MINERS, 45, MINER_CALL))
POLL_COMMITMENT = Signature("poll_commitment", miner.PollCommitment, miner.MinerAnswer, _short(MINERS, 45, MINER_CALL))
DELIVER_RECEIPT = Signature("deliver_receipt", miner.DeliverReceipt, NoneType, _short(MINERS, 15, RECEIPT))

VERIFY_MANIFEST = Signature(
    "verify_manifest", miner.VerifyManifest, miner.ManifestVerified, _long(DOWNLOADS, 6, 24, MINER_ROUND)
)
FETCH_LEAD = Signature("fetch_lead", scoring.FetchLead, scoring.LeadFetched, _long(DOWNLOADS, 16, 24, MINER_ROUND))
AUDIT_OBJECTS = Signature(
    "audit_objects", audits.AuditObjects, audits.ObjectsAudited, _long(DOWNLOADS, 5, 24, MINER_ROUND)
)

SCORE_MINERS = Signature("score_miners", scoring.ScoreMiners, scoring.PartScored, _long(SCORE, 60, 24, CPU))
SCORE_ENTRANTS = Signature("score_entrants", scoring.ScoreEntrants, scoring.PartScored, _long(SCORE, 30, 24, CPU))
COMPARE_MINERS = Signature("compare_miners", scoring.ScoreMiners, Ref, _long(SCORE, 60, 24, CPU))
BUILD_ENSEMBLE = Signature("build_ensemble", scoring.BuildEnsemble, scoring.EnsembleBuilt, _long(SCORE, 30, 24, CPU))
RESCORE_FIELDS = Signature("rescore_fields", revisions.RescoreFields, Ref, _long(SCORE, 60, 24, CPU))

DELIVER_OUTBOX = Signature("deliver_outbox", run.DeliverOutbox, run.OutboxDelivered, _long(PUBLISH, 10, 31 * 24, SINK))
PUBLISH_WEIGHTS = Signature("publish_weights", weights.PublishWeights, weights.Publication, _long(PUBLISH, 3, 2, SINK))
CONFIRM_WEIGHTS = Signature(
    "confirm_weights", weights.PublishWeights, weights.Publication, _short(PUBLISH, 60, READ_BACK)
)

FETCH_GFS = Signature("fetch_gfs", inference.MinerJobInput, inference.FetchedInputs, _long(INFERENCE, 30, 12, ARCHIVE))
RUN_INFERENCE = Signature(
    "run_inference", inference.MinerJobInput, inference.Inferred, _long(INFERENCE, 60, 12, CPU_TWICE)
)
WRITE_STORE = Signature("write_store", inference.MinerJobInput, inference.WrittenStore, _long(INFERENCE, 20, 12, CPU))
SIGN_COMMITMENT = Signature(
    "sign_commitment", inference.MinerJobInput, inference.SignedCommitment, _short(INFERENCE, 15, LEDGER)
)
SUBMIT_COMMITMENT = Signature(
    "submit_commitment", inference.SubmitCommitment, inference.Submission, _short(INFERENCE, 30, SUBMIT)
)
EXPIRE_STORE = Signature("expire_store", inference.MinerJobInput, inference.Expired, _long(INFERENCE, 10, 24, LEDGER))
