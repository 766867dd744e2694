"""The validator that examines: its keys, log and objects stay in a state folder, so that it is the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp
from temporalio.client import Client

from activities import documents, task_queues
from activities.messages.run import CampaignRef, ForecastRunInput, OpenCommitWindow, Run
from activities.sources import CYCLE, kept_inputs
from adapters.clock import Clock
from adapters.egress import Egress
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.inputs import FetchedFields, fetch_fields
from adapters.ledger.engine import upgrade
from adapters.ledger.values import RecordedCommitment
from protocol.identity import PrivateKey
from protocol.messages import ForecastRequestData
from protocol.registry import RosterEntry
from weather.faults import ConfigurationInvalid
from weather.fields import Field
from workers.commitments import LedgerCommitments
from workers.log_service import PublishedLog, log_routes
from workers.settings import Settings
from workers.validator_service import ServiceConfig, validator_app
from workers.wiring import Wiring

NAME = "conform"
HEALTH_SECONDS = 5
STEADY = (("z", 500), ("msl", 0))


@dataclass(frozen=True)
class Options:
    """Whom to examine, as which validator; the miner is asked for what is not given of it."""

    url: str
    state: Path
    settings: Settings
    init_time: datetime
    tell: Callable[[str], None]
    hotkey: str | None = None
    network: str | None = None
    certificate: Path | None = None
    listen: str = "127.0.0.1:8455"
    public_url: str | None = None
    push: bool = True
    poll_seconds: float = 5
    push_seconds: float = 90


class Validator:
    """A pod's objects without Temporal; a miner whose registry has the `snippet` answers it."""

    def __init__(self, options: Options, network: str, miner: str) -> None:
        state, self.options = options.state.resolve(), options
        self.key, self.request_key = _key(state / "validator.key"), _key(state / "requests.key")
        self.hotkey, self.url = self.key.hotkey, options.public_url or f"http://{options.listen}"
        (state / "registry.toml").write_text(f'network = "{network}"\n{self.snippet}{_entry(options, miner)}')
        paths = {
            "object_store": (state / "objects").as_uri(),
            "ledger_url": f"sqlite:///{state / 'ledger.db'}",
            "registry_path": state / "registry.toml",
            "hotkey_path": state / "validator.key",
            "request_key_path": state / "requests.key",
        }
        upgrade(paths["ledger_url"])
        settings = options.settings.model_copy(update={"network": network, **paths})
        self.wiring = Wiring(settings, cast("Client", None))
        self.layout = self.wiring.catalog.layout(settings.grid)

    @property
    def snippet(self) -> str:
        """What the registry of the miner must say."""
        keys = f'hotkey = "{self.hotkey}"\nrequest_keys = ["{self.request_key.hotkey}"]'
        return f'[[validator]]\nname = "{NAME}"\n{keys}\nbase_url = "{self.url}"\n'

    @property
    def commitments(self) -> LedgerCommitments:
        wiring = self.wiring
        return LedgerCommitments(wiring.ledger, wiring.store, wiring.catalog, self.key, wiring.clock)

    def app(self) -> ASGIApp:
        """Calls 1, 3 and 8."""
        wiring, base_path = self.wiring, urlsplit(self.url).path
        network = wiring.settings.network
        published = PublishedLog(wiring.ledger, self.key, network, wiring.clock)
        config = ServiceConfig(self.key, network, base_path, None, None)
        return validator_app(config, self.commitments, _tell_nobody, wiring.clock, log_routes(base_path, published))

    async def open_run(self) -> tuple[RosterEntry, ForecastRequestData, Field]:
        """A hindcast that nobody else plays: the miner, its call, and a field of its analysis without a daily cycle."""
        control = {attrgetter("__name__")(each): each for each in self.wiring.activities(task_queues.CONTROL)}
        campaign = CampaignRef(name=f"{NAME}-{self.wiring.clock.now():%y%m%dt%H%M%S%f}")
        run: Run = control["open_run"](ForecastRunInput(init_time=self.options.init_time, campaign=campaign))
        fetched = [await self._fetch(cycle) for cycle in (run.init_time, run.init_time - CYCLE)]
        inputs = kept_inputs(self.wiring.store, run.grid, fetched)
        roster = control["freeze_roster"](run)
        opening = OpenCommitWindow(run=run, inputs=inputs, roster_digest=roster.roster_digest)
        window = control["open_commit_window"](opening)
        (miner,) = documents.roster(self.wiring.store, roster.entries).values()
        call = documents.call(self.wiring.store, window.call.sha256).addressed_to(miner.hotkey)
        analysis = {(field.variable, field.level): field for field in fetched[0].fields}
        steady = next((one for one in STEADY if one in analysis), self.layout.fields()[0])
        return miner, call, analysis[steady]

    async def _fetch(self, cycle: datetime) -> FetchedFields:
        wiring, layout = self.wiring, self.layout
        async with archive_client() as client:
            archive = GfsArchive(wiring.settings.gfs_base_urls, wiring.settings.gfs_product, client, wiring.clock)
            return await fetch_fields(archive, wiring.grib, wiring.store, layout.grid_value, cycle, 0, layout.fields())


async def meet(options: Options) -> tuple[str, str]:
    """Network and hotkey of the miner: as given, else as it says itself."""
    if options.network and options.hotkey:
        return options.network, options.hotkey
    try:
        async with Egress(Clock(), options.settings.egress_allow).client(options.url) as client:
            told: dict[str, Any] = (await client.get("health", timeout=HEALTH_SECONDS)).json()
        return options.network or told["network"], options.hotkey or told["hotkey"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationInvalid(f"{options.url}/health tells no hotkey and network; give both: {error!r}") from error


async def _tell_nobody(_recorded: RecordedCommitment, _in_time: bool) -> None:
    """No workflow waits for the commitment."""


def _entry(options: Options, hotkey: str) -> str:
    entry = f'[[miner]]\nname = "examined"\nhotkey = "{hotkey}"\nbase_url = "{options.url}"\n'
    if pem := options.certificate:
        (options.state / pem.name).write_bytes(pem.read_bytes())
        entry += f'tls_certificate = "{pem.name}"\n'
    return entry


def _key(path: Path) -> PrivateKey:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return PrivateKey.kept(path)
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid(f"key file {path}: {error}") from error
