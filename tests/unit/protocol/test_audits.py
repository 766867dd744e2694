from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.audits import AUDITS_PER_RUN, AuditPlan, AuditSecret
from tests.unit.protocol.world import NOW, T0

SECRET = AuditSecret(bytes(range(32)))
X = "5a83c9599abd08c00fa7c196b63aa69a260d4331636dfbdc4ca329d930447e62"
MINER = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
PLAN = AuditPlan(SECRET, MINER, X)
LAST = T0 + timedelta(hours=240)


def test_the_golden_audit() -> None:
    """AT-S3."""
    assert SECRET.digest == "1388f78a0882263dbd83a17814b003b628288da627b73620146aabc5df811507"
    assert PLAN.number(0, 0) == 12_903_580_317_662_614_855
    assert PLAN.objects(0, 2_780) == (92, 956, 1577, 2179, 2664, 395, 2420, 1601)


def test_the_golden_instant() -> None:
    exact = NOW + (LAST - NOW) * (12_903_580_317_662_614_855 / 2**64)
    assert abs(PLAN.instant(0, NOW, LAST) - exact) <= timedelta(microseconds=1)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 20_000))
def test_every_audit_lies_between_seal_and_last_valid_time_and_reads_objects_that_exist(raw: bytes, count: int) -> None:
    plan = AuditPlan(AuditSecret(raw), MINER, X)
    for audit in range(AUDITS_PER_RUN):
        assert NOW <= plan.instant(audit, NOW, LAST) < LAST
        assert all(0 <= place < count for place in plan.objects(audit, count))


def test_another_secret_miner_or_commitment_is_audited_elsewhere() -> None:
    others = [
        AuditPlan(AuditSecret(bytes(32)), MINER, X),
        AuditPlan(SECRET, X, X),
        AuditPlan(SECRET, MINER, MINER),
    ]
    assert len({PLAN.objects(0, 2_780), *(plan.objects(0, 2_780) for plan in others)}) == 4


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda secret: repr(AuditPlan(secret, MINER, X))])
def test_no_text_shows_a_secret(show) -> None:
    assert "***" in show(SECRET)
    assert SECRET.raw.hex() not in show(SECRET)


def test_a_secret_is_no_json() -> None:
    with pytest.raises(TypeError):
        json.dumps(SECRET)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AuditSecret(bytes(size))
