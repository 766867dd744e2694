"""The weights of an epoch as they are published, and the key under which a sink knows them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.canonical import J
from protocol.document import Count, Digest, Document, Hotkey, Name, Protocol
from protocol.names import PROTOCOL

WHOLE = 1_000_000_000

Share = tuple[Hotkey, Annotated[int, Field(ge=0, le=WHOLE)]]


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
        if (total := sum(ppb for _, ppb in self.shares)) != WHOLE:
            raise ValueError(f"shares add up to {total} ppb, not to {WHOLE}")
        return self

    @property
    def shares_digest(self) -> str:
        """SHA-256 of the canonical shares, equal in all epochs of a vector."""
        return hashlib.sha256(J(self.value["shares"])).hexdigest()


def publication_key(network: str, epoch: int, sink: str, shares_digest: str) -> str:
    """The idempotency key of one epoch in one sink, in hex."""
    return hashlib.sha256(f"weights|{network}|{epoch}|{sink}|{shares_digest}".encode()).hexdigest()
