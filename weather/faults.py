"""The error tree: each exception says whose fault it is.

    Fault
    ├── MinerFault        the participant's: costs points
    ├── PolicyRefusal     the rules': may cost points, or nothing was run
    ├── SourceFault       data of GFS or ERA5 absent or wrong: void for all, never for one
    └── PlatformFault     ours: void for all, never for one

The exact class name is the code of a non-score, of a Temporal failure and of an event.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

Cause = Literal["miner", "policy", "source", "platform"]


class Fault(Exception):
    """Root of the tree.

    Attributes:
        cause: whose fault it is.
        retryable: whether another attempt can help.
        retry_after: the earliest useful next attempt, where the raiser knows it.
    """

    cause: ClassVar[Cause] = "platform"
    retryable: ClassVar[bool] = True

    def __init__(
        self, detail: str = "", *, found: object = None, expected: object = None, retry_after: timedelta | None = None
    ) -> None:
        """Keep what was found and what was expected beside the sentence for people."""
        super().__init__(detail)
        self.detail = detail
        self.found = None if found is None else str(found)[:500]
        self.expected = None if expected is None else str(expected)[:500]
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The exact class name."""
        return type(self).__name__

    def __str__(self) -> str:
        """The sentence, then found and expected where they are known."""
        parts = [self.detail or self.code]
        if self.found is not None:
            parts.append(f"found {self.found}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        return "; ".join(parts)


class MinerFault(Fault):
    """Something that the miner did or left undone."""

    cause = "miner"


class PolicyRefusal(Fault):
    """The rules forbid it; no retry can help."""

    cause = "policy"
    retryable = False


class SourceFault(Fault):
    """GFS, ERA5 or climatology: late, absent or wrong."""

    cause = "source"


class PlatformFault(Fault):
    """Ours."""

    cause = "platform"


class NoCommitment(MinerFault):
    """No commitment by the deadline."""


class MinerUnreachable(MinerFault):
    """No connection, or only statuses that are retried."""


class MinerTimeout(MinerFault):
    """No complete answer in time."""


class MinerReportedError(MinerFault):
    """The miner's last answer was an error."""


class TokenRefused(MinerFault):
    """The miner refused its own good token twice."""


class BadAnswer(MinerFault):
    """Unsigned, wrongly signed, malformed or oversized answer."""


class CommitmentMalformed(MinerFault):
    """Commitment with wrong members or formats."""


class CommitmentSignatureInvalid(MinerFault):
    """Commitment signature does not verify."""


class CommitmentBindingMismatch(MinerFault):
    """Commitment bound to another run, miner, grid or spec."""


class InputDigestMismatch(MinerFault):
    """Commitment names other inputs."""


class UrlRefused(MinerFault):
    """Store URL is not the one derived from the registry."""


class TokenInvalid(MinerFault):
    """Access token does not hold."""


class CertificateRefused(MinerFault):
    """TLS certificate is not the pinned or trusted one."""


class ManifestAbsent(MinerFault):
    """Manifest is not served."""


class ObjectAbsent(MinerFault):
    """Object is not served."""


class TransferFailed(MinerFault):
    """Transfer broke off."""


class TransferSlow(MinerFault):
    """Transfer is below the minimum rate."""


class AuditFailed(MinerFault):
    """Committed object is no longer served."""


class Equivocation(MinerFault):
    """Different commitments for one run."""

    retryable = False


class AddressRefused(MinerFault):
    """Address is not allowed."""

    retryable = False


class Redirected(MinerFault):
    """Answer redirects."""

    retryable = False


class ManifestMalformed(MinerFault):
    """Manifest is not canonical."""

    retryable = False


class ManifestPathsWrong(MinerFault):
    """Manifest paths are not the object set."""

    retryable = False


class ManifestSizesWrong(MinerFault):
    """Manifest sizes are outside the budget."""

    retryable = False


class CoordinatesWrong(MinerFault):
    """Coordinate chunks are not those of the layout."""

    retryable = False


class MetadataRefused(MinerFault):
    """Zarr.json is not the template's."""

    retryable = False


class ManifestMismatch(MinerFault):
    """Manifest does not give the committed root."""

    retryable = False


class ObjectLengthMismatch(MinerFault):
    """Object length is not the committed one."""

    retryable = False


class ObjectDigestMismatch(MinerFault):
    """Object bytes are not the committed ones."""

    retryable = False


class ContentCodingRefused(MinerFault):
    """Answer carries a content coding."""

    retryable = False


class DecodedSizeRefused(MinerFault):
    """Declared decoded size is not the layout's."""

    retryable = False


class DecodeFailed(MinerFault):
    """Object does not decode."""

    retryable = False


class IncompleteForecast(MinerFault):
    """Forecast field has cells that are not finite."""

    retryable = False


class QualityControlFailed(MinerFault):
    """Forecast failed day-1 quality control."""

    retryable = False


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


def tree() -> dict[str, type[Fault]]:
    """Every class of the tree by its exact name."""
    classes: dict[str, type[Fault]] = {}
    pending: list[type[Fault]] = [Fault]
    while pending:
        parent = pending.pop()
        classes[parent.__name__] = parent
        pending.extend(parent.__subclasses__())
    return classes
