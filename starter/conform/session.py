"""One examination: the validator's HTTP side is up, the miner is called for a hindcast, each check has its turn."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing

from pydantic import BaseModel, ConfigDict

from adapters.http_service import bound, serving
from protocol.layout import Layout
from starter.conform import calls, stores
from starter.conform.bench import Bench, Pushes
from starter.conform.book import Check, Finding, examine
from starter.conform.validator import Options, Validator, meet
from weather.faults import ConfigurationInvalid


class Report(BaseModel):
    """What the miner did, and what its registry must say."""

    model_config = ConfigDict(frozen=True)

    miner: str
    hotkey: str
    run_id: str
    registry: str
    passed: int
    failed: int
    skipped: int
    checks: list[Finding]


async def conform(options: Options) -> Report:
    """Examine one miner."""
    validator = Validator(options, *await meet(options))
    async with AsyncExitStack() as stack:
        stack.enter_context(closing(validator.wiring))
        pushes = Pushes(validator.app())
        if options.push:
            await stack.enter_async_context(serving(pushes, listening(options.listen)))
        miner, call, analysis = await validator.open_run()
        egress = validator.wiring.caller.egress
        client = await stack.enter_async_context(egress.client(miner.base_url, miner.tls_sha256))
        bench = Bench(validator, miner, call, validator.layout, analysis, pushes, client)
        findings = await examine(plan(validator.layout, push=options.push), bench)
    count = Counter(finding.result for finding in findings)
    return Report(
        miner=miner.base_url,
        hotkey=miner.hotkey,
        run_id=call.run_id,
        registry=validator.snippet,
        passed=count["pass"],
        failed=count["fail"],
        skipped=count["skip"],
        checks=findings,
    )


def listening(address: str) -> socket.socket:
    """A socket at `host:port`."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ConfigurationInvalid("--listen", found=address, expected="host:port")
    return bound(host, int(port))


def plan(layout: Layout, *, push: bool) -> Iterator[Check]:
    """All checks in their order."""
    yield from (*calls.ASKED, *(calls.PUSHED if push else ()), *calls.RECEIVED, *stores.checks(layout))
    yield from [calls.AT_THE_END] if push else ()
