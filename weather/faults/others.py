"""What the rules forbid, and what sources and our own platform fail at: the latter is void for all, never for one."""

from __future__ import annotations

from weather.faults.roots import PlatformFault, PolicyRefusal, SourceFault


class CommitmentLate(PolicyRefusal):
    """Commitment received after the deadline."""


class ExactClone(PolicyRefusal):
    """Forecast fields are those of an earlier commitment."""


class NearClone(PolicyRefusal):
    """Forecast is too close to another miner's."""


class BaselineClone(PolicyRefusal):
    """Forecast is a public forecast."""


class RosterExcluded(PolicyRefusal):
    """Miner was not admitted to the roster."""


class HindcastDeclined(PolicyRefusal):
    """Miner declined a hindcast."""


class VoidedByOperator(PolicyRefusal):
    """An operator voided the scope."""


class InterventionRefused(PolicyRefusal):
    """An operator's verb does not apply to the run as it stands."""


class ConfigurationInvalid(PolicyRefusal):
    """Settings or input do not hold."""


class PrerequisiteMissing(PolicyRefusal):
    """Something that must exist first does not."""


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


class SourceGone(SourceFault, retryable=False):
    """Source will never have it."""


class IngressDown(PlatformFault):
    """Our own HTTP side was down."""


class EgressDown(PlatformFault):
    """Our own network was down."""


class StoreUnavailable(PlatformFault):
    """Object store cannot be reached."""


class LedgerUnavailable(PlatformFault):
    """Ledger cannot be reached."""


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


class RunLate(PlatformFault, retryable=False):
    """Run opened too late for the lead."""


class OutOfMemory(PlatformFault, retryable=False):
    """No memory left."""


class LedgerConflict(PlatformFault, retryable=False):
    """Another value is already stored under the key."""


class RunTerminated(PlatformFault, retryable=False):
    """Run was terminated."""


class NothingToPublish(PlatformFault, retryable=False):
    """Nobody is left who could be paid."""


class WeightsNotPublished(PlatformFault, retryable=False):
    """Weights are not in a sink."""
