"""What a liar may do to a dossier and still name every object rightly: each lie is found, and by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.canonical import J
from protocol.facts import bits_of
from protocol.merkle import tree_hash
from tests.activities.dossiers.judged_run import ALICE, BOB, EVE, JudgedRun
from tests.activities.dossiers.unpacked import Change, Unpacked, broken, drop, put, write

ZEROS = "0" * 64


def turned(text: str) -> str:
    return text[::-1]


def one_more(value: int) -> int:
    return value + 1


DOCUMENTS: list[tuple[str, Change, str]] = [
    ("commitment", put("commitment/salt", ZEROS), "commitment"),
    ("commitment", put("commitment/hash", "xxh64"), "commitment"),
    ("commitment", put("signature", turned), "commitment"),
    ("answer", put("receipt/leaf_index", one_more), "receipt"),
    ("answer", put("receipt/entry/received_at", "2026-11-22T20:00:00.000Z"), "receipt"),
    ("answer", put("tree_head/tree_size", one_more), "tree_head"),
    ("answer", put("inclusion_proof/0", turned), "inclusion_proof"),
    ("answer", put("in_time", False), "receipt: in_time"),
    ("answer", drop("in_time"), "receipt"),
    ("log", put("tree_head/root_hash", ZEROS), "log: tree head"),
    ("log", put("consistency_proof/0", turned), "log: consistency proof"),
    ("log", put("leaves/0/entry/call_digest", ZEROS), "log: run_opened"),
    ("log", put("leaves/0/leaf_index", one_more), "log: run_opened"),
    ("log", drop("leaves/0"), "log: run_opened"),
    ("log", put("leaves/2/entry/facts_digest", ZEROS), "log: run_closed"),
    ("call", put("commit_deadline", "2026-11-23T06:00:00Z"), "call"),
    ("layout", put("grid", "other"), "layout"),
    ("score_spec", put("era5_final/gate_weight", one_more), "score_spec"),
    ("manifest", put("objects/0/2", turned), "manifest"),
    ("facts", put("documents/0/generation", one_more), "facts"),
    ("facts", put("indices/0", one_more), "facts"),
    ("facts", put("siblings/0", turned), "facts"),
    ("facts", put("tree_size", 10**9), "facts"),
    ("facts", drop("documents/0"), "facts"),
    ("faults", drop("documents/0"), "faults"),
    ("faults", put("documents/0/code", "NoCommitment"), "faults"),
    ("closing", put("facts_digest", turned), "facts"),
    ("closing", put("score_nano", one_more), "closing: score"),
    ("closing", put("lead_scores/0/1", one_more), "closing: lead_scores"),
    ("closing", put("coverage", "1/1"), "closing: outcome"),
    ("closing", put("outcome", "closed"), "closing: outcome"),
    ("closing", drop("void/0"), "closing: void"),
    ("closing", put("void/0/2", "10v"), "closing: void"),
]


@pytest.mark.parametrize(("role", "lie", "part"), DOCUMENTS)
def test_a_changed_document_is_named(signed: Path, tmp_path: Path, role: str, lie: Change, part: str) -> None:
    forged = Unpacked.of(signed)
    forged.change(role, lie)
    assert broken(forged.save(tmp_path / "forged")) == part


def test_the_close_of_the_log_binds_all_facts(signed: Path, unsigned: Path, tmp_path: Path) -> None:
    for file, part in ((signed, "closing"), (unsigned, "fact era5_final 18 h 10v surface: sums")):
        forged = Unpacked.of(file)
        forged.change("facts", put(f"documents/{place(forged, 'era5_final', 18, '10v')}/sums/D", bits_of(0.5)))
        forged.bind()
        assert broken(forged.save(tmp_path / "forged")) == part


def place(dossier: Unpacked, name: str, lead: int, variable: str, role: str = "facts") -> int:
    documents = dossier.value(role)["documents"]
    return next(
        number
        for number, one in enumerate(documents)
        if (one["pass"], one["lead_hours"], one["variable"]) == (name, lead, variable)
    )


def some_climatology(dossier: Unpacked) -> str:
    return dossier.value("facts")["documents"][place(dossier, "era5_final", 18, "10v")]["climatology_digest"]


FACTS: list[tuple[tuple[str, int, str], str, Any, str]] = [
    (("era5_final", 18, "10v"), "truth_digest", some_climatology, "fact era5_final 18 h 10v surface"),
    (("era5_final", 24, "msl"), "truth_digest", some_climatology, "fact era5_final 24 h msl surface: sums"),
    (("era5_final", 18, "10v"), "forecast_digest", ZEROS, "fact era5_final 18 h 10v surface: forecast_digest"),
    (("era5_final", 18, "10v"), "climatology_digest", ZEROS, "fact era5_final 18 h 10v surface"),
    (("era5_final", 18, "10v"), "truth_version", "gfs_analysis", "fact era5_final 18 h 10v surface: rules"),
    (("era5_final", 18, "10v"), "region", "europe", "fact era5_final 18 h 10v surface"),
    (("era5_final", 18, "10v"), "variable", "10u", "closing: void"),
    (("day1_qc", 12, "z"), "variable", "t", "fact day1_qc 12 h t 500"),
    (("day1_qc", 12, "z"), "sums/G_12", bits_of(0.0), "fact day1_qc 12 h z 500: sums"),
    (("day1_qc", 12, "z"), "score", bits_of(1.0), "fact day1_qc 12 h z 500: score"),
    (("day1_qc", 12, "z"), "reference_digests/gfs", some_climatology, "fact day1_qc 12 h z 500: sums"),
    (("day1_qc", 12, "z"), "reference_digests/other", ZEROS, "fact day1_qc 12 h z 500: rules"),
    (("day1_qc", 24, "gate"), "forecast_digest", ZEROS, "fact day1_qc 24 h gate surface"),
    (("day1_qc", 24, "gate"), "truth_digest", some_climatology, "truth set {climatology}"),
    (("day1_qc", 24, "gate"), "lead_hours", 12, "closing: void"),
]


@pytest.mark.parametrize(("fact", "member", "value", "part"), FACTS)
def test_a_changed_fact_is_named_by_its_case(
    unsigned: Path, tmp_path: Path, fact: tuple[str, int, str], member: str, value: Any, part: str
) -> None:
    forged = Unpacked.of(unsigned)
    climatology = some_climatology(forged)
    new = climatology if value is some_climatology else value
    forged.change("facts", put(f"documents/{place(forged, *fact)}/{member}", new))
    forged.bind()
    assert broken(forged.save(tmp_path / "forged")) == part.format(climatology=climatology)


FAULTS: list[tuple[tuple[str, int, str], str, str]] = [
    (("era5_final", 24, "t"), "DecodedSizeRefused", "fault era5_final 24 h t 500"),
    (("day1_qc", 6, "2t"), "DecodeFailed", "fault day1_qc 6 h 2t surface"),
    (("day1_qc", 6, "2t"), "QualityControlFailed", "fault QualityControlFailed of 2t at 6 h"),
    (("day1_qc", 12, "msl"), "IncompleteForecast", "fault day1_qc 12 h msl surface"),
    (("era5_final", 18, "msl"), "CommitmentLate", "fault era5_final 18 h msl surface"),
]


@pytest.mark.parametrize(("fault", "code", "part"), FAULTS)
def test_a_fault_that_the_bytes_do_not_show_is_named(
    unsigned: Path, tmp_path: Path, fault: tuple[str, int, str], code: str, part: str
) -> None:
    forged = Unpacked.of(unsigned)
    forged.change("faults", put(f"documents/{place(forged, *fault, role='faults')}/code", code))
    forged.bind()
    assert broken(forged.save(tmp_path / "forged")) == part


def test_a_fault_of_day_1_that_is_not_told_is_named(run: JudgedRun, tmp_path: Path) -> None:
    for key, part in ((BOB, "fault QualityControlFailed of 10u at 6 h"), (EVE, "fault BaselineClone of * at -1 h")):
        forged = Unpacked.of(write(run, key.hotkey, tmp_path / "whole", key=None))
        number = 0 if key is EVE else place(forged, "day1_qc", 6, "10u", role="faults")
        forged.change("faults", put(f"documents/{number}/code", "ExactClone" if key is EVE else "ObjectAbsent"))
        forged.bind()
        assert broken(forged.save(tmp_path / "forged"), key.hotkey) == part


def test_no_component_of_day_1_can_be_left_out(run: JudgedRun, tmp_path: Path) -> None:
    """Not even by who makes the gate's facts anew over the others."""
    forged = Unpacked.of(write(run, ALICE.hotkey, tmp_path / "whole", key=None))
    documents = forged.value("facts")["documents"]
    del documents[place(forged, "day1_qc", 12, "z")]
    components = [one for one in documents if one["pass"] == "day1_qc" and one["variable"] != "gate"]
    for one in documents:
        if one["variable"] == "gate":
            one["forecast_digest"] = tree_hash([J(each) for each in components]).hex()
    whole = {"tree_size": len(documents), "indices": [*range(len(documents))], "siblings": [], "documents": documents}
    forged.change("facts", lambda _: whole)
    forged.bind()
    assert broken(forged.save(tmp_path / "forged"), ALICE.hotkey) == "day1_qc: components"


