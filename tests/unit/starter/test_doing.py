"""What `why` says of an activity that is under way."""

from datetime import UTC, datetime

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from starter.client import doing

DUE = datetime(2026, 12, 1, tzinfo=UTC)


def test_an_activity_that_runs_names_its_pod_and_when_it_was_heard_of() -> None:
    one = PendingActivityInfo(attempt=2, last_worker_identity="pod-7")
    one.activity_type.name = "score_miners"
    one.state = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    one.last_heartbeat_time.FromDatetime(DUE)
    leaf = doing("run/score/day1_qc", one)
    assert (leaf.subject, leaf.kind, leaf.says) == ("run/score/day1_qc score_miners", "worker", "attempt 2 runs")
    assert (leaf.evidence["pod"], leaf.evidence["heartbeat"], leaf.next) == ("pod-7", DUE, None)


def test_an_activity_that_failed_names_the_code_whose_fault_it_is_and_when_it_is_tried_again() -> None:
    one = PendingActivityInfo(attempt=3, state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED)
    one.last_failure.application_failure_info.type = "TruthNotYetAvailable"
    one.next_attempt_schedule_time.FromDatetime(DUE)
    leaf = doing("run/score/day1_qc", one)
    assert (leaf.kind, leaf.code, leaf.next, leaf.since) == ("source", "TruthNotYetAvailable", DUE, None)
    assert doing("x", PendingActivityInfo(attempt=1)).kind == "worker"
