"""Inputs and truth from a real archive on loopback: GFS files with index, ERA5 and climatology in Zarr."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from temporalio.testing import ActivityEnvironment

from activities.messages.base import Ref
from activities.messages.run import Inputs
from activities.messages.scoring import EnsureTruth, TruthReady
from activities.sources import Archives, ArchiveSources
from adapters.archive_server.app import archive_app
from adapters.archive_server.world import PlanetWorld
from adapters.gfs_archive import GfsArchive
from adapters.grib_decoder import GribDecoder
from adapters.object_store import Fields, ObjectStore, load_field_set
from protocol.messages import InitMetadata, input_data_hash
from tests.activities.validator.forecasts import CATALOG, LAYOUT, PLANET, RULES, RUN
from tests.activities.validator.world import T0
from tests.fixed_clock import FixedClock
from weather.faults import ConfigurationInvalid, CycleNotYetAvailable, SourceCorrupt, SourceGone, TruthNotYetAvailable
from weather.planet.planet import Weather

PRODUCT = "pgrb2.5p62"
LATER = datetime(2026, 12, 12, tzinfo=UTC)
EARLIER_CYCLE = T0 - timedelta(hours=6)
PREVIOUS = "gfs.20261122/12/"
CURRENT = "gfs.20261122/18/"


@pytest.fixture(scope="module")
def archive_url() -> Iterator[str]:
    world = PlanetWorld(PLANET.seed, LAYOUT.grid_value, LAYOUT.level_hectopascal)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = archive_app(world, PRODUCT, steered=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def decoder() -> Iterator[GribDecoder]:
    started = GribDecoder()
    yield started
    started.close()


@dataclass
class Acquirer:
    """The activities of `acquire`, and the archive that they ask."""

    url: str
    client: httpx.AsyncClient
    decoder: GribDecoder
    store: ObjectStore
    at: datetime = LATER
    gfs_entrant: bool = False
    beats: int = 0

    @property
    def sources(self) -> ArchiveSources:
        gfs = GfsArchive([self.url], PRODUCT, self.client, FixedClock(self.at))
        reanalysis, climatology = f"{self.url}/era5", f"{self.url}/climatology"
        archives = Archives(gfs, self.decoder, reanalysis, climatology, timedelta(hours=7), self.gfs_entrant)
        return ArchiveSources(archives, self.store, CATALOG)

    async def do(self, activity: Any, request: Any) -> Any:
        (await self.client.post(f"{self.url}/now", json={"now": self.at.isoformat()})).raise_for_status()
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, heartbeat_timeout=timedelta(milliseconds=30))
        environment.on_heartbeat = lambda *_: setattr(self, "beats", self.beats + 1)
        return await environment.run(activity, request)

    async def inputs(self) -> Inputs:
        return await self.do(self.sources.fetch_inputs, RUN)

    async def truth(self, pass_name: Any, *leads: int) -> TruthReady:
        request = EnsureTruth(run=RUN, pass_name=pass_name, lead_hours=leads)
        return await self.do(self.sources.ensure_truth, request)

    async def trouble(self, *troubles: dict[str, Any]) -> None:
        (await self.client.post(f"{self.url}/troubles", json=list(troubles))).raise_for_status()

    def fields(self, ref: Ref) -> Fields:
        return load_field_set(self.store, LAYOUT.grid_value, ref.sha256)


@pytest.fixture
async def acquirer(archive_url: str, decoder: GribDecoder, store: ObjectStore) -> AsyncIterator[Acquirer]:
    async with httpx.AsyncClient(trust_env=False) as client:
        acquirer = Acquirer(archive_url, client, decoder, store)
        await acquirer.trouble()
        yield acquirer


def absent(path: str) -> dict[str, Any]:
    return {"path_prefix": path, "kind": "status", "status": 404}


def assert_same(found: Fields, weather: Weather, *, packed: bool = False) -> None:
    """Each field is the planet's, up to the packing of GRIB."""
    for (variable, level), field in found.items():
        expected = weather.field(variable, level, LAYOUT.grid_value).values
        step = float(np.ptp(expected)) / 2**14 if packed else 0.0
        assert np.abs(field.values - expected).max() <= step, (variable, level)


async def test_inputs_are_both_analyses_field_by_field(acquirer: Acquirer) -> None:
    inputs = await acquirer.inputs()
    metadata = InitMetadata.parse(acquirer.store.get(inputs.objects.sha256))
    named = [(one.init_time, one.variable, one.level or 0) for one in metadata.objects]
    assert named == [(cycle, *field) for cycle in (T0, EARLIER_CYCLE) for field in LAYOUT.fields()]
    assert {one.lead_time_hours for one in metadata.objects} == {0}
    assert inputs.input_data_hash == input_data_hash(metadata.objects)
    assert inputs.size_bytes == sum(one.length for one in metadata.objects)
    assert all(len(acquirer.store.get(one.sha256)) == one.length for one in metadata.objects)
    assert acquirer.beats > 1
    assert await acquirer.inputs() == inputs


