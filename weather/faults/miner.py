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
