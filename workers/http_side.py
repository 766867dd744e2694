"""The validator's HTTP side in a `control` pod: calls 1, 3 and 8, and the marks that prove that it was up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from functools import partial
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from adapters.http_service import bound, serving
from adapters.ledger.absence import MARK_EVERY
from adapters.ntp import ask_offset
from weather.faults import ConfigurationInvalid, PlatformFault
from workers.commitments import LedgerCommitments, tell_workflow
from workers.log_service import PublishedLog, log_routes
from workers.readiness import readiness
from workers.true_clock import TrueClock
from workers.validator_service import ServiceConfig, validator_app
from workers.weight_sinks import weights_are_silent, weights_are_stale, weights_rules
from workers.wiring import Wiring

log = logging.getLogger("barograph.http")


@contextlib.asynccontextmanager
async def http_side(wiring: Wiring) -> AsyncGenerator[None]:
    """Serve until the pod drains."""
    commitments = LedgerCommitments(wiring.ledger, wiring.store, wiring.catalog, wiring.hotkey, wiring.clock)
    true_clock, ntp_server = TrueClock(), wiring.settings.ntp_server
    app, settings = _app(wiring, commitments, true_clock), wiring.settings
    async with serving(app, bound(settings.validator_host, settings.validator_port or 0)):
        beside = [asyncio.create_task(keep_marking(commitments.mark, true_clock))]
        if ntp_server is not None:
            beside.append(asyncio.create_task(true_clock.watch(partial(ask_offset, ntp_server, wiring.clock))))
        try:
            yield
        finally:
            for task in beside:
                task.cancel()


async def keep_marking(mark: Callable[[], None], true_clock: TrueClock) -> None:
    """A mark that can not be written is missing, which is what it tells; so is one that would bear a wrong time."""
    while True:
        try:
            if not true_clock.off:
                await asyncio.to_thread(mark)
        except PlatformFault as fault:
            log.warning("no mark of the HTTP side: %s", fault)
        await asyncio.sleep(MARK_EVERY.total_seconds())


def _app(wiring: Wiring, commitments: LedgerCommitments, true_clock: TrueClock) -> ASGIApp:
    settings = wiring.settings
    local = settings.max_hotkeys_per_address is None
    weights = (weights_rules(settings, wiring.hotkey.hotkey), wiring.ledger, wiring.clock)
    config = ServiceConfig(
        key=wiring.hotkey,
        network=settings.network,
        base_path=_base_path(wiring),
        posts_per_address=None if local else ServiceConfig.posts_per_address,
        degraded=partial(weights_are_silent, *weights),
        stale_since=partial(weights_are_stale, *weights),
    )
    published = PublishedLog(wiring.ledger, wiring.hotkey, settings.network, wiring.clock)
    tell = partial(tell_workflow, wiring.client, wiring.store)
    app = validator_app(config, commitments, tell, wiring.clock, log_routes(config.base_path, published))
    ready = readiness(wiring.ledger, wiring.store, wiring.client)
    return ready.beside(true_clock.guarding(app))


def _base_path(wiring: Wiring) -> str:
    hotkey = wiring.hotkey.hotkey
    try:
        return urlsplit(wiring.registry().validator(hotkey).base_url).path
    except KeyError as error:
        raise ConfigurationInvalid("the registry has no validator with this hotkey", found=hotkey) from error
