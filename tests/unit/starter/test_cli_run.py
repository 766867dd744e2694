"""Runs as the ledger tells them, and what is refused before a server is asked."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import record_facts, record_faults
from adapters.ledger.jobs import advance_job
from adapters.ledger.responses import advance_response
from adapters.ledger.runs import advance_run, close_run, get_run
from adapters.ledger.values import JobStep, ResponseStep, RoundScore
from starter.cli import run
from starter.ports import LOOPBACK, free_ports
from tests.activities.ledger.builders import MINER, OPENED, RUN, closing, fact, fault, prepare

pytestmark = pytest.mark.usefixtures("environment")
SECOND, ABSENT = "2" * 64, "0" * 64
FUTURE = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT00Z")
STEPS = (
    "initial_scoring_queued",
    "initial_scoring_skipped",
    "final_scoring_triggered",
    "final_scoring_completed",
)
REGISTRY = 'network = "test"\n'
ENTRY = f'[[miner]]\nname = "m"\nhotkey = "{MINER.hotkey}"\nbase_url = "http://127.0.0.1:1/m"\n'


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder as `up` leaves it, whose stack is down."""
    (tmp_path / "registry.toml").write_text(REGISTRY + ENTRY)
    upgrade(f"sqlite:///{tmp_path}/ledger.db")
    settings = {
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{free_ports(1)[0]}",
        "TEMPORAL_NAMESPACE": "default",
        "BAROGRAPH_NETWORK": "test",
        "BAROGRAPH_OBJECT_STORE": (tmp_path / "objects").as_uri(),
        "BAROGRAPH_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "BAROGRAPH_REGISTRY_PATH": str(tmp_path / "registry.toml"),
    }
    (tmp_path / "client.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.fixture
def closed(state: Path) -> Path:
    """A closed run: one miner was scored, one failed a lead in two fields, one never committed."""
    scores = [
        RoundScore(hotkey=MINER.hotkey, score_nano=812_345_678, rank=1),
        RoundScore(hotkey=SECOND, score_nano=500_000_000, rank=2),
        RoundScore(hotkey=ABSENT, score_nano=0, rank=3, code="NoCommitment"),
    ]
    leads = {(SECOND, 24): 250_000_000}
    flipped = {"hotkey": SECOND, "code": "ObjectDigestMismatch", "pass_": "era5_final", "lead_hours": 24}
    with Ledger(f"sqlite:///{state}/ledger.db") as ledger, ledger.begin() as session:
        prepare(session, MINER.hotkey, SECOND, ABSENT)
        record_faults(
            session,
            [
                fault(hotkey=ABSENT, found="processing", expected="a commitment"),
                fault(**flipped, variable="z", level=500, detail="bytes", found="aa", expected="bb"),
                fault(**flipped, variable="2t", level=0, detail="bytes", found="cc", expected="dd"),
            ],
        )
        for step in STEPS:
            advance_run(session, RUN, step, "test", OPENED)
        close_run(session, RUN, closing(scores=scores, lead_scores=leads))
    return state


def told(capsys: pytest.CaptureFixture[str], state: Path, *arguments: str) -> Any:
    assert run(["run", *arguments, "--state", str(state), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], state: Path, *arguments: str) -> tuple[int, str]:
    code = run([*arguments, "--state", str(state)])
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    return code, error


@pytest.mark.parametrize("text", ["2026-13-22T18Z", "2026-11-22T17Z", "2026-11-22", "now", "2026-11-22T18:00:00"])
def test_a_malformed_init_time_is_usage(text: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(capsys, state, "run", "start", text)
    assert code == 2 and f"found '{text}', expected" in error and "2026-11-22T18Z" in error


@pytest.mark.parametrize("command", ["status", "why", "board"])
def test_a_malformed_run_id_and_campaign_are_usage(
    command: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, state, "run", command, "campaign/x/2026-11-22T18Z")[0] == 2
    assert refused(capsys, state, "run", "start", "2026-11-22T18Z", "--campaign", "No!")[0] == 2


def test_an_init_time_in_the_future_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(capsys, state, "run", "start", FUTURE)
    assert code == 4 and "in the future" in error and f"found {FUTURE[:10]}" in error and "expected at most" in error


def test_an_unknown_grid_is_refused_and_the_known_ones_are_named(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = refused(capsys, state, "run", "start", "2026-11-01T00Z", "--grid", "0p1")
    assert code == 4 and "found 0p1" in error and "5p625-small" in error


@pytest.mark.parametrize("registry", [REGISTRY, REGISTRY + ENTRY + "enabled = false\n"])
def test_a_roster_that_would_be_empty_is_refused_before_an_init_time_is_spent(
    registry: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "registry.toml").write_text(registry)
    code, error = refused(capsys, state, "run", "start", "2026-11-01T00Z")
    assert code == 4 and "no enabled miner" in error and "expected at least one" in error
    assert told(capsys, state, "list") == []


def test_a_broken_registry_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "registry.toml").write_text("network = [")
    assert refused(capsys, state, "run", "start", "2026-11-01T00Z")[0] == 4
    (state / "registry.toml").unlink()
    assert refused(capsys, state, "miners")[0] == 3


def test_without_any_stack_it_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["run", "list"], ["miners"], ["doctor"], ["db", "upgrade"]):
        code, error = refused(capsys, tmp_path, *command)
        assert code == 3 and "BAROGRAPH_LEDGER_URL" in error and "barograph up" in error


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_corrupt_client_file_is_refused_and_left_as_it_is(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "client.json").write_bytes(content)
    code, error = refused(capsys, tmp_path, "run", "list")
    assert code == 4 and "client.json" in error
    assert (tmp_path / "client.json").read_bytes() == content


def test_a_setting_that_does_not_hold_is_usage(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "client.json").write_text('{"BAROGRAPH_NETWORK": "Bad!"}')
    code, error = refused(capsys, state, "run", "list")
    assert code == 2 and "BAROGRAPH_NETWORK" in error and "BAROGRAPH_LEDGER_URL" in error


def test_the_environment_goes_before_the_state_folder(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in json.loads((state / "client.json").read_text()).items():
        monkeypatch.setenv(name, value)
    assert told(capsys, state / "elsewhere", "list") == []


def test_a_corrupt_or_empty_ledger_is_not_ready(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = closed / "ledger.db"
    for content, said in ((b"not a database" * 100, "cannot be used"), (b"", "barograph db upgrade")):
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (closed / name).unlink(missing_ok=True)
        ledger.write_bytes(content)
        code, error = refused(capsys, closed, "run", "list")
        assert code == 3 and said in error


def test_runs_are_listed_and_told_by_init_time(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (listed,) = told(capsys, closed, "list")
    assert (listed["run_id"], listed["outcome"], listed["coverage"]) == (RUN, "closed", "1/1")
    status = told(capsys, closed, "status", "2026-11-22T18Z")
    assert (status["run_id"], status["miners"], status["faults"]) == (RUN, 3, 3)
    assert (status["says"], status["kind"]) == ("closed: every case counted", None)


def test_the_board_has_ranks_scores_leads_and_codes(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, absent = told(capsys, closed, "board", RUN)
    assert first == {
        "rank": 1,
        "name": "miner-0",
        "hotkey": MINER.hotkey,
        "score": 0.812345678,
        "leads": {},
        "code": None,
    }
    assert (second["leads"], absent["code"]) == ({"024h": 0.25}, "NoCommitment")
    assert run(["run", "board", RUN, "--state", str(closed)]) == 0
    table = capsys.readouterr().out
    assert "0.812346" in table and "024h" in table and MINER.hotkey not in table


def test_the_metrics_of_a_miner_stand_for_each_lead_and_over_all(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sums = {"W": 2.0, "D": 1.0, "A": 3.0, "D2": 8.0, "P": 0.0, "Q": 0.0, "P2": 8.0, "Q2": 8.0, "PQ": 4.0}
    exact = sums | {"D": 0.0, "A": 0.0, "D2": 0.0, "PQ": 8.0}
    final = {"generation": 2, "truth_version": "era5", "revised_at": OPENED, "scored_at": OPENED}
    facts = [fact(sums=exact, **final), fact(sums=sums, generation=2), fact(sums=sums, lead_hours=48)]
    with Ledger(f"sqlite:///{closed}/ledger.db") as ledger, ledger.begin() as session:
        record_facts(session, facts)
    first, second, both = told(capsys, closed, "metrics", RUN, "--miner", "miner-0")
    assert first | {"bias": 0, "mae": 0, "rmse": 0, "acc": 1, "skill": 1} == first
    assert second == {
        "field": "z500", "lead": "048h", "bias": 0.5, "mae": 1.5, "rmse": 2, "acc": 0.5, "skill": 0, "activity": 1
    }  # fmt: skip
    assert (both["lead"], both["mae"], both["rmse"], both["acc"]) == ("all", 0.75, 2**0.5, 0.75)
    assert told(capsys, closed, "metrics", RUN, "--miner", "baseline/climatology") == []
    assert "expected a miner of" in refused(capsys, closed, "run", "metrics", RUN, "--miner", "nobody")[1]


def test_every_failed_and_zero_state_has_a_sentence_and_its_evidence(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    why = told(capsys, closed, "why", RUN)
    assert (why["says"], why["kind"], why["verbs"]) == ("closed: every case counted", None, [])
    absent, second, first = why["parts"]
    assert (first["subject"], first["says"]) == (f"{RUN}/miner/miner-0", "is scored, nothing failed")
    assert second["says"].startswith("scores zero in era5_final 024h 2t and 1 more: ")
    assert (second["kind"], second["code"]) == ("miner", "ObjectDigestMismatch")
    assert absent == {
        "subject": f"{RUN}/miner/miner-2",
        "says": "scores zero in the whole run: No commitment by the deadline; "
        "tried again: calls and polls, ever rarer, until commit deadline",
        "kind": "miner",
        "code": "NoCommitment",
        "since": "2026-11-22T23:00:00Z",
        "next": None,
        "evidence": {"detail": "none by the deadline", "found": "processing", "expected": "a commitment"},
        "verbs": [],
    }
    assert run(["why", RUN, "--state", str(closed)]) == 0
    assert "miner-2" in capsys.readouterr().out


@pytest.mark.parametrize("named", ["miner-1", SECOND])
def test_of_one_miner_every_fault_is_told(named: str, closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why = told(capsys, closed, "why", f"{RUN}/miner/{named}")
    assert why["code"] == "ObjectDigestMismatch"
    assert [(row["says"].split(":")[0], row["evidence"]["found"]) for row in why["parts"]] == [
        ("scores zero in era5_final 024h 2t", "cc"),
        ("scores zero in era5_final 024h z500", "aa"),
    ]


def test_a_subject_that_nobody_can_know_is_usage(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(capsys, closed, "run", "why", f"{RUN}/miner/nobody")
    assert code == 2 and "found 'nobody'" in error and "miner-0" in error
    code, error = refused(capsys, closed, "why", "nobody")
    assert code == 2 and "found 'nobody'" in error and "weights/<network>/<epoch>" in error
    assert refused(capsys, closed, "why", "weights/other/3")[0] == 4
    for command in (("run", "board"), ("run", "metrics", "--miner", "miner-0"), ("ledger", "digest")):
        code, error = refused(capsys, closed, *command, "2031-01-01T06Z")
        assert code == 2 and "knows no forecast/2031-01-01T06Z" in error


def test_what_is_void_is_told_to_each_miner(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    void = {"hotkey": "*", "code": "DiskFull", "cause": "platform", "effect": "V", "pass_": "era5_final"}
    with Ledger(f"sqlite:///{state}/ledger.db") as ledger, ledger.begin() as session:
        prepare(session, MINER.hotkey)
        record_faults(session, [fault(**void, lead_hours=48)])
        close_run(session, RUN, closing(outcome="void", reason="coverage", scores=[], lead_scores={}))
    why = told(capsys, state, "why", RUN)
    for_all, miner = why["parts"]
    assert for_all["says"].startswith("void for all in era5_final 048h: ") and for_all["code"] == "DiskFull"
    assert (miner["subject"], miner["says"]) == (f"{RUN}/miner/miner-0", why["says"])
    assert (why["kind"], why["code"]) == ("platform", "DiskFull")


def test_without_a_server_a_run_does_not_start_and_an_open_one_is_told_by_the_ledger(state: Path) -> None:
    with Ledger(f"sqlite:///{state}/ledger.db") as ledger, ledger.begin() as session:
        prepare(session, MINER.hotkey, SECOND)
        advance_response(session, ResponseStep(run_id=RUN, hotkey=SECOND, to="inference_triggered", at=OPENED))
        advance_job(session, JobStep(run_id=RUN, score_type="era5_final", lead_hours=24, to="queued", at=OPENED))
    commands = (("why", RUN, "--json"), ("start", "2026-11-01T00Z"))
    asked, started = [
        subprocess.Popen(
            (sys.executable, "-m", "starter", "run", *command, "--state", str(state)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    why = json.loads(asked.communicate(timeout=60)[0])
    server, due, *miners = why["parts"]
    assert server["kind"] == "worker" and "did not answer within" in server["says"] and "barograph up" in server["says"]
    assert (due["subject"], due["kind"]) == (f"{RUN}/score/era5_final/024h", "timer")
    assert {row["says"] for row in miners} == {"is not asked yet", "computes its forecast"}
    out, error = started.communicate(timeout=60)
    assert (asked.returncode, started.returncode, out) == (0, 3, "")
    assert "did not answer within" in error and "barograph up" in error
    with Ledger(f"sqlite:///{state}/ledger.db") as ledger, ledger.read() as session:
        assert get_run(session, "forecast/2026-11-01T00Z") is None
