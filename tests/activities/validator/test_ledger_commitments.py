"""The ledger as the validator's HTTP side sees it, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities import documents
from activities.messages.run import Step
from adapters.ledger.values import ReceivedCommitment
from protocol.commitment import Commitment
from tests.activities.validator.world import ALICE, BOB, LIVE, OPENED, VALIDATOR, Opened, Validator, do
from weather.faults import CommitmentLate, LedgerConflict
from workers.commitments import LedgerCommitments


@pytest.fixture
def side(validator: Validator) -> LedgerCommitments:
    return LedgerCommitments(validator.ledger, validator.store, validator.catalog, VALIDATOR, validator.clock)


def received(opened: Opened, root: str = "5" * 64) -> ReceivedCommitment:
    offer = opened.offer(ALICE, root)
    return ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment), signature=offer.signature, received_at=OPENED, channel="push"
    )


def test_a_run_has_no_call_before_its_window_is_open(validator: Validator, side: LedgerCommitments) -> None:
    assert side.call_of("forecast/2026-11-22T18Z") is None
    do(validator.opening.freeze_roster, do(validator.opening.open_run, LIVE))
    assert side.call_of("forecast/2026-11-22T18Z") is None


def test_an_open_run_is_known_by_its_call_roster_and_deadline(validator: Validator, side: LedgerCommitments) -> None:
    opened = validator.open()
    call = side.call_of(opened.run.run_id)
    assert call is not None
    assert call.data == documents.call(validator.store, opened.call.sha256)
    assert call.layout.digest == opened.run.layout_digest
    assert call.hotkeys == {ALICE.hotkey, BOB.hotkey}
    assert (call.deadline, call.sealed) == (opened.window.commit_deadline, False)


def test_a_sealed_run_says_so_and_takes_nothing_more(validator: Validator, side: LedgerCommitments) -> None:
    opened = validator.open()
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=opened.window.commit_deadline))
    call = side.call_of(opened.run.run_id)
    assert call is not None and call.sealed
    with pytest.raises(CommitmentLate):
        side.record(received(opened))


def test_the_first_commitment_stands(validator: Validator, side: LedgerCommitments) -> None:
    opened = validator.open()
    first = side.record(received(opened))
    again, other = side.record(received(opened)), side.record(received(opened, root="6" * 64))
    assert [(each.created, each.stood) for each in (first, again, other)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert first.receipt == again.receipt == other.receipt


def test_a_commitment_for_a_run_that_was_never_opened_is_refused(validator: Validator, side: LedgerCommitments) -> None:
    opened = validator.open()
    strange = received(opened)
    commitment = strange.commitment.model_copy(update={"run_id": "forecast/2026-11-23T00Z"})
    with pytest.raises(LedgerConflict):
        side.record(strange.model_copy(update={"commitment": commitment}))


def test_a_probe_writes_and_reads_both_stores_and_a_mark_is_taken(
    validator: Validator, side: LedgerCommitments
) -> None:
    side.probe()
    assert validator.store.listed("", 1) == []
    side.mark()
    validator.clock.advance(timedelta(seconds=10))
    side.mark()
