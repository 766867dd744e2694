"""One validator with its ledger, object store, registry and clock, and a run on it, as the tests write them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities import documents
from activities.messages.base import Ref
from activities.messages.run import CampaignRef, CommitWindow, ForecastRunInput, Inputs, OpenCommitWindow, Roster, Run
from activities.miner_records import LedgerMinerRecords
from activities.run_opening import LedgerRunOpening, RunDefaults
from activities.run_records import LedgerRunRecords
from activities.score_records import LedgerScoreRecords
from adapters.catalog import Catalog
from adapters.ledger import facts
from adapters.ledger.engine import Ledger
from adapters.ledger.values import FaultRecord, ScoreFact
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.messages import CommitmentData, ForecastRequestData, InitMetadata, InputObject, input_data_hash
from protocol.registry import MinerEntry, Registry
from tests.fixed_clock import FixedClock
from weather.field_sets import FieldEntry, field_set_document

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
OPENED = T0 + timedelta(hours=3, minutes=30)
GRID = "5p625-small"
VALIDATOR = PrivateKey.from_bytes(bytes([2]) * 32)
ALICE, BOB, CAROL = (PrivateKey.from_bytes(bytes([seed]) * 32) for seed in (11, 12, 13))
LIVE = ForecastRunInput(init_time=T0)
HINDCAST = ForecastRunInput(init_time=T0, campaign=CampaignRef(name="demo"))
SOURCE = InputObject(
    source="noaa-gfs",
    name="gfs.t18z.pgrb2.5p62.f000",
    init_time=T0,
    lead_time_hours=0,
    variable="t",
    level=850,
    offset=0,
    length=1,
    sha256="0" * 64,
)
ANALYSIS = FieldEntry(variable="z", level=500, valid_time=T0, shape=(32, 64), sha256="a" * 64)
DEFAULTS = RunDefaults(
    network="test",
    validator=VALIDATOR.hotkey,
    grid=GRID,
    wait=timedelta(minutes=60),
    guard=timedelta(seconds=1),
    min_window=timedelta(minutes=15),
    seal_grace=timedelta(seconds=60),
    truth_delay=timedelta(hours=126),
    truth_budget=timedelta(days=10),
    second_chance=timedelta(hours=72),
    heartbeat_timeout=timedelta(seconds=60),
    round_pauses=(timedelta(hours=1), timedelta(hours=5)),
    attempt_pauses=(timedelta(seconds=5), timedelta(seconds=60)),
    hotkeys_per_address=8,
)


def registry(*keys: PrivateKey) -> Registry:
    miners = tuple(
        MinerEntry(name=f"miner-{number}", hotkey=key.hotkey, base_url=f"https://miner.example/{number}")
        for number, key in enumerate(keys)
    )
    return Registry(network="test", miner=miners)


@dataclass
class Validator:
    """The activities of `control` on one ledger; each runs as an activity of its own."""

    ledger: Ledger
    store: ObjectStore
    catalog: Catalog = field(default_factory=Catalog)
    clock: FixedClock = field(default_factory=lambda: FixedClock(OPENED))
    miners: tuple[PrivateKey, ...] = (ALICE, BOB)
    defaults: RunDefaults = DEFAULTS
    addresses: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def runs(self) -> LedgerRunRecords:
        return LedgerRunRecords(self.ledger, self.store, self.catalog, self.defaults, self.clock, VALIDATOR)

    @property
    def opening(self) -> LedgerRunOpening:
        def known() -> Registry:
            return registry(*self.miners)

        ports = (self.ledger, self.store, self.catalog, known, self.defaults, self.clock)
        return LedgerRunOpening(*ports, lambda hosts: self.addresses)

    @property
    def responses(self) -> LedgerMinerRecords:
        return LedgerMinerRecords(self.ledger, self.store, VALIDATOR)

    @property
    def scores(self) -> LedgerScoreRecords:
        return LedgerScoreRecords(self.ledger, self.store, self.catalog)

    def with_defaults(self, **changes: Any) -> Validator:
        """The same validator after a restart with other settings."""
        return replace(self, defaults=replace(self.defaults, **changes))

    def inputs(self, *objects: InputObject) -> Inputs:
        metadata = InitMetadata(objects=objects or (SOURCE,))
        return Inputs(
            objects=documents.put(self.store, metadata.canonical),
            input_data_hash=input_data_hash(metadata.objects),
            bundle_digest=self.store.put(field_set_document("inputs", "gfs_analysis", GRID, [ANALYSIS])),
            size_bytes=1,
        )

    def open(self, request: ForecastRunInput = LIVE) -> Opened:
        """A run whose roster is frozen and whose window is open."""
        run = do(self.opening.open_run, request)
        roster = do(self.opening.freeze_roster, run)
        opening = OpenCommitWindow(run=run, inputs=self.inputs(), roster_digest=roster.roster_digest)
        return Opened(run, roster, do(self.opening.open_commit_window, opening), self.store)

    def record(self, *values: ScoreFact | FaultRecord) -> None:
        """Plant facts and faults."""
        with self.ledger.begin() as session:
            facts.record_facts(session, [value for value in values if isinstance(value, ScoreFact)])
            facts.record_faults(session, [value for value in values if isinstance(value, FaultRecord)])


@dataclass(frozen=True)
class Opened:
    """A run and its call."""

    run: Run
    roster: Roster
    window: CommitWindow
    store: ObjectStore

    @property
    def call(self) -> Ref:
        assert self.window.call is not None
        return self.window.call

    def offer(self, key: PrivateKey, root: str = "5" * 64) -> CommitmentData:
        """A commitment of a miner for this run, signed."""
        call = documents.call(self.store, self.call.sha256)
        return offer(call, Catalog().layout(call.grid), key, root)

    def put_offer(self, key: PrivateKey, root: str = "5" * 64) -> Ref:
        return documents.put(self.store, self.offer(key, root).canonical)


def offer(call: ForecastRequestData, layout: Layout, key: PrivateKey, root: str = "5" * 64) -> CommitmentData:
    """A commitment of a miner to a call, signed."""
    sizes = layout.size_limits.values()
    commitment = Commitment(
        **call.identity(key.hotkey).model_dump(),
        score_spec_digest=call.score_spec_digest,
        input_data_hash=call.input_data_hash,
        root=root,
        object_count=len(sizes),
        total_bytes=sum(most for _, most in sizes),
        salt="4" * 64,
    )
    return CommitmentData(commitment=commitment.value, signature=commitment.sign(key))


def do(activity: Callable[[Any], Any], request: Any) -> Any:
    """Run a blocking activity once."""
    return ActivityEnvironment().run(activity, request)
