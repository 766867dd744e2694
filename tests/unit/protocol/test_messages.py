import json
from datetime import timedelta, timezone
from typing import Any

import pytest

from protocol.layout import load_layout
from protocol.messages import (
    CommitmentRequest,
    ForecastAnswer,
    ForecastRequest,
    InitMetadata,
    InputObject,
    JobError,
    KerchunkAnswer,
    KerchunkCompleted,
    KerchunkData,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
    KerchunkRequest,
    ReceiptDelivery,
    ReceiptStored,
    Request,
    input_data_hash,
    parse_kerchunk_answer,
)
from protocol.problems import Refusal
from tests.unit.protocol.world import (
    CALL,
    COMMITMENT,
    INPUTS,
    LAYOUT,
    MINER,
    NONCE,
    NOW,
    OTHER,
    T0,
    call,
    logged,
    offer_of,
)

OFFER = offer_of(COMMITMENT)
REQUESTS: list[Request] = [
    ForecastRequest(nonce=NONCE, data=CALL),
    CommitmentRequest(nonce=NONCE, data=OFFER),
    KerchunkRequest(nonce=NONCE, data=KerchunkData(job_id=CALL.job_id)),
    ReceiptDelivery(nonce=NONCE, data=logged()),
]
KERCHUNK: list[KerchunkAnswer] = [
    KerchunkCompleted(
        job_id=CALL.job_id,
        access_token="a.b.c",
        zarr_store_url=f"https://miner.example/a/zarr/{CALL.job_id}/",
        verification_hash=COMMITMENT.root,
        commitment=OFFER.commitment,
        signature=OFFER.signature,
    ),
    KerchunkProcessing(job_id=CALL.job_id, stage="inference", estimated_ready_at=NOW, retry_after_seconds=600),
    KerchunkError(job_id=CALL.job_id, error=JobError(code="busy", detail="später")),
    KerchunkNotFound(job_id=CALL.job_id),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda value: type(value).__name__)
def test_requests_read_back_from_any_layout_of_their_json(request_: Request) -> None:
    model = type(request_)
    assert model.read(request_.body, NONCE) == request_
    assert model.read(json.dumps(request_.value, indent=1, sort_keys=True).encode(), NONCE) == request_


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda value: type(value).__name__)
def test_a_request_that_is_large_malformed_or_not_that_of_its_token_is_refused(request_: Request) -> None:
    model, body = type(request_), request_.body
    refusals = {
        "TooLarge": (body + b" " * model.max_bytes, NONCE),
        "Malformed": (body[:-1], NONCE),
        "Unauthenticated": (body, "00000000-0000-4000-8000-000000000000"),
    }
    for code, (sent, jti) in refusals.items():
        with pytest.raises(Refusal) as refused:
            model.read(sent, jti)
        assert refused.value.code == code
    for change in ({"nonce": CALL.job_id}, {"more": 1}, {"data": None}):
        with pytest.raises(Refusal, match="Malformed"):
            model.read(json.dumps({**request_.value, **change}).encode(), NONCE)


@pytest.mark.parametrize("answer", KERCHUNK, ids=lambda value: value.status)
def test_the_four_kerchunk_answers_read_back(answer: KerchunkAnswer) -> None:
    assert parse_kerchunk_answer(answer.body) == answer


@pytest.mark.parametrize(
    "change",
    [
        {"status": "done"},
        {"status": "not_found"},
        {"stage": "waiting"},
        {"retry_after_seconds": 29},
        {"retry_after_seconds": 601},
        {"job_id": NONCE},
        {"estimated_ready_at": "soon"},
        {"more": 1},
    ],
)
def test_any_other_kerchunk_answer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        parse_kerchunk_answer(json.dumps({**KERCHUNK[1].value, **change}).encode())


@pytest.mark.parametrize("body", [b"[]", b"{}", b"[" * 10_000, b" " * 65_537])
def test_what_is_no_kerchunk_answer_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_kerchunk_answer(body)


def test_a_member_that_is_null_must_still_be_there() -> None:
    answer = ForecastAnswer(job_id=CALL.job_id, status="received")
    assert ForecastAnswer.parse(answer.body) == answer
    lacking = {name: value for name, value in answer.value.items() if name != "error"}
    with pytest.raises(ValueError, match="missing"):
        ForecastAnswer.of_value(lacking)
    assert ReceiptStored.parse(ReceiptStored(job_id=CALL.job_id).body).status == "stored"


def test_an_error_comes_with_the_status_error_only() -> None:
    error = JobError(code="declined", detail="hindcast")
    assert ForecastAnswer(job_id=CALL.job_id, status="error", error=error).error == error
    for status, given in (("error", None), ("received", error)):
        with pytest.raises(ValueError, match="status error"):
            ForecastAnswer.model_validate({"job_id": CALL.job_id, "status": status, "error": given})


def test_a_call_is_equal_for_all_miners_but_for_the_job() -> None:
    theirs = CALL.addressed_to(OTHER.hotkey)
    assert theirs.identity(OTHER.hotkey).job_id == theirs.job_id != CALL.job_id
    assert CALL.identity(MINER.hotkey).job_id == CALL.job_id
    assert theirs.call_digest == CALL.call_digest != call(requested_at=NOW + timedelta(seconds=1)).call_digest


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "forecast/2026-11-22T12Z"},
        {"run_id": "campaign/demo/forecast/2026-11-22T18Z"},
        {"purpose": "hindcast"},
        {"purpose": "test"},
        {"input_data_hash": "00" * 32},
        {"gfs_init_metadata": {"objects": []}},
        {"first_scored_lead_hours": 0},
        {"requested_at": NOW.replace(tzinfo=None)},
        {"requested_at": NOW + timedelta(milliseconds=1)},
    ],
)
def test_a_call_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        call(**change)


def test_a_call_must_fit_the_layout_of_its_grid() -> None:
    CALL.require_layout(LAYOUT)
    for other in (
        call(layout_digest="00" * 32),
        call(forecast_step_hours=12),
        call(inference_steps=3),
        call(grid="5p625"),
    ):
        with pytest.raises(Refusal, match="Unsupported"):
            other.require_layout(LAYOUT)
    with pytest.raises(Refusal, match="Unsupported"):
        CALL.require_layout(load_layout("5p625"))


def test_inputs_are_one_to_512_objects_in_their_order() -> None:
    more = [INPUTS[0], INPUTS[0].model_copy(update={"offset": 1})]
    assert input_data_hash(more) != input_data_hash(more[::-1])
    assert len(InitMetadata(objects=INPUTS * 512).objects) == 512
    for objects in ((), INPUTS * 513):
        with pytest.raises(ValueError):
            input_data_hash(objects)


def test_the_level_of_a_surface_object_is_null() -> None:
    surface = {**INPUTS[0].value, "variable": "2t", "level": None}
    assert InputObject.of_value(surface).level is None
    with pytest.raises(ValueError):
        InputObject.of_value({**surface, "level": 0})


def test_the_largest_call_fits_its_limit() -> None:
    objects = INPUTS * 512
    largest = call(gfs_init_metadata=InitMetadata(objects=objects), input_data_hash=input_data_hash(objects))
    request = ForecastRequest(nonce=NONCE, data=largest)
    assert ForecastRequest.read(request.body, NONCE).data == largest


def test_instants_are_compared_in_utc_and_documents_are_frozen() -> None:
    eastern = call(requested_at=NOW.astimezone(timezone(timedelta(hours=9))))
    assert eastern.canonical == CALL.canonical
    with pytest.raises(ValueError, match="frozen"):
        CALL.gfs_init_time = T0  # ty: ignore[invalid-assignment]
