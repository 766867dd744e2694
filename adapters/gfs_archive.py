"""GFS files on a list of mirrors: plan byte ranges from the index, fetch them, go on where a mirror fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import httpx

from adapters.clock import Clock
from adapters.gfs_index import (
    MOST_INDEX_BYTES,
    Channel,
    PlannedMessage,
    RangePlan,
    gfs_path,
    index_key,
    parse_index,
    plan_messages,
)
from adapters.grib_messages import cut_messages
from adapters.http_answers import Answer, Ask, Verdict, send
from weather.faults import CycleNotYetAvailable, SourceCorrupt, SourceFault, SourceGone, SourceThrottled

T = TypeVar("T")

log = logging.getLogger("barograph.gfs")

_PARALLEL = 8
_SECOND_READS = 3
_ABSENT_UNTIL = timedelta(hours=48)
_GROWING_UNTIL = timedelta(hours=12)
_USUAL = (timedelta(hours=3), timedelta(hours=6))
_SOON, _LATER = timedelta(seconds=60), timedelta(minutes=10)


@dataclass(frozen=True)
class RawMessage:
    """One GRIB message as served, framed as planned."""

    planned: PlannedMessage
    data: bytes
    url: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def archive_client() -> httpx.AsyncClient:
    """Each step of a call is bounded here, and the whole of it by the archive's `call_seconds`."""
    return httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(30, connect=5))


class GfsArchive:
    """`base_urls` in order of preference; credentials take no part."""

    def __init__(self, base_urls: Sequence[str], product: str, client: httpx.AsyncClient, clock: Clock) -> None:
        self._base_urls = [url.rstrip("/") for url in base_urls]
        self._product = product
        self._client = client
        self._clock = clock
        self.call_seconds = 600.0

    async def plan(self, cycle: datetime, lead_hours: int, channels: Sequence[Channel]) -> RangePlan:
        """Where the channels lie in the file of this cycle and lead."""
        return await self._on_mirrors(partial(self._plan_at, cycle, lead_hours, channels))

    async def fetch(self, plan: RangePlan) -> list[RawMessage]:
        """The messages of the plan in its order."""
        held: dict[int, list[RawMessage]] = {}
        await self._on_mirrors(partial(self._fetch_at, plan, held))
        return [message for planned in plan.ranges for message in held[planned[0].offset]]

    async def _on_mirrors(self, attempt: Callable[[str], Awaitable[T]]) -> T:
        """The first success; else the first fault, but absence only where it is absent on every mirror."""
        faults = []
        for base_url in self._base_urls:
            try:
                return await attempt(base_url)
            except SourceFault as fault:
                if not isinstance(fault, CycleNotYetAvailable):
                    log.warning("mirror %s: %s: %s", base_url, fault.code, fault)
                faults.append(fault)
        raise next((fault for fault in faults if not isinstance(fault, SourceGone)), faults[0])

    async def _plan_at(self, cycle: datetime, lead_hours: int, channels: Sequence[Channel], base_url: str) -> RangePlan:
        path = gfs_path(self._product, cycle, lead_hours)
        index = await self._ask(Ask(f"{base_url}/{path}.idx", most_bytes=MOST_INDEX_BYTES), cycle)
        head = await self._ask(Ask(f"{base_url}/{path}"), cycle)
        file_bytes = int(head.headers.get("content-length", "0"))
        wanted = {index_key(channel, lead_hours): channel for channel in channels}
        try:
            messages = plan_messages(parse_index(index.body, cycle), wanted, file_bytes)
        except CycleNotYetAvailable as fault:
            raise self._unfinished(cycle, str(fault)) from fault
        return RangePlan(cycle, lead_hours, path, file_bytes, tuple(channels), tuple(messages))

    async def _fetch_at(self, plan: RangePlan, held: dict[int, list[RawMessage]], base_url: str) -> None:
        await self._read_again(plan, held, base_url)
        slots = asyncio.Semaphore(_PARALLEL)

        async def fetch(planned: tuple[PlannedMessage, ...]) -> None:
            async with slots:
                held[planned[0].offset] = await self._fetch_range(plan, planned, base_url)

        await _together([fetch(planned) for planned in plan.ranges if planned[0].offset not in held])

    async def _read_again(self, plan: RangePlan, held: dict[int, list[RawMessage]], base_url: str) -> None:
        """Before a set goes on at another mirror: both must serve the same bytes."""
        messages = [message for part in held.values() for message in part]
        for message in messages[:: max(1, len(messages) // _SECOND_READS)][:_SECOND_READS]:
            (again,) = await self._fetch_range(plan, (message.planned,), base_url)
            if again.data != message.data:
                raise SourceCorrupt(f"mirrors differ: {again.url}", found=again.sha256, expected=message.sha256)

    async def _fetch_range(
        self, plan: RangePlan, planned: tuple[PlannedMessage, ...], base_url: str
    ) -> list[RawMessage]:
        url = f"{base_url}/{plan.path}"
        answer = await self._ask(Ask(url, span=(planned[0].offset, planned[-1].end, plan.file_bytes)), plan.cycle)
        messages = cut_messages(answer.body)
        lengths, expected = [len(data) for data in messages], [message.length for message in planned]
        if lengths != expected:
            raise SourceCorrupt(f"{url}: messages are not those of the index", found=lengths, expected=expected)
        return [RawMessage(message, data, url) for message, data in zip(planned, messages, strict=True)]

    async def _ask(self, ask: Ask, cycle: datetime) -> Answer:
        answer = await send(self._client, ask, self.call_seconds)
        if answer.verdict == Verdict.TRANSPORT:
            answer = await send(self._client, ask, self.call_seconds)
        if answer.verdict != Verdict.OK:
            raise self._fault(answer, cycle)
        return answer

    def _fault(self, answer: Answer, cycle: datetime) -> SourceFault:
        detail = f"{answer.ask.method} {answer.ask.url}: {answer}"
        age = self._clock.now() - cycle
        match answer.verdict:
            case Verdict.THROTTLED | Verdict.TRANSPORT:
                return SourceThrottled(detail, retry_after=answer.retry_after(self._clock.now()))
            case Verdict.ABSENT if age < _ABSENT_UNTIL:
                return CycleNotYetAvailable(detail, retry_after=_SOON if _USUAL[0] <= age <= _USUAL[1] else _LATER)
            case Verdict.ABSENT:
                return SourceGone(detail)
            case Verdict.GROWING:
                return self._unfinished(cycle, detail)
        return SourceCorrupt(detail, expected=f"range {answer.ask.span}" if answer.ask.span else None)

    def _unfinished(self, cycle: datetime, detail: str) -> SourceFault:
        if self._clock.now() - cycle < _GROWING_UNTIL:
            return CycleNotYetAvailable(detail, retry_after=_SOON)
        return SourceCorrupt(detail)


async def _together(jobs: Sequence[Coroutine[None, None, None]]) -> None:
    """All jobs; the first fault ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
