"""What `docs/protocol` tells is what the code does."""

import re

import pytest

from protocol.merkle import leaf_hash, subset_root
from tests.unit.protocol.pages import FOLDER, KINDS, files, vectors


@pytest.mark.parametrize("path", sorted(files()), ids=lambda path: path.name)
def test_the_generated_parts_are_those_of_the_code(path) -> None:
    assert path.read_text() == files()[path], "write them anew with `python -m tests.unit.protocol.pages`"


def test_every_message_has_its_table_and_every_link_its_page() -> None:
    pages = "".join(path.read_text() for path in FOLDER.glob("*.md"))
    assert set(re.findall(r"<!-- members (\w+) -->", pages)) == set(KINDS)
    assert {link for link in re.findall(r"\]\(([a-z-]+\.md)\)", pages) if not (FOLDER / link).exists()} == set()


def test_the_published_proof_leads_to_the_published_root() -> None:
    facts = vectors()["facts"]
    leaf = leaf_hash(facts["documents"][1].encode())
    assert leaf.hex() == facts["leaf_hashes"][1]
    siblings = iter([bytes.fromhex(sibling) for sibling in facts["proof_of_the_second"]])
    assert subset_root(3, {1: leaf}, siblings).hex() == facts["facts_digest"]
