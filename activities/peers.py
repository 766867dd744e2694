"""What the other validators of the network sealed, compared with what was sealed here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio import activity

from activities.messages.audits import CommitmentsCompared
from activities.messages.base import FaultNote
from activities.messages.run import RunStep
from adapters import instruments, log_client
from adapters.egress import Egress
from adapters.ledger import commitments, facts, roster, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.values import FaultRecord
from protocol.log import ReceiptedCommitment, SealedCommitments, equivocations
from protocol.registry import Registry, ValidatorEntry
from weather.faults import EgressDown, Equivocation, MinerFault


class LedgerPeers:
    """A peer that is out of reach, or answers nonsense, is nobody's fault."""

    def __init__(self, ledger: Ledger, registry: Callable[[], Registry], egress: Egress, hotkey: str) -> None:
        self._ledger, self._registry, self._egress, self._hotkey = ledger, registry, egress, hotkey

    @activity.defn
    async def compare_commitments(self, request: RunStep) -> CommitmentsCompared:
        """Record `Equivocation` for who committed to one forecast here and to another elsewhere."""
        others = [one for one in self._registry().validators if one.hotkey != self._hotkey]
        answers = await asyncio.gather(*(self._ask(one, request.run.run_id) for one in others))
        sealed = {one.hotkey: answer for one, answer in zip(others, answers, strict=True) if answer}
        guilty = await asyncio.to_thread(self._record, request, sealed) if sealed else ()
        return CommitmentsCompared(validators=len(others), silent=len(others) - len(sealed), equivocations=guilty)

    async def _ask(self, validator: ValidatorEntry, run_id: str) -> SealedCommitments | None:
        try:
            return await log_client.commitments(self._egress, validator.base_url, run_id)
        except (EgressDown, MinerFault) as silent:
            activity.logger.warning("validator %s is not compared with: %s", validator.name, silent)
            return None

    def _record(self, request: RunStep, sealed: dict[str, SealedCommitments]) -> tuple[str, ...]:
        run = request.run
        with self._ledger.begin() as session:
            runs.changed_run(session, run.run_id)
            ours = {self._hotkey: commitments.sealed_commitments(session, run.run_id)}
            found = equivocations(run.network, run.run_id, ours | sealed)
            hotkeys = [row.hotkey for row in roster.roster_of(session, run.run_id) if row.hotkey in found]
            faults = [_fault(request, hotkey, found[hotkey]) for hotkey in hotkeys]
            facts.record_faults(session, faults)
        instruments.FAULTS_RECORDED.tally(faults, "code", "cause")
        return tuple(hotkeys)


def _fault(request: RunStep, hotkey: str, signed: list[ReceiptedCommitment]) -> FaultRecord:
    first, second = (one.receipt for one in signed[:2])
    twice = Equivocation(
        f"two commitments, receipted by {first.validator[:8]} and {second.validator[:8]}",
        found=second.entry.commitment_digest,
        expected=first.entry.commitment_digest,
    )
    return FaultRecord(
        run_id=request.run.run_id,
        hotkey=hotkey,
        effect="W",
        attempts=[one.value for one in signed],
        recorded_at=request.at,
        **FaultNote.of(twice).model_dump(),
    )
