"""Which audits are due, and what a miner loses by those that fail."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest

from activities import documents
from activities.audits import MOST_AT_ONCE, LedgerAuditRecords
from activities.messages.audits import Audit, AuditKey, AuditRecorded, AuditsDue, ObjectNote, RecordAudit, TakeAudits
from activities.messages.base import FaultNote
from activities.messages.run import Step
from activities.messages.scoring import VerifiedMiner
from adapters.forecast_reader import VerifiedManifest
from adapters.ledger import audits, facts, log, responses
from adapters.ledger.commitments import record_commitment
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.commitments import AuditRow
from adapters.ledger.values import FaultRecord, ReceivedCommitment, ResponseStep, ScoreFact
from protocol.audits import AuditPlan
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.manifest import Manifest
from protocol.names import parse_stamp
from tests.activities.validator.test_score_records import fact as some_fact
from tests.activities.validator.world import ALICE, BOB, GRID, VALIDATOR, Opened, Validator, do

CHUNK = ("2t", 0, 24)
OTHER = ("t", 850, 48)


def path(validator: Validator, case: tuple[str, int, int]) -> str:
    return validator.catalog.layout(GRID).chunk_path(*case)


def committed(validator: Validator, opened: Opened, key: PrivateKey, late: timedelta = timedelta(0)) -> None:
    offer = opened.offer(key)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment),
        signature=offer.signature,
        received_at=opened.window.commit_deadline + late,
        channel="push",
    )
    with validator.ledger.begin() as session:
        record_commitment(session, VALIDATOR, received)


def verified(validator: Validator, opened: Opened, key: PrivateKey) -> VerifiedMiner:
    """A store whose manifest is known; none of its objects is kept."""
    commitment = Commitment.parse(opened.offer(key).commitment)
    objects = validator.catalog.layout(GRID).object_set()
    listed = [(name, 9, hashlib.sha256(name.encode() + key.hotkey.encode()).hexdigest()) for name in objects]
    manifest = Manifest.build(commitment.job_id, listed)
    kept = VerifiedManifest(sha256=validator.store.put(manifest.canonical), size_bytes=len(manifest.canonical))
    store = documents.put_model(validator.store, documents.VerifiedStore(commitment=commitment, manifest=kept))
    with validator.ledger.begin() as session:
        step = ResponseStep(
            run_id=opened.run.run_id, hotkey=key.hotkey, to="verifying_manifest", at=opened.run.opened_at
        )
        responses.advance_response(session, step)
        done = {"to": "verified_manifest_store_opened", "manifest_digest": store.sha256}
        responses.advance_response(session, step.model_copy(update=done))
    return VerifiedMiner(hotkey=key.hotkey, store=store.sha256)


def sealed(validator: Validator, opened: Opened) -> datetime:
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=opened.window.commit_deadline))
    with validator.ledger.read() as session:
        entry = log.entry_of(session, opened.run.run_id, "run_sealed")
    assert entry is not None
    return parse_stamp(entry["recorded_at"])


def records(validator: Validator, key: PrivateKey = VALIDATOR) -> LedgerAuditRecords:
    return LedgerAuditRecords(validator.ledger, validator.store, validator.catalog, key)


def take(validator: Validator, opened: Opened, at: datetime, *open_audits: AuditKey) -> AuditsDue:
    return do(records(validator).take_audits, TakeAudits(run=opened.run, at=at, open=open_audits))


def record(
    validator: Validator, opened: Opened, audit: Audit, *paths: str, void: FaultNote | None = None
) -> AuditRecorded:
    absent = FaultNote(code="ObjectAbsent", cause="miner", found="404")
    notes = tuple(ObjectNote(path=each, fault=absent) for each in paths)
    request = RecordAudit(run=opened.run, audit=audit, at=audit.due, faults=notes, void=void)
    return do(records(validator).record_audits, request)


@pytest.fixture
def opened(validator: Validator) -> Opened:
    """A run with two commitments in time."""
    opened = validator.open()
    committed(validator, opened, ALICE)
    committed(validator, opened, BOB)
    return opened


def all_due(validator: Validator, opened: Opened) -> tuple[Audit, ...]:
    return take(validator, opened, opened.run.valid_time(240)).audits


def lost(validator: Validator, opened: Opened) -> list[FaultRecord]:
    with validator.ledger.read() as session:
        return facts.faults_of(session, opened.run.run_id)


def test_every_audit_is_taken_at_its_instant_and_reads_what_the_revealed_secret_says(
    validator: Validator, opened: Opened
) -> None:
    stores = {key.hotkey: verified(validator, opened, key).store for key in (ALICE, BOB)}
    sealed_at = sealed(validator, opened)
    assert take(validator, opened, sealed_at).audits == ()
    taken: list[Audit] = []
    at: datetime | None = sealed_at
    while at is not None:
        due = take(validator, opened, at)
        for audit in due.audits:
            assert audit.due == at
            record(validator, opened, audit)
        taken += due.audits
        at = due.next_at
    assert [(audit.hotkey, audit.number) for audit in sorted(taken, key=lambda each: (each.hotkey, each.number))] == [
        (hotkey, number) for hotkey in sorted(stores) for number in range(4)
    ]
    with validator.ledger.read() as session:
        secret = audits.secret_of(session, VALIDATOR, opened.run.run_id)
        (first, *_) = audits.committed_in_time(session, opened.run.run_id)
    assert secret is not None
    plan = AuditPlan(secret, first.hotkey, first.commitment_digest)
    found = next(audit for audit in taken if (audit.hotkey, audit.number) == (first.hotkey, 2))
    assert found.due == plan.instant(2, sealed_at, opened.run.valid_time(240))
    assert found.objects == plan.objects(2, first.object_count)
    assert found.store == stores[first.hotkey]


def test_what_is_open_or_recorded_is_not_taken_again(validator: Validator, opened: Opened) -> None:
    verified(validator, opened, ALICE)
    sealed(validator, opened)
    first, second, *rest = all_due(validator, opened)
    record(validator, opened, first)
    again = take(validator, opened, opened.run.valid_time(240), AuditKey(hotkey=second.hotkey, number=second.number))
    assert again == AuditsDue(audits=tuple(rest), next_at=None)


def test_a_store_that_is_not_verified_yet_is_asked_for_again_until_it_can_not_be(
    validator: Validator, opened: Opened
) -> None:
    last = opened.run.valid_time(240)
    validator.clock.advance(last - timedelta(hours=1) - validator.clock.now())
    sealed_at = sealed(validator, opened)
    assert take(validator, opened, last) == AuditsDue(audits=(), next_at=last + timedelta(minutes=10))
    assert take(validator, opened, sealed_at + timedelta(hours=8)) == AuditsDue(audits=(), next_at=None)
    verified(validator, opened, BOB)
    assert len(take(validator, opened, last).audits) == 4


def test_a_late_commitment_is_not_audited(validator: Validator) -> None:
    opened = validator.open()
    committed(validator, opened, ALICE, late=timedelta(milliseconds=1))
    verified(validator, opened, ALICE)
    sealed(validator, opened)
    assert take(validator, opened, opened.run.valid_time(240)) == AuditsDue(audits=(), next_at=None)


def test_without_seal_or_secret_nothing_is_audited(validator: Validator, opened: Opened) -> None:
    verified(validator, opened, ALICE)
    nothing = AuditsDue(audits=(), next_at=None)
    assert take(validator, opened, opened.run.valid_time(240)) == nothing
    sealed(validator, opened)
    lost_key = do(records(validator, ALICE).take_audits, TakeAudits(run=opened.run, at=opened.run.valid_time(240)))
    assert lost_key == nothing


def test_after_a_long_outage_audits_come_in_parts(validator: Validator) -> None:
    validator.miners = tuple(PrivateKey.from_bytes(bytes([seed]) * 32) for seed in range(20, 36))
    opened = validator.with_defaults(hotkeys_per_address=None).open()
    for key in validator.miners:
        committed(validator, opened, key)
        verified(validator, opened, key)
    sealed(validator, opened)
    last = opened.run.valid_time(240)
    first = take(validator, opened, last)
    assert (len(first.audits), first.next_at) == (MOST_AT_ONCE, last)
    taken = [AuditKey(hotkey=audit.hotkey, number=audit.number) for audit in first.audits]
    second = take(validator, opened, last, *taken)
    assert (len(second.audits), second.next_at) == (4 * 16 - MOST_AT_ONCE, None)


@pytest.fixture
def due(validator: Validator, opened: Opened) -> list[Audit]:
    """All audits of Alice."""
    verified(validator, opened, ALICE)
    sealed(validator, opened)
    return list(all_due(validator, opened))


def test_an_audit_that_is_served_costs_nothing(validator: Validator, opened: Opened, due: list[Audit]) -> None:
    assert record(validator, opened, due[0]) == AuditRecorded(outcome="kept", settled=0)
    assert lost(validator, opened) == []


def test_a_lost_object_settles_its_case_and_no_other(validator: Validator, opened: Opened, due: list[Audit]) -> None:
    found = record(validator, opened, due[0], path(validator, CHUNK), "zarr.json", "latitude/c/0")
    assert found == AuditRecorded(outcome="failed", settled=1)
    (fault,) = lost(validator, opened)
    assert (fault.code, fault.effect, fault.hotkey) == ("AuditFailed", "W", ALICE.hotkey)
    assert (fault.pass_, fault.variable, fault.level, fault.lead_hours) == ("era5_final", *CHUNK)
    assert fault.found == "ObjectAbsent"
    assert record(validator, opened, due[0], path(validator, CHUNK)).outcome == "failed"
    assert lost(validator, opened) == [fault]


def test_a_case_that_is_kept_or_scored_is_not_lost(validator: Validator, opened: Opened, due: list[Audit]) -> None:
    name = path(validator, CHUNK)
    digest = validator.store.put(name.encode() + ALICE.hotkey.encode())
    assert digest == hashlib.sha256(name.encode() + ALICE.hotkey.encode()).hexdigest()
    validator.record(scored(opened, OTHER))
    found = record(validator, opened, due[0], name, path(validator, OTHER))
    assert found == AuditRecorded(outcome="failed", settled=0)


def scored(opened: Opened, case: tuple[str, int, int]) -> ScoreFact:
    variable, level, lead = case
    return some_fact(opened, variable=variable, level=level, lead_hours=lead, valid_time=opened.run.valid_time(lead))


def test_two_failed_audits_settle_every_case_that_is_neither_kept_nor_scored(
    validator: Validator, opened: Opened, due: list[Audit]
) -> None:
    validator.record(scored(opened, OTHER))
    record(validator, opened, due[0], "zarr.json")
    record(validator, opened, due[1])
    assert lost(validator, opened) == []
    rules = validator.catalog.rules(GRID)
    found = record(validator, opened, due[2], path(validator, CHUNK))
    assert found.settled == len(rules.final_fields) * len(opened.run.final_lead_hours) - 1
    cases = {(fault.variable, fault.level, fault.lead_hours) for fault in lost(validator, opened)}
    assert OTHER not in cases and CHUNK in cases


def test_a_later_fault_of_the_same_case_stands_beside(validator: Validator, opened: Opened, due: list[Audit]) -> None:
    record(validator, opened, due[0], path(validator, CHUNK))
    (fault,) = lost(validator, opened)
    validator.record(fault.model_copy(update={"code": "ObjectAbsent", "region": "global"}))
    assert {one.code for one in lost(validator, opened)} == {"AuditFailed", "ObjectAbsent"}


def test_an_audit_that_we_could_not_make_is_on_record_and_free(
    validator: Validator, opened: Opened, due: list[Audit]
) -> None:
    ours = FaultNote(code="EgressDown", cause="platform")
    assert record(validator, opened, due[0], void=ours) == AuditRecorded(outcome="void", settled=0)
    assert record(validator, opened, due[0], path(validator, CHUNK)) == AuditRecorded(outcome="void", settled=0)
    assert lost(validator, opened) == []
    with validator.ledger.read() as session:
        (row,) = rows_of(session, AuditRow, opened.run.run_id)
    assert (row.outcome, row.code, row.due) == ("void", "EgressDown", due[0].due)