async def test_a_run_goes_on_without_the_earlier_analysis_once_it_is_gone(acquirer: Acquirer) -> None:
    await acquirer.trouble(absent(PREVIOUS))
    inputs = await acquirer.inputs()
    metadata = InitMetadata.parse(acquirer.store.get(inputs.objects.sha256))
    assert {one.init_time for one in metadata.objects} == {T0}


async def test_a_cycle_that_is_not_there_yet_is_asked_for_again(acquirer: Acquirer) -> None:
    acquirer.at = T0 + timedelta(hours=3, minutes=10)
    with pytest.raises(CycleNotYetAvailable) as fault:
        await acquirer.inputs()
    assert fault.value.retry_after == timedelta(seconds=60)


async def test_a_cycle_that_will_never_come_is_gone(acquirer: Acquirer) -> None:
    await acquirer.trouble(absent("gfs."))
    with pytest.raises(SourceGone):
        await acquirer.inputs()


async def test_bytes_that_were_damaged_on_the_way_are_refused(acquirer: Acquirer) -> None:
    await acquirer.trouble({"path_prefix": CURRENT, "kind": "short", "ranges_only": True})
    with pytest.raises(SourceCorrupt):
        await acquirer.inputs()


async def test_day_1_has_analysis_climatology_and_two_public_forecasts_of_each_lead(acquirer: Acquirer) -> None:
    ready = await acquirer.truth("day1_qc", 6, 12)
    assert [(one.lead_hours, one.truth_version) for one in ready.sets] == [(6, "gfs_analysis"), (12, "gfs_analysis")]
    for one in ready.sets:
        valid_time, lead = RUN.valid_time(one.lead_hours), one.lead_hours
        assert_same(acquirer.fields(one.truth), PLANET.gfs_analysis(valid_time), packed=True)
        assert_same(acquirer.fields(one.climatology), PLANET.climatology(valid_time))
        first, second = (acquirer.fields(ref) for ref in one.references)
        assert_same(first, PLANET.gfs_forecast(T0, lead), packed=True)
        assert_same(second, PLANET.gfs_forecast(EARLIER_CYCLE, lead + 6), packed=True)
        assert set(first) == set(second) == set(RULES.day1_fields)


async def test_without_the_second_public_forecast_there_is_one(acquirer: Acquirer) -> None:
    await acquirer.trouble(absent(PREVIOUS))
    ready = await acquirer.truth("day1_qc", 6)
    assert [len(one.references) for one in ready.sets] == [1]


async def test_without_the_first_public_forecast_there_is_no_day_1(acquirer: Acquirer) -> None:
    await acquirer.trouble(absent(f"{CURRENT}atmos/gfs.t18z.{PRODUCT}.f006"))
    with pytest.raises(SourceGone):
        await acquirer.truth("day1_qc", 6)


@pytest.mark.parametrize(("days", "version"), [(20, "era5t"), (90, "era5")])
async def test_the_truth_of_a_lead_is_the_reanalysis_that_is_there(acquirer: Acquirer, days: int, version: str) -> None:
    acquirer.at = T0 + timedelta(days=days)
    (one,) = (await acquirer.truth("era5_final", 24)).sets
    valid_time = RUN.valid_time(24)
    assert (one.lead_hours, one.truth_version, one.references, one.gfs) == (24, version, (), None)
    assert_same(acquirer.fields(one.truth), PLANET.era5(valid_time))
    assert_same(acquirer.fields(one.climatology), PLANET.climatology(valid_time))
    assert set(acquirer.fields(one.truth)) == set(RULES.final_fields)


async def test_gfs_is_entered_at_a_final_lead_if_the_settings_say_and_no_miner_waits_for_it(acquirer: Acquirer) -> None:
    acquirer.gfs_entrant = True
    (one,) = (await acquirer.truth("era5_final", 24)).sets
    assert one.gfs is not None
    assert_same(acquirer.fields(one.gfs), PLANET.gfs_forecast(T0, 24), packed=True)
    assert set(acquirer.fields(one.gfs)) == set(RULES.final_fields)
    await acquirer.trouble({"path_prefix": CURRENT, "kind": "short", "ranges_only": True})
    (without,) = (await acquirer.truth("era5_final", 24)).sets
    assert without == one.model_copy(update={"gfs": None})


async def test_truth_that_is_not_there_yet_is_asked_for_when_the_settings_say(acquirer: Acquirer) -> None:
    acquirer.at = T0 + timedelta(days=3)
    with pytest.raises(TruthNotYetAvailable) as fault:
        await acquirer.truth("era5_final", 24)
    assert fault.value.retry_after == timedelta(hours=7)


async def test_rules_that_are_not_those_of_the_run_are_refused_before_anything_is_fetched(acquirer: Acquirer) -> None:
    other = RUN.model_copy(update={"score_spec_digest": "9" * 64, "layout_digest": "9" * 64})
    request = EnsureTruth(run=other, pass_name="era5_final", lead_hours=(24,))
    with pytest.raises(ConfigurationInvalid):
        await acquirer.do(acquirer.sources.ensure_truth, request)
    with pytest.raises(ConfigurationInvalid):
        await acquirer.do(acquirer.sources.fetch_inputs, other)
