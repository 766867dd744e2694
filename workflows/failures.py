"""What a failed activity means for a run."""

from __future__ import annotations

from pydantic import ValidationError
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType

from activities.messages.base import FaultNote
from weather.faults import ActivityTimeout, Fault, InternalError, WorkerLost, tree

FAILURE_TYPES: tuple[type[BaseException], ...] = (Fault, ValidationError)


def fault_note(fault: Fault) -> FaultNote:
    """The note that a fault leaves in a history."""
    return FaultNote(
        code=fault.code, cause=fault.cause, detail=fault.detail[:500], found=fault.found, expected=fault.expected
    )


def fault_of(error: ActivityError) -> FaultNote:
    """The fault behind a failed activity; Temporal's own time-outs are ours."""
    cause = error.cause
    if isinstance(cause, TimeoutError):
        if isinstance(cause.cause, ApplicationError):
            return _application(cause.cause)
        lost = cause.type == TimeoutType.HEARTBEAT
        return fault_note((WorkerLost if lost else ActivityTimeout)(str(cause)))
    if isinstance(cause, ApplicationError):
        return _application(cause)
    return fault_note(InternalError(str(cause)))


def _application(error: ApplicationError) -> FaultNote:
    kind = tree().get(error.type or "")
    if kind is None:
        return fault_note(InternalError(f"{error.type}: {error.message}"))
    details = error.details[0] if error.details and isinstance(error.details[0], dict) else {}
    return FaultNote(
        code=kind.__name__,
        cause=kind.cause,
        detail=error.message[:500],
        found=details.get("found"),
        expected=details.get("expected"),
    )
