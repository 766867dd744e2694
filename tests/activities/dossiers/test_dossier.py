"""Dossiers: made from a closed run, checked without it, and cut, turned and padded bit by bit."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.dossier_file import verify
from adapters.ledger import views
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of, record_facts
from adapters.object_store import ObjectStore
from protocol.identity import PrivateKey
from tests.activities.dossiers.judged_run import ALICE, BOB, CAROL, DAVE, EVE, FRANK, HOLE, RERUN, JudgedRun, play
from tests.activities.dossiers.unpacked import Unpacked, broken, write
from tests.activities.validator.world import VALIDATOR
from weather.faults import ConfigurationInvalid, LedgerConflict, PrerequisiteMissing, StoreUnavailable

ROOT = Path(__file__).parents[3]
FLIPS, SEED = 1_000, 20_261_122
CHECKS = [("QualityControlFailed", lead, name) for lead in (6, 12) for name in ("10u", "10v", "2t", "msl", "z")]
VOID = [("SourceCorrupt", HOLE[1], HOLE[0]), ("VoidedByOperator", RERUN[1], RERUN[0])]


@pytest.mark.parametrize(
    ("key", "facts", "faults"),
    [
        (ALICE, 29, []),
        (BOB, 27, [("QualityControlFailed", -1, "gate"), *CHECKS]),
        (
            CAROL,
            25,
            [
                ("DecodeFailed", 24, "t"),
                ("IncompleteForecast", 6, "2t"),
                *((("ObjectAbsent", lead, "msl")) for lead in (12, 18)),
            ],
        ),
        (DAVE, 0, [("CommitmentLate", -1, "*")]),
        (EVE, 27, [("BaselineClone", -1, "*")]),
    ],
)
def test_a_dossier_proves_the_score_of_the_ledger_whatever_became_of_the_miner(
    run: JudgedRun, tmp_path: Path, key: PrivateKey, facts: int, faults: list[Any]
) -> None:
    proved = verify(write(run, key.hotkey, tmp_path / "dossier"), key.hotkey, VALIDATOR.hotkey)
    with Ledger(run.ledger_url) as ledger, ledger.read() as session:
        (row,) = [row for row in views.board_rows(session, run.run_id) if row.hotkey == key.hotkey]
    leads = {lead: score for (_, lead), score in row.lead_scores.items()}
    assert (proved.closing.score_nano, proved.closing.rank) == (row.score_nano, row.rank)
    assert dict(proved.closing.lead_scores) == leads
    assert len(proved.facts) == facts
    told = sorted((fault.code, fault.lead_hours, fault.variable) for fault in proved.faults)
    assert told == sorted([*faults, *VOID])
    assert proved.log.closed is not None
    assert proved.answer.in_time is (key is not DAVE)
    assert [case[1:3] for case in proved.closing.void] == [HOLE[::-1]]


def test_two_dossiers_of_a_run_show_the_same_truth(run: JudgedRun, tmp_path: Path) -> None:
    sets = [
        verify(write(run, key.hotkey, tmp_path / "d"), key.hotkey, VALIDATOR.hotkey).truth_sets()
        for key in (ALICE, BOB)
    ]
    assert sets[0] == sets[1]
    assert [row[:3] for row in sets[0]] == [
        ("day1_qc", 6, "gfs_analysis"),
        ("day1_qc", 12, "gfs_analysis"),
        ("era5_final", 18, "era5t"),
        ("era5_final", 24, "era5t"),
    ]


def test_the_same_ledger_gives_the_same_bytes(run: JudgedRun, unsigned: Path, tmp_path: Path) -> None:
    again = write(run, CAROL.hotkey, tmp_path / "again", key=None)
    assert again.read_bytes() == unsigned.read_bytes()
    assert verify(again, CAROL.hotkey, VALIDATOR.hotkey).log.closed is None


def command(*arguments: object, **environment: str) -> tuple[int, dict[str, Any]]:
    """The command line in a process that knows no ledger, no Temporal and no state folder."""
    program = [sys.executable, "-P", "-m", "starter", *map(str, arguments), "--json"]
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(program, env=known, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_another_process_with_other_threads_makes_every_score_anew(signed: Path, tmp_path: Path) -> None:
    names = ("--miner", CAROL.hotkey, "--validator", VALIDATOR.hotkey)
    shown = [command("verify-dossier", signed, *names, OMP_NUM_THREADS=threads) for threads in ("1", "2")]
    proved = verify(signed, CAROL.hotkey, VALIDATOR.hotkey)
    for code, document in shown:
        assert (code, document["holds"], document["close_is_logged"]) == (0, True, True)
        assert document["score_nano"] == proved.closing.score_nano
        assert [(row["lead_hours"], row["score_nano"]) for row in document["leads"]] == [*proved.closing.lead_scores]
        assert "ObjectAbsent" in document["only_told"]
    code, document = command("verify-dossier", signed, "--miner", ALICE.hotkey, "--validator", VALIDATOR.hotkey)
    assert (code, document["holds"], document["broken"]) == (4, False, "commitment")


def owners(file: Path) -> Iterator[tuple[int, set[str]]]:
    """End of each stretch of the file, and how the object that it belongs to may be named."""
    with tarfile.open(file) as archive:
        for number, member in enumerate(archive.getmembers(), 1):
            yield member.offset_data, {f"header of member {number}"}
            yield member.offset_data + -(-member.size // 512) * 512, {member.name}
    yield file.stat().st_size, {f"header of member {number + 1}", "end of the file"}


def test_a_thousand_single_bits_are_all_noticed_and_the_object_is_named(signed: Path, tmp_path: Path) -> None:
    whole, places, noise = signed.read_bytes(), list(owners(signed)), random.Random(SEED)
    index_bits = [8 * offset + noise.randrange(8) for offset in range(512, places[1][0])]
    bits = [noise.randrange(8 * len(whole)) for _ in range(FLIPS - len(index_bits))]
    flipped = tmp_path / "flipped"
    for bit in [*index_bits, *bits]:
        body = bytearray(whole)
        body[bit // 8] ^= 1 << bit % 8
        flipped.write_bytes(body)
        named = next(names for end, names in places if bit // 8 < end)
        assert broken(flipped) in named, f"bit {bit}"


@pytest.mark.parametrize("size", [0, 511, 512, 20_000, -1_024, -1])
def test_a_cut_dossier_is_broken(signed: Path, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(signed.read_bytes()[:size])
    assert broken(cut).startswith(("header of member", "end of the file", "objects/", "index.json"))


def test_nothing_may_follow_stand_twice_or_be_of_no_use(signed: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.write_bytes(signed.read_bytes() + b"\0")
    assert broken(more) == "end of the file"
    with tarfile.open(signed) as archive:
        first, second = archive.getmembers()[1:3]
    body = signed.read_bytes()
    more.write_bytes(body[: second.offset] + body[first.offset :])
    assert broken(more) == "header of member 3"
    useless = Unpacked.of(signed)
    useless.objects[hashlib.sha256(b"more").hexdigest()] = b"more"
    assert broken(useless.save(more)) == f"objects/{hashlib.sha256(b'more').hexdigest()}"


def test_there_is_no_dossier_of_what_is_not_closed_or_never_committed(run: JudgedRun, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteMissing, match="no such run"):
        write(replace(run, run_id="forecast/2026-11-22T18Z"), ALICE.hotkey, tmp_path / "d")
    for hotkey in ("ab" * 32, FRANK.hotkey):
        with pytest.raises(ConfigurationInvalid, match="nothing to prove"):
            write(run, hotkey, tmp_path / "d")
    with pytest.raises(PrerequisiteMissing, match="found pending"):
        write(replace(run, run_id=run.open_run()), ALICE.hotkey, tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_facts_that_changed_since_the_close_are_no_proof_of_it(tmp_path: Path) -> None:
    run = play(tmp_path)
    with Ledger(run.ledger_url) as ledger, ledger.begin() as session:
        facts = facts_of(session, run.run_id)
        record_facts(session, [facts[0].model_copy(update={"generation": 2})])
    with pytest.raises(LedgerConflict, match="changed since the close"):
        write(run, ALICE.hotkey, tmp_path / "d")


def test_a_dossier_that_lacks_its_bytes_is_not_written(run: JudgedRun, tmp_path: Path) -> None:
    empty = replace(run, objects=ObjectStore(tmp_path / "objects"))
    shutil.copytree(run.grids.parent / "objects", tmp_path / "objects")
    shutil.rmtree(tmp_path / "objects" / "fields")
    with pytest.raises(StoreUnavailable):
        write(empty, ALICE.hotkey, tmp_path / "d")
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]
