"""What the fuzzers found: bodies that once cost memory, a wrong exception, or text that no ledger takes."""

import hashlib

import pytest

from protocol.canonical import J
from protocol.commitment import Commitment
from protocol.jws import seal
from protocol.manifest import Manifest, most_commas, size_cap
from protocol.messages import CommitmentRequest, JobError, KerchunkError, parse_kerchunk_answer
from protocol.problems import Refusal
from protocol.tokens import (
    ACCESS,
    ANSWER,
    REQUEST,
    Access,
    Answer,
    Call,
    Gate,
    verify_access,
    verify_answer,
    verify_request,
)
from tests.unit.protocol.world import CALL, COMMITMENT, MINER, NONCE, NOW, VALIDATOR
from weather.faults import BadAnswer, CommitmentMalformed, Fault, ManifestMalformed, TokenInvalid

LATEST = 2**53 - 1
PARTIES = {"iss": MINER.hotkey, "aud": VALIDATOR.hotkey, "iat": LATEST - 30, "exp": LATEST}
BODY_SHA256 = hashlib.sha256(b"x").hexdigest()


def test_a_time_beyond_the_calendar_is_a_bad_token_and_no_overflow() -> None:
    answer = J({**PARTIES, "request": NONCE, "status": 200, "body_sha256": BODY_SHA256})
    with pytest.raises(BadAnswer, match="iat"):
        verify_answer(seal(MINER, ANSWER, answer), Answer(VALIDATOR.hotkey, NONCE, 200, b"x"), MINER.hotkey, NOW)
    access = J({**PARTIES, "aud": MINER.hotkey, "sub": VALIDATOR.hotkey, "job": CALL.job_id, "jti": "1", "iat": 0})
    with pytest.raises(TokenInvalid, match="exp"):
        verify_access(seal(MINER, ACCESS, access), Access(MINER.hotkey, VALIDATOR.hotkey, CALL.job_id), NOW)
    request = J({**PARTIES, "jti": NONCE, "method": "POST", "path": "/a", "body_sha256": BODY_SHA256})
    gate = Gate({MINER.hotkey: MINER.hotkey}, lambda jti, until: True)
    with pytest.raises(Refusal, match="iat"):
        verify_request(seal(MINER, REQUEST, request), Call(VALIDATOR.hotkey, "POST", "/a", b"x"), gate, NOW)


@pytest.mark.parametrize("entry", [1, [], {"path": 1}])
def test_a_manifest_of_nothing_but_errors_is_told_in_a_sentence(entry: object) -> None:
    cap = size_cap(2_780)
    body = J({"job_id": CALL.job_id, "objects": [entry] * ((cap - 200) // 12), "protocol": "barograph/1"})
    with pytest.raises(ManifestMalformed) as raised:
        Manifest.read(body, CALL.job_id, 2_780)
    assert len(str(raised.value)) < 300


def test_a_thousand_strange_members_are_told_in_a_sentence() -> None:
    with pytest.raises(CommitmentMalformed) as raised:
        Commitment.parse({**COMMITMENT.value, **{f"{number:x}": 0 for number in range(1_000)}})
    assert len(str(raised.value)) < 300


def test_text_that_no_ledger_holds_is_in_no_document() -> None:
    error = KerchunkError(job_id=CALL.job_id, error=JobError(code="busy", detail="a\0b"))
    with pytest.raises(ValueError, match="NUL"):
        parse_kerchunk_answer(error.body)
    honest = error.model_copy(update={"error": JobError(code="busy", detail="a\\u0000b, in so many words\n")})
    assert parse_kerchunk_answer(honest.body) == honest
    with pytest.raises(ValueError, match="NUL"):
        CommitmentRequest.parse(
            J({"data": {"commitment": {}, "signature": ""}, "nonce": NONCE})[:-1] + b',"\\u0000":0}'
        )


def test_what_a_fault_tells_is_short_and_plain() -> None:
    fault = Fault("a\0b\ud800é\n" + "x" * 10_000, found="\0" * 1_000, expected=["\x1b[31m"])
    assert fault.detail.startswith("a\\x00b\\ud800é\nxxx") and len(fault.detail) == 2_000
    assert fault.found is not None and (fault.found[:8], len(fault.found)) == ("\\x00\\x00", 500)
    assert fault.expected == "['\\x1b[31m']"
    assert fault.args == (fault.detail,)


def test_the_bound_on_commas_refuses_no_manifest_of_good_entries() -> None:
    shortest = len(b'["a",0,"') + 64 + len(b'"],')
    for count in range(10_000):
        assert 3 * (size_cap(count) // shortest) + 2 <= most_commas(count)
