"""How each activity is called: queue, time-outs and retries, by name.

Attempts are unlimited and bounded by schedule-to-close, unless a number is given. What no retry can
help is marked non-retryable where it is raised (see `activities.faults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from temporalio.common import RetryPolicy

from activities import task_queues

HEARTBEAT_TIMEOUT = timedelta(seconds=60)

LEDGER = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))
ARCHIVE = RetryPolicy(
    initial_interval=timedelta(seconds=30), backoff_coefficient=1.5, maximum_interval=timedelta(minutes=5)
)
MINER_CALL = RetryPolicy(
    initial_interval=timedelta(seconds=10), backoff_coefficient=3.0, maximum_interval=timedelta(minutes=5)
)
MINER_ROUND = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=12.0,
    maximum_interval=timedelta(minutes=1),
)
RECEIPT = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(seconds=20), maximum_attempts=3)
CPU = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=2))
CPU_TWICE = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_attempts=2)
SUBMIT = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=1))
SINK = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))
READ_BACK = RetryPolicy(initial_interval=timedelta(seconds=12), backoff_coefficient=1.0)

Options = Mapping[str, Any]


def _short(queue: str, seconds: int, retry: RetryPolicy) -> Options:
    return MappingProxyType(
        {"task_queue": queue, "start_to_close_timeout": timedelta(seconds=seconds), "retry_policy": retry}
    )


def _long(queue: str, minutes: int, hours: int, retry: RetryPolicy) -> Options:
    return MappingProxyType(
        {
            "task_queue": queue,
            "start_to_close_timeout": timedelta(minutes=minutes),
            "schedule_to_close_timeout": timedelta(hours=hours),
            "heartbeat_timeout": HEARTBEAT_TIMEOUT,
            "retry_policy": retry,
        }
    )


RECORD = _short(task_queues.CONTROL, 15, LEDGER)
SETTLE = _short(task_queues.CONTROL, 30, LEDGER)
ANNOUNCE = _short(task_queues.CONTROL, 180, LEDGER)
ADOPT_CHILD = _short(task_queues.CONTROL, 15, LEDGER)
RECORD_SCORES = _long(task_queues.CONTROL, 10, 24, LEDGER)
INTERVENE = _long(task_queues.CONTROL, 5, 24, LEDGER)
CLOSE_RUN = _long(task_queues.CONTROL, 5, 24, LEDGER)
MARK_UNREFERENCED = _long(task_queues.CONTROL, 10, 20, LEDGER)
DELETE_OBJECTS = _long(task_queues.CONTROL, 10, 20, LEDGER)

TAKE_AUDITS = _short(task_queues.CONTROL, 30, LEDGER)
RECORD_AUDITS = _short(task_queues.CONTROL, 30, LEDGER)
COMPARE_COMMITMENTS = _short(task_queues.CONTROL, 180, LEDGER)

FETCH_INPUTS = _long(task_queues.ACQUIRE, 30, 12, ARCHIVE)
ENSURE_TRUTH = _long(task_queues.ACQUIRE, 60, 240, ARCHIVE)

CALL_MINER = _short(task_queues.MINERS, 45, MINER_CALL)
DELIVER_RECEIPT = _short(task_queues.MINERS, 15, RECEIPT)
VERIFY_MANIFEST = _long(task_queues.DOWNLOADS, 6, 24, MINER_ROUND)
FETCH_LEAD = _long(task_queues.DOWNLOADS, 16, 24, MINER_ROUND)
AUDIT_OBJECTS = _long(task_queues.DOWNLOADS, 5, 24, MINER_ROUND)

SCORE_MINERS = _long(task_queues.SCORE, 60, 24, CPU)
SCORE_ENTRANTS = _long(task_queues.SCORE, 30, 24, CPU)
BUILD_ENSEMBLE = _long(task_queues.SCORE, 30, 24, CPU)
WEIGH_MEMBERS = _long(task_queues.CONTROL, 10, 24, LEDGER)

FETCH_GFS = _long(task_queues.INFERENCE, 30, 12, ARCHIVE)
RUN_INFERENCE = _long(task_queues.INFERENCE, 60, 12, CPU_TWICE)
WRITE_STORE = _long(task_queues.INFERENCE, 20, 12, CPU)
SIGN_COMMITMENT = _short(task_queues.INFERENCE, 15, LEDGER)
SUBMIT_COMMITMENT = _short(task_queues.INFERENCE, 30, SUBMIT)
EXPIRE_STORE = _long(task_queues.INFERENCE, 10, 24, LEDGER)

COUNT_ROUNDS = _long(task_queues.CONTROL, 5, 2, LEDGER)
DELIVER_OUTBOX = _long(task_queues.PUBLISH, 10, 31 * 24, SINK)
PUBLISH_WEIGHTS = _long(task_queues.PUBLISH, 3, 2, SINK)
CONFIRM_WEIGHTS = _short(task_queues.PUBLISH, 60, READ_BACK)


def until(options: Options, remaining: timedelta) -> dict[str, Any]:
    """The options, given up when `remaining` is over (at least one second)."""
    return {**options, "schedule_to_close_timeout": max(remaining, timedelta(seconds=1))}


def beating(options: Options, heartbeat_timeout: timedelta) -> dict[str, Any]:
    """The options with another heartbeat time-out, as the run's configuration says."""
    return {**options, "heartbeat_timeout": heartbeat_timeout}
