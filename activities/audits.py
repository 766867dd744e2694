"""`AuditRecords` on the ledger: which audits are due, how they ended, and what a miner loses by them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy.orm import Session
from temporalio import activity

from activities import documents
from activities.messages.audits import Audit, AuditKey, AuditRecorded, AuditsDue, ObjectNote, RecordAudit, TakeAudits
from activities.messages.run import Run
from adapters import instruments
from adapters.catalog import Catalog
from adapters.ledger import audits, facts, log, runs
from adapters.ledger.audits import Committed, FieldCase
from adapters.ledger.engine import Ledger
from adapters.ledger.rows import insert_if_absent, rows_of
from adapters.ledger.tables.commitments import AuditRow
from adapters.ledger.values import FaultRecord
from adapters.object_store import ObjectStore
from protocol.audits import AUDITS_PER_RUN, FAILED_AUDITS_THAT_SETTLE, AuditPlan, AuditSecret
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
        schedule = _Schedule(request.run, secret, parse_stamp(sealed["recorded_at"]), request.at)
        left = [one for one in schedule.of(committed) if one.key not in ended.union(request.open)]
        return schedule.due(left)

    @activity.defn
    def record_audits(self, request: RecordAudit) -> AuditRecorded:
        """Record how an audit ended, and settle the cases that it loses; again: the first record."""
        loss = _Loss(request, self._store, self._catalog) if request.faults else None
        with self._ledger.begin() as session:
            runs.changed_run(session, request.run.run_id)
            row, _ = insert_if_absent(session, _row(request))
            lost = self._settle(session, request, loss) if loss and row.outcome == "failed" else []
        instruments.FAULTS_RECORDED.tally(lost, "code", "cause")
        return AuditRecorded.model_validate({"outcome": row.outcome, "settled": len(lost)})

    def _settle(self, session: Session, request: RecordAudit, loss: _Loss) -> list[FaultRecord]:
        run_id, hotkey = request.run.run_id, request.audit.hotkey
        ended = [row.outcome for row in rows_of(session, AuditRow, run_id) if row.hotkey == hotkey]
        often = ended.count("failed") >= FAILED_AUDITS_THAT_SETTLE
        open_cases = audits.without_score(session, run_id, hotkey, loss.not_kept(everything=often))
        lost = [loss.fault(case) for case in open_cases]
        facts.record_faults(session, lost)
        return lost


@dataclass(frozen=True)
class _Planned:
    """An audit, due or not."""

    key: AuditKey
    plan: AuditPlan
    due: datetime
    committed: Committed


@dataclass(frozen=True)
class _Schedule:
    """All audits of a run as they stand at an instant."""

    run: Run
    secret: AuditSecret
    sealed_at: datetime
    at: datetime

    def of(self, committed: Iterable[Committed]) -> list[_Planned]:
        """Every audit of every commitment, by instant."""
        last = self.run.valid_time(max(self.run.final_lead_hours))
        planned = []
        for one in committed:
            plan = AuditPlan(self.secret, one.hotkey, one.commitment_digest)
            for number in range(AUDITS_PER_RUN):
                due = plan.instant(number, self.sealed_at, last)
                planned.append(_Planned(AuditKey(hotkey=one.hotkey, number=number), plan, due, one))
        return sorted(planned, key=lambda each: (each.due, each.key.hotkey, each.key.number))

    def due(self, left: list[_Planned]) -> AuditsDue:
        """What is due of verified stores; one that is not verified yet is asked for again until it can not be."""
        due = [each for each in left if each.due <= self.at and each.committed.store]
        waiting = [each for each in left if each.due <= self.at and not each.committed.store]
        instants = [each.due for each in left if each.due > self.at][:1]
        if waiting and self.at < self.sealed_at + VERIFIED_BY:
            instants.append(self.at + UNVERIFIED_PAUSE)
        if len(due) > MOST_AT_ONCE:
            instants.append(self.at)
        taken = tuple(_audit(each) for each in due[:MOST_AT_ONCE])
        return AuditsDue(audits=taken, next_at=min(instants, default=None))


@dataclass(frozen=True)
class _Loss:
    """What a failed audit may cost: the cases of its store that are not kept."""

    request: RecordAudit
    store: ObjectStore
    catalog: Catalog

    def not_kept(self, *, everything: bool) -> list[FieldCase]:
        """Final cases whose chunk the object store lacks: those of the failed objects, or all."""
        failed = {note.path for note in self.request.faults}
        paths = self._cases.keys() if everything else self._cases.keys() & failed
        return [self._cases[path] for path in sorted(paths) if not self.store.has(self._manifest.entry(path).sha256)]

    def fault(self, case: FieldCase) -> FaultRecord:
        """A case that is settled now, in every region."""
        lead, variable, level = case
        audit, first = self.request.audit, self.request.faults[0]
        return FaultRecord(
            run_id=self.request.run.run_id,
            hotkey=audit.hotkey,
            pass_="era5_final",
            lead_hours=lead,
            variable=variable,
            level=level,
            code=AuditFailed.__name__,
            cause=AuditFailed.cause,
            effect="W",
            detail=f"audit {audit.number}: {first.path} and {len(self.request.faults) - 1} more are not served",
            found=first.fault.code,
            expected="the committed bytes",
            attempts=[{"audit": audit.number, "due": format_stamp(audit.due)}],
            recorded_at=self.request.at,
        )

    @cached_property
    def _manifest(self) -> Manifest:
        verified = documents.get_model(self.store, documents.VerifiedStore, self.request.audit.store)
        return Manifest.of_value(json.loads(self.store.get(verified.manifest.sha256)))

    @cached_property
    def _cases(self) -> dict[str, FieldCase]:
        run = self.request.run
        layout = self.catalog.pinned_layout(run.grid, run.layout_digest)
        fields = self.catalog.pinned_rules(run.grid, run.score_spec_digest).final_fields
        return {layout.chunk_path(*field, lead): (lead, *field) for field in fields for lead in run.final_lead_hours}


def _audit(planned: _Planned) -> Audit:
    committed, number = planned.committed, planned.key.number
    assert committed.store is not None
    return Audit(
        hotkey=committed.hotkey,
        number=number,
        due=planned.due,
        store=committed.store,
        objects=planned.plan.objects(number, committed.object_count),
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
        faults=[_evidence(note) for note in request.faults],
    )


def _evidence(note: ObjectNote) -> dict[str, object]:
    return {"path": note.path, **note.fault.model_dump()}
