"""Every fault of the tree as Temporal sees it, and how often a code may be spent."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities import attempts
from activities.faults import NOT_YET, FaultInterceptor
from activities.miner_records import MANIFEST_CODES
from weather.faults import Fault, InternalError, NoCommitment, SourceCorrupt, TruthNotYetAvailable, tree

MINERS_OWN = """AuditFailed BadAnswer CertificateRefused CommitmentBindingMismatch CommitmentMalformed
CommitmentSignatureInvalid InputDigestMismatch ManifestAbsent MinerReportedError MinerTimeout MinerUnreachable
NoCommitment ObjectAbsent TokenInvalid TokenRefused TransferFailed TransferSlow UrlRefused"""
SOURCES = "CycleNotYetAvailable InputsLate SourceCorrupt SourceThrottled TruthNotYetAvailable"
OURS = """ActivityTimeout ChildStillOpen ArtifactUploadFailed DiskFull EgressDown IngressDown InternalError
LedgerUnavailable SinkUnavailable StoreUnavailable WorkerLost"""
RETRIED = frozenset(f"{MINERS_OWN} {SOURCES} {OURS} Fault MinerFault SourceFault PlatformFault".split())
BENIGN = {"ChildStillOpen", "CycleNotYetAvailable", "NoCommitment", "SourceThrottled", "TruthNotYetAvailable"}


class Raises(ActivityInboundInterceptor):
    """Stands where the activity is."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        raise self.error


