"""What the ledger keeps of each miner's part: projections of what it did."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from activities import documents
from activities.messages.base import FaultNote
from activities.messages.miner import (
    CommitmentRecorded,
    LastWord,
    MinerAnswer,
    MinerStep,
    RecordAnswer,
    RecordCommitment,
    SettleMiner,
)
from adapters import instruments
from adapters.ledger import commitments, facts, responses, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.commitments import LastWordRow
from adapters.ledger.transitions import RESPONSE_RANKS
from adapters.ledger.values import FaultRecord, ReceivedCommitment, ResponseStep
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from weather.second_chances import effect_of

MANIFEST_CODES = (
    *("ManifestAbsent", "ManifestMalformed", "ManifestMismatch", "ManifestPathsWrong", "ManifestSizesWrong"),
    *("CoordinatesWrong", "MetadataRefused"),
)
STAGES = {"fetching": "fetch_initiated", "inference": "inference_triggered", "writing": "awaiting_inference_results"}


class LedgerMinerRecords:
    """Blocking: runs in the thread pool of `control`, which alone holds the hotkey."""

    def __init__(self, ledger: Ledger, store: ObjectStore, key: PrivateKey) -> None:
        self._ledger, self._store, self._key = ledger, store, key

    @activity.defn
    def record_answer(self, request: RecordAnswer) -> None:
        """Project an answer; one that would lower the rank writes nothing."""
        with self._ledger.begin() as session:
            expected = runs.changed_run(session, request.run_id).input_data_hash
            for status in _statuses(request.answer, expected):
                step = _step(request, status, input_data_hash=request.answer.input_data_hash)
                responses.advance_response(session, step)

    @activity.defn
    def record_commitment(self, request: RecordCommitment) -> CommitmentRecorded:
        """Store a pulled commitment; if another stands, that one is answered."""
        data = documents.commitment(self._store, request.commitment)
        received = ReceivedCommitment(
            commitment=Commitment.parse(data.commitment),
            signature=data.signature,
            received_at=request.received_at,
            channel="pull",
        )
        with self._ledger.begin() as session:
            deadline = runs.changed_run(session, request.run_id).commit_deadline
            assert deadline is not None
            stored = commitments.record_commitment(session, self._key, received)
        return documents.recorded(self._store, stored, deadline)

    @activity.defn
    def record_last_word(self, request: LastWord) -> None:
        """Keep what proves, or does not prove, that a miner is absent."""
        word, fault = {"run_id": request.run_id, "hotkey": request.hotkey, "at": request.at}, request.fault
        with self._ledger.begin() as session:
            session.merge(LastWordRow(**word, code=fault.code, cause=fault.cause))

    @activity.defn
    def settle_miner(self, request: SettleMiner) -> None:
        """Record the end: verified, or one fault with its evidence."""
        fault, steps = request.fault, [_step(request, "verifying_manifest")]
        if request.store:
            steps.append(_step(request, "verified_manifest_store_opened", manifest_digest=request.store.sha256))
        elif fault:
            evidence = fault.model_dump(exclude={"cause"})
            if fault.code in MANIFEST_CODES:
                steps.append(_step(request, "failed_manifest_verification", **evidence))
            else:
                steps = [_step(request, "verification_error", **evidence)]
        with self._ledger.begin() as session:
            for step in steps:
                responses.advance_response(session, step)
            facts.record_faults(session, [_fault_record(request, fault)] if fault else [])
        instruments.FAULTS_RECORDED.tally(filter(None, [fault]), "code", "cause")
        outcome, code = ("fault", fault.code) if fault else ("verified", "")
        instruments.MINERS_SETTLED.add(outcome=outcome, code=code)


def _statuses(answer: MinerAnswer, expected_hash: str | None) -> list[str]:
    """The word of the stage, and before it what is to be said of the inputs, at whatever stage they are named."""
    if answer.fault:
        return ["input_fetch_error" if answer.fault.found == "input_unavailable" else "received"]
    words = [STAGES.get(answer.stage, "received")]
    if answer.input_data_hash:
        same = answer.input_data_hash == expected_hash
        words.append("input_validation_complete" if same else "input_hash_mismatch")
    return sorted(words, key=RESPONSE_RANKS.__getitem__)


def _step(request: MinerStep, to: str, **evidence: Any) -> ResponseStep:
    return ResponseStep(run_id=request.run_id, hotkey=request.hotkey, to=to, at=request.at, **evidence)


def _fault_record(request: SettleMiner, fault: FaultNote) -> FaultRecord:
    return FaultRecord(
        run_id=request.run_id,
        hotkey=request.hotkey,
        generation=request.generation,
        effect=effect_of(fault.code),
        recorded_at=request.at,
        **fault.model_dump(),
    )
