"""One interceptor turns the error tree into Temporal failures."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities import attempts
from weather.faults import DiskFull, Fault, InternalError, OutOfMemory

NOT_YET = {"CycleNotYetAvailable", "TruthNotYetAvailable", "SourceThrottled", "NoCommitment", "ChildStillOpen"}


class FaultInterceptor(Interceptor):
    """Types every failure of an activity by the exact class name of its fault."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Typed(next)


class _Typed(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        attempts.begin()
        try:
            return await self.next.execute_activity(input)
        except FailureError:
            raise
        except Exception as error:
            fault = classify(error)
            if input.executor is None:
                raise as_failure(fault) from error
            # A blocking activity's heartbeat waits for this loop, so it must not be sent from it.
            raise await asyncio.to_thread(as_failure, fault) from error


def classify(error: Exception) -> Fault:
    """The fault that an exception stands for; what is unforeseen is ours."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory(str(error))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFull(str(error))
    return InternalError(f"{type(error).__name__}: {error}")


def as_failure(fault: Fault) -> ApplicationError:
    """The Temporal failure of a fault; final once the budget of its code is spent."""
    budget = attempts.BUDGETS.get(fault.code)
    exhausted = budget is not None and attempts.spend(fault.code) >= budget
    return ApplicationError(
        fault.detail[:2000] or fault.code,
        {"found": fault.found, "expected": fault.expected, "cause": fault.cause},
        type=fault.code,
        non_retryable=exhausted or not fault.retryable,
        next_retry_delay=fault.retry_after,
        category=ApplicationErrorCategory.BENIGN if fault.code in NOT_YET else ApplicationErrorCategory.UNSPECIFIED,
    )
