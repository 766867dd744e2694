"""Weights: all that they are computed from, so that anybody can compute them again, and what of them is published."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.canonical import J
from protocol.document import Count, Digest, Document, Hotkey, Name, Protocol, RunId, Word
from protocol.names import PROTOCOL
from weather.faults import LedgerConflict
from weather.weights.apportion import BILLION, payable
from weather.weights.policies import ParetoSubsets, Policy, shares
from weather.weights.window import RoundState, Standing, Window

BASELINE = "baseline/climatology"

Share = tuple[Hotkey, Annotated[int, Field(ge=0, le=BILLION)]]


class CountedRound(Document):
    """A round of the window; the digest is that of its scores."""

    run_id: RunId
    serial: Count
    outcome: Literal["closed", "closed_partial"]
    digest: Digest

    @classmethod
    def of(cls, state: RoundState) -> Self:
        """The round with the digest of R and p of each hotkey, the baseline's too."""
        table = {"totals": dict(state.totals), "groups": {name: dict(parts) for name, parts in state.scores.items()}}
        digest = hashlib.sha256(J(table)).hexdigest()
        return cls.model_validate(
            {"run_id": state.run_id, "serial": state.serial, "outcome": state.outcome, "digest": digest}
        )


class ScheduledPolicy(BaseModel):
    """A policy from an epoch on; the hotkeys of an identity class are taken for one miner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    effective_from_epoch: Count = 0
    policy: Policy = ParetoSubsets()
    identity_classes: dict[Word, tuple[Hotkey, ...]] = {}


class WeightInputs(Document):
    """No time of computing and no epoch takes part.

    Attributes:
        head: serial up to which all rounds are terminal.
        baseline: under which hotkey the baseline is scored.
    """

    max_bytes: ClassVar[int] = 2**20

    protocol: Protocol = PROTOCOL
    kind: Literal["weight-inputs"] = "weight-inputs"
    network: Name
    policy: Policy
    head: Count
    baseline: Word = BASELINE
    rounds: tuple[CountedRound, ...]
    standings: tuple[Standing, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex of the canonical bytes."""
        return hashlib.sha256(self.canonical).hexdigest()

    def shares(self, rounds: Sequence[RoundState]) -> list[tuple[str, int]]:
        """Shares in ppb by hotkey, with what is burned paid to its hotkey.

        Args:
            rounds: those of the window, with their scores.

        Raises:
            LedgerConflict: the rounds are not those that were frozen.
            NothingToPublish: nobody is left.
        """
        if (found := tuple(map(CountedRound.of, rounds))) != self.rounds:
            raise LedgerConflict("the rounds are not those of the inputs", found=found, expected=self.rounds)
        divided = shares(self.policy, Window(rounds, self.baseline), self.standings)
        return sorted(payable(divided, self.policy.burn_hotkey).items())


class WeightsPayload(Document):
    """Shares of one epoch in ppb, by hotkey; between epochs of one vector only `epoch` differs.

    Attributes:
        version: of the policy.
        head: serial of the last round that counts.
        input_digest: of all that the shares were computed from.
    """

    protocol: Protocol = PROTOCOL
    kind: Literal["weights"] = "weights"
    network: Name
    epoch: Count
    policy: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    version: Count
    head: Count
    input_digest: Digest
    shares: tuple[Share, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        hotkeys = [hotkey for hotkey, _ in self.shares]
        if hotkeys != sorted(set(hotkeys)):
            raise ValueError("shares are not in the order of their hotkeys, each once")
        if (total := sum(ppb for _, ppb in self.shares)) != BILLION:
            raise ValueError(f"shares add up to {total} ppb, not to {BILLION}")
        return self

    @property
    def shares_digest(self) -> str:
        """SHA-256 of the canonical shares, equal in all epochs of a vector."""
        return hashlib.sha256(J(self.value["shares"])).hexdigest()


def publication_key(network: str, epoch: int, sink: str, shares_digest: str) -> str:
    """The idempotency key of one epoch in one sink, in hex."""
    return hashlib.sha256(f"weights|{network}|{epoch}|{sink}|{shares_digest}".encode()).hexdigest()
