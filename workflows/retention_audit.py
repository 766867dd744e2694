"""`RetentionAudit`: unannounced checks that the committed bytes of a run are still served."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.audits import (
    Audit,
    AuditKey,
    AuditObjects,
    AuditsDue,
    ObjectsAudited,
    OpenAudit,
    RecordAudit,
    RetentionAuditInput,
    RetentionAuditResult,
    TakeAudits,
)
from activities.messages.base import FaultNote
from activities.messages.status import Why
from workflows.display import Explained
from workflows.failures import fault_of
from workflows.steps import perform, sleep_until

MOST_AUDITS = 100
MOST_EVENTS = 1_000


@workflow.defn
class RetentionAudit(Explained):
    """One timer for the next audit; what is due runs beside it, and goes on in the next execution."""

    @workflow.init
    def __init__(self, request: RetentionAuditInput) -> None:
        self._request = request
        self._open: dict[AuditKey, OpenAudit] = {}
        self._done, self._failed = request.done, request.failed
        self._why = Why(stage="audits", waiting_for="the seal")

    @workflow.run
    async def run(self, request: RetentionAuditInput) -> RetentionAuditResult:
        auditing = [self._begin(one) for one in request.open]
        while True:
            due = await self._take()
            now = workflow.now()
            auditing += [self._begin(OpenAudit(audit=audit, next_round=1, begins=now)) for audit in due.audits]
            if due.next_at is None:
                break
            self._stand("audits", f"the next audit; {self._done} are done, {self._failed} failed", due.next_at)
            if due.next_at <= workflow.now():
                await workflow.wait_condition(self._resting)
            await sleep_until(due.next_at, "next audit")
            await self._continue_when_long()
        await asyncio.gather(*auditing)
        self._stand("audits", f"nothing: {self._done} audits are done, {self._failed} failed")
        return RetentionAuditResult(done=self._done, failed=self._failed)

    async def _take(self) -> AuditsDue:
        taken = TakeAudits(run=self._request.run, at=workflow.now(), open=tuple(self._open))
        return await perform(signatures.TAKE_AUDITS, taken, "what is due")

    async def _continue_when_long(self) -> None:
        """Go on in a new execution; rounds that wait are carried, rounds that run are waited for."""
        long = workflow.info().get_current_history_length() > MOST_EVENTS
        if not long and self._done - self._request.done < MOST_AUDITS:
            return
        await workflow.wait_condition(self._resting)
        carried = {"open": tuple(self._open.values()), "done": self._done, "failed": self._failed}
        workflow.continue_as_new(self._request.model_copy(update=carried))

    def _resting(self) -> bool:
        """Whether all that is open waits for its next round."""
        return all(one.begins > workflow.now() for one in self._open.values())

    def _begin(self, one: OpenAudit) -> asyncio.Task[None]:
        self._open[_key(one.audit)] = one
        return asyncio.create_task(self._audit(one))

    async def _audit(self, one: OpenAudit) -> None:
        """The rounds that are left, then the record."""
        void = None
        try:
            audited = await self._rounds(one)
        except ActivityError as error:
            audited, void = ObjectsAudited(), fault_of(error)
        await self._record(one.audit, audited, void)

    async def _rounds(self, one: OpenAudit) -> ObjectsAudited:
        pauses = self._request.run.round_pauses
        while True:
            await sleep_until(one.begins, f"before round {one.next_round} of an audit")
            audited = await self._round(one)
            if audited.final:
                return audited
            begins = workflow.now() + pauses[one.next_round - 1]
            one = self._open[_key(one.audit)] = OpenAudit(audit=one.audit, next_round=one.next_round + 1, begins=begins)

    async def _round(self, one: OpenAudit) -> ObjectsAudited:
        request, audit = self._request, one.audit
        last = one.next_round > len(request.run.round_pauses)
        return await perform(
            signatures.AUDIT_OBJECTS,
            AuditObjects(run=request.run, roster=request.roster, audit=audit, last_round=last),
            f"audit {audit.number} of {audit.hotkey[:8]}, round {one.next_round}",
            heartbeat_timeout=request.run.heartbeat_timeout,
        )

    async def _record(self, audit: Audit, audited: ObjectsAudited, void: FaultNote | None) -> None:
        record = RecordAudit(run=self._request.run, audit=audit, at=workflow.now(), faults=audited.faults, void=void)
        recorded = await perform(signatures.RECORD_AUDITS, record, f"record audit {audit.number} of {audit.hotkey[:8]}")
        del self._open[_key(audit)]
        self._done += 1
        self._failed += recorded.outcome == "failed"


def _key(audit: Audit) -> AuditKey:
    return AuditKey(hotkey=audit.hotkey, number=audit.number)
