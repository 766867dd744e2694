"""Calls 1 to 5: the miner says who it is, takes a call once, commits to one forecast and keeps its receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from adapters.forecast_reader import store_url
from adapters.ledger.values import ReceivedCommitment
from protocol import names
from protocol.canonical import load_json_strict
from protocol.commitment import Commitment
from protocol.messages import (
    ForecastAnswer,
    KerchunkAnswer,
    KerchunkCompleted,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
    ReceiptStored,
    parse_kerchunk_answer,
)
from protocol.names import PROTOCOL, parse_time
from protocol.receipt import CommitmentAnswer
from protocol.tokens import SKEW
from starter.conform.bench import FORECAST, KERCHUNK, RECEIPT, Bench
from starter.conform.book import Broken, Check, Seen, require
from starter.conform.forgeries import refusals

HEALTH_BYTES = 4096
HEALTH_MEMBERS = {"status", "protocol", "hotkey", "network", "time"}
STAGES = ["fetching", "inference", "writing"]
FIRST, SHOWN, RECEIPTED = "request.signed-answer", "poll.stages", "receipt.stored"
MEMBERS = "commitment.members"
BOUND = (SHOWN, "commitment.binding", "commitment.signature")


async def _health(bench: Bench) -> dict[str, Any]:
    heard = await bench.hear("GET", "health", HEALTH_BYTES)
    told = load_json_strict(heard.body, HEALTH_BYTES, signed=False)
    complete = heard.status == 200 and told.keys() == HEALTH_MEMBERS
    require(complete and told["status"] == "ok" and PROTOCOL in told["protocol"], heard)
    return told


def _identity(bench: Bench, told: dict[str, Any]) -> None:
    found, expected = (told["hotkey"], told["network"]), (bench.miner.hotkey, bench.call.network)
    require(found == expected, found, expected)


def _clock(bench: Bench, told: dict[str, Any]) -> Seen:
    skew = (parse_time(told["time"]) - bench.now()).total_seconds()
    require(abs(skew) <= SKEW.total_seconds(), f"{skew:.0f} s")
    return Seen(f"{skew:.1f} s")


async def _forecast(bench: Bench, **changes: Any) -> tuple[int, ForecastAnswer]:
    heard = await bench.ask(FORECAST, bench.call.model_copy(update=changes).value)
    require(heard.response.is_success, heard)
    return heard.status, ForecastAnswer.parse(heard.body)


async def _idempotent(bench: Bench, _first: object) -> None:
    for later in (timedelta(0), timedelta(minutes=1)):
        status, answer = await _forecast(bench, commit_deadline=bench.call.commit_deadline + later)
        require((status, answer.job_id) == (200, bench.call.job_id), (status, answer))


async def _by_request_key(bench: Bench, _first: object) -> None:
    heard = await bench.ask(FORECAST, bench.call.value, bench.validator.request_key)
    require(heard.status == 200, heard)


async def _conflict(bench: Bench, _first: object) -> None:
    heard = await bench.ask(FORECAST, {**bench.call.value, "score_spec_digest": "0" * 64})
    heard.refused("JobConflict")


async def _poll(bench: Bench, job_id: str) -> KerchunkAnswer:
    heard = await bench.ask(KERCHUNK, {"job_id": job_id})
    require(heard.status == 200, heard)
    answer = parse_kerchunk_answer(heard.body)
    require(answer.job_id == job_id, answer.job_id, job_id)
    return answer


async def _unknown_job(bench: Bench, _first: object) -> None:
    answer = await _poll(bench, names.job_id(bench.call.network, bench.call.run_id, bench.validator.hotkey))
    require(isinstance(answer, KerchunkNotFound), answer)


async def _stages(bench: Bench, _first: object) -> KerchunkCompleted:
    told, farthest = "", 0
    while bench.now() < bench.call.commit_deadline:
        answer = await _poll(bench, bench.call.job_id)
        if isinstance(answer, KerchunkCompleted):
            return answer
        if isinstance(answer, KerchunkProcessing):
            reached = STAGES.index(answer.stage)
            require(reached >= farthest, f"{answer.stage} after {STAGES[farthest]}")
            farthest = reached
        if _stage(answer) != told:
            told = _stage(answer)
            bench.validator.options.tell(told)
        await bench.pushes.wait(bench.validator.options.poll_seconds)
    raise Broken(told or "no answer before the deadline")


def _stage(answer: KerchunkAnswer) -> str:
    if isinstance(answer, KerchunkError):
        return f"error {answer.error.code}: {answer.error.detail}"
    return answer.stage if isinstance(answer, KerchunkProcessing) else answer.status


def _store_url(bench: Bench, answer: KerchunkCompleted) -> None:
    derived = store_url(bench.miner, bench.call.job_id)
    require(answer.zarr_store_url == derived, answer.zarr_store_url, derived)


async def _same_commitment(bench: Bench, answer: KerchunkCompleted) -> None:
    again = await _poll(bench, bench.call.job_id)
    require(isinstance(again, KerchunkCompleted) and again.commitment == answer.commitment, again)
    require(answer.verification_hash == answer.commitment.get("root"), answer.verification_hash)


def _binding(bench: Bench, commitment: Commitment) -> None:
    commitment.check_binding(bench.call, bench.miner.hotkey)


def _counts(bench: Bench, commitment: Commitment) -> None:
    commitment.check_sizes(bench.layout)


def _signature(bench: Bench, answer: KerchunkCompleted, commitment: Commitment) -> None:
    require(commitment.signed_by(bench.miner.hotkey, answer.signature), answer.signature)


async def _push_arrives(bench: Bench, _answer: KerchunkCompleted) -> None:
    seconds = bench.validator.options.push_seconds
    await bench.pushes.wait(seconds)
    require(bool(bench.pushes.statuses), f"none within {seconds:.0f} s of the commitment that call 4 shows")


def _push_accepted(bench: Bench) -> None:
    require(bench.pushes.receipts > 0, f"answered {bench.pushes.statuses}: {bytes(bench.pushes.said)!r}")


def _push_rests(bench: Bench) -> None:
    require(bench.pushes.receipts == 1, f"answered {bench.pushes.statuses}")


async def _push_same(bench: Bench, answer: KerchunkCompleted) -> None:
    found, expected = await _record(bench, answer), Commitment.parse(answer.commitment)
    require(found.receipt.entry.commitment_digest == expected.digest, found.receipt.entry, expected.digest)


async def _record(bench: Bench, answer: KerchunkCompleted) -> CommitmentAnswer:
    """The receipt of the first commitment; one that was not pushed is pulled."""
    commitment, now = Commitment.parse(answer.commitment), bench.now()
    received = ReceivedCommitment(commitment=commitment, signature=answer.signature, received_at=now, channel="pull")
    recorded = await asyncio.to_thread(bench.validator.commitments.record, received)
    return recorded.answer(bench.call.commit_deadline)


async def _receipt_stored(bench: Bench, answer: KerchunkCompleted) -> CommitmentAnswer:
    delivery = await _record(bench, answer)
    for _ in range(2):
        heard = await bench.ask(RECEIPT, delivery.value)
        require(heard.status == 200 and ReceiptStored.parse(heard.body).job_id == bench.call.job_id, heard)
    return delivery


def _of_another(bench: Bench, good: CommitmentAnswer, **changes: object) -> Mapping[str, object]:
    entry = good.receipt.entry.model_copy(update=changes)
    other = good.receipt.model_copy(update={"entry": entry})
    return {"receipt": other, "receipt_signature": other.sign(bench.validator.key)}


async def _false_receipt(change: Any, bench: Bench, good: CommitmentAnswer) -> None:
    heard = await bench.ask(RECEIPT, good.model_copy(update=change(bench, good)).value)
    heard.refused("BindingMismatch", "UnknownJob")


FALSE_RECEIPTS = {
    "receipt.other-commitment": lambda bench, good: _of_another(bench, good, commitment_digest="0" * 64),
    "receipt.other-run": lambda bench, good: _of_another(bench, good, run_id=bench.elsewhere()["run_id"]),
    "receipt.bad-signature": lambda bench, good: {"receipt_signature": good.tree_head_signature},
    "receipt.bad-proof": lambda bench, good: {"inclusion_proof": (*good.inclusion_proof, "0" * 64)},
}
ASKED = (
    Check("health.fields", "2.6", "200: status ok, protocol barograph/1, hotkey, network, time, in 4 KiB", _health),
    Check("health.identity", "1", "The hotkey and network of the registry", _identity, ("health.fields",)),
    Check("health.clock", "1", "A clock within 30 s of ours", _clock, ("health.fields",)),
    Check(FIRST, "1", "A signed 2xx, in 30 s", _forecast),
    Check(
        "request.new-202", "2.3", "202 for a new job", lambda bench, first: require(first[0] == 202, first[0]), (FIRST,)
    ),
    Check("request.idempotent", "2.3", "Again, and with another deadline: 200, the same job", _idempotent, (FIRST,)),
    Check("request.by-request-key", "1", "A request key speaks for its validator", _by_request_key, (FIRST,)),
    Check("request.conflict-409", "2.3", "A signed 409 JobConflict for another score spec", _conflict, (FIRST,)),
    *refusals("request", FORECAST, FIRST, lambda bench, first: bench.call.value),
    Check("poll.unknown-job", "2.5", "not_found", _unknown_job, (FIRST,)),
    Check(SHOWN, "2.5", "Stages never go back; `completed` by the deadline", _stages, (FIRST,)),
    Check("poll.store-url", "5.1", "The registered base URL + /zarr/<job_id>/", _store_url, (SHOWN,)),
    Check("poll.same-commitment", "2.4", "The same commitment and its root each time", _same_commitment, (SHOWN,)),
    *refusals("poll", KERCHUNK, FIRST, lambda bench, first: {"job_id": bench.call.job_id}),
    Check(MEMBERS, "4.2", "Exactly its members", lambda _, answer: Commitment.parse(answer.commitment), (SHOWN,)),
    Check("commitment.binding", "4.2", "Bound to the call and the miner", _binding, (MEMBERS,)),
    Check("commitment.counts", "5.3", "Count and total that the layout can have", _counts, (MEMBERS,)),
    Check("commitment.signature", "4.2", "Signed by the hotkey", _signature, (SHOWN, MEMBERS)),
)
RECEIVED = (
    Check(RECEIPTED, "2.4", "200 `stored`, also again", _receipt_stored, BOUND),
    *(
        Check(name, "4.4", "422 BindingMismatch or 404 UnknownJob", partial(_false_receipt, change), (RECEIPTED,))
        for name, change in FALSE_RECEIPTS.items()
    ),
    *refusals("receipt", RECEIPT, RECEIPTED, lambda bench, delivery: delivery.value),
)
PUSHED = (
    Check("push.arrives", "2.4", "A POST at the base URL that the miner's registry has", _push_arrives, (SHOWN,)),
    Check("push.accepted", "2.2", "Repeated after a 503, then taken: 201", _push_accepted, ("push.arrives",)),
    Check("push.same-as-shown", "2.4", "The commitment of call 4", _push_same, ("push.accepted", *BOUND)),
)
AT_THE_END = Check("push.rests", "2.2", "No push once there is a receipt", _push_rests, ("push.accepted",))
