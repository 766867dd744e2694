"""Bytes that may never change: the anchors of the protocol, and the checked-in vectors."""

import json

from protocol.commitment import first_broken
from protocol.messages import CommitmentData
from protocol.receipt import CommitmentAnswer
from tests.unit.protocol.vectors import PATH, vectors
from tests.unit.protocol.world import MINER, VALIDATOR

CHECKED_IN = json.loads(PATH.read_text())


def test_the_anchors_come_out() -> None:
    made = vectors()
    assert made["keys"] == {
        "miner": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "validator": "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
    }
    assert json.loads(made["manifest"]["text"])["job_id"] == "d728e0eb-1c1a-5e70-9de4-ac16a13782d4"
    quarter, coarse = made["layouts"]["0p25"], made["layouts"]["5p625"]
    assert quarter["digest"] == "31f70c5a324a7c41a294b84c21972c09e66b9de9f940442b80dbd97916f87a13"
    assert coarse["digest"] == "fb5f9f89cb9bf9478c731320f34537b83fe4940e7bb0578ae34be6919d65004b"
    assert (quarter["canonical_bytes"], coarse["canonical_bytes"]) == (1_150, 1_150)
    assert quarter["coordinates"]["latitude/c/0"] == "9a1c2dafea16c451e0014b155528375e76561bbe3a65824cc83f0eabeb2fc9f4"
    assert coarse["coordinates"]["latitude/c/0"] == "f45b06192dfa4b15f302ab4ab7f699caa58dfcbc46f17d86c5aa8113c55edc0f"
    assert made["trees"]["sizes"][3]["root"] == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert made["manifest"]["root"] == "548fb5e8ac67b7438e681b61381e072aad537d85f1a2b5eb85f59bc7365905b3"
    assert len(made["commitment"]["text"]) == 709
    assert made["commitment"]["digest"] == "5a83c9599abd08c00fa7c196b63aa69a260d4331636dfbdc4ca329d930447e62"
    assert made["commitment"]["signature"] == (
        "24b8fed287136b47086a6d7da20171b1d83210cfb1cf74ede4c3e8eeff451ad6"
        "8898705e6b3c3f9fb0088b78a2778d742ba24d5e323cb19d51aaeb0a6a6eec01"
    )


def test_the_checked_in_vectors_come_out() -> None:
    assert vectors() == CHECKED_IN


def test_the_checked_in_receipt_holds_offline() -> None:
    signed = CHECKED_IN["commitment"]
    offer = CommitmentData(commitment=json.loads(signed["text"]), signature=signed["signature"])
    answer = CommitmentAnswer.of_value(CHECKED_IN["answer"])
    assert first_broken(offer, answer, MINER.hotkey, VALIDATOR.hotkey) is None
