from collections.abc import Iterator
from typing import Any

import pytest

from protocol.canonical import J, load_json_strict
from protocol.commitment import Commitment, accept, first_broken
from protocol.messages import CommitmentData
from protocol.names import job_id
from protocol.receipt import CommitmentAnswer
from tests.unit.protocol.world import (
    CALL,
    COMMITMENT,
    LAYOUT,
    MANIFEST,
    MINER,
    OTHER,
    RUN,
    VALIDATOR,
    commitment_to,
    logged,
    offer_of,
)
from weather.faults import (
    CommitmentBindingMismatch,
    CommitmentMalformed,
    CommitmentSignatureInvalid,
    InputDigestMismatch,
)

HINDCAST = "campaign/demo/forecast/2026-11-22T18Z"
OFFER = offer_of(COMMITMENT)
ANSWER = logged()


def offer(**changes: Any) -> CommitmentData:
    return offer_of(commitment_to(MANIFEST, **changes))


def test_the_right_commitment_is_accepted_with_or_without_inputs() -> None:
    assert accept(OFFER, CALL, MINER.hotkey, LAYOUT) == COMMITMENT
    silent = accept(offer(input_data_hash=None), CALL, MINER.hotkey, LAYOUT)
    assert silent.input_data_hash is None
    assert Commitment.parse(COMMITMENT.canonical) == COMMITMENT


@pytest.mark.parametrize(
    "change",
    [
        {"hash": "xxh64"},
        {"protocol": "barograph/2"},
        {"kind": "receipt"},
        {"network": "Test"},
        {"run_id": "forecast/2026-11-22T17Z"},
        {"init_time": "2026-11-22T18:00:00.000Z"},
        {"init_time": "2026-11-22T18:00:00+00:00"},
        {"job_id": COMMITMENT.job_id.upper()},
        {"job_id": "2f1c8f3e-9f0e-4e1c-8f1d-6a7b8c9d0e1f"},
        {"hotkey": MINER.hotkey.upper()},
        {"root": "00"},
        {"salt": None},
        {"object_count": "33"},
        {"object_count": 33.0},
        {"total_bytes": -1},
        {"total_bytes": 2**53},
    ],
)
def test_wrong_members_and_formats_are_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(CommitmentMalformed):
        Commitment.parse({**COMMITMENT.value, **change})


@pytest.mark.parametrize("name", sorted(COMMITMENT.value))
def test_no_member_may_lack(name: str) -> None:
    with pytest.raises(CommitmentMalformed):
        Commitment.parse({other: value for other, value in COMMITMENT.value.items() if other != name})


def test_duplicate_members_are_malformed() -> None:
    body = COMMITMENT.canonical
    with pytest.raises(CommitmentMalformed, match="duplicate"):
        Commitment.parse(body.replace(b"{", b'{"network":"test",', 1))


@pytest.mark.parametrize(
    "change",
    [
        {"network": "other"},
        {"run_id": "forecast/2026-11-22T12Z"},
        {"run_id": HINDCAST, "job_id": job_id("test", HINDCAST, MINER.hotkey)},
        {"init_time": CALL.requested_at},
        {"job_id": job_id("test", RUN, OTHER.hotkey)},
        {"hotkey": OTHER.hotkey},
        {"grid": "5p625"},
        {"layout_digest": "00" * 32},
        {"score_spec_digest": "00" * 32},
    ],
)
def test_a_commitment_bound_to_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CommitmentBindingMismatch, match=next(iter(change))):
        accept(offer(**change), CALL, MINER.hotkey, LAYOUT)


def test_the_commitment_of_another_miner_is_refused_as_it_is_and_with_the_old_signature() -> None:
    with pytest.raises(CommitmentBindingMismatch):
        accept(OFFER, CALL, OTHER.hotkey, LAYOUT)
    stolen = commitment_to(MANIFEST, hotkey=OTHER.hotkey, job_id=job_id("test", RUN, OTHER.hotkey))
    forged = CommitmentData(commitment=stolen.value, signature=OFFER.signature)
    with pytest.raises(CommitmentSignatureInvalid):
        accept(forged, CALL, OTHER.hotkey, LAYOUT)


def test_the_job_of_the_call_document_does_not_matter() -> None:
    call = CALL.addressed_to(OTHER.hotkey)
    assert call.job_id != CALL.job_id
    assert call.call_digest == CALL.call_digest
    assert accept(OFFER, call, MINER.hotkey, LAYOUT) == COMMITMENT


