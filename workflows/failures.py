"""What a failed activity means for a run."""

from __future__ import annotations

from pydantic import ValidationError
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType, is_cancelled_exception

from activities.messages.base import FaultNote
from weather.faults import ActivityTimeout, Fault, InternalError, WorkerLost, tree

FAILURE_TYPES: tuple[type[BaseException], ...] = (Fault, ValidationError)


def fault_of(error: ActivityError) -> FaultNote:
    """The fault behind a failed activity; Temporal's own time-outs are ours, and a cancellation goes on."""
    if is_cancelled_exception(error):
        raise error
    cause = error.cause
    if isinstance(cause, TimeoutError) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause
    if isinstance(cause, TimeoutError):
        lost = cause.type == TimeoutType.HEARTBEAT
        return FaultNote.of((WorkerLost if lost else ActivityTimeout)(str(cause)))
    if not isinstance(cause, ApplicationError):
        return FaultNote.of(InternalError(str(cause)))
    kind = tree().get(cause.type or "")
    if kind is None:
        return FaultNote.of(InternalError(f"{cause.type}: {cause.message}"))
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return FaultNote.of(kind(cause.message, found=details.get("found"), expected=details.get("expected")))
