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
from typing import ClassVar, Literal, TypeVar, cast

F = TypeVar("F", bound="Fault")
Cause = Literal["miner", "policy", "source", "platform"]

MOST_DETAIL = 2_000
MOST_VALUE = 500


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
        self.detail = _plain(detail, MOST_DETAIL)
        super().__init__(self.detail)
        self.found = None if found is None else _plain(found, MOST_VALUE)
        self.expected = None if expected is None else _plain(expected, MOST_VALUE)
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


def tree() -> dict[str, type[Fault]]:
    """Every class of the tree by its exact name."""
    classes: dict[str, type[Fault]] = {}
    pending: list[type[Fault]] = [Fault]
    while pending:
        parent = pending.pop()
        classes[parent.__name__] = parent
        pending.extend(parent.__subclasses__())
    return classes


def _plain(value: object, most: int) -> str:
    """Text of bounded length that logs, histories and ledgers can hold, whoever wrote it."""
    text = str(value)[:most]
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)[:most]


def _code(name: str, parent: type[F], says: str, *, final: bool = False) -> type[F]:
    """A class of the tree; what is final, no retry can help."""
    members = {"__doc__": says, "retryable": parent.retryable and not final}
    return cast("type[F]", type(name, (parent,), members))


NoCommitment = _code("NoCommitment", MinerFault, "No commitment by the deadline.")
MinerUnreachable = _code("MinerUnreachable", MinerFault, "No connection, or only statuses that are retried.")
MinerTimeout = _code("MinerTimeout", MinerFault, "No complete answer in time.")
MinerReportedError = _code("MinerReportedError", MinerFault, "The miner's last answer was an error.")
TokenRefused = _code("TokenRefused", MinerFault, "The miner refused its own good token twice.")
BadAnswer = _code("BadAnswer", MinerFault, "Unsigned, wrongly signed, malformed or oversized answer.")
CommitmentMalformed = _code("CommitmentMalformed", MinerFault, "Commitment with wrong members or formats.")
CommitmentSignatureInvalid = _code("CommitmentSignatureInvalid", MinerFault, "Commitment signature does not verify.")
CommitmentBindingMismatch = _code(
    "CommitmentBindingMismatch", MinerFault, "Commitment bound to another run, miner, grid or spec."
)
InputDigestMismatch = _code("InputDigestMismatch", MinerFault, "Commitment names other inputs.")
UrlRefused = _code("UrlRefused", MinerFault, "Store URL is not the one derived from the registry.")
TokenInvalid = _code("TokenInvalid", MinerFault, "Access token does not hold.")
CertificateRefused = _code("CertificateRefused", MinerFault, "TLS certificate is not the pinned or trusted one.")
ManifestAbsent = _code("ManifestAbsent", MinerFault, "Manifest is not served.")
ObjectAbsent = _code("ObjectAbsent", MinerFault, "Object is not served.")
TransferFailed = _code("TransferFailed", MinerFault, "Transfer broke off.")
TransferSlow = _code("TransferSlow", MinerFault, "Transfer is below the minimum rate.")
AuditFailed = _code("AuditFailed", MinerFault, "Committed object is no longer served.")

Equivocation = _code("Equivocation", MinerFault, "Different commitments for one run.", final=True)
AddressRefused = _code("AddressRefused", MinerFault, "Address is not allowed.", final=True)
Redirected = _code("Redirected", MinerFault, "Answer redirects.", final=True)
ManifestMalformed = _code("ManifestMalformed", MinerFault, "Manifest is not canonical.", final=True)
ManifestPathsWrong = _code("ManifestPathsWrong", MinerFault, "Manifest paths are not the object set.", final=True)
ManifestSizesWrong = _code("ManifestSizesWrong", MinerFault, "Manifest sizes are outside the budget.", final=True)
CoordinatesWrong = _code("CoordinatesWrong", MinerFault, "Coordinate chunks are not those of the layout.", final=True)
MetadataRefused = _code("MetadataRefused", MinerFault, "Zarr.json is not the template's.", final=True)
ManifestMismatch = _code("ManifestMismatch", MinerFault, "Manifest does not give the committed root.", final=True)
ObjectLengthMismatch = _code("ObjectLengthMismatch", MinerFault, "Object length is not the committed one.", final=True)
ObjectDigestMismatch = _code("ObjectDigestMismatch", MinerFault, "Object bytes are not the committed ones.", final=True)
ContentCodingRefused = _code("ContentCodingRefused", MinerFault, "Answer carries a content coding.", final=True)
DecodedSizeRefused = _code("DecodedSizeRefused", MinerFault, "Declared decoded size is not the layout's.", final=True)
DecodeFailed = _code("DecodeFailed", MinerFault, "Object does not decode.", final=True)
IncompleteForecast = _code(
    "IncompleteForecast", MinerFault, "Forecast field has cells that are not finite.", final=True
)
QualityControlFailed = _code("QualityControlFailed", MinerFault, "Forecast failed day-1 quality control.", final=True)

