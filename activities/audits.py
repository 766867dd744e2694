"""Audits in the ledger: which are due, how they ended, and what a miner loses by them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import product

from sqlalchemy.orm import Session
from temporalio import activity

from activities import documents
from activities.messages.audits import Audit, AuditKey, AuditRecorded, AuditsDue, RecordAudit, TakeAudits
from activities.messages.base import FaultNote
from adapters import instruments
from adapters.catalog import Catalog
from adapters.ledger import audits, facts, log, runs
from adapters.ledger.audits import Committed, FieldCase
from adapters.ledger.engine import Ledger
from adapters.ledger.rows import insert_if_absent, rows_of
from adapters.ledger.tables.commitments import AuditRow
from adapters.ledger.values import FaultRecord
from adapters.object_store import ObjectStore
from protocol.audits import AUDITS_PER_RUN, FAILED_AUDITS_THAT_SETTLE, AuditPlan
from protocol.identity import PrivateKey
from protocol.manifest import Manifest
from protocol.names import format_stamp, parse_stamp
from weather.faults import AuditFailed

MOST_AT_ONCE = 32
UNVERIFIED_PAUSE = timedelta(minutes=10)
VERIFIED_BY = timedelta(hours=8)


class LedgerAuditRecords:
    """Blocking: runs in the thread pool of `control`, which alone can read the secret."""

    def __init__(self, ledger: Ledger, store: ObjectStore, catalog: Catalog, key: PrivateKey) -> None:
        self._ledger, self._store, self._catalog, self._key = ledger, store, catalog, key

    @activity.defn
    def take_audits(self, request: TakeAudits) -> AuditsDue:
        """Answer what is due and not recorded, and the next instant."""
        run_id = request.run.run_id
        with self._ledger.read() as session:
            secret = audits.secret_of(session, self._key, run_id)
            sealed = log.entry_of(session, run_id, "run_sealed")
            if secret is None or sealed is None:
                return AuditsDue(audits=(), next_at=None)
            ended = {AuditKey(hotkey=row.hotkey, number=row.number) for row in rows_of(session, AuditRow, run_id)}
            committed = audits.committed_in_time(session, run_id)
        plans = [(one, AuditPlan(secret, one.hotkey, one.commitment_digest)) for one in committed]
        return _due(request, parse_stamp(sealed["recorded_at"]), ended.union(request.open), plans)

    @activity.defn
    def record_audits(self, request: RecordAudit) -> AuditRecorded:
        """Record how an audit ended, and settle the cases that it loses; again: the first record."""
        with self._ledger.begin() as session:
            runs.changed_run(session, request.run.run_id)
            row, _ = insert_if_absent(session, _row(request))
            lost = self._settle(session, request) if request.faults and row.outcome == "failed" else []
        instruments.FAULTS_RECORDED.tally(lost, "code", "cause")
        return AuditRecorded.model_validate({"outcome": row.outcome, "settled": len(lost)})

    def _settle(self, session: Session, request: RecordAudit) -> list[FaultRecord]:
        run_id, hotkey = request.run.run_id, request.audit.hotkey
        ended = [row.outcome for row in rows_of(session, AuditRow, run_id) if row.hotkey == hotkey]
        often = ended.count("failed") >= FAILED_AUDITS_THAT_SETTLE
        open_cases = audits.without_score(session, run_id, hotkey, self._not_kept(request, everything=often))
        lost = [_fault(request, case) for case in open_cases]
        facts.record_faults(session, lost)
        return lost

    def _not_kept(self, request: RecordAudit, *, everything: bool) -> list[FieldCase]:
        """Final cases whose chunk the object store lacks: those of the failed objects, or all."""
        run, failed = request.run, {note.path for note in request.faults}
        verified = documents.get_model(self._store, documents.VerifiedStore, request.audit.store)
        manifest = Manifest.of_value(json.loads(self._store.get(verified.manifest.sha256)))
        layout = self._catalog.pinned_layout(run.grid, run.layout_digest)
        fields = self._catalog.pinned_rules(run.grid, run.score_spec_digest).final_fields
        cases = {layout.chunk_path(*field, lead): (lead, *field) for field in fields for lead in run.final_lead_hours}
        lost = sorted(cases) if everything else sorted(cases.keys() & failed)
        return [cases[path] for path in lost if not self._store.has(manifest.entry(path).sha256)]


def _due(
    request: TakeAudits, sealed_at: datetime, taken: set[AuditKey], plans: list[tuple[Committed, AuditPlan]]
) -> AuditsDue:
    """What is due of verified stores; one that is not verified yet is asked for again until it can not be."""
    last = request.run.valid_time(max(request.run.final_lead_hours))
    due: list[Audit] = []
    again: list[datetime] = []
    for (one, plan), number in product(plans, range(AUDITS_PER_RUN)):
        at = plan.instant(number, sealed_at, last)
        if AuditKey(hotkey=one.hotkey, number=number) in taken:
            continue
        if at > request.at:
            again.append(at)
        elif one.store:
            objects = plan.objects(number, one.object_count)
            due.append(Audit(hotkey=one.hotkey, number=number, due=at, store=one.store, objects=objects))
        elif request.at < sealed_at + VERIFIED_BY:
            again.append(request.at + UNVERIFIED_PAUSE)
    if len(due) > MOST_AT_ONCE:
        again.append(request.at)
    due.sort(key=lambda each: (each.due, each.hotkey, each.number))
    return AuditsDue(audits=tuple(due[:MOST_AT_ONCE]), next_at=min(again, default=None))


def _fault(request: RecordAudit, case: FieldCase) -> FaultRecord:
    """A case that is settled now, in every region."""
    lead, variable, level = case
    audit, first = request.audit, request.faults[0]
    detail = f"audit {audit.number}: {first.path} and {len(request.faults) - 1} more are not served"
    failed = AuditFailed(detail, found=first.fault.code, expected="the committed bytes")
    return FaultRecord(
        run_id=request.run.run_id,
        hotkey=audit.hotkey,
        pass_="era5_final",
        lead_hours=lead,
        variable=variable,
        level=level,
        effect="W",
        attempts=[{"audit": audit.number, "due": format_stamp(audit.due)}],
        recorded_at=request.at,
        **FaultNote.of(failed).model_dump(),
    )


def _row(request: RecordAudit) -> AuditRow:
    audit = request.audit
    outcome = "void" if request.void else "failed" if request.faults else "kept"
    return AuditRow(
        run_id=request.run.run_id,
        hotkey=audit.hotkey,
        number=audit.number,
        due=audit.due,
        recorded_at=request.at,
        outcome=outcome,
        code=request.void.code if request.void else None,
        faults=[{"path": note.path, **note.fault.model_dump()} for note in request.faults],
    )
