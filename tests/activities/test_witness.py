"""A transport fault counts against a miner only if our own network is seen to stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapters.witness import TRANSPORT, Kind, Witness
from protocol.tokens import WRONG_TIME
from tests.fixed_clock import FixedClock
from tests.range_server import free_port
from weather.faults import BadAnswer, EgressDown, MinerFault, MinerUnreachable, ObjectAbsent, TransferFailed

ALICE, BOB = "a" * 64, "b" * 64
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def failing(witness: Witness, fault: MinerFault, kind: Kind = "POST") -> None:
    async with witness.of(kind, ALICE):
        raise fault


@pytest.mark.parametrize("fault", TRANSPORT)
async def test_without_a_witness_a_transport_fault_is_ours(fault: type[MinerFault]) -> None:
    with pytest.raises(EgressDown):
        await failing(Witness(FixedClock(NOON)), fault("x"))


async def test_an_exchange_with_another_miner_within_a_minute_is_a_witness() -> None:
    clock = FixedClock(NOON)
    witness = Witness(clock)
    async with witness.of("POST", BOB):
        clock.advance(timedelta(seconds=60))
    clock.advance(timedelta(seconds=60))
    with pytest.raises(MinerUnreachable):
        await failing(witness, MinerUnreachable("refused"))
    clock.advance(timedelta(seconds=1))
    with pytest.raises(EgressDown):
        await failing(witness, MinerUnreachable("refused"))


async def test_an_exchange_of_another_kind_or_with_the_same_miner_is_none() -> None:
    witness = Witness(FixedClock(NOON))
    async with witness.of("GET", BOB), witness.of("POST", ALICE):
        pass
    with pytest.raises(EgressDown):
        await failing(witness, MinerUnreachable("refused"))
    with pytest.raises(TransferFailed):
        await failing(witness, TransferFailed("reset"), "GET")


async def test_an_answer_is_its_own_witness_unless_it_is_refused_for_its_time_alone() -> None:
    witness = Witness(FixedClock(NOON))
    for fault in (ObjectAbsent("404"), BadAnswer("unsigned")):
        with pytest.raises(type(fault)):
            await failing(witness, fault)
    with pytest.raises(EgressDown):
        await failing(witness, BadAnswer(WRONG_TIME))


async def test_a_probe_that_nobody_answers_is_no_witness() -> None:
    with free_port() as port, pytest.raises(EgressDown):
        await failing(Witness(FixedClock(NOON), f"http://127.0.0.1:{port}"), MinerUnreachable("refused"))
