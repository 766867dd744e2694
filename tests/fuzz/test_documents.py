"""Every JSON body that a miner sends: one documented error, or a document that says again what was read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical import J, load_json_strict
from protocol.commitment import Commitment, accept
from protocol.document import Document
from protocol.messages import (
    CommitmentData,
    CommitmentRequest,
    ForecastAnswer,
    JobError,
    KerchunkCompleted,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
    ReceiptDelivery,
    ReceiptStored,
    parse_kerchunk_answer,
)
from protocol.problems import Problem, Refusal
from tests.fuzz.mutations import HOSTILE_JSON, changed_bytes, changed_json, changed_values
from tests.fuzz.profiles import bounded
from tests.unit.protocol.world import CALL, COMMITMENT, LAYOUT, MINER, NONCE, NOW, logged, offer_of
from weather.faults import (
    CommitmentBindingMismatch,
    CommitmentMalformed,
    CommitmentSignatureInvalid,
    InputDigestMismatch,
)

JOB = CALL.job_id
OFFER = offer_of(COMMITMENT)
ANSWERS = {
    "received": ForecastAnswer(job_id=JOB, status="received", estimated_ready_at=NOW),
    "error": ForecastAnswer(job_id=JOB, status="error", error=JobError(code="busy", detail="later")),
}
KERCHUNK = {
    "completed": KerchunkCompleted(
        job_id=JOB,
        access_token="a.b.c",
        zarr_store_url="https://miner.example/zarr/x/",
        verification_hash=COMMITMENT.root,
        commitment=OFFER.commitment,
        signature=OFFER.signature,
    ),
    "processing": KerchunkProcessing(job_id=JOB, stage="inference", estimated_ready_at=NOW, input_data_hash="3" * 64),
    "failed": KerchunkError(job_id=JOB, error=JobError(code="inference_failed", detail="x")),
    "not found": KerchunkNotFound(job_id=JOB),
}
PROBLEMS = {
    "plain": Refusal("RateLimited", "slower").problem("/weather-commitment"),
    "with a receipt": Refusal("CommitmentExists", "the first stands").problem("/weather-commitment", logged()),
}
REQUESTS = {
    "push": CommitmentRequest(nonce=NONCE, data=OFFER),
    "delivery": ReceiptDelivery(nonce=NONCE, data=logged()),
}

Parse = Callable[[bytes], Document]


def _read(model: type[Any]) -> Parse:
    return lambda body: model.read(body, NONCE)


TARGETS: dict[str, tuple[Parse, Document, type[Exception]]] = {
    **{f"answer {name}": (ForecastAnswer.parse, seed, ValueError) for name, seed in ANSWERS.items()},
    **{f"kerchunk {name}": (parse_kerchunk_answer, seed, ValueError) for name, seed in KERCHUNK.items()},
    **{f"problem {name}": (Problem.parse, seed, ValueError) for name, seed in PROBLEMS.items()},
    **{f"request {name}": (_read(type(seed)), seed, Refusal) for name, seed in REQUESTS.items()},
    "commitment": (Commitment.parse, COMMITMENT, CommitmentMalformed),
    "receipt stored": (ReceiptStored.parse, ReceiptStored(job_id=JOB), ValueError),
}
ACCEPT_FAULTS = (
    CommitmentMalformed,
    CommitmentBindingMismatch,
    CommitmentSignatureInvalid,
    InputDigestMismatch,
)


def document_or_error(parse: Parse, body: bytes, error: type[Exception]) -> Document | None:
    """What was read; an error must be the documented one, and fit into a log, a history and a ledger."""
    try:
        return parse(body)
    except error as raised:
        assert "\0" not in str(raised)
        str(raised).encode()
        return None


@pytest.mark.parametrize("target", TARGETS)
@bounded(60)
@given(data=st.data())
def test_a_changed_body_is_refused_or_is_what_it_says(target: str, data: st.DataObject) -> None:
    parse, seed, error = TARGETS[target]
    document = document_or_error(parse, data.draw(changed_json(seed.value)), error)
    if document is not None:
        assert parse(document.body) == document


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
@pytest.mark.parametrize("target", TARGETS)
def test_no_hostile_body_is_a_document(target: str, body: bytes) -> None:
    parse, _, error = TARGETS[target]
    assert document_or_error(parse, body, error) is None


@bounded(300)
@given(data=st.data(), signed=st.booleans())
def test_strict_json_is_refused_or_plain(data: st.DataObject, signed: bool) -> None:
    seeds = [PROBLEMS["with a receipt"].value, [[[[[[[[1]]]]]]]], {"a": {"b": [True, None, 1.5, "é"]}}]
    body = data.draw(changed_json(data.draw(st.sampled_from(seeds))) | st.binary(max_size=200))
    try:
        value = load_json_strict(body, 65_536, signed=signed)
    except ValueError:
        return
    assert json.loads(body) == value
    if signed:
        assert load_json_strict(J(value), 65_536) == value


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_json_may_not_be_signed(body: bytes) -> None:
    if body not in (b"null", HOSTILE_JSON["a long string"]):
        with pytest.raises(ValueError, match=r"."):
            load_json_strict(body, len(body))


@bounded(200)
@given(commitment=changed_values(OFFER.commitment), signature=st.just(OFFER.signature) | st.text(max_size=130))
def test_an_offered_commitment_is_accepted_as_it_was_signed_or_refused(commitment: Any, signature: str) -> None:
    if not isinstance(commitment, dict):
        return
    try:
        offer = CommitmentData.model_construct(commitment=commitment, signature=signature)
        accepted = accept(offer, CALL, MINER.hotkey, LAYOUT)
    except ACCEPT_FAULTS as fault:
        assert "\0" not in str(fault)
        str(fault).encode()
        return
    assert (accepted, signature) == (COMMITMENT, OFFER.signature)


@bounded(100)
@given(body=changed_bytes(COMMITMENT.canonical))
def test_no_other_bytes_are_the_signed_commitment(body: bytes) -> None:
    try:
        commitment = Commitment.parse(body)
    except CommitmentMalformed:
        return
    assert commitment == COMMITMENT or not commitment.signed_by(MINER.hotkey, OFFER.signature)
