import json
from typing import Any

import pytest

from protocol.problems import COMMITMENT_PROBLEMS, PROBLEMS, Problem, Refusal
from tests.unit.protocol.world import logged
from weather.faults import tree

PATH = "/weather-commitment"


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_of_the_closed_list_reads_back(code: str) -> None:
    answer = logged() if code == "CommitmentExists" else None
    document = Refusal(code, "so", found=413, expected="less").problem(PATH, answer)
    assert Problem.parse(document.body) == document
    assert document.type == f"urn:barograph:problem:{code}"
    assert document.status == PROBLEMS[code][0]
    assert (document.found, document.expected) == ("413", "less")


def test_a_conflict_carries_the_first_receipt_beside_its_own_members() -> None:
    value = json.loads(Refusal("CommitmentExists", "first").problem(PATH, logged()).body)
    assert value["receipt"] == logged().value["receipt"]
    assert value["in_time"] is True
    assert "answer" not in value
    del value["tree_head"]
    with pytest.raises(ValueError):
        Problem.of_value(value)


@pytest.mark.parametrize(
    "change",
    [
        {"code": "Strange"},
        {"status": 200},
        {"type": "about:blank"},
        {"more": 1},
        {"detail": "x" * 501},
        {"found": 1},
        {"answer": None},
        {"code": "CommitmentExists", "status": 409, "type": "urn:barograph:problem:CommitmentExists"},
    ],
)
def test_a_problem_beside_the_closed_list_is_refused(change: dict[str, Any]) -> None:
    value = Refusal("TooLarge", "so").problem(PATH).value
    with pytest.raises(ValueError):
        Problem.of_value({**value, **change})


def test_a_refusal_becomes_the_problem_that_it_names() -> None:
    document = Refusal("RateLimited", "ten a minute " + "é" * 600, found=11, expected=10).problem(PATH)
    assert (document.code, document.status, document.instance) == ("RateLimited", 429, PATH)
    assert len(document.detail) == 500
    assert Problem.parse(document.body) == document


def test_every_fault_of_a_commitment_has_its_problem() -> None:
    assert set(COMMITMENT_PROBLEMS) <= set(tree())
    assert set(COMMITMENT_PROBLEMS.values()) <= set(PROBLEMS)
