"""Named checks: each passes, fails, or is skipped because one that it needs did not pass."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from adapters.telemetry import scrub
from protocol.problems import Refusal
from weather.faults import MinerFault

PAGES = {
    "0": "protocol/README.md",
    "1": "protocol/tokens.md",
    "2.1": "protocol/README.md",
    "2.2": "joining.md",
    "2.3": "protocol/forecast-request.md",
    "2.4": "protocol/commitment.md",
    "2.5": "protocol/kerchunk-request.md",
    "2.6": "joining.md",
    "3": "protocol/store.md",
    "4.1": "protocol/store.md",
    "4.2": "protocol/commitment.md",
    "4.4": "protocol/receipt.md",
    "5.1": "protocol/store.md",
    "5.2": "joining.md",
    "5.3": "joining.md",
}


class Broken(Exception):
    """A check does not hold; without `expected` it is what the check says."""

    def __init__(self, found: object, expected: object = None) -> None:
        super().__init__(scrub(str(found))[:500])
        self.expected = None if expected is None else scrub(str(expected))[:500]


class Seen(str):
    """What a check that passed has measured; nothing else that checks learn is shown."""


NOT_CONFORM = (Broken, MinerFault, Refusal, ValueError, httpx.HTTPError, TimeoutError)


class Finding(BaseModel):
    """What became of one check; `paragraph` is of the protocol, `page` the file below `docs/` that tells of it."""

    model_config = ConfigDict(frozen=True)

    check: str
    result: Literal["pass", "fail", "skip"]
    paragraph: str
    page: str
    found: str | None
    expected: str
    seconds: float


@dataclass(frozen=True)
class Check:
    """`do`, which may be a coroutine function, is given the bench and what the needed checks returned, if anything."""

    name: str
    paragraph: str
    says: str
    do: Callable[..., Any]
    needs: tuple[str, ...] = ()

    async def examine(self, bench: Any, learnt: dict[str, Any]) -> Finding:
        """Do it, and add what it returns to what is learnt."""
        began, expected = time.monotonic(), None
        if lacking := [need for need in self.needs if need not in learnt]:
            result, found = "skip", f"{lacking[0]} did not pass"
        else:
            try:
                given = (learnt[need] for need in self.needs)
                value = self.do(bench, *(each for each in given if each is not None))
                learnt[self.name] = value = await value if inspect.isawaitable(value) else value
                result, found = "pass", value if isinstance(value, Seen) else None
            except NOT_CONFORM as error:
                result, found, expected = "fail", _found(error), getattr(error, "expected", None)
        return Finding(
            check=self.name,
            result=result,
            paragraph=f"§{self.paragraph}",
            page=PAGES[self.paragraph],
            found=found,
            expected=expected or self.says,
            seconds=round(time.monotonic() - began, 3),
        )


async def examine(checks: Iterable[Check], bench: Any) -> list[Finding]:
    """All checks, one after another."""
    learnt: dict[str, Any] = {}
    return [await check.examine(bench, learnt) for check in checks]


def require(holds: bool, found: object, expected: object = None) -> None:
    """Let pass what holds."""
    if not holds:
        raise Broken(found, expected)


def _found(error: Exception) -> str:
    if isinstance(error, MinerFault):
        return ": ".join(filter(None, [error.code, error.detail, error.found]))
    kind = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
    return f"{kind}{error}"
