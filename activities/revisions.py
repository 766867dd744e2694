"""The records of a revision: which leads a newer truth concerns, what has changed in it, what came of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts, documents
from activities.messages.revisions import (
    FindRevisions,
    LeadRevised,
    RecordRevision,
    RevisionInput,
    RevisionPlanned,
    ScoredLeads,
    ValidTimes,
)
from activities.messages.run import Run
from activities.messages.scoring import EnsureTruth, Scoring
from activities.rescoring import Rescored, RevisionPlan
from adapters.catalog import Catalog
from adapters.ledger import facts, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.events import Change, record_event
from adapters.ledger.retention import TRUTH_EXPECTED
from adapters.ledger.revisions import unrevised
from adapters.ledger.rows import columns_of, rows_of
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.tables.scores import ScoreFactRow, TruthRevisionRow
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from protocol.canonical import J
from protocol.facts import in_force
from weather.round_score import Closing, RunRecord, decide_close, ranking
from weather.score_spec import ScoreSpec

FINAL, LONGEST_LEAD = "era5", timedelta(days=16)


class Judged(NamedTuple):
    """The facts in force, and how a run closes on them."""

    record: RunRecord
    closing: Closing


class LedgerRevisions:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(self, ledger: Ledger, store: ObjectStore, catalog: Catalog) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog

    @activity.defn
    def find_revisions(self, request: FindRevisions) -> ValidTimes:
        """Valid times of scored leads whose final truth may have come."""
        with attempts.beating_thread(), self._ledger.read() as session:
            leads = unrevised(session, FINAL, request.at - TRUTH_EXPECTED, request.at)
        return ValidTimes(valid_times=tuple(sorted({lead.valid_time for lead in leads})))

    @activity.defn
    def open_revision(self, request: RevisionInput) -> ScoredLeads:
        """The leads of live runs that verify at a valid time and are not revised yet."""
        at = request.valid_time
        with attempts.beating_thread(), self._ledger.read() as session:
            found = unrevised(session, request.truth_version, at - LONGEST_LEAD, at)
        wanted = {"pass_name": "era5_final", "truth_version": request.truth_version}
        leads = ({"run": one.config, "lead_hours": (one.lead_hours,)} for one in found if one.valid_time == at)
        return ScoredLeads(leads=tuple(EnsureTruth.model_validate(wanted | lead) for lead in leads))

    @activity.defn
    def plan_revision(self, request: Scoring) -> RevisionPlanned:
        """Compare the digests of a truth with those of the facts in force; a spec with one truth has no revisions."""
        run, (truth,) = request.run, request.truth.sets
        rows = json.loads(self._store.get(truth.truth.sha256))["fields"]
        digests = {(row["variable"], row["level"]): row["sha256"] for row in rows}
        lead = (ScoreFactRow.pass_ == "era5_final", ScoreFactRow.lead_hours == truth.lead_hours)
        with attempts.beating_thread(), self._ledger.read() as session:
            scored = in_force(facts.newest_facts(session, run.run_id, *lead))
            manifests = columns_of(session, run.run_id, MinerResponseRow.hotkey, MinerResponseRow.manifest_digest)
        known = truth.truth_version in self._rules(run).era5_final.truth
        older = [fact for fact in scored if known and fact.truth_version != truth.truth_version]
        changed = tuple(fact for fact in older if fact.truth_digest != digests[fact.variable, fact.level])
        plan = RevisionPlan(facts=changed, stores=dict(manifests))
        kept = documents.put_model(self._store, plan) if changed else None
        return RevisionPlanned(confirmed=len(_cases(older)) - len(_cases(changed)), plan=kept)

    @activity.defn
    def record_revision(self, request: RecordRevision) -> LeadRevised:
        """Add the new facts beside the old ones, with a report of the difference; again: what is recorded."""
        (truth,) = request.truth.sets
        key = (request.run.run_id, truth.lead_hours, truth.truth_version)
        with attempts.beating_thread(), self._ledger.begin() as session:
            run = runs.changed_run(session, request.run.run_id)
            row = session.get(TruthRevisionRow, key) or self._recorded(session, run, request)
        return LeadRevised(
            run_id=row.run_id,
            lead_hours=row.lead_hours,
            rescored=row.rescored,
            confirmed=row.confirmed,
            refused=len(row.refused),
            report=row.report_digest,
        )

    def _recorded(self, session: Session, run: ForecastRunRow, request: RecordRevision) -> TruthRevisionRow:
        found, (truth,) = request.rescored, request.truth.sets
        rescored = documents.get_model(self._store, Rescored, found.sha256) if found else Rescored()
        revised_at = {"revised_at": request.at if run.closed_at else None}
        before = self._judged(session, request.run)
        facts.record_facts(session, [fact.model_copy(update=revised_at) for fact in rescored.facts])
        after = self._judged(session, request.run) if rescored.facts else before
        row = TruthRevisionRow(
            run_id=run.run_id,
            lead_hours=truth.lead_hours,
            truth_version=truth.truth_version,
            ordinal=len(rows_of(session, TruthRevisionRow, run.run_id)),
            truth_digest=truth.truth.sha256,
            rescored=len(rescored.facts),
            confirmed=request.confirmed,
            refused=[list(refusal) for refusal in rescored.refused],
            report_digest=self._store.put(report_of(request, rescored, before, after)),
            scores=_table(after.closing) if run.closed_at else {},
            recorded_at=request.at,
        )
        session.add(row)
        told = {"lead": row.lead_hours, "rows": row.rescored, "report": row.report_digest}
        record_event(session, run, Change("scores.revised", run.run_id, str(row.lead_hours), request.at, told))
        return row

    def _judged(self, session: Session, run: Run) -> Judged:
        record = facts.newest_record(session, run.run_id)
        return Judged(record, decide_close(self._rules(run), record))

    def _rules(self, run: Run) -> ScoreSpec:
        return self._catalog.pinned_rules(run.grid, run.score_spec_digest)


def report_of(request: RecordRevision, rescored: Rescored, before: Judged, after: Judged) -> bytes:
    """Canonical JSON out of the two sets of facts alone; scores in nano."""
    (truth,), old = request.truth.sets, before.record.scores
    moved = [(abs(new - old[key]), key, new) for key, new in after.record.scores.items() if new != old[key]]
    _, largest, new = max(moved, default=(0, None, 0))
    return J(
        {
            "document": "barograph/revision/1",
            "run_id": request.run.run_id,
            "lead_time_hours": truth.lead_hours,
            "truth_version": truth.truth_version,
            "truth_digest": truth.truth.sha256,
            "confirmed": request.confirmed,
            "rescored": [[*field, count] for field, count in sorted(_cases(rescored.facts).items())],
            "refused": [list(refusal) for refusal in rescored.refused],
            "largest_change": [largest[0], *largest[1][2:4], old[largest], new] if largest else None,
            "lead_scores": _changed(*(_of_lead(each.closing, truth.lead_hours) for each in (before, after))),
            "ranks": _changed(*(_ranks(each.closing) for each in (before, after))),
        }
    )


def _cases(scored: Iterable[ScoreFact]) -> Counter[tuple[str, int]]:
    """How many of them each field has."""
    return Counter((fact.variable, fact.level) for fact in scored)


def _table(closing: Closing) -> dict[str, Any]:
    """R and p of everybody, as weights read them."""
    groups: dict[str, dict[str, int]] = {}
    for (hotkey, group), score in closing.group_scores.items():
        groups.setdefault(hotkey, {})[group] = score
    return {"totals": closing.round_scores, "groups": groups}


def _of_lead(closing: Closing, lead_hours: int) -> dict[str, int]:
    return {hotkey: score for (hotkey, lead), score in closing.lead_scores.items() if lead == lead_hours}


def _ranks(closing: Closing) -> dict[str, int]:
    return {row.hotkey: row.rank for row in ranking(closing.round_scores)}


def _changed(before: dict[str, int], after: dict[str, int]) -> list[list[Any]]:
    return [[name, before[name], after[name]] for name in sorted(before) if before[name] != after[name]]
