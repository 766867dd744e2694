"""What `why` says of a workflow of another version, and of an activity that is under way."""

from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from activities.messages.status import Why
from starter.client import asked, doing

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


class Newer:
    """A workflow whose worker says more than this client knows."""

    async def query(self, query: str, **_: Any) -> dict[str, Any]:
        fault = {"code": "SourceGone", "cause": "source", "hint": "look"}
        return {
            "stage": query,
            "waiting_for": "truth",
            "since": "2026-12-01T00:00:00Z",
            "helps": [],
            "last_fault": fault,
        }


async def test_members_of_an_answer_that_only_the_worker_knows_are_passed_over() -> None:
    handle: Any = Newer()
    why = await asked(handle, "why", Why)
    assert (why.stage, why.since, why.last_fault and why.last_fault.code) == ("why", DUE, "SourceGone")
