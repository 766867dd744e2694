import hashlib

import pytest

from protocol import merkle
from protocol.receipt import (
    DeadlineMoved,
    LogEntry,
    RunClosed,
    RunOpened,
    RunSealed,
    TreeHead,
    commitments_digest,
    entry_hash,
    growth_holds,
)
from tests.proofs import consistency_proof
from tests.unit.protocol.world import NOW, OTHER, RUN, T0, VALIDATOR, logged

LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(9)]


def head(size: int, leaves: list[bytes] = LEAVES) -> TreeHead:
    root = merkle.root_of(leaves[:size]).hex()
    return TreeHead(network="test", validator=VALIDATOR.hotkey, tree_size=size, root_hash=root, recorded_at=NOW)


def test_a_leaf_is_the_tagged_canonical_entry() -> None:
    entry = logged().receipt.entry
    body = b"\0barograph/1/log-entry\0" + entry.canonical
    assert entry_hash(entry) == hashlib.sha256(body).digest()
    assert b'"recorded_at"' not in entry.canonical
    assert b'"received_at":"2026-11-22T22:00:00.000Z"' in entry.canonical


@pytest.mark.parametrize(
    ("entry", "members"),
    [
        (
            RunOpened(
                network="test",
                run_id=RUN,
                call_digest="11" * 32,
                roster_digest="22" * 32,
                commit_deadline=NOW,
                recorded_at=NOW,
            ),
            "call_digest commit_deadline kind network recorded_at roster_digest run_id",
        ),
        (
            DeadlineMoved(network="test", run_id=RUN, from_=T0, to=NOW, code="IngressDown", recorded_at=NOW),
            "code from kind network recorded_at run_id to",
        ),
        (
            RunSealed(
                network="test",
                run_id=RUN,
                commit_deadline=NOW,
                accepted=1,
                commitments_digest="11" * 32,
                audit_secret_hash="22" * 32,
                recorded_at=NOW,
            ),
            "accepted audit_secret_hash commit_deadline commitments_digest kind network recorded_at run_id",
        ),
        (
            RunClosed(
                network="test",
                run_id=RUN,
                outcome="scored",
                facts_digest="11" * 32,
                faults_digest="22" * 32,
                audit_secret="33" * 32,
                recorded_at=NOW,
            ),
            "audit_secret facts_digest faults_digest kind network outcome recorded_at run_id",
        ),
    ],
)
def test_entries_have_exactly_their_members_and_read_back(entry: LogEntry, members: str) -> None:
    assert sorted(entry.value) == members.split()
    assert type(entry).parse(entry.canonical) == entry


def test_a_head_holds_for_the_validator_that_it_names_and_that_signed_it() -> None:
    signature = head(3).sign(VALIDATOR)
    assert head(3).signed_by(VALIDATOR.hotkey, signature)
    assert not head(3).signed_by(OTHER.hotkey, signature)
    assert not head(4).signed_by(VALIDATOR.hotkey, signature)


def test_a_log_that_only_grows_shows_it_and_one_that_does_not_can_not() -> None:
    proof = [sibling.hex() for sibling in consistency_proof(LEAVES, 6)]
    assert growth_holds(head(6), head(9), proof)
    rewritten = [LEAVES[8], *LEAVES[1:]]
    assert not growth_holds(head(6), head(9, rewritten), proof)
    assert not growth_holds(head(9), head(6), proof)
    assert growth_holds(head(6), head(6), [])
    assert not growth_holds(head(6), head(6, rewritten), [])


def test_commitments_of_a_seal_have_one_digest_in_any_order() -> None:
    digests = ["22" * 32, "11" * 32]
    expected = merkle.tree_hash([bytes.fromhex(digest) for digest in sorted(digests)]).hex()
    assert commitments_digest(digests) == commitments_digest(reversed(digests)) == expected
    assert commitments_digest([]) == hashlib.sha256().hexdigest()
