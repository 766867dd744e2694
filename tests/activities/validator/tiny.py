"""A validator's outgoing side beside a real miner on loopback, on the small layout that this miner serves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities import documents
from activities.downloads import VerifiedDownloads
from activities.messages.base import Ref
from activities.messages.miner import ManifestVerified, MinerCall, VerifyManifest
from activities.messages.run import Run
from activities.messages.scoring import FetchLead, LeadFetched, VerifiedMiner
from activities.miner_calls import HttpMinerCalls
from adapters.catalog import Catalog
from adapters.forecast_reader import FetchedObjects, ForecastReader
from adapters.miner_client import MinerClient
from adapters.object_store import ObjectStore
from adapters.transfer import TransferBudget
from adapters.witness import Witness
from protocol.canonical import J
from protocol.commitment import Commitment
from protocol.messages import CommitmentData
from tests.activities.validator.forecasts import RUN
from tests.hostile_miner import (
    LAYOUT,
    MINER,
    REQUEST_KEY,
    VALIDATOR,
    HostileMiner,
    Server,
    call_data,
    honest_objects,
    loopback,
)
from weather.score_spec import ScoreSpec, load_rules

BYSTANDER = "b" * 64
QUICK = TransferBudget(first_byte_seconds=2.0, base_seconds=2.0, lead_round_seconds=10.0, manifest_round_seconds=10.0)


def tiny_rules() -> ScoreSpec:
    """Two fields, day 1 at 6 h and the final score at 12 h."""
    value: dict[str, Any] = json.loads(load_rules("5p625-small").canonical)
    grid = LAYOUT.grid_value
    value["grid"] = {
        "name": LAYOUT.grid,
        "weights_sha256": grid.weights_sha256,
        "microdegrees": LAYOUT.value["microdegrees"],
    }
    value["day1_qc"] |= {"lead_time_hours": [6], "fields": value["day1_qc"]["fields"][:1]}
    value["era5_final"] |= {
        "groups": [{"name": "all", "weight": 1, "lead_time_hours": [12]}],
        "fields": [
            {"variable": "2t", "levels": [0], "weights": [1900]},
            {"variable": "t", "levels": [500, 850], "weights": [950, 950]},
        ],
    }
    return ScoreSpec.parse(json.dumps(value).encode())


def tiny_catalog(folder: Path) -> Catalog:
    (folder / "tiny.layout.json").write_bytes(LAYOUT.canonical)
    (folder / "tiny.rules.json").write_bytes(tiny_rules().canonical)
    return Catalog(folder)


@dataclass
class Post:
    """Calls and downloads of one pod to one miner; `left` is what an attempt leaves in its heartbeat."""

    server: Server
    miner: HostileMiner
    store: ObjectStore
    catalog: Catalog
    witness: Witness
    left: tuple[Any, ...] = ()
    attempt: int = 0

    def __post_init__(self) -> None:
        self.miner.call = call_data(score_spec_digest=self.rules.digest)
        self.miner.objects = honest_objects(self.miner.call)
        self.miner.commit()
        self.client = MinerClient(REQUEST_KEY, VALIDATOR.hotkey, loopback(), loopback().clock)

    @property
    def rules(self) -> ScoreSpec:
        return self.catalog.rules(LAYOUT.grid)

    @property
    def run(self) -> Run:
        leads = {"day1_lead_hours": (6,), "final_lead_hours": (12,)}
        digests = {"layout_digest": LAYOUT.digest, "score_spec_digest": self.rules.digest}
        return RUN.model_copy(update={"grid": LAYOUT.grid, **leads, **digests})

    @property
    def target(self) -> MinerCall:
        roster = documents.put(self.store, J([self.server.entry().value]))
        call = documents.put(self.store, self.miner.call.canonical)
        return MinerCall(run_id=self.miner.call.run_id, hotkey=MINER.hotkey, roster=roster, call=call)

    @property
    def calls(self) -> HttpMinerCalls:
        return HttpMinerCalls(self.client, self.store, self.catalog, self.witness)

    @property
    def downloads(self) -> VerifiedDownloads:
        reader = ForecastReader(self.client, self.store, QUICK)
        return VerifiedDownloads(reader, self.store, self.catalog, self.witness)

    async def do(self, activity: Any, request: Any) -> Any:
        """The next attempt of the activity."""
        self.attempt += 1
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=self.attempt, heartbeat_details=list(self.left))
        environment.on_heartbeat = lambda *details: setattr(self, "left", details)
        return await environment.run(activity, request)

    async def seen(self, kind: Any) -> None:
        """Another miner has just answered."""
        async with self.witness.of(kind, BYSTANDER):
            pass

    def offer(self, commitment: Commitment | None = None) -> Ref:
        standing = commitment or self.miner.commitment
        data = CommitmentData(commitment=standing.value, signature=standing.sign(MINER))
        return documents.put(self.store, data.canonical)

    async def verify(self) -> ManifestVerified:
        return await self.do(
            self.downloads.verify_manifest, VerifyManifest(**dict(self.target), commitment=self.offer())
        )

    async def verified(self) -> VerifiedMiner:
        store = (await self.verify()).store
        assert store is not None
        return VerifiedMiner(hotkey=MINER.hotkey, store=store.sha256)

    async def fetch(self, miner: VerifiedMiner, pass_name: Any = "era5_final", *, last: bool = False) -> LeadFetched:
        target = self.target
        request = FetchLead(
            run=self.run,
            pass_name=pass_name,
            lead_hours=(6,) if pass_name == "day1_qc" else (12,),
            miner=miner,
            roster=target.roster,
            call=target.call,
            last_round=last,
        )
        return await self.do(self.downloads.fetch_lead, request)

    def fetched(self, answer: LeadFetched) -> FetchedObjects:
        return documents.get_model(self.store, FetchedObjects, answer.objects.sha256)
