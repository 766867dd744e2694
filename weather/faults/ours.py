"""What sources and our own platform fail at: void for all, never for one."""

from __future__ import annotations

from weather.faults.roots import PlatformFault, SourceFault


class InputsLate(SourceFault):
    """Inputs came too late for the lead."""


class CycleNotYetAvailable(SourceFault):
    """GFS cycle is not complete yet."""


class SourceCorrupt(SourceFault):
    """Source delivered wrong bytes."""


class SourceThrottled(SourceFault):
    """Source asks to slow down."""


class TruthNotYetAvailable(SourceFault):
    """Truth is not complete yet."""


class SourceGone(SourceFault):
    """Source will never have it."""

    retryable = False


class IngressDown(PlatformFault):
    """Our own HTTP side was down."""


class EgressDown(PlatformFault):
    """Our own network was down."""


class StoreUnavailable(PlatformFault):
    """Object store cannot be reached."""


class LedgerUnavailable(PlatformFault):
    """Ledger cannot be reached."""


class ArtifactUploadFailed(PlatformFault):
    """Artefact was not stored."""


class DiskFull(PlatformFault):
    """No space left."""


class ActivityTimeout(PlatformFault):
    """Activity ran out of its time."""


class WorkerLost(PlatformFault):
    """Worker was lost."""


class InternalError(PlatformFault):
    """Anything unforeseen."""


class ChildStillOpen(PlatformFault):
    """Child workflow is still open."""


class SinkUnavailable(PlatformFault):
    """Sink takes no weights now."""


class RunLate(PlatformFault):
    """Run opened too late for the lead."""

    retryable = False


class OutOfMemory(PlatformFault):
    """No memory left."""

    retryable = False


class RetryBudgetExhausted(PlatformFault):
    """Retries are used up."""

    retryable = False


class LedgerConflict(PlatformFault):
    """Another value is already stored under the key."""

    retryable = False


class RunTerminated(PlatformFault):
    """Run was terminated."""

    retryable = False


class RunIncomplete(PlatformFault):
    """Run closed with failed parts."""

    retryable = False


class NoVerifiedForecast(PlatformFault):
    """No forecast could be verified."""

    retryable = False


class NothingToPublish(PlatformFault):
    """Nobody is left who could be paid."""

    retryable = False


class WeightsNotPublished(PlatformFault):
    """Weights are not in a sink."""

    retryable = False
