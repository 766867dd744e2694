"""The commitment: a miner's signed root, bound to network, run, hotkey, grid, rules and inputs."""

from __future__ import annotations

from typing import Any, Literal

from protocol.canonical import digest
from protocol.document import Count, Digest
from protocol.layout import Layout
from protocol.messages import CommitmentData, ForecastRequestData, KerchunkCompleted, StoreIdentity
from protocol.receipt import CommitmentAnswer, CommitmentEntry, Signed, broken_part
from weather.faults import (
    CommitmentBindingMismatch,
    CommitmentMalformed,
    CommitmentSignatureInvalid,
    InputDigestMismatch,
)


class Commitment(StoreIdentity, Signed):
    """What a miner commits to; the salt hides the root until the run is sealed."""

    label, author = "commitment", "hotkey"

    kind: Literal["commitment"] = "commitment"
    score_spec_digest: Digest
    input_data_hash: Digest | None
    root: Digest
    object_count: Count
    total_bytes: Count
    salt: Digest

    @classmethod
    def parse(cls, body: bytes | dict[str, Any]) -> Commitment:
        """Read bytes, or JSON that is parsed already; CommitmentMalformed for wrong members or formats."""
        try:
            return super().parse(body) if isinstance(body, bytes) else cls.of_value(body)
        except ValueError as error:
            raise CommitmentMalformed(f"commitment refused: {error}") from error

    @property
    def digest(self) -> str:
        """`D("commitment", J(commitment))`."""
        return digest(self.label, self.canonical)

    def is_logged_as(self, entry: CommitmentEntry) -> bool:
        """Whether an entry of the log is that of this commitment."""
        named = (entry.network, entry.run_id, entry.hotkey, entry.commitment_digest)
        return named == (self.network, self.run_id, self.hotkey, self.digest)

    def check_binding(self, call: ForecastRequestData, hotkey: str) -> None:
        """Check that this is the hotkey's commitment for the call.

        Raises:
            CommitmentBindingMismatch: other network, run, job, miner, grid, layout or rules; the first is named.
            InputDigestMismatch: other inputs.
        """
        expected = {**call.identity(hotkey).value, "score_spec_digest": call.score_spec_digest}
        found = self.value
        for name in expected:
            if found[name] != expected[name]:
                raise CommitmentBindingMismatch(f"commitment: {name}", found=found[name], expected=expected[name])
        if self.input_data_hash not in (None, call.input_data_hash):
            raise InputDigestMismatch("inputs", found=self.input_data_hash, expected=call.input_data_hash)

    def check_sizes(self, layout: Layout) -> None:
        """Refuse as CommitmentMalformed a count or total that no store of the layout can have."""
        limits = layout.size_limits.values()
        least, greatest = (sum(bounds) for bounds in zip(*limits, strict=True))
        if self.object_count != len(limits):
            raise CommitmentMalformed("object_count", found=self.object_count, expected=len(limits))
        if not least <= self.total_bytes <= greatest:
            raise CommitmentMalformed("total_bytes", found=self.total_bytes, expected=f"{least} … {greatest}")


def accept(
    offer: CommitmentData | KerchunkCompleted, call: ForecastRequestData, hotkey: str, layout: Layout
) -> Commitment:
    """Read the commitment that a miner offers and check all but time and precedence, in the order of the protocol.

    Raises:
        CommitmentMalformed: members, formats, or sizes that the layout can not have.
        CommitmentBindingMismatch: bound to another call or miner.
        InputDigestMismatch: names other inputs.
        CommitmentSignatureInvalid: not signed by the hotkey.
    """
    commitment = Commitment.parse(offer.commitment)
    commitment.check_binding(call, hotkey)
    commitment.check_sizes(layout)
    if not commitment.signed_by(hotkey, offer.signature):
        raise CommitmentSignatureInvalid("signature does not verify", found=offer.signature)
    return commitment


def first_broken(offer: CommitmentData, answer: CommitmentAnswer, miner: str, validator: str) -> str | None:
    """The first of commitment, receipt, tree_head and inclusion_proof that does not hold offline; None if all do."""
    try:
        commitment = Commitment.parse(offer.commitment)
    except CommitmentMalformed:
        return "commitment"
    if not commitment.signed_by(miner, offer.signature):
        return "commitment"
    return broken_part(answer, validator) if commitment.is_logged_as(answer.receipt.entry) else "receipt"
