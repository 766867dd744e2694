"""What every message has in common."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from weather.faults import Fault

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hotkey = Digest
Instant = AwareDatetime
Purpose = Literal["live", "hindcast"]
PassName = Literal["day1_qc", "era5_final"]
TruthVersion = Literal["gfs_analysis", "era5t", "era5"]


class Message(BaseModel):
    """A frozen value that refuses members it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ref(Message):
    """Bytes in the object store, by digest."""

    sha256: Digest
    size_bytes: int


class FaultNote(Message):
    """Why something has no score, small enough for a history."""

    code: str
    cause: Literal["miner", "policy", "source", "platform"]
    detail: str = ""
    found: str | None = None
    expected: str | None = None

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """The note that a fault leaves in a history."""
        return cls(
            code=fault.code, cause=fault.cause, detail=fault.detail[:500], found=fault.found, expected=fault.expected
        )