class Attempts:
    """The attempts of one activity: each finds what the last one left in its heartbeat."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def environment(self) -> ActivityEnvironment:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, heartbeat_details=self.left)
        environment.on_heartbeat = lambda *details: setattr(self, "left", list(details))
        return environment

    def ends_with(self, error: BaseException) -> ApplicationError:
        inbound = FaultInterceptor().intercept_activity(Raises(error))
        called = ExecuteActivityInput(fn=print, args=(), executor=None, headers={})
        with pytest.raises(ApplicationError) as failure:
            asyncio.run(self.environment().run(inbound.execute_activity, called))
        assert failure.value.__cause__ is error
        return failure.value


@pytest.mark.parametrize("code", sorted(tree()))
def test_every_class_of_the_tree_is_a_failure_of_its_exact_name(code: str) -> None:
    fault = tree()[code]("why", found=3, expected=4, retry_after=timedelta(seconds=7))
    failure = Attempts().ends_with(fault)
    assert (failure.type, failure.message, failure.next_retry_delay) == (code, "why", timedelta(seconds=7))
    assert failure.non_retryable is (code not in RETRIED)
    assert failure.details == ({"found": "3", "expected": "4", "cause": tree()[code].cause},)
    assert (failure.category == ApplicationErrorCategory.BENIGN) is (code in BENIGN)


def test_the_tree_has_no_code_that_these_tests_do_not_know() -> None:
    assert set(tree()) >= RETRIED
    assert BENIGN == NOT_YET
    assert {*attempts.BUDGETS, *MANIFEST_CODES} <= set(tree())


def test_a_fault_without_words_is_told_by_its_code() -> None:
    assert Attempts().ends_with(NoCommitment()).message == "NoCommitment"


def test_a_detail_never_grows_beyond_what_a_history_bears() -> None:
    assert len(Attempts().ends_with(SourceCorrupt("x" * 9_000)).message) == 2_000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("seven is not prime"), "InternalError"),
        (KeyError("z500"), "InternalError"),
        (OSError(errno.EIO, "input/output error"), "InternalError"),
        (MemoryError("4 GiB"), "OutOfMemory"),
        (OSError(errno.ENOSPC, "no space left"), "DiskFull"),
    ],
)
def test_what_is_unforeseen_is_ours(error: Exception, code: str) -> None:
    failure = Attempts().ends_with(error)
    assert failure.type == code
    assert failure.details[0]["cause"] == "platform"
    assert (type(error).__name__ in failure.message) is (code == "InternalError")


def test_a_failure_of_temporal_and_a_cancellation_pass_untouched() -> None:
    for error in (ApplicationError("as it is", type="Mine"), CancelledError("stop")):
        inbound = FaultInterceptor().intercept_activity(Raises(error))
        called = ExecuteActivityInput(fn=print, args=(), executor=None, headers={})
        with pytest.raises(type(error)) as raised:
            asyncio.run(ActivityEnvironment().run(inbound.execute_activity, called))
        assert raised.value is error


@pytest.mark.parametrize(("fault", "budget"), [(SourceCorrupt("bad"), 5), (InternalError("bug"), 3)])
def test_a_budget_of_a_code_ends_with_its_last_attempt(fault: Fault, budget: int) -> None:
    played = Attempts()
    final = [played.ends_with(fault).non_retryable for _ in range(budget)]
    assert final == [False] * (budget - 1) + [True]


def test_lost_workers_and_other_codes_spend_nothing_of_a_budget() -> None:
    played = Attempts()
    late = TruthNotYetAvailable("not yet")
    played.ends_with(InternalError("bug"))
    for _ in range(5):
        played.environment()
        assert not played.ends_with(late).non_retryable
    assert not played.ends_with(InternalError("bug")).non_retryable
    assert played.ends_with(KeyError("bug")).non_retryable


def test_an_end_keeps_the_progress_that_its_own_attempt_reported() -> None:
    played = Attempts()

    class Works(Raises):
        async def execute_activity(self, input: ExecuteActivityInput) -> Any:
            attempts.heartbeat(["first", "second"])
            await super().execute_activity(input)

    inbound = FaultInterceptor().intercept_activity(Works(ValueError("third")))
    called = ExecuteActivityInput(fn=print, args=(), executor=None, headers={})
    with pytest.raises(ApplicationError):
        asyncio.run(played.environment().run(inbound.execute_activity, called))
    assert played.left == [{"spent": {"InternalError": 1}, "progress": ["first", "second"]}]


@pytest.mark.parametrize("left", [[], ["from another version"], [{}], [{"spent": {"NoLongerThere": 2}}]])
def test_whatever_an_attempt_left_can_be_taken_over(left: list[Any]) -> None:
    played = Attempts()
    played.left = left

    def takes_over() -> tuple[Any, int]:
        return attempts.resumed(), attempts.spent_by_miner()

    assert played.environment().run(takes_over) == (None, 0)


def test_only_the_miners_own_codes_are_counted_as_its_attempts() -> None:
    played = Attempts()
    played.left = [{"spent": {"ObjectAbsent": 1, "MinerTimeout": 1, "InternalError": 2, "SourceCorrupt": 1}}]
    assert played.environment().run(attempts.spent_by_miner) == 2


def test_beats_beside_blocking_work_carry_its_newest_progress() -> None:
    beats: list[Any] = []
    third = Event()
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(milliseconds=3))

    def beat(*details: Any) -> None:
        beats.append(details[0]["progress"])
        if beats.count("half") == 3:
            third.set()

    environment.on_heartbeat = beat

    def work() -> None:
        with attempts.beating_thread():
            attempts.heartbeat("half")
            assert third.wait(10)

    environment.run(work)
    assert beats[0] is None


async def test_beats_beside_async_work_keep_what_was_spent() -> None:
    beats: list[Any] = []
    third = asyncio.Event()
    environment = ActivityEnvironment()
    environment.info = replace(
        environment.info, heartbeat_timeout=timedelta(milliseconds=3), heartbeat_details=[{"spent": {"BadAnswer": 1}}]
    )

    def beat(*details: Any) -> None:
        beats.append(details[0])
        if len(beats) == 3:
            third.set()

    environment.on_heartbeat = beat

    async def work() -> None:
        async with attempts.beating():
            await third.wait()

    await environment.run(work)
    assert beats[:3] == [{"spent": {"BadAnswer": 1}, "progress": None}] * 3
