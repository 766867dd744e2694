"""Who copies whom, as the facts of a run show it when a pass ends."""

from __future__ import annotations

from typing import Any

import pytest

from activities.messages.scoring import FinishPass, StartPass
from adapters.ledger import facts
from adapters.ledger.commitments import record_commitment
from adapters.ledger.values import FaultRecord, ReceivedCommitment, ScoreFact
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from tests.activities.validator.test_score_records import fact as some_fact
from tests.activities.validator.world import ALICE, ANALYSIS, BOB, CAROL, VALIDATOR, Opened, Validator, do

LEADS = (24, 48, 72, 96, 120)


@pytest.fixture
def opened(validator: Validator) -> Opened:
    """Bob commits first, then Alice, then Carol; the analysis at T0 is among the inputs."""
    validator.miners = (ALICE, BOB, CAROL)
    opened = validator.open()
    for key in (BOB, ALICE, CAROL):
        offer = opened.offer(key)
        received = ReceivedCommitment(
            commitment=Commitment.parse(offer.commitment),
            signature=offer.signature,
            received_at=opened.window.commit_deadline,
            channel="push",
        )
        with validator.ledger.begin() as session:
            record_commitment(session, VALIDATOR, received)
    return opened


def fields(opened: Opened, key: PrivateKey, digests: list[str], **changes: Any) -> list[ScoreFact]:
    """A scored field a lead."""
    return [
        some_fact(opened, hotkey=key.hotkey, lead_hours=lead, forecast_digest=digest, **changes)
        for lead, digest in zip(LEADS, digests, strict=False)
    ]


def own(name: str, count: int = 5) -> list[str]:
    return [f"{name}{number}".ljust(64, "0") for number in range(count)]


def finish(validator: Validator, opened: Opened, *found: list[ScoreFact]) -> list[FaultRecord]:
    validator.record(*(one for part in found for one in part))
    job = {"pass_name": "era5_final", "lead_hours": 24, "generation": 1, "at": opened.run.close_by}
    for to in ("queued", "in_progress"):
        do(validator.scores.start_pass, StartPass.model_validate({"run_id": opened.run.run_id, "to": to, **job}))
    do(validator.scores.finish_pass, FinishPass.model_validate({"run": opened.run, **job}))
    with validator.ledger.read() as session:
        return facts.faults_of(session, opened.run.run_id)


def test_a_copy_costs_the_later_leaf_its_run_and_nobody_else(validator: Validator, opened: Opened) -> None:
    copied = own("b")
    (fault,) = finish(validator, opened, fields(opened, ALICE, copied), fields(opened, BOB, copied))
    assert (fault.code, fault.cause, fault.effect, fault.hotkey) == ("ExactClone", "policy", "W", ALICE.hotkey)
    assert fault.costs_the_run and fault.found == "5 of 5 scored fields" and BOB.hotkey in fault.detail
    assert finish(validator, opened) == [fault]


def test_a_copy_at_another_lead_is_a_copy(validator: Validator, opened: Opened) -> None:
    shifted = [*own("b")[1:], "c" * 64]
    (fault,) = finish(validator, opened, fields(opened, BOB, own("b")), fields(opened, CAROL, shifted))
    assert (fault.hotkey, fault.found) == (CAROL.hotkey, "4 of 5 scored fields")


def test_forecasts_of_their_own_are_no_clones(validator: Validator, opened: Opened) -> None:
    found = [fields(opened, key, own(key.hotkey[:4])) for key in (ALICE, BOB, CAROL)]
    assert finish(validator, opened, *found) == []


def test_less_than_a_tenth_is_no_clone(validator: Validator, opened: Opened) -> None:
    many = [
        some_fact(opened, hotkey=ALICE.hotkey, lead_hours=6 * n, level=500, forecast_digest=f"{n:064x}")
        for n in range(1, 12)
    ]
    shared = fields(opened, BOB, [f"{1:064x}"])
    assert finish(validator, opened, many, shared) == []


def test_who_repeats_a_public_baseline_copies_nobody(validator: Validator, opened: Opened) -> None:
    """Climatology and public forecasts as they were scored beside, in whatever pass."""
    climate, gfs = "3" * 64, "9" * 64
    day1 = {"pass_": "day1_qc", "truth_version": "gfs_analysis", "score": None, "reference_digests": {"gfs": gfs}}
    for key in (ALICE, BOB):
        validator.record(*fields(opened, key, [climate] * 4), *fields(opened, key, [gfs], **day1))
    (later,) = [some_fact(opened, hotkey=CAROL.hotkey, lead_hours=24, level=850, forecast_digest=gfs)]
    assert finish(validator, opened, [later]) == []


def test_who_repeats_the_analysis_copies_nobody(validator: Validator, opened: Opened) -> None:
    found = [fields(opened, key, [ANALYSIS.sha256] * 5) for key in (ALICE, BOB)]
    assert finish(validator, opened, *found) == []


def test_public_fields_do_not_hide_a_copy_beside_them(validator: Validator, opened: Opened) -> None:
    found = [fields(opened, key, [ANALYSIS.sha256] * 4 + ["d" * 64]) for key in (ALICE, BOB)]
    (fault,) = finish(validator, opened, *found)
    assert (fault.hotkey, fault.found) == (ALICE.hotkey, "1 of 5 scored fields")


def test_one_field_in_both_passes_is_one_field(validator: Validator, opened: Opened) -> None:
    day1 = {"pass_": "day1_qc", "truth_version": "gfs_analysis", "score": None}
    for key in (ALICE, BOB):
        validator.record(*fields(opened, key, own("b", 1)), *fields(opened, key, own("b", 1), **day1))
    more = [
        some_fact(opened, hotkey=ALICE.hotkey, lead_hours=6 * n, level=850, forecast_digest=f"{n:064x}")
        for n in range(1, 10)
    ]
    (fault,) = finish(validator, opened, more)
    assert fault.found == "1 of 10 scored fields"


def test_the_gate_is_no_field(validator: Validator, opened: Opened) -> None:
    gate = {"pass_": "day1_qc", "truth_version": "gfs_analysis", "variable": "gate", "level": 0, "score": 1.0}
    validator.record(*fields(opened, ALICE, own("g"), **gate))
    (fault,) = finish(validator, opened, fields(opened, BOB, own("b")), fields(opened, ALICE, own("b", 1)))
    assert fault.found == "1 of 1 scored fields"
