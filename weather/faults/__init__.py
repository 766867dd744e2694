"""The error tree: each exception says whose fault it is.

    Fault
    ├── MinerFault        the participant's: costs points
    ├── PolicyRefusal     the rules': may cost points, or nothing was run
    ├── SourceFault       data of GFS or ERA5 absent or wrong: void for all, never for one
    └── PlatformFault     ours: void for all, never for one

The exact class name is the code of a non-score, of a Temporal failure and of an event.
"""

from __future__ import annotations

from weather.faults.miner import (
    AddressRefused as AddressRefused,
)
from weather.faults.miner import (
    AuditFailed as AuditFailed,
)
from weather.faults.miner import (
    BadAnswer as BadAnswer,
)
from weather.faults.miner import (
    CertificateRefused as CertificateRefused,
)
from weather.faults.miner import (
    CommitmentBindingMismatch as CommitmentBindingMismatch,
)
from weather.faults.miner import (
    CommitmentMalformed as CommitmentMalformed,
)
from weather.faults.miner import (
    CommitmentSignatureInvalid as CommitmentSignatureInvalid,
)
from weather.faults.miner import (
    ContentCodingRefused as ContentCodingRefused,
)
from weather.faults.miner import (
    CoordinatesWrong as CoordinatesWrong,
)
from weather.faults.miner import (
    DecodedSizeRefused as DecodedSizeRefused,
)
from weather.faults.miner import (
    DecodeFailed as DecodeFailed,
)
from weather.faults.miner import (
    Equivocation as Equivocation,
)
from weather.faults.miner import (
    IncompleteForecast as IncompleteForecast,
)
from weather.faults.miner import (
    InputDigestMismatch as InputDigestMismatch,
)
from weather.faults.miner import (
    ManifestAbsent as ManifestAbsent,
)
from weather.faults.miner import (
    ManifestMalformed as ManifestMalformed,
)
from weather.faults.miner import (
    ManifestMismatch as ManifestMismatch,
)
from weather.faults.miner import (
    ManifestPathsWrong as ManifestPathsWrong,
)
from weather.faults.miner import (
    ManifestSizesWrong as ManifestSizesWrong,
)
from weather.faults.miner import (
    MetadataRefused as MetadataRefused,
)
from weather.faults.miner import (
    MinerReportedError as MinerReportedError,
)
from weather.faults.miner import (
    MinerTimeout as MinerTimeout,
)
from weather.faults.miner import (
    MinerUnreachable as MinerUnreachable,
)
from weather.faults.miner import (
    NoCommitment as NoCommitment,
)
from weather.faults.miner import (
    ObjectAbsent as ObjectAbsent,
)
from weather.faults.miner import (
    ObjectDigestMismatch as ObjectDigestMismatch,
)
from weather.faults.miner import (
    ObjectLengthMismatch as ObjectLengthMismatch,
)
from weather.faults.miner import (
    QualityControlFailed as QualityControlFailed,
)
from weather.faults.miner import (
    Redirected as Redirected,
)
from weather.faults.miner import (
    TokenInvalid as TokenInvalid,
)
from weather.faults.miner import (
    TokenRefused as TokenRefused,
)
from weather.faults.miner import (
    TransferFailed as TransferFailed,
)
from weather.faults.miner import (
    TransferSlow as TransferSlow,
)
from weather.faults.miner import (
    UrlRefused as UrlRefused,
)
from weather.faults.ours import (
    ActivityTimeout as ActivityTimeout,
)
from weather.faults.ours import (
    ArtifactUploadFailed as ArtifactUploadFailed,
)
from weather.faults.ours import (
    ChildStillOpen as ChildStillOpen,
)
from weather.faults.ours import (
    CycleNotYetAvailable as CycleNotYetAvailable,
)
from weather.faults.ours import (
    DiskFull as DiskFull,
)
from weather.faults.ours import (
    EgressDown as EgressDown,
)
from weather.faults.ours import (
    IngressDown as IngressDown,
)
from weather.faults.ours import (
    InputsLate as InputsLate,
)
from weather.faults.ours import (
    InternalError as InternalError,
)
from weather.faults.ours import (
    LedgerConflict as LedgerConflict,
)
from weather.faults.ours import (
    LedgerUnavailable as LedgerUnavailable,
)
from weather.faults.ours import (
    NoVerifiedForecast as NoVerifiedForecast,
)
from weather.faults.ours import (
    OutOfMemory as OutOfMemory,
)
from weather.faults.ours import (
    RetryBudgetExhausted as RetryBudgetExhausted,
)
from weather.faults.ours import (
    RunIncomplete as RunIncomplete,
)
from weather.faults.ours import (
    RunLate as RunLate,
)
from weather.faults.ours import (
    RunTerminated as RunTerminated,
)
from weather.faults.ours import (
    SourceCorrupt as SourceCorrupt,
)
from weather.faults.ours import (
    SourceGone as SourceGone,
)
from weather.faults.ours import (
    SourceThrottled as SourceThrottled,
)
from weather.faults.ours import (
    StoreUnavailable as StoreUnavailable,
)
from weather.faults.ours import (
    TruthNotYetAvailable as TruthNotYetAvailable,
)
from weather.faults.ours import (
    WorkerLost as WorkerLost,
)
from weather.faults.policy import (
    BaselineClone as BaselineClone,
)
from weather.faults.policy import (
    CommitmentLate as CommitmentLate,
)
from weather.faults.policy import (
    ConfigurationInvalid as ConfigurationInvalid,
)
from weather.faults.policy import (
    ExactClone as ExactClone,
)
from weather.faults.policy import (
    HindcastDeclined as HindcastDeclined,
)
from weather.faults.policy import (
    NearClone as NearClone,
)
from weather.faults.policy import (
    PrerequisiteMissing as PrerequisiteMissing,
)
from weather.faults.policy import (
    RosterExcluded as RosterExcluded,
)
from weather.faults.policy import (
    VoidedByOperator as VoidedByOperator,
)
from weather.faults.roots import (
    Cause as Cause,
)
from weather.faults.roots import (
    Fault as Fault,
)
from weather.faults.roots import (
    MinerFault as MinerFault,
)
from weather.faults.roots import (
    PlatformFault as PlatformFault,
)
from weather.faults.roots import (
    PolicyRefusal as PolicyRefusal,
)
from weather.faults.roots import (
    SourceFault as SourceFault,
)


def tree() -> dict[str, type[Fault]]:
    """Every class of the tree by its exact name."""
    classes: dict[str, type[Fault]] = {}
    pending: list[type[Fault]] = [Fault]
    while pending:
        parent = pending.pop()
        classes[parent.__name__] = parent
        pending.extend(parent.__subclasses__())
    return classes
