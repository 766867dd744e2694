"""One run with its keys, call, store, commitment and receipt."""

import hashlib
from datetime import timedelta
from typing import Any

from protocol import merkle
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout, load_layout
from protocol.manifest import Manifest
from protocol.messages import CommitmentData, ForecastRequestData, InitMetadata, InputObject, input_data_hash
from protocol.names import job_id, parse_time, run_id
from protocol.receipt import (
    CommitmentAnswer,
    CommitmentEntry,
    Receipt,
    TreeHead,
    entry_hash,
)
from protocol.store import array_metadata, coordinate_chunks, root_metadata
from tests.proofs import inclusion_proof

MINER = PrivateKey.from_bytes(b"\1" * 32)
VALIDATOR = PrivateKey.from_bytes(b"\2" * 32)
OTHER = PrivateKey.from_bytes(b"\3" * 32)
T0 = parse_time("2026-11-22T18:00:00Z")
NOW = T0 + timedelta(hours=4)
RUN = run_id(T0)
NONCE = "2f1c8f3e-9f0e-4e1c-8f1d-6a7b8c9d0e1f"


def small_layout() -> Layout:
    shipped = load_layout("5p625")
    microdegrees = {**shipped.value["microdegrees"], "latitude_count": 4, "longitude_count": 8}
    variables = [shipped.value["variables"][index] for index in (0, 4, 8)]
    smaller = {"grid": "tiny", "lead_time_hours": [6, 12], "level_hectopascal": [500, 850]}
    return Layout.of_value({**shipped.value, **smaller, "microdegrees": microdegrees, "variables": variables})


LAYOUT = small_layout()
INPUTS = (
    InputObject(
        source="noaa-gfs",
        name="gfs.t18z.pgrb2.0p25.f000",
        init_time=T0,
        lead_time_hours=0,
        variable="t",
        level=850,
        offset=0,
        length=1,
        sha256="55" * 32,
    ),
)


def call(**changes: Any) -> ForecastRequestData:
    members: dict[str, Any] = {
        "network": "test",
        "run_id": RUN,
        "purpose": "live",
        "job_id": job_id("test", RUN, MINER.hotkey),
        "gfs_init_time": T0,
        "gfs_init_metadata": InitMetadata(objects=INPUTS),
        "input_data_hash": input_data_hash(INPUTS),
        "forecast_step_hours": 6,
        "inference_steps": 2,
        "grid": "tiny",
        "layout_digest": LAYOUT.digest,
        "score_spec_digest": "22" * 32,
        "first_scored_lead_hours": 6,
        "requested_at": NOW,
        "commit_deadline": NOW + timedelta(hours=1),
        "retain_until": NOW + timedelta(days=9),
    }
    return ForecastRequestData(**{**members, **changes})


CALL = call()


def store(miner: PrivateKey = MINER) -> dict[str, bytes]:
    objects = coordinate_chunks(LAYOUT, T0)
    objects |= {f"{name}/zarr.json": array_metadata(LAYOUT, name) for name in LAYOUT.array_names()}
    objects["zarr.json"] = root_metadata(CALL.identity(miner.hotkey))
    return {path: objects.get(path, path.encode()) for path in LAYOUT.object_set()}


def manifest_of(objects: dict[str, bytes]) -> Manifest:
    listed = [(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in objects.items()]
    return Manifest.build(CALL.job_id, listed)


def commitment_to(manifest: Manifest, **changes: Any) -> Commitment:
    totals: dict[str, Any] = {
        "root": manifest.root,
        "object_count": manifest.object_count,
        "total_bytes": manifest.total_bytes,
        "score_spec_digest": CALL.score_spec_digest,
        "input_data_hash": CALL.input_data_hash,
        "salt": "44" * 32,
    }
    return Commitment(**{**CALL.identity(MINER.hotkey).model_dump(), **totals, **changes})


def offer_of(commitment: Commitment, key: PrivateKey = MINER) -> CommitmentData:
    return CommitmentData(commitment=commitment.value, signature=commitment.sign(key))


MANIFEST = manifest_of(store())
COMMITMENT = commitment_to(MANIFEST)


# long: three documents are filled
def logged(commitment: Commitment = COMMITMENT, before: int = 4, after: int = 2) -> CommitmentAnswer:
    entry = CommitmentEntry(
        network="test",
        run_id=commitment.run_id,
        hotkey=commitment.hotkey,
        commitment_digest=commitment.digest,
        received_at=NOW,
        channel="push",
    )
    leaf = [merkle.leaf_hash(bytes([number])) for number in range(before + after)]
    leaves = [*leaf[:before], entry_hash(entry), *leaf[before:]]
    receipt = Receipt(validator=VALIDATOR.hotkey, leaf_index=before, entry=entry)
    head = TreeHead(
        network="test",
        validator=VALIDATOR.hotkey,
        tree_size=len(leaves),
        root_hash=merkle.root_of(leaves).hex(),
        recorded_at=NOW,
    )
    return CommitmentAnswer(
        receipt=receipt,
        receipt_signature=receipt.sign(VALIDATOR),
        tree_head=head,
        tree_head_signature=head.sign(VALIDATOR),
        inclusion_proof=tuple(sibling.hex() for sibling in inclusion_proof(leaves, before)),
        in_time=True,
    )
