"""The pure parts of a dossier: proofs for some leaves, facts and faults as they are hashed, what breaks a part."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from protocol.dossier import DossierBroken, FactDocument, FaultDocument, Index, Proved, holding
from protocol.facts import bits_of, fact_document, facts_digest, fault_document
from protocol.merkle import leaf_hash, subset_proof, subset_root, tree_hash
from tests.activities.ledger.builders import fact, fault
from weather.cases import CaseKey
from weather.faults import InternalError, ManifestMismatch

LEAVES = [bytes([number]) for number in range(7)]
FACTS = [fact(level=level) for level in (50, 500, 850)]


def root_from(size: int, chosen: tuple[int, ...], proof: list[bytes], leaves: list[bytes]) -> bytes:
    return subset_root(size, {index: leaf_hash(leaves[index]) for index in chosen}, iter(proof))


@pytest.mark.parametrize("size", range(1, 8))
def test_any_leaves_lead_to_the_root_and_no_other_leaf_does(size: int) -> None:
    hashes, root = [leaf_hash(leaf) for leaf in LEAVES[:size]], tree_hash(LEAVES[:size])
    for chosen in (subset for count in range(size + 1) for subset in combinations(range(size), count)):
        proof = subset_proof(hashes, chosen)
        assert root_from(size, chosen, proof, LEAVES) == root
        assert all(root_from(size, chosen, proof, [b"x", *LEAVES[1:]]) != root for index in chosen if index == 0)
        if proof:
            with pytest.raises(ValueError, match="too short"):
                root_from(size, chosen, proof[:-1], LEAVES)


def test_a_tree_without_leaves_has_the_root_of_nothing() -> None:
    assert subset_root(0, {}, iter(subset_proof([], []))) == tree_hash([])


def proved(*chosen: int) -> dict[str, object]:
    documents = [fact_document(one) for one in FACTS]
    siblings = subset_proof([leaf_hash(document) for document in documents], chosen)
    return {
        "tree_size": len(documents),
        "indices": list(chosen),
        "siblings": [sibling.hex() for sibling in siblings],
        "documents": [json.loads(documents[index]) for index in chosen],
    }


def test_proved_facts_have_the_root_of_all_facts() -> None:
    for chosen in ((), (1,), (0, 2), (0, 1, 2)):
        assert Proved[FactDocument].of_value(proved(*chosen)).root == facts_digest(FACTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": [1, 0]}, "ascend"),
        ({"indices": [1, 1]}, "ascend"),
        ({"indices": [1, 3]}, "ascend"),
        ({"indices": [1]}, "zip"),
        ({"siblings": ["0" * 64] * 2}, "too long"),
        ({"siblings": []}, "too short"),
    ],
)
def test_a_proof_of_another_shape_has_no_root(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = Proved[FactDocument].of_value(proved(1, 2) | change).root


def test_documents_of_facts_and_faults_are_the_hashed_bytes() -> None:
    read = FactDocument.parse(fact_document(FACTS[1]))
    assert read.canonical == fact_document(FACTS[1])
    assert read.case == CaseKey("era5_final", 24, "z", 500, "global")
    assert read.scored.score == FACTS[1].score and read.sums["D"] == bits_of(-0.0) == "80" + "0" * 14
    scope = FaultDocument.parse(fault_document(fault()))
    assert scope.canonical == fault_document(fault())
    assert scope.case == CaseKey("*", -1, "*", -1, "*")
    surface = FaultDocument.parse(fault_document(fault(pass_="era5_final", lead_hours=24, variable="2t", level=0)))
    assert surface.case.level == 0


def test_an_index_names_documents_and_nothing_else() -> None:
    digests = {role: "0" * 64 for role in Index.model_fields if role not in ("document", "manifest")}
    index = Index.of_value({"document": "barograph/dossier/1", "manifest": None, **digests})
    assert Index.parse(index.canonical) == index
    for value in ({**index.value, "more": "0" * 64}, {**index.value, "call": "A" * 64}, {**index.value, "call": None}):
        with pytest.raises(ValueError):
            Index.of_value(value)


def test_what_is_refused_breaks_the_part_and_a_fault_of_ours_does_not() -> None:
    for refused in (ManifestMismatch("other root"), ValueError("no JSON"), KeyError("path"), RecursionError()):
        with pytest.raises(DossierBroken, match="manifest does not hold"), holding("manifest"):
            raise refused
    with pytest.raises(InternalError), holding("manifest"):
        raise InternalError("no child starts")
    with pytest.raises(DossierBroken, match="commitment: Field required"), holding("index.json"):
        Index.of_value({})
