"""`MinerForecast`: one miner of one run, from the call to a verified manifest."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote, Instant, Ref
from activities.messages.miner import (
    CommitmentRecorded,
    DeliverReceipt,
    ManifestVerified,
    MinerAnswer,
    MinerCall,
    MinerForecastInput,
    MinerForecastResult,
    MinerSealed,
    PollCommitment,
    RecordAnswer,
    RecordCommitment,
    SettleMiner,
    VerifyManifest,
)
from activities.messages.status import Why
from activities.signatures.miners import Downloads, MinerCalls, MinerRecords
from weather.faults import CommitmentLate, NoCommitment
from workflows import display
from workflows.failures import fault_note, fault_of

ROUND_PAUSES = (timedelta(0), timedelta(hours=1), timedelta(hours=5))


@workflow.defn
class MinerForecast:
    """Asks one miner, waits for its commitment until the seal, verifies what was committed."""

    def __init__(self) -> None:
        self._recorded: CommitmentRecorded | None = None
        self._sealed = False
        self._evidence: FaultNote | None = None
        self._calling: workflow.ActivityHandle[MinerAnswer] | None = None
        self._why = Why(stage="forecast", waiting_for="the call to the miner")

    @workflow.run
    async def run(self, request: MinerForecastInput) -> MinerForecastResult:
        asking = asyncio.create_task(self._ask(request))
        await workflow.wait_condition(self._done)
        if self._calling:
            self._calling.cancel()
        await asking
        verdict = await self._verdict(request)
        await workflow.execute_activity_method(
            MinerRecords.settle_miner,
            SettleMiner(
                run_id=request.run.run_id,
                hotkey=request.hotkey,
                at=workflow.now(),
                store=verdict.store,
                fault=verdict.fault,
            ),
            summary=f"settle {request.name}",
            **policies.RECORD,
        )
        return self._result(request, verdict)

    @workflow.signal
    def commitment_recorded(self, recorded: CommitmentRecorded) -> None:
        """The validator's HTTP side stored a commitment."""
        self._recorded = self._recorded or recorded

    @workflow.signal
    def sealed(self, sealed: MinerSealed) -> None:
        """The commit window is closed."""
        self._recorded = self._recorded or sealed.recorded
        self._sealed = True

    @workflow.query
    def why(self) -> Why:
        """What this miner's part waits for."""
        return self._why

    async def _ask(self, request: MinerForecastInput) -> None:
        """Call and poll until there is an answer with a commitment; a push or the seal cancels the call in flight."""
        target = MinerCall(run_id=request.run.run_id, hotkey=request.hotkey, roster=request.roster, call=request.call)
        try:
            answer = await self._call(MinerCalls.request_forecast, target, f"ask {request.name}", self._wait(request))
            while not await self._heard(request, target, answer) and not self._done():
                answer = await self._poll(request, target, answer)
        except ActivityError as error:
            if is_cancelled_exception(error) and not self._done():
                raise
            if not is_cancelled_exception(error):
                self._evidence = fault_of(error)
            self._stand("the seal, or a commitment that is pushed", request.commit_deadline)

    async def _heard(self, request: MinerForecastInput, target: MinerCall, answer: MinerAnswer) -> bool:
        """Project the answer; true once it brought a commitment that is stored."""
        self._stand(f"the miner's commitment (it says: {answer.stage})", request.commit_deadline)
        await workflow.execute_activity_method(
            MinerRecords.record_answer,
            RecordAnswer(run_id=target.run_id, hotkey=target.hotkey, answer=answer, at=workflow.now()),
            summary=f"{request.name} says {answer.stage}",
            **policies.RECORD,
        )
        if answer.fault:
            self._evidence = answer.fault
        if answer.commitment is None or answer.received_at is None:
            return False
        await self._store(target, answer.commitment, answer.received_at)
        return True

    async def _poll(self, request: MinerForecastInput, target: MinerCall, answer: MinerAnswer) -> MinerAnswer:
        poll = PollCommitment(target=target, known_stage=answer.stage, commit_deadline=request.commit_deadline)
        wait = self._wait(request) + request.run.seal_grace
        return await self._call(MinerCalls.poll_commitment, poll, f"poll {request.name}", wait)

    async def _call(self, method: Any, arg: Any, summary: str, wait: timedelta) -> MinerAnswer:
        options = policies.until(policies.CALL_MINER, wait)
        self._calling = workflow.start_activity_method(method, arg, summary=summary, **options)
        try:
            return await self._calling
        finally:
            self._calling = None

    def _wait(self, request: MinerForecastInput) -> timedelta:
        return request.commit_deadline - workflow.now()

    def _done(self) -> bool:
        return self._recorded is not None or self._sealed

    async def _store(self, target: MinerCall, commitment: Ref, received_at: Instant) -> None:
        recorded = await workflow.execute_activity_method(
            MinerRecords.record_commitment,
            RecordCommitment(
                run_id=target.run_id, hotkey=target.hotkey, commitment=commitment, received_at=received_at
            ),
            summary="record the pulled commitment",
            **policies.RECORD,
        )
        if recorded.receipt:
            await self._deliver(DeliverReceipt(target=target, receipt=recorded.receipt))
        self._recorded = self._recorded or recorded

    async def _deliver(self, delivery: DeliverReceipt) -> None:
        """A receipt that does not arrive costs nothing."""
        try:
            await workflow.execute_activity_method(
                MinerCalls.deliver_receipt, delivery, summary="deliver the receipt", **policies.DELIVER_RECEIPT
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("receipt not delivered: %s", fault_of(error).code)

    async def _verdict(self, request: MinerForecastInput) -> ManifestVerified:
        if self._recorded is None:
            absent = NoCommitment(f"no commitment by {display.instant(request.commit_deadline)}")
            return ManifestVerified(fault=self._evidence or fault_note(absent))
        if not self._recorded.in_time:
            late = CommitmentLate(f"received after {display.instant(request.commit_deadline)}")
            return ManifestVerified(fault=fault_note(late))
        return await self._verify(request, self._recorded)

    async def _verify(self, request: MinerForecastInput, recorded: CommitmentRecorded) -> ManifestVerified:
        target = MinerCall(run_id=request.run.run_id, hotkey=request.hotkey, roster=request.roster, call=request.call)
        options = policies.beating(policies.VERIFY_MANIFEST, request.run.heartbeat_timeout)
        verified = ManifestVerified()
        for number, pause in enumerate(ROUND_PAUSES, 1):
            self._stand(f"round {number} of the manifest check", workflow.now() + pause)
            if pause:
                await workflow.sleep(pause, summary=f"before round {number}")
            try:
                verified = await workflow.execute_activity_method(
                    Downloads.verify_manifest,
                    VerifyManifest(target=target, commitment=recorded.commitment),
                    summary=f"verify {request.name}, round {number}",
                    **options,
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                return ManifestVerified(fault=fault_of(error))
            if verified.final:
                break
        return verified

    def _stand(self, waiting_for: str, until: Instant | None) -> None:
        self._why = Why(stage="forecast", waiting_for=waiting_for, until=until, last_fault=self._evidence)
        workflow.set_current_details(display.details(self._why))

    def _result(self, request: MinerForecastInput, verdict: ManifestVerified) -> MinerForecastResult:
        self._evidence = verdict.fault
        self._stand("nothing: it is settled", None)
        if verdict.fault:
            workflow.upsert_search_attributes([display.CAUSE.value_set(verdict.fault.cause)])
            return MinerForecastResult(hotkey=request.hotkey, outcome="fault", fault=verdict.fault)
        return MinerForecastResult(hotkey=request.hotkey, outcome="verified", store=verdict.store)
