"""`MinerForecast`: one miner of one run, from the call to a verified manifest."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import signatures
from activities.messages.base import FaultNote, Instant, Ref
from activities.messages.miner import (
    CommitmentRecorded,
    DeadlineMoved,
    DeliverReceipt,
    LastWord,
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
from weather.faults import ActivityTimeout, CommitmentLate, Fault, NoCommitment
from workflows import display
from workflows.failures import fault_of
from workflows.steps import left, perform

LAST_POLL = timedelta(seconds=30)


@workflow.defn
class MinerForecast(display.Explained):
    """Asks one miner, waits for its commitment until the seal, verifies what was committed."""

    @workflow.init
    def __init__(self, request: MinerForecastInput) -> None:
        self._request, self._deadline, self._recorded = request, request.commit_deadline, request.recorded
        self._me = {"run_id": request.run.run_id, "hotkey": request.hotkey}
        self._target = MinerCall(**self._me, roster=request.roster, call=request.call)
        self._sealed = False
        self._evidence: FaultNote | None = None
        self._calling: workflow.ActivityHandle[MinerAnswer] | None = None
        self._answer: MinerAnswer | None = None
        self._answers = 0
        self._why = Why(stage="forecast", waiting_for="the call to the miner")

    @workflow.run
    async def run(self, request: MinerForecastInput) -> MinerForecastResult:
        asking = asyncio.create_task(self._ask())
        await workflow.wait_condition(self._done)
        if self._calling:
            self._calling.cancel()
        await asking
        await self._deadline_is_final()
        verdict = await self._verdict()
        ended = {"generation": request.generation, "store": verdict.store, "fault": verdict.fault}
        settled = SettleMiner.model_validate({**self._me, "at": workflow.now(), **ended})
        await perform(signatures.SETTLE_MINER, settled, f"settle {request.name}")
        return self._result(verdict)

    async def _deadline_is_final(self) -> None:
        """A commitment that came late is in time if a fault of ours moves the deadline; the seal decides."""
        if self._recorded and not self._recorded.in_time and self._request.generation == 1:
            self._wait("the seal: its commitment came late", self._deadline + self._request.run.seal_grace)
            await workflow.wait_condition(lambda: self._sealed)

    @workflow.signal
    def commitment_recorded(self, recorded: CommitmentRecorded) -> None:
        """The validator's HTTP side stored a commitment."""
        self._recorded = self._recorded or recorded

    @workflow.signal
    def deadline_moved(self, moved: DeadlineMoved) -> None:
        """A fault of ours moved the deadline for all."""
        self._deadline = max(self._deadline, moved.to)

    @workflow.signal
    def sealed(self, sealed: MinerSealed) -> None:
        """The commit window is closed."""
        self._recorded = sealed.recorded or self._recorded
        self._sealed = True

    async def _ask(self) -> None:
        """Until there is a commitment or the seal; a moved deadline begins another round."""
        while not self._done():
            deadline = self._deadline
            last_poll = deadline - min(LAST_POLL, (deadline - workflow.info().start_time) / 2)
            await self._converse(last_poll)
            self._wait("the last poll before the deadline", last_poll)
            with contextlib.suppress(asyncio.TimeoutError):
                pause = max(last_poll - workflow.now(), timedelta(0))
                await workflow.wait_condition(self._done, timeout=pause, timeout_summary="last poll")
            await self._hear_last_word(deadline)
            self._wait("the seal, or a commitment that is pushed", deadline + self._request.run.seal_grace)
            await workflow.wait_condition(lambda at=deadline: self._done() or self._deadline != at)

    async def _hear_last_word(self, deadline: Instant) -> None:
        """Poll over the deadline; what the last poll said is kept as the proof of absence."""
        if self._done():
            return
        self._evidence, answers = None, self._answers
        await self._converse(deadline + self._request.run.seal_grace / 2)
        if self._done():
            return
        absent: Fault = NoCommitment(f"no commitment by {display.instant(deadline)}")
        if self._answers == answers:
            absent = ActivityTimeout("no exchange with the miner over the deadline")
        word = LastWord(**self._me, at=workflow.now(), fault=self._evidence or FaultNote.of(absent))
        await perform(signatures.RECORD_LAST_WORD, word, f"last word: {word.fault.code}")

    async def _converse(self, until: Instant) -> None:
        """Call and poll until an answer brings a commitment; a push or the seal cancels the call in flight."""
        try:
            while not self._done() and workflow.now() < until:
                answer = await self._call(until)
                if await self._heard(answer):
                    return
                self._answer, self._answers = answer, self._answers + 1
        except ActivityError as error:
            if not (self._done() and is_cancelled_exception(error)):
                self._evidence = fault_of(error)

    async def _call(self, until: Instant) -> MinerAnswer:
        name, target = self._request.name, self._target
        if self._answer is None:
            asked = perform(signatures.REQUEST_FORECAST, target, f"ask {name}", schedule_to_close_timeout=left(until))
        else:
            known = {"known_stage": self._answer.stage, "commit_deadline": self._deadline}
            poll = PollCommitment.model_validate({**dict(target), **known})
            asked = perform(signatures.POLL_COMMITMENT, poll, f"poll {name}", schedule_to_close_timeout=left(until))
        self._calling = asked
        try:
            return await asked
        finally:
            self._calling = None

    async def _heard(self, answer: MinerAnswer) -> bool:
        """Project the answer; true once it brought a commitment that is stored."""
        self._wait(f"the miner's commitment (it says: {answer.stage})", self._deadline)
        heard = RecordAnswer(**self._me, answer=answer, at=workflow.now())
        await perform(signatures.RECORD_ANSWER, heard, f"{self._request.name} says {answer.stage}")
        if answer.fault:
            self._evidence = answer.fault
        if answer.commitment is None or answer.received_at is None:
            return False
        pulled = RecordCommitment(**self._me, commitment=answer.commitment, received_at=answer.received_at)
        recorded = await perform(signatures.RECORD_COMMITMENT, pulled, "record the pulled commitment")
        if recorded.receipt:
            await self._deliver(recorded.receipt)
        self._recorded = self._recorded or recorded
        return True

    async def _deliver(self, receipt: Ref) -> None:
        """A receipt that does not arrive costs nothing."""
        try:
            delivery = DeliverReceipt(**dict(self._target), receipt=receipt)
            await perform(signatures.DELIVER_RECEIPT, delivery, "deliver the receipt")
        except ActivityError as error:
            workflow.logger.warning("receipt not delivered: %s", fault_of(error).code)

    def _done(self) -> bool:
        return self._recorded is not None or self._sealed

    async def _verdict(self) -> ManifestVerified:
        if self._recorded is None:
            absent = NoCommitment(f"no commitment by {display.instant(self._deadline)}")
            return ManifestVerified(fault=self._evidence or FaultNote.of(absent))
        if not self._recorded.in_time:
            late = CommitmentLate(f"received after {display.instant(self._deadline)}")
            return ManifestVerified(fault=FaultNote.of(late))
        return await self._verify(self._recorded.commitment)

    async def _verify(self, commitment: Ref) -> ManifestVerified:
        run, verified = self._request.run, ManifestVerified()
        verify = VerifyManifest(**dict(self._target), commitment=commitment, attempt_pauses=run.attempt_pauses)
        for number, pause in enumerate((timedelta(0), *run.round_pauses), 1):
            self._wait(f"round {number} of the manifest check", workflow.now() + pause)
            if pause:
                await workflow.sleep(pause, summary=f"before round {number}")
            summary = f"verify {self._request.name}, round {number}"
            try:
                verified = await perform(
                    signatures.VERIFY_MANIFEST, verify, summary, heartbeat_timeout=run.heartbeat_timeout
                )
            except ActivityError as error:
                return ManifestVerified(fault=fault_of(error))
            if verified.final:
                break
        return verified

    def _wait(self, waiting_for: str, until: Instant | None = None) -> None:
        self._stand("forecast", waiting_for, until, fault=self._evidence)

    def _result(self, verdict: ManifestVerified) -> MinerForecastResult:
        self._evidence = verdict.fault
        self._wait("nothing: it is settled")
        if verdict.fault:
            workflow.upsert_search_attributes([display.CAUSE.value_set(verdict.fault.cause)])
            return MinerForecastResult(hotkey=self._request.hotkey, outcome="fault", fault=verdict.fault)
        return MinerForecastResult(hotkey=self._request.hotkey, outcome="verified", store=verdict.store)