def test_a_lost_object_is_named_by_what_refers_to_it(unsigned: Path, tmp_path: Path) -> None:
    dossier = Unpacked.of(unsigned)
    fact = dossier.value("facts")["documents"][place(dossier, "era5_final", 24, "z")]
    entries = {path: sha256 for path, _, sha256 in dossier.value("manifest")["objects"]}
    for lost, part in (
        (dossier.index["call"], "index.json"),
        (entries["z/zarr.json"], "z/zarr.json"),
        (entries["z/c/3/0/0/0"], "fact era5_final 24 h z 500"),
        (fact["truth_digest"], "fact era5_final 24 h z 500"),
    ):
        forged = Unpacked.of(unsigned)
        del forged.objects[lost]
        assert broken(forged.save(tmp_path / "forged")) == part


def test_a_dossier_of_another_miner_validator_or_run_is_refused(run: JudgedRun, signed: Path, tmp_path: Path) -> None:
    assert broken(signed, miner=ALICE.hotkey) == "commitment"
    assert broken(signed, validator=ALICE.hotkey) == "receipt"
    alices = Unpacked.of(write(run, ALICE.hotkey, tmp_path / "alice"))
    for role, part in (("answer", "receipt"), ("manifest", "manifest"), ("facts", "fact day1_qc 6 h 10u surface")):
        forged = Unpacked.of(signed)
        forged.index[role] = forged.add(alices.objects[alices.index[role]])
        assert broken(forged.save(tmp_path / "forged")) == part


def test_facts_without_a_manifest_are_refused(unsigned: Path, tmp_path: Path) -> None:
    forged = Unpacked.of(unsigned)
    forged.index["manifest"] = None
    assert broken(forged.save(tmp_path / "forged")) == "fact era5_final 18 h 10v surface"


@pytest.mark.parametrize("body", [b"[]", b"{}", b"\xff", b'{"fields": [1]}', b"[" * 100_000])
def test_an_object_that_is_something_else_is_named(unsigned: Path, tmp_path: Path, body: bytes) -> None:
    roles = {"commitment": "commitment", "answer": "receipt", "layout": "layout", "score_spec": "score_spec"}
    for role, part in [*roles.items(), ("log", "log"), ("manifest", "manifest"), ("facts", "facts"), ("call", "call")]:
        forged = Unpacked.of(unsigned)
        forged.index[role] = forged.add(body)
        assert broken(forged.save(tmp_path / "forged")) == part
    forged = Unpacked.of(unsigned)
    new = forged.add(body)
    for lead in (18, 24):
        number = place(forged, "day1_qc", lead, "gate")
        forged.change("facts", put(f"documents/{number}/truth_digest", new))
    forged.bind()
    assert broken(forged.save(tmp_path / "forged")) == f"truth set {new}"
