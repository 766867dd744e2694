"""What the log shows of itself: entries, and proofs between any two of its sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from adapters.ledger import log
from adapters.ledger.engine import Ledger
from protocol import merkle
from protocol.log import MAX_BYTES
from protocol.receipt import Intervention
from tests.activities.ledger.builders import OPENED, RUN, VALIDATOR, prepare
from tests.proofs import consistency_proof

LEAVES = 70
HASHES: list[bytes] = []
sizes = st.integers(1, LEAVES)


def entry(number: int, actor: str = "op") -> Intervention:
    return Intervention(
        network="test", run_id=RUN, verb="hold", actor=actor, reason_digest=f"{number:064x}", recorded_at=OPENED
    )


def fill(ledger: Ledger, count: int, actor: str = "op") -> list[bytes]:
    with ledger.begin() as session:
        prepare(session)
        leaves = [log.append_leaf(session, entry(number, actor), str(number)) for number in range(count)]
        return [bytes.fromhex(leaf.leaf_hash) for leaf in leaves]


@pytest.fixture(scope="module")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path = tmp_path_factory.mktemp("log") / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    with Ledger(f"sqlite:///{path}") as ledger:
        HASHES[:] = fill(ledger, LEAVES)
        yield ledger


def root(size: int) -> bytes:
    return merkle.root_of(HASHES[:size])


@settings(deadline=None)
@given(one=sizes, other=sizes)
def test_the_log_is_consistent_between_any_two_sizes(filled: Ledger, one: int, other: int) -> None:
    first, second = sorted((one, other))
    with filled.read() as session:
        proof = [bytes.fromhex(part) for part in log.consistency_proof(session, first, second)]
    assert proof == consistency_proof(HASHES[:second], first)
    assert merkle.consistency_holds((first, second), (root(first), root(second)), proof)


@settings(deadline=None)
@given(size=sizes, data=st.data())
def test_every_leaf_is_proved_in_every_tree_that_has_it(filled: Ledger, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    with filled.read() as session:
        proof = [bytes.fromhex(part) for part in log.inclusion_proof(session, index, size)]
    assert merkle.inclusion_holds(HASHES[index], (index, size), proof, root(size))


def test_the_head_is_that_of_all_leaves(ledger: Ledger) -> None:
    def head(session: Session) -> tuple[int, str]:
        signed = log.signed_head(session, VALIDATOR, "test", OPENED)
        assert signed.holds("test", VALIDATOR.hotkey)
        return signed.tree_head.tree_size, signed.tree_head.root_hash

    with ledger.read() as session:
        assert head(session) == (0, merkle.root_of([]).hex())
    hashes = fill(ledger, 5)
    with ledger.read() as session:
        assert head(session) == (5, merkle.root_of(hashes).hex())
        proof = log.consistency_proof(session, 3, 5)
    assert proof == [part.hex() for part in consistency_proof(hashes, 3)]


def test_entries_come_in_order_and_end_where_the_log_ends(ledger: Ledger) -> None:
    fill(ledger, 5)
    with ledger.read() as session:
        assert log.entries(session, 3, 9) == [entry(3).value, entry(4).value]
        assert log.entries(session, 2, 2) == [entry(2).value]
        assert log.entries(session, 7, 9) == log.entries(session, 3, 2) == []
        assert log.entry_of(session, RUN, "run_sealed") is None


def test_no_answer_has_more_than_a_thousand_entries_or_a_mebibyte(ledger: Ledger) -> None:
    fill(ledger, 1_200, actor="x" * 1_024)
    with ledger.read() as session:
        found = log.entries(session, 0, 1_199)
        assert 0 < sum(len(str(one)) for one in found) < MAX_BYTES
        assert len(log.entries(session, 0, 10**9)) <= 1_000


@pytest.mark.parametrize(("first", "second"), [(0, 3), (3, 2), (3, 6)])
def test_there_is_no_proof_for_sizes_that_the_log_never_had(ledger: Ledger, first: int, second: int) -> None:
    fill(ledger, 5)
    with ledger.read() as session, pytest.raises(ValueError):
        log.consistency_proof(session, first, second)


@pytest.mark.parametrize(("leaf", "size"), [(3, 3), (2, 6), (5, 5)])
def test_there_is_no_proof_of_leaves_that_the_log_never_had(ledger: Ledger, leaf: int, size: int) -> None:
    fill(ledger, 5)
    with ledger.read() as session, pytest.raises(ValueError):
        log.inclusion_proof(session, leaf, size)