def test_other_inputs_are_refused() -> None:
    with pytest.raises(InputDigestMismatch):
        accept(offer(input_data_hash="00" * 32), CALL, MINER.hotkey, LAYOUT)


def bounds() -> tuple[int, int]:
    limits = LAYOUT.size_limits.values()
    return sum(least for least, _ in limits), sum(greatest for _, greatest in limits)


def test_counts_and_totals_that_the_layout_can_not_have_are_malformed() -> None:
    least, greatest = bounds()
    for total in (least, greatest):
        accept(offer(total_bytes=total), CALL, MINER.hotkey, LAYOUT)
    for change in (
        {"object_count": COMMITMENT.object_count - 1},
        {"total_bytes": least - 1},
        {"total_bytes": greatest + 1},
    ):
        with pytest.raises(CommitmentMalformed, match=next(iter(change))):
            accept(offer(**change), CALL, MINER.hotkey, LAYOUT)


@pytest.mark.parametrize("signature", ["", "00" * 64, OFFER.signature.upper(), OFFER.signature + "00"])
def test_a_commitment_needs_the_signature_of_its_miner(signature: str) -> None:
    with pytest.raises(CommitmentSignatureInvalid):
        accept(OFFER.model_copy(update={"signature": signature}), CALL, MINER.hotkey, LAYOUT)
    with pytest.raises(CommitmentSignatureInvalid):
        accept(offer_of(COMMITMENT, OTHER), CALL, MINER.hotkey, LAYOUT)


def test_the_order_of_checks_is_members_binding_sizes_signature() -> None:
    wrong = {**COMMITMENT.value, "salt": "", "network": "other", "object_count": 1}
    data = CommitmentData(commitment=wrong, signature="")
    with pytest.raises(CommitmentMalformed, match="salt"):
        accept(data, CALL, MINER.hotkey, LAYOUT)
    wrong["salt"] = COMMITMENT.salt
    with pytest.raises(CommitmentBindingMismatch):
        accept(data.model_copy(update={"commitment": wrong}), CALL, MINER.hotkey, LAYOUT)
    wrong["network"] = "test"
    with pytest.raises(CommitmentMalformed, match="object_count"):
        accept(data.model_copy(update={"commitment": wrong}), CALL, MINER.hotkey, LAYOUT)


def flips(body: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(body)):
        index, shift = divmod(bit, 8)
        yield body[:index] + bytes([body[index] ^ 1 << shift]) + body[index + 1 :]


def broken(part: str, body: bytes) -> str | None:
    """What the offline check names if one part of the proof is replaced by other bytes; `unread` if it is no JSON."""
    try:
        value = load_json_strict(body, 10_000)
        if part in ("commitment", "signature"):
            data = CommitmentData.of_value({**OFFER.value, part: value})
            return first_broken(data, ANSWER, MINER.hotkey, VALIDATOR.hotkey)
        answer = CommitmentAnswer.of_value({**ANSWER.value, part: value})
        return first_broken(OFFER, answer, MINER.hotkey, VALIDATOR.hotkey)
    except ValueError:
        return "unread"


PARTS = {"commitment": COMMITMENT.value, "signature": OFFER.signature}
PARTS |= {name: value for name, value in ANSWER.value.items() if name != "in_time"}


@pytest.mark.parametrize("part", PARTS)
def test_any_flipped_bit_fails_the_offline_check(part: str) -> None:
    body = J(PARTS[part])
    assert broken(part, body) is None
    assert None not in {broken(part, flipped) for flipped in flips(body)}


def test_the_offline_check_names_the_first_part_that_does_not_hold() -> None:
    stranger = logged(commitment_to(MANIFEST, salt="45" * 32))
    head = {"tree_head": stranger.tree_head, "tree_head_signature": stranger.tree_head_signature}
    network = ANSWER.tree_head.model_copy(update={"network": "other"})
    cases = {
        "commitment": (offer_of(COMMITMENT, OTHER), ANSWER),
        "receipt": (OFFER, stranger),
        "tree_head": (OFFER, ANSWER.model_copy(update={"tree_head": network})),
        "inclusion_proof": (OFFER, ANSWER.model_copy(update=head)),
    }
    for part, (data, answer) in cases.items():
        assert first_broken(data, answer, MINER.hotkey, VALIDATOR.hotkey) == part
    assert first_broken(OFFER, ANSWER, OTHER.hotkey, VALIDATOR.hotkey) == "commitment"
    assert first_broken(OFFER, ANSWER, MINER.hotkey, OTHER.hotkey) == "receipt"
