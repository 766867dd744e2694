"""What a miner did or left undone."""

from __future__ import annotations

from weather.faults.roots import MinerFault


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


class Equivocation(MinerFault, retryable=False):
    """Different commitments for one run."""


class AddressRefused(MinerFault, retryable=False):
    """Address is not allowed."""


class Redirected(MinerFault, retryable=False):
    """Answer redirects."""


class ManifestMalformed(MinerFault, retryable=False):
    """Manifest is not canonical."""


class ManifestPathsWrong(MinerFault, retryable=False):
    """Manifest paths are not the object set."""


class ManifestSizesWrong(MinerFault, retryable=False):
    """Manifest sizes are outside the budget."""


class CoordinatesWrong(MinerFault, retryable=False):
    """Coordinate chunks are not those of the layout."""


class MetadataRefused(MinerFault, retryable=False):
    """Zarr.json is not the template's."""


class ManifestMismatch(MinerFault, retryable=False):
    """Manifest does not give the committed root."""


class ObjectLengthMismatch(MinerFault, retryable=False):
    """Object length is not the committed one."""


class ObjectDigestMismatch(MinerFault, retryable=False):
    """Object bytes are not the committed ones."""


class ContentCodingRefused(MinerFault, retryable=False):
    """Answer carries a content coding."""


class DecodedSizeRefused(MinerFault, retryable=False):
    """Declared decoded size is not the layout's."""


class DecodeFailed(MinerFault, retryable=False):
    """Object does not decode."""


class IncompleteForecast(MinerFault, retryable=False):
    """Forecast field has cells that are not finite."""


class QualityControlFailed(MinerFault, retryable=False):
    """Forecast failed day-1 quality control."""
