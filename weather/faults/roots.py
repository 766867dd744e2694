"""The roots of the error tree: whose fault it is."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

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

    def __init_subclass__(cls, *, retryable: bool | None = None) -> None:
        """Whether another attempt can help is what the parent says, unless the class says it."""
        if retryable is not None:
            cls.retryable = retryable

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


class PolicyRefusal(Fault, retryable=False):
    """The rules forbid it; no retry can help."""

    cause = "policy"


class SourceFault(Fault):
    """GFS, ERA5 or climatology: late, absent or wrong."""

    cause = "source"


class PlatformFault(Fault):
    """Ours."""

    cause = "platform"


def _plain(value: object, most: int) -> str:
    """Text of bounded length that logs, histories and ledgers can hold, whoever wrote it."""
    text = str(value)[:most]
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)[:most]
