"""What the ledger tells of a run, and of each miner in it: every waiting, failed and zero state has a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import typer
from sqlalchemy.orm import Session

from adapters.ledger.facts import faults_of
from adapters.ledger.jobs import jobs_of
from adapters.ledger.responses import responses_of
from adapters.ledger.roster import roster_of
from adapters.ledger.runs import get_run, list_runs
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, ScoringJobRow
from adapters.ledger.values import FaultRecord
from adapters.ledger.views import board_rows, run_summary
from protocol.names import pass_workflow_id
from starter.commands.run_states import sentence
from weather.faults.second_chances import second_chance

Document = dict[str, Any]
ALL = "*"
RUN_COLUMNS = ("run_id", "status", "outcome", "outcome_reason", "coverage", "grid", "commit_deadline", "closed_at")
EFFECTS = {"W": "scores zero", "V": "void for all"}
SAYS = {
    "received": "has the call and prepares",
    "fetch_initiated": "fetches its inputs",
    "awaiting_input_hashes": "hashes its inputs",
    "input_validation_complete": "has the inputs that it should have",
    "input_hash_mismatch": "has other inputs than it should have",
    "input_fetch_error": "could not fetch its inputs",
    "inference_triggered": "computes its forecast",
    "awaiting_inference_results": "writes its forecast",
    "verifying_manifest": "has committed; its manifest is being verified",
    "verified_manifest_store_opened": "is verified; its leads are scored as their truth comes",
}


def runs_listed(session: Session) -> list[Document]:
    return [_columns(run) | {"why": sentence(session, run)} for run in list_runs(session)]


def run_told(session: Session, run_id: str) -> Document:
    """Empty if the ledger has no such run."""
    summary = run_summary(session, run_id)
    if summary is None:
        return {}
    counts = {name: getattr(summary, name) for name in ("miners", "responses", "commitments", "facts", "faults")}
    return _columns(summary.run) | counts | {"why": sentence(session, summary.run)}


def open_passes(session: Session, run_id: str) -> dict[str, ScoringJobRow]:
    """The passes that are not done, by workflow id."""
    return {
        pass_workflow_id(run_id, job.score_type, job.lead_hours or None): job
        for job in jobs_of(session, run_id)
        if job.status in ("queued", "in_progress")
    }


def board(session: Session, run_id: str) -> list[Document]:
    return [
        {
            "rank": row.rank,
            "name": row.name,
            "hotkey": row.hotkey,
            "score": row.score_nano / 1e9,
            "leads": {f"{lead:03d}h": nano / 1e9 for (_, lead), nano in sorted(row.lead_scores.items())},
            "code": row.code,
        }
        for row in board_rows(session, run_id)
    ]


def hotkey_of(session: Session, run_id: str, miner: str) -> str:
    """The hotkey of a name or hotkey on the roster of a run."""
    roster = roster_of(session, run_id)
    for entry in roster:
        if miner in (entry.name, entry.hotkey):
            return entry.hotkey
    known = ", ".join(entry.name for entry in roster) or "none: the roster is empty"
    raise typer.BadParameter(f"found {miner!r}, expected a miner of {run_id}: {known}")


def miners_told(session: Session, run_id: str, only: str | None) -> list[Document]:
    """A sentence for each miner of the roster."""
    run, faults = get_run(session, run_id), faults_of(session, run_id)
    answers = {row.hotkey: row for row in responses_of(session, run_id)}
    scores = {row.hotkey: row.score_nano / 1e9 for row in board_rows(session, run_id)}
    told = []
    for entry in roster_of(session, run_id):
        if only in (None, entry.hotkey):
            answer = answers.get(entry.hotkey)
            mine = [fault for fault in faults if fault.hotkey == entry.hotkey or fault.effect == "V"]
            why = _faulty(mine) or _faultless(run, answer)
            status = answer.status if answer else None
            told.append({"miner": entry.name, "status": status, "score": scores.get(entry.hotkey), "why": why})
    return told


def faults_told(session: Session, run_id: str, only: str | None) -> list[Document]:
    """Faults by miner and code with the first one's evidence; of one miner every single fault."""
    names = {entry.hotkey: entry.name for entry in roster_of(session, run_id)} | {ALL: "all"}
    faults = [fault for fault in faults_of(session, run_id) if only in (None, fault.hotkey) or fault.effect == "V"]
    groups = [[fault] for fault in faults] if only else _grouped(faults)
    return [
        {
            "miner": names.get(group[0].hotkey, group[0].hotkey),
            "scope": _scope(group),
            "effect": EFFECTS[group[0].effect],
            **group[0].model_dump(include={"code", "cause", "detail", "found", "expected"}),
            **_second_chance(group[0]),
        }
        for group in groups
    ]


def _second_chance(fault: FaultRecord) -> Document:
    """What is tried again of itself, and what an operator may do."""
    early = second_chance(fault.code, "commit") if fault.lead_hours < 0 else None
    row = early or second_chance(fault.code, "transfer") or second_chance(fault.code, "commit")
    return {"tried_again": row.automatic if row else "nothing", "verbs": ", ".join(row.verbs) if row else ""}


def _faulty(faults: list[FaultRecord]) -> str:
    return "; ".join(f"{EFFECTS[group[0].effect]} in {_scope(group)}: {group[0].code}" for group in _grouped(faults))


def _faultless(run: ForecastRunRow | None, answer: MinerResponseRow | None) -> str:
    if run is not None and run.outcome is not None:
        return f"the run is void: {run.outcome_reason}" if run.outcome == "void" else "scored, nothing failed"
    return SAYS.get(answer.status, answer.status) if answer else "is not asked yet"


def _grouped(faults: Iterable[FaultRecord]) -> list[list[FaultRecord]]:
    groups: dict[tuple[str, str, str], list[FaultRecord]] = {}
    for fault in faults:
        groups.setdefault((fault.hotkey, fault.code, fault.effect), []).append(fault)
    return list(groups.values())


def _scope(group: Sequence[FaultRecord]) -> str:
    first = group[0]
    lead = f"{first.lead_hours:03d}h" if first.lead_hours >= 0 else ""
    variable = "" if first.variable == ALL else f"{first.variable}{max(first.level, 0) or ''}"
    words = [first.pass_.strip(ALL), lead, variable]
    scope = " ".join(filter(None, words)) or "the whole run"
    return scope if len(group) == 1 else f"{scope} and {len(group) - 1} more"


def _columns(run: ForecastRunRow) -> Document:
    return {name: getattr(run, name) for name in RUN_COLUMNS}
