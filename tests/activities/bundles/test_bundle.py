"""`run bundle` and `verify-round`: what was decided is computed again, and any changed byte is found (AT-S4)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.bundle import Archive, write_bundle
from adapters.ledger.engine import Ledger
from protocol.bundle import WindowRound, lacking, states_of, verify_round
from protocol.canonical import J
from protocol.dossier import DossierBroken
from protocol.weights import CountedRound, WeightInputs
from starter.cli import run as barograph
from tests.activities.dossiers.judged_run import JudgedRun
from tests.activities.dossiers.test_commands import asked
from tests.activities.validator.world import ALICE, BOB, VALIDATOR
from tests.activities.weights.scene import FIRST, closed_at
from weather.faults import PrerequisiteMissing

CHANGES = 1_000
Members = dict[str, Any]


@pytest.fixture(scope="module")
def body(run: JudgedRun, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bundle") / "round.json"
    written(run, path, run.run_id)
    return path.read_bytes()


def written(run: JudgedRun, path: Path, run_id: str) -> None:
    with Ledger(run.ledger_url) as ledger, ledger.read() as session:
        write_bundle(path, Archive(session, run.objects, run.catalog, VALIDATOR, closed_at(FIRST)), run_id)


def broken(run: JudgedRun, body: bytes) -> DossierBroken:
    with pytest.raises(DossierBroken) as caught:
        verify_round(body, run.run_id, VALIDATOR.hotkey)
    return caught.value


def test_a_bundle_holds_all_that_a_round_was_decided_from(run: JudgedRun, body: bytes) -> None:
    assert lacking(body) == []
    bundle = verify_round(body, run.run_id, VALIDATOR.hotkey)
    assert (bundle.outcome, len(bundle.roster), len(bundle.commitments), len(bundle.vectors)) == (
        "closed_partial",
        4,
        2,
        1,
    )
    assert {fault.code for fault in bundle.faults} >= {"CommitmentLate", "NoCommitment", "SourceCorrupt"}
    assert [(audit.number, audit.outcome) for audit in bundle.audits if audit.hotkey == BOB.hotkey] == [
        (0, "kept"),
        (1, "failed"),
        (2, "kept"),
        (3, "kept"),
    ]


def test_each_changed_byte_is_found_and_its_part_named(run: JudgedRun, body: bytes) -> None:
    chance = random.Random(20261125)
    for _ in range(CHANGES):
        changed, place = bytearray(body), chance.randrange(len(body))
        changed[place] ^= chance.randrange(1, 256)
        try:
            lacks = lacking(bytes(changed))
        except DossierBroken as error:
            assert error.part
        else:
            assert lacks or broken(run, bytes(changed)).part


def test_only_a_round_that_closed_with_scores_has_a_bundle(tmp_path: Path, run: JudgedRun) -> None:
    with pytest.raises(PrerequisiteMissing):
        written(run, tmp_path / "b", "forecast/2026-11-22T12Z")


def a_copy_is_paid(members: Members) -> None:
    """Other group scores of this round, with all that follows from them."""
    (vector,) = members["vectors"]
    vector["rounds"][0]["scores"][BOB.hotkey] |= {"day-1": 990_000_000}
    recounted(vector)


def recounted(vector: Members) -> None:
    states = states_of([WindowRound.of_value(one) for one in vector["rounds"]])
    vector["inputs"]["rounds"] = [CountedRound.of(state).value for state in states]
    inputs = WeightInputs.of_value(vector["inputs"])
    vector |= {"input_digest": inputs.digest, "shares": [list(share) for share in inputs.shares(states)]}


def on(member: str, change: Callable[[Any], object]) -> Callable[[Members], object]:
    return lambda members: members.update({member: change(members[member])})


@pytest.mark.parametrize(
    ("lie", "part"),
    [
        (on("outcome", lambda _: "closed"), "outcome"),
        (on("coverage", lambda _: "1/1"), "coverage"),
        (on("commitments", lambda all_: all_[1:]), "commitments"),
        (on("roster", lambda all_: all_[1:]), "roster"),
        (on("facts", lambda all_: all_[1:]), "facts"),
        (on("faults", lambda all_: all_[1:]), "faults"),
        (on("scores", lambda all_: all_[1:]), "scores"),
        (on("score_spec", lambda spec: spec | {"reference": "x"}), "score_spec"),
        (on("audits", lambda all_: [one for one in all_ if not one["failed"]]), "audits"),
        (on("audits", lambda all_: [*all_, all_[0]]), "audits"),
        (on("audits", lambda all_: [all_[0] | {"due": all_[1]["due"]}]), f"audits/{BOB.hotkey}/0: due, objects"),
        (
            on("audits", lambda all_: [all_[0] | {"objects": all_[1]["objects"]}]),
            f"audits/{BOB.hotkey}/0: due, objects",
        ),
        (on("audits", lambda all_: [all_[0] | {"failed": [99_999]}]), f"audits/{BOB.hotkey}/0: failed"),
        (on("vectors", lambda all_: [all_[0] | {"shares": all_[0]["shares"][1:]}]), "vectors/0: shares"),
        (on("vectors", lambda all_: [all_[0] | {"rounds": all_[0]["rounds"][1:]}]), "vectors/0: rounds"),
        (a_copy_is_paid, "vectors/0: scores"),
    ],
)
def test_a_lie_is_named(run: JudgedRun, body: bytes, lie: Callable[[Members], object], part: str) -> None:
    lie(members := json.loads(body))
    assert broken(run, J(members)).part == part


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"run_id"', b'{"log":{}}', b"\xff"])
def test_what_is_no_bundle_lacks_all_or_is_broken(body: bytes) -> None:
    try:
        assert "facts" in lacking(body)
    except DossierBroken as error:
        assert error.part == "bundle"


def test_the_commands_write_a_bundle_and_tell_what_differs_or_is_lacking(
    run: JudgedRun,
    state: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "round.json"
    code, told = asked(capsys, "run", "bundle", run.run_id, "--out", file, "--state", state)
    assert (code, told["validator"], told["vectors"]) == (0, VALIDATOR.hotkey, 1)
    monkeypatch.chdir(file.parent)
    verify = ("verify-round", run.run_id, "--bundle", file.name)
    code, told = asked(capsys, *verify)
    assert (code, told["holds"], told["validator"], told["audits"]) == (0, True, VALIDATOR.hotkey, 8)
    code, told = asked(capsys, *verify, "--validator", ALICE.hotkey)
    assert (code, told["broken"]) == (1, "log: tree head")
    members = json.loads(file.read_bytes())
    file.write_bytes(J(members | {"reason": "complete"}))
    code, told = asked(capsys, *verify)
    assert (code, told) == (1, {"holds": False, "broken": "reason", "found": "complete", "expected": "partial"})
    file.write_bytes(J({name: members[name] for name in members if name != "facts"}))
    assert asked(capsys, *verify) == (2, {"holds": False, "lacks": ["facts"]})
    members["log"]["leaves"].pop()
    file.write_bytes(J(members))
    assert asked(capsys, *verify) == (2, {"holds": False, "lacks": ["log: run_closed"]})
    assert barograph(["verify-round", "forecast/2026-11-22T12Z", "--bundle", file.name]) == 2
