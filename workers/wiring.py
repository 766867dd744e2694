"""Where settings become objects: adapters, and the activities of each queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar

from temporalio.client import Client

from activities import task_queues
from activities.audits import LedgerAuditRecords
from activities.children import TemporalChildren
from activities.downloads import VerifiedDownloads
from activities.miner_calls import HttpMinerCalls
from activities.miner_records import LedgerMinerRecords
from activities.operator import LedgerOperator
from activities.outbox import LedgerOutbox
from activities.peers import LedgerPeers
from activities.retention import LedgerRetention
from activities.revisions import LedgerRevisions
from activities.rounds import LedgerRounds
from activities.run_opening import LedgerRunOpening, RunDefaults
from activities.run_records import LedgerRunRecords
from activities.score_records import LedgerScoreRecords
from activities.scorer import FieldScorer
from activities.signatures import methods
from activities.sources import Archives, ArchiveSources
from activities.weight_sinks import LedgerWeightSinks
from activities.weights import LedgerWeights
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder
from adapters.clock import Clock
from adapters.egress import Egress
from adapters.forecast_reader import ForecastReader
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.grib_decoder import GribDecoder
from adapters.ledger.engine import Ledger
from adapters.miner_client import MinerClient
from adapters.object_store import ObjectStore, open_object_store
from adapters.round_backend import RoundBackend
from adapters.transfer import TransferBudget
from adapters.witness import Witness
from protocol.identity import PrivateKey
from protocol.registry import Registry
from weather.faults import ConfigurationInvalid
from workers.settings import Settings
from workers.weight_sinks import after_reveal, weight_sinks, weights_rules

Objects = Sequence[object]
T = TypeVar("T")


@dataclass(frozen=True)
class Wiring:
    """One process's objects, each made when a queue of its mode needs it."""

    settings: Settings
    client: Client

    def activities(self, queue: str) -> Sequence[Callable[..., Any]]:
        """What a worker of the queue does."""
        return methods(*_BY_QUEUE[queue](self))

    def close(self) -> None:
        """End the child processes and the ledger's connections that were opened."""
        for name in ("grib", "chunks", "ledger"):
            if name in self.__dict__:
                self.__dict__[name].close()

    @cached_property
    def clock(self) -> Clock:
        return Clock()

    @cached_property
    def store(self) -> ObjectStore:
        return open_object_store(self.settings.object_store)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.settings.grid_folder)

    @cached_property
    def ledger(self) -> Ledger:
        ledger = Ledger(_given(self.settings.ledger_url, "ledger_url"), self.settings.log_head_path)
        ledger.require_log_head()
        return ledger

    @cached_property
    def hotkey(self) -> PrivateKey:
        return PrivateKey.load(_given(self.settings.hotkey_path, "hotkey_path"))

    @cached_property
    def grib(self) -> GribDecoder:
        return GribDecoder()

    @cached_property
    def chunks(self) -> ChunkDecoder:
        return ChunkDecoder(self.store)

    @cached_property
    def caller(self) -> MinerClient:
        """Signs with a request key and speaks for the validator that the registry gives it to."""
        key = PrivateKey.load(_given(self.settings.request_key_path, "request_key_path"))
        validators = self.registry().validator_keys
        if key.hotkey not in validators:
            raise ConfigurationInvalid("the registry has no validator with this request key", found=key.hotkey)
        egress = Egress(self.clock, self.settings.egress_allow, call_seconds=self.settings.call_seconds)
        return MinerClient(key, validators[key.hotkey], egress, self.clock)

    @cached_property
    def witness(self) -> Witness:
        return Witness(self.clock, self.settings.egress_probe_url)

    def registry(self) -> Registry:
        """Read anew at each call: a roster is frozen from what it says then."""
        path, network = _given(self.settings.registry_path, "registry_path"), self.settings.network
        try:
            registry = Registry.load(path)
        except OSError as error:
            raise ConfigurationInvalid(f"registry cannot be read: {error}") from error
        if registry.network != network:
            raise ConfigurationInvalid("the registry is of another network", found=registry.network, expected=network)
        return registry

    def defaults(self) -> RunDefaults:
        """What a run is given unless its input says otherwise."""
        settings = self.settings
        return RunDefaults(
            network=settings.network,
            validator=self.hotkey.hotkey,
            grid=settings.grid,
            wait=timedelta(minutes=settings.verification_wait_minutes),
            guard=timedelta(seconds=settings.commit_guard_seconds),
            min_window=timedelta(minutes=settings.min_commit_window_minutes),
            seal_grace=timedelta(seconds=settings.seal_grace_seconds),
            truth_delay=timedelta(hours=settings.era5_delay_hours),
            truth_budget=timedelta(days=settings.truth_budget_days),
            second_chance=timedelta(hours=settings.second_chance_hours),
            heartbeat_timeout=timedelta(seconds=settings.heartbeat_timeout_seconds),
            round_pauses=_pauses(settings.round_pauses_seconds),
            attempt_pauses=_pauses(settings.attempt_pauses_seconds),
            hotkeys_per_address=settings.max_hotkeys_per_address,
            round_backend=settings.round_backend_url is not None,
        )


