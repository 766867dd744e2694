import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from tests.proofs import consistency_proof, inclusion_proof

RFC_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(64)]
sizes = st.integers(1, 64)


@pytest.mark.parametrize(
    ("size", "root"),
    [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ],
)
def test_roots_are_those_of_certificate_transparency(size: int, root: str) -> None:
    assert merkle.tree_hash([bytes.fromhex(leaf) for leaf in RFC_LEAVES[:size]]).hex() == root


def recursive_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = max(2**power for power in range(7) if 2**power < len(hashes))
    return hashlib.sha256(b"\1" + recursive_root(hashes[:split]) + recursive_root(hashes[split:])).digest()


@given(sizes)
def test_the_root_is_the_one_of_the_recursive_definition(size: int) -> None:
    assert merkle.root_of(LEAVES[:size]) == recursive_root(LEAVES[:size])


def test_every_leaf_of_every_tree_is_proved_at_its_own_place_only() -> None:
    for size in range(1, 65):
        root = merkle.root_of(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(LEAVES[:size], index)
            holds = [merkle.inclusion_holds(LEAVES[index], (place, size), proof, root) for place in range(-1, size + 1)]
            assert [place - 1 for place, held in enumerate(holds) if held] == [index]


def test_every_prefix_of_every_tree_is_proved() -> None:
    roots = [merkle.root_of(LEAVES[:size]) for size in range(65)]
    for second in range(1, 65):
        for first in range(1, second + 1):
            proof = consistency_proof(LEAVES[:second], first)
            assert merkle.consistency_holds((first, second), (roots[first], roots[second]), proof)
            assert not merkle.consistency_holds((first, second), (roots[first - 1], roots[second]), proof)
            assert not merkle.consistency_holds((first, second), (roots[first], roots[second - 1]), proof)


@given(sizes, st.data())
def test_a_proof_with_a_bit_flipped_a_part_less_or_a_part_more_fails(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves, place = LEAVES[:size], (index, size)
    root, proof = merkle.root_of(leaves), inclusion_proof(leaves, index)
    assert not merkle.inclusion_holds(leaves[index], place, [*proof, LEAVES[0]], root)
    if proof:
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at]) ^ 1 << bit).to_bytes(32)
        assert not merkle.inclusion_holds(leaves[index], place, [*proof[:at], flipped, *proof[at + 1 :]], root)
        assert not merkle.inclusion_holds(leaves[index], place, proof[:-1], root)


@given(sizes, st.data())
def test_a_log_that_changed_a_leaf_is_not_consistent(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second))
    changed = data.draw(st.integers(0, first - 1))
    rewritten = [*LEAVES[:changed], merkle.leaf_hash(b"rewritten"), *LEAVES[changed + 1 : second]]
    proof = consistency_proof(rewritten, first)
    roots = (merkle.root_of(LEAVES[:first]), merkle.root_of(rewritten))
    assert not merkle.consistency_holds((first, second), roots, proof)


def test_there_is_no_proof_for_what_is_not_in_the_tree() -> None:
    with pytest.raises(ValueError):
        inclusion_proof(LEAVES[:3], 3)
    for first in (0, 4):
        with pytest.raises(ValueError):
            consistency_proof(LEAVES[:3], first)
    assert not merkle.consistency_holds((0, 3), (merkle.root_of([]), merkle.root_of(LEAVES[:3])), [])
    assert not merkle.consistency_holds((2, 3), (merkle.root_of(LEAVES[:2]), merkle.root_of(LEAVES[:3])), [])
