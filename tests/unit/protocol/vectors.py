"""The full set of test vectors; run as a module to write them anew."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from protocol import merkle
from protocol.canonical import J, digest
from protocol.commitment import Commitment
from protocol.layout import load_layout
from protocol.manifest import Manifest
from protocol.names import job_id
from protocol.store import coordinate_chunks
from protocol.tokens import Access, Answer, Call, sign_access, sign_answer, sign_request
from tests.proofs import consistency_proof, inclusion_proof
from tests.unit.protocol.world import CALL, MINER, NONCE, NOW, RUN, T0, VALIDATOR, logged

PATH = Path(__file__).parents[2] / "vectors" / "protocol.json"
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
OBJECTS = {"2t/c/0/0/0": bytes(8), "2t/zarr.json": b"[]", "zarr.json": b"{}"}


def manifest() -> Manifest:
    listed = [(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in OBJECTS.items()]
    return Manifest.build(job_id("test", RUN, MINER.hotkey), listed)


def commitment() -> Commitment:
    return Commitment(
        network="test",
        run_id=RUN,
        job_id=manifest().job_id,
        init_time=T0,
        hotkey=MINER.hotkey,
        grid="5p625",
        layout_digest=load_layout("5p625").digest,
        score_spec_digest="22" * 32,
        input_data_hash="33" * 32,
        root=manifest().root,
        object_count=3,
        total_bytes=12,
        salt="44" * 32,
    )


def tree(size: int) -> dict[str, Any]:
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]
    return {
        "root": merkle.root_of(hashes).hex(),
        "inclusion": [[part.hex() for part in inclusion_proof(hashes, index)] for index in range(size)],
        "consistency": [[part.hex() for part in consistency_proof(hashes, first)] for first in range(1, size + 1)],
    }


def tokens() -> dict[str, str]:
    body = J({"nonce": NONCE, "data": {}})
    access = Access(MINER.hotkey, VALIDATOR.hotkey, CALL.job_id)
    return {
        "request": sign_request(VALIDATOR, Call(MINER.hotkey, "POST", "/a/weather-kerchunk-request", body), NOW),
        "answer": sign_answer(MINER, Answer(VALIDATOR.hotkey, NONCE, 200, body), NOW),
        "access": sign_access(MINER, access, NONCE, (NOW, timedelta(minutes=120))),
    }


def layout(name: str) -> dict[str, Any]:
    chunks = coordinate_chunks(load_layout(name), T0)
    return {
        "digest": load_layout(name).digest,
        "canonical_bytes": len(load_layout(name).canonical),
        "coordinates": {path: hashlib.sha256(chunk).hexdigest() for path, chunk in chunks.items()},
    }


def vectors() -> dict[str, Any]:
    signed = commitment()
    return {
        "keys": {"miner": MINER.hotkey, "validator": VALIDATOR.hotkey},
        "canonical": {
            "text": J({"b": [1, -1, True, None], 'a"\\/': {"": "~"}}).decode(),
            "digest": digest("call", J({})),
        },
        "layouts": {name: layout(name) for name in ("0p25", "5p625", "5p625-small")},
        "manifest": {"text": manifest().canonical.decode(), "root": manifest().root},
        "commitment": {
            "text": signed.canonical.decode(),
            "digest": signed.digest,
            "signature": signed.sign(MINER),
        },
        "answer": logged(signed).value,
        "tokens": tokens(),
        "trees": {"leaves": LEAVES, "sizes": [tree(size) for size in range(9)]},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n")