CommitmentLate = _code("CommitmentLate", PolicyRefusal, "Commitment received after the deadline.")
ExactClone = _code("ExactClone", PolicyRefusal, "Forecast fields are those of an earlier commitment.")
NearClone = _code("NearClone", PolicyRefusal, "Forecast is too close to another miner's.")
BaselineClone = _code("BaselineClone", PolicyRefusal, "Forecast is a public forecast.")
RosterExcluded = _code("RosterExcluded", PolicyRefusal, "Miner was not admitted to the roster.")
HindcastDeclined = _code("HindcastDeclined", PolicyRefusal, "Miner declined a hindcast.")
VoidedByOperator = _code("VoidedByOperator", PolicyRefusal, "An operator voided the scope.")
InterventionRefused = _code(
    "InterventionRefused", PolicyRefusal, "An operator's verb does not apply to the run as it stands."
)
ConfigurationInvalid = _code("ConfigurationInvalid", PolicyRefusal, "Settings or input do not hold.")
PrerequisiteMissing = _code("PrerequisiteMissing", PolicyRefusal, "Something that must exist first does not.")

InputsLate = _code("InputsLate", SourceFault, "Inputs came too late for the lead.")
CycleNotYetAvailable = _code("CycleNotYetAvailable", SourceFault, "GFS cycle is not complete yet.")
SourceCorrupt = _code("SourceCorrupt", SourceFault, "Source delivered wrong bytes.")
SourceThrottled = _code("SourceThrottled", SourceFault, "Source asks to slow down.")
TruthNotYetAvailable = _code("TruthNotYetAvailable", SourceFault, "Truth is not complete yet.")

SourceGone = _code("SourceGone", SourceFault, "Source will never have it.", final=True)

IngressDown = _code("IngressDown", PlatformFault, "Our own HTTP side was down.")
EgressDown = _code("EgressDown", PlatformFault, "Our own network was down.")
StoreUnavailable = _code("StoreUnavailable", PlatformFault, "Object store cannot be reached.")
LedgerUnavailable = _code("LedgerUnavailable", PlatformFault, "Ledger cannot be reached.")
ArtifactUploadFailed = _code("ArtifactUploadFailed", PlatformFault, "Artefact could not be stored.")
DiskFull = _code("DiskFull", PlatformFault, "No space left.")
ActivityTimeout = _code("ActivityTimeout", PlatformFault, "Activity ran out of its time.")
WorkerLost = _code("WorkerLost", PlatformFault, "Worker was lost.")
InternalError = _code("InternalError", PlatformFault, "Anything unforeseen.")
ChildStillOpen = _code("ChildStillOpen", PlatformFault, "Child workflow is still open.")
SinkUnavailable = _code("SinkUnavailable", PlatformFault, "Sink takes no weights now.")

RunLate = _code("RunLate", PlatformFault, "Run opened too late for the lead.", final=True)
RetryBudgetExhausted = _code("RetryBudgetExhausted", PlatformFault, "No attempt is left.", final=True)
OutOfMemory = _code("OutOfMemory", PlatformFault, "No memory left.", final=True)
LedgerConflict = _code("LedgerConflict", PlatformFault, "Another value is already stored under the key.", final=True)
RunTerminated = _code("RunTerminated", PlatformFault, "Run was terminated.", final=True)
NothingToPublish = _code("NothingToPublish", PlatformFault, "Nobody is left who could be paid.", final=True)
WeightsNotPublished = _code("WeightsNotPublished", PlatformFault, "Weights are not in a sink.", final=True)
