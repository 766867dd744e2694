"""Documents in the object store: what is too large for a history travels by digest."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, RootModel, TypeAdapter

from activities.messages.base import Ref
from activities.messages.miner import CommitmentRecorded
from adapters.forecast_reader import VerifiedManifest
from adapters.ledger.values import FaultRecord, RecordedCommitment, ScoreFact
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.deadline import in_time
from protocol.messages import CommitmentData, ForecastRequestData
from protocol.registry import RosterEntry

M = TypeVar("M", bound=BaseModel)


class SealedCommitments(RootModel[dict[str, CommitmentRecorded]]):
    """What stood at the seal, by hotkey."""


class VerifiedStore(BaseModel):
    """A commitment and the manifest that fits it."""

    commitment: Commitment
    manifest: VerifiedManifest


class Part(BaseModel):
    """What a chunk of miners scored."""

    facts: tuple[ScoreFact, ...]
    faults: tuple[FaultRecord, ...]


_ROSTER = TypeAdapter(tuple[RosterEntry, ...])


def put(store: ObjectStore, document: bytes) -> Ref:
    """Keep a document."""
    return Ref(sha256=store.put(document), size_bytes=len(document))


def ref(store: ObjectStore, sha256: str) -> Ref:
    """A document that is kept already."""
    return Ref(sha256=sha256, size_bytes=len(store.get(sha256)))


def put_model(store: ObjectStore, model: BaseModel) -> Ref:
    """Keep a model as JSON."""
    return put(store, model.model_dump_json().encode())


def get_model(store: ObjectStore, kind: type[M], sha256: str) -> M:
    """Read a model again."""
    return kind.model_validate_json(store.get(sha256))


def roster(store: ObjectStore, ref: Ref) -> dict[str, RosterEntry]:
    """The frozen roster by hotkey."""
    return {entry.hotkey: entry for entry in _ROSTER.validate_json(store.get(ref.sha256))}


def call(store: ObjectStore, sha256: str) -> ForecastRequestData:
    """The call of a run."""
    return ForecastRequestData.parse(store.get(sha256))


def commitment(store: ObjectStore, ref: Ref) -> CommitmentData:
    """A commitment and its signature, as they came."""
    return CommitmentData.parse(store.get(ref.sha256))


def put_commitment(store: ObjectStore, stored: RecordedCommitment) -> Ref:
    """Keep a commitment and its signature."""
    data = CommitmentData(commitment=stored.commitment.value, signature=stored.signature)
    return put(store, data.canonical)


def recorded(store: ObjectStore, stored: RecordedCommitment, deadline: datetime) -> CommitmentRecorded:
    """A stored commitment, its document and receipt by digest."""
    return CommitmentRecorded(
        commitment=put_commitment(store, stored),
        commitment_digest=stored.commitment_digest,
        leaf_index=stored.leaf_index,
        in_time=in_time(stored.received_at, deadline),
        receipt=put(store, stored.answer(deadline).canonical),
    )
