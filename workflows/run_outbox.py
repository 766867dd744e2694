"""What the round backend is told of a run: beside its steps, and to the end after its close."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.outbox import DeliverOutbox
from activities.messages.run import Run
from activities.signatures.outbox import Outbox
from workflows.failures import fault_of


class Telling:
    """One delivery at a time; a backend that is down delays nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._delivery: asyncio.Task[object] | None = None

    def tell(self) -> None:
        """Begin to deliver what is due, unless that goes on already."""
        if self._run.round_backend and (self._delivery is None or self._delivery.done()):
            self._delivery = asyncio.create_task(self._deliver())

    async def tell_all(self) -> None:
        """Of a closed run: until nothing is left to tell, or it expired."""
        if self._delivery:
            await self._delivery
        if self._run.round_backend:
            await self._deliver()

    async def _deliver(self) -> None:
        """What cannot be delivered stays in the outbox, and costs the run nothing."""
        told = DeliverOutbox(run_id=self._run.run_id)
        try:
            await workflow.execute_activity_method(
                Outbox.deliver_outbox, told, summary="tell the round backend", **policies.DELIVER_OUTBOX
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("the round backend is not told: %s", fault_of(error).code)
