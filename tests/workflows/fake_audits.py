"""Doubles of audits and of other validators: nothing is due and nobody answers, unless a script says so."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from activities.messages.audits import (
    Audit,
    AuditKey,
    AuditObjects,
    AuditRecorded,
    AuditsDue,
    CommitmentsCompared,
    ObjectsAudited,
    RecordAudit,
    TakeAudits,
)
from activities.messages.run import RunStep
from tests.workflows.script import DIGEST, Script

OBJECTS = tuple(range(8))


class FakeAudits:
    """`script.audits` are the instants of each miner's audits."""

    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def take_audits(self, request: TakeAudits) -> AuditsDue:
        self.script.play("take_audits", "", request)
        recorded = {_key(record.audit) for record in self.script.calls["record_audits"]}
        left = [
            (due, AuditKey(hotkey=hotkey, number=number))
            for hotkey, instants in self.script.audits.items()
            for number, due in enumerate(instants)
        ]
        left = [
            (due, key) for due, key in sorted(left, key=lambda one: one[0]) if key not in recorded | {*request.open}
        ]
        later = [due for due, _ in left if due > request.at]
        now = tuple(_audit(due, key) for due, key in left if due <= request.at)
        return AuditsDue(audits=now, next_at=min(later, default=None))

    @activity.defn
    async def audit_objects(self, request: AuditObjects) -> ObjectsAudited:
        audit = request.audit
        self.script.play("audit_objects", f"{audit.hotkey}/{audit.number}", request)
        found = self.script.audited.get((audit.hotkey, audit.number), ())
        return ObjectsAudited(faults=found, final=request.last_round or not found)

    @activity.defn
    async def record_audits(self, request: RecordAudit) -> AuditRecorded:
        self.script.play("record_audits", request.audit.hotkey, request)
        outcome = "void" if request.void else "failed" if request.faults else "kept"
        return AuditRecorded.model_validate({"outcome": outcome, "settled": len(request.faults)})

    @activity.defn
    async def compare_commitments(self, request: RunStep) -> CommitmentsCompared:
        self.script.play("compare_commitments", "", request)
        return CommitmentsCompared(validators=0, silent=0)


def _key(audit: Audit) -> AuditKey:
    return AuditKey(hotkey=audit.hotkey, number=audit.number)


def _audit(due: datetime, key: AuditKey) -> Audit:
    return Audit(hotkey=key.hotkey, number=key.number, due=due, store=DIGEST, objects=OBJECTS)