def _control(wiring: Wiring) -> Objects:
    ledger, store, catalog, defaults = wiring.ledger, wiring.store, wiring.catalog, wiring.defaults()
    opening = LedgerRunOpening(ledger, store, catalog, wiring.registry, defaults, wiring.clock)
    rules = weights_rules(wiring.settings, wiring.hotkey.hotkey)
    run_records = LedgerRunRecords(ledger, store, catalog, defaults, wiring.clock, wiring.hotkey)
    rounds = LedgerRounds(ledger, wiring.client, opening, run_records, wiring.registry, rules.genesis, rules.cadence)
    return [
        opening,
        run_records,
        TemporalChildren(wiring.client, wiring.store),
        LedgerMinerRecords(wiring.ledger, wiring.store, wiring.hotkey),
        LedgerScoreRecords(ledger, store, catalog),
        LedgerAuditRecords(ledger, store, catalog, wiring.hotkey),
        _peers(wiring),
        LedgerWeights(ledger, store, rules, wiring.clock),
        rounds,
        LedgerRetention(ledger, store),
        LedgerRevisions(ledger, store, catalog),
        LedgerOperator(ledger, store, catalog, rules, wiring.settings.two_person),
    ]


def _peers(wiring: Wiring) -> LedgerPeers:
    egress = Egress(wiring.clock, wiring.settings.egress_allow)
    return LedgerPeers(wiring.ledger, wiring.registry, egress, wiring.hotkey.hotkey)


def _acquire(wiring: Wiring) -> Objects:
    settings = wiring.settings
    archives = Archives(
        gfs=GfsArchive(settings.gfs_base_urls, settings.gfs_product, archive_client(), wiring.clock),
        decoder=wiring.grib,
        reanalysis_url=_given(settings.era5_zarr_url, "era5_zarr_url"),
        climatology_url=_given(settings.climatology_url, "climatology_url"),
        truth_retry=timedelta(hours=settings.truth_retry_hours),
        gfs_entrant=settings.gfs_entrant,
    )
    return [ArchiveSources(archives, wiring.store, wiring.catalog)]


def _miners(wiring: Wiring) -> Objects:
    return [HttpMinerCalls(wiring.caller, wiring.store, wiring.catalog, wiring.witness)]


def _downloads(wiring: Wiring) -> Objects:
    settings = wiring.settings
    budget = TransferBudget(settings.first_byte_seconds, settings.transfer_base_seconds)
    reader = ForecastReader(wiring.caller, wiring.store, budget)
    return [VerifiedDownloads(reader, wiring.store, wiring.catalog, wiring.witness)]


def _score(wiring: Wiring) -> Objects:
    return [FieldScorer(wiring.store, wiring.catalog, wiring.chunks, wiring.clock)]


def _publish(wiring: Wiring) -> Objects:
    settings = wiring.settings
    url, token = settings.round_backend_url, settings.round_backend_token
    outbox = LedgerOutbox(wiring.ledger, RoundBackend(url, token) if url else None, wiring.clock)
    sinks = weight_sinks(settings)
    return [LedgerWeightSinks(wiring.ledger, sinks, wiring.clock, after_reveal=after_reveal(settings)), outbox]


_BY_QUEUE: dict[str, Callable[[Wiring], Objects]] = {
    task_queues.CONTROL: _control,
    task_queues.ACQUIRE: _acquire,
    task_queues.MINERS: _miners,
    task_queues.DOWNLOADS: _downloads,
    task_queues.SCORE: _score,
    task_queues.PUBLISH: _publish,
}


def _pauses(seconds: tuple[float, float]) -> tuple[timedelta, timedelta]:
    return timedelta(seconds=seconds[0]), timedelta(seconds=seconds[1])


def _given(value: T | None, name: str) -> T:
    if value is None:
        raise ConfigurationInvalid(f"setting {name} is required in this mode")
    return value
