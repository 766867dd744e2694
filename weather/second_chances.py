"""What a fault may still become, as data: who tries again until when, and what it costs if it is final.

Source: rounds-and-weights §4. Only `miner` and `policy` faults cost points; codes that no score carries are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["commit", "transfer"]
Until = Literal["commit_deadline", "close_by", "next_roster", "never"]
Effect = Literal["W", "V"]


@dataclass(frozen=True)
class SecondChance:
    """One row of the table.

    Attributes:
        automatic: what is tried again without anybody's help.
        until: when that ends, an operator's verbs included.
        verbs: what an operator may do.
        effect: W, worst for the miner in the scope of the code; V, void for all miners.
    """

    codes: frozenset[str]
    phases: frozenset[Phase]
    automatic: str
    until: Until
    verbs: tuple[str, ...]
    effect: Effect


def _row(  # noqa: PLR0913 -- the columns of the table
    codes: str, phases: str, automatic: str, until: Until, verbs: str, effect: Effect
) -> SecondChance:
    named: list[Phase] = [phase for phase in ("commit", "transfer") if phase in phases]
    return SecondChance(frozenset(codes.split()), frozenset(named), automatic, until, tuple(verbs.split()), effect)


_CALLS = "MinerUnreachable MinerTimeout MinerReportedError BadAnswer"
_TRANSFERS = (
    "TransferFailed TransferSlow CertificateRefused ObjectAbsent ManifestAbsent TokenRefused TokenInvalid UrlRefused"
)
_MESSAGES = "CommitmentMalformed CommitmentSignatureInvalid CommitmentBindingMismatch InputDigestMismatch"
_BYTES = (
    "AddressRefused Redirected ManifestMalformed ManifestPathsWrong ManifestSizesWrong ManifestMismatch "
    "CoordinatesWrong MetadataRefused ObjectLengthMismatch ObjectDigestMismatch ContentCodingRefused "
    "DecodedSizeRefused DecodeFailed"
)
_OURS = (
    "EgressDown StoreUnavailable LedgerUnavailable ArtifactUploadFailed DiskFull OutOfMemory ActivityTimeout "
    "WorkerLost InternalError RetryBudgetExhausted"
)

TABLE = (
    _row(f"NoCommitment {_CALLS}", "commit", "calls and polls, ever rarer", "commit_deadline", "", "W"),
    _row(_MESSAGES, "commit", "any number of corrected messages", "commit_deadline", "", "W"),
    _row(f"{_CALLS} {_TRANSFERS}", "transfer", "three rounds of three attempts", "close_by", "rerun", "W"),
    _row(_BYTES, "transfer", "nothing", "close_by", "rerun", "W"),
    _row("IncompleteForecast QualityControlFailed Equivocation AuditFailed", "transfer", "nothing", "never", "", "W"),
    _row("CommitmentLate", "commit", "nothing", "never", "", "W"),
    _row("ExactClone NearClone BaselineClone", "transfer", "nothing", "never", "", "W"),
    _row("RosterExcluded HindcastDeclined", "commit", "the next roster", "next_roster", "", "W"),
    _row("VoidedByOperator", "commit transfer", "nothing", "close_by", "rerun", "V"),
    _row("IngressDown RunLate", "commit", "the deadline moves for all", "commit_deadline", "", "V"),
    _row(_OURS, "commit transfer", "other pods, for a day a lead", "close_by", "rerun skip accept", "V"),
    _row("InputsLate CycleNotYetAvailable", "commit", "asked for again", "commit_deadline", "", "V"),
    _row(
        "SourceThrottled SourceCorrupt SourceGone",
        "commit transfer",
        "asked for again",
        "close_by",
        "rerun accept",
        "V",
    ),
    _row("TruthNotYetAvailable", "transfer", "every 6 h for 10 days", "close_by", "rerun accept", "V"),
)


def second_chance(code: str, phase: Phase) -> SecondChance | None:
    """The row of a code in a phase; None for a code that no score carries then."""
    return next((row for row in TABLE if code in row.codes and phase in row.phases), None)


def helped_by_rerun(code: str) -> bool:
    """Whether an operator's rerun may undo it; a copy or a bad forecast stays what it is."""
    return any(code in row.codes and "rerun" in row.verbs for row in TABLE)


def effect_of(code: str) -> Effect:
    """Worst for the miner, or void for all if it is nobody's fault or none that a score can carry."""
    return "W" if any(code in row.codes and row.effect == "W" for row in TABLE) else "V"
