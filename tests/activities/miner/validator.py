"""A validator's side of call 3 over real HTTP: it logs what it gets and answers with receipts, as scripted."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.clock import Clock
from protocol import merkle
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.messages import CommitmentRequest
from protocol.problems import Refusal
from protocol.receipt import (
    CommitmentAnswer,
    CommitmentEntry,
    Receipt,
    TreeHead,
    entry_hash,
)
from protocol.tokens import Answer, Call, Gate, sign_answer, verify_request

Act = Literal["stores", "has it", "is busy", "refuses", "signs for another", "logs another"]


def receipt_of(key: PrivateKey, commitment: Commitment, clock: Clock) -> CommitmentAnswer:
    """What a validator answers to the first commitment in its log."""
    entry = CommitmentEntry(
        network=commitment.network,
        run_id=commitment.run_id,
        hotkey=commitment.hotkey,
        commitment_digest=commitment.digest,
        received_at=clock.now(),
        channel="push",
    )
    receipt = Receipt(validator=key.hotkey, leaf_index=0, entry=entry)
    head = TreeHead(
        network=commitment.network,
        validator=key.hotkey,
        tree_size=1,
        root_hash=merkle.root_of([entry_hash(entry)]).hex(),
        recorded_at=clock.now(),
    )
    return CommitmentAnswer(
        receipt=receipt,
        receipt_signature=receipt.sign(key),
        tree_head=head,
        tree_head_signature=head.sign(key),
        inclusion_proof=(),
        in_time=True,
    )


@dataclass
class FakeValidator:
    """`acts` are played one a call, then it stores."""

    key: PrivateKey
    clock: Clock
    url: str = ""
    acts: list[Act] = field(default_factory=list)
    received: list[Commitment] = field(default_factory=list)
    arrived: Event = field(default_factory=Event)

    async def commitment(self, request: Request) -> Response:
        body = await request.body()
        token = request.headers["authorization"].removeprefix("Bearer ")
        data = CommitmentRequest.parse(body).data
        commitment = Commitment.parse(data.commitment)
        gate = Gate({commitment.hotkey: commitment.hotkey}, lambda jti, until: True)
        claims = verify_request(token, Call(self.key.hotkey, "POST", request.url.path, body), gate, self.clock.now())
        assert commitment.signed_by(claims.iss, data.signature)
        self.received.append(commitment)
        self.arrived.set()
        status, document = self._answer(commitment, self.acts.pop(0) if self.acts else "stores")
        signer = PrivateKey.generate() if document is None else self.key
        sent = json.dumps(document or {}).encode()
        answer = Answer(claims.iss, claims.jti, status, sent)
        headers = {"Barograph-Answer": sign_answer(signer, answer, self.clock.now())}
        return Response(sent, status, headers, "application/json")

    def _answer(self, commitment: Commitment, act: Act) -> tuple[int, dict[str, object] | None]:
        answer = receipt_of(self.key, commitment, self.clock)
        if act == "logs another":
            other = commitment.model_copy(update={"salt": "00" * 32})
            return 200, receipt_of(self.key, other, self.clock).value
        if act == "is busy":
            return 503, Refusal("NotReady", "later").problem("/").value
        if act == "refuses":
            return 403, Refusal("Forbidden", "sealed").problem("/").value
        if act == "has it":
            return 409, Refusal("CommitmentExists", "the first stands").problem("/", answer).value
        return (201, None) if act == "signs for another" else (201, answer.value)


@contextmanager
def listening(validator: FakeValidator) -> Generator[FakeValidator]:
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        validator.url = f"http://127.0.0.1:{listener.getsockname()[1]}/validator"
        routes = [Route("/validator/weather-commitment", validator.commitment, methods=["POST"])]
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield validator
        finally:
            server.should_exit = True
            thread.join()
