"""The ledger as the validator's HTTP side uses it, and the hint that it sends to the waiting workflow."""

from __future__ import annotations

import asyncio

from temporalio.client import Client

from activities import documents
from activities.messages.miner import CommitmentRecorded
from activities.messages.run import Run
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger import absence, commitments, roster, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.values import ReceivedCommitment, RecordedCommitment
from adapters.object_store import ObjectStore
from adapters.temporal_client import signal
from protocol.identity import PrivateKey
from protocol.names import miner_workflow_id
from workers.validator_service import OpenCall


class LedgerCommitments:
    """Blocking; the service calls it from its thread pool."""

    def __init__(self, ledger: Ledger, store: ObjectStore, catalog: Catalog, key: PrivateKey, clock: Clock) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog
        self._key, self._clock = key, clock

    def call_of(self, run_id: str) -> OpenCall | None:
        """The call of a run, or nothing if there is no such run."""
        with self._ledger.read() as session:
            row = runs.get_run(session, run_id)
            if row is None or row.call_document is None or row.commit_deadline is None:
                return None
            run, deadline = Run.model_validate(row.config), row.commit_deadline
            hotkeys = frozenset(one.hotkey for one in roster.roster_of(session, run_id))
            sealed, document = row.status != "pending", row.call_document
        return OpenCall(
            data=documents.call(self._store, document),
            layout=self._catalog.pinned_layout(run.grid, run.layout_digest),
            hotkeys=hotkeys,
            deadline=deadline,
            sealed=sealed,
        )

    def record(self, received: ReceivedCommitment) -> RecordedCommitment:
        """Store, log and receipt in one transaction; the first commitment stands."""
        with self._ledger.begin() as session:
            return commitments.record_commitment(session, self._key, received)

    def mark(self) -> None:
        """Tell the ledger that the HTTP side is up."""
        with self._ledger.begin() as session:
            absence.mark_ingress(session, self._clock.now())

    def probe(self) -> None:
        """Write and read database and object store."""
        with self._ledger.read() as session:
            runs.list_runs(session, limit=1)
        self._store.probe()


async def tell_workflow(client: Client, store: ObjectStore, recorded: RecordedCommitment, in_time: bool) -> None:
    """Signal a stored commitment to the `MinerForecast` that waits for it; a lost signal is found at the seal."""
    message = CommitmentRecorded(
        commitment=await asyncio.to_thread(documents.put_commitment, store, recorded),
        commitment_digest=recorded.commitment_digest,
        leaf_index=recorded.leaf_index,
        in_time=in_time,
    )
    child = miner_workflow_id(recorded.commitment.run_id, recorded.commitment.hotkey)
    await signal(client, child, "commitment_recorded", message)
