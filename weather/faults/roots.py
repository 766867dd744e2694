"""The roots of the error tree: whose fault it is."""

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
