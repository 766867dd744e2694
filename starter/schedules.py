"""The schedules of a validator: what starts when, and how late it may still be started."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from activities import task_queues
from activities.messages.run import TriggerInput
from workers.settings import Settings
from workflows.trigger import Trigger

NAMES = ("forecasts", "weights", "retention", "revisions")
_CYCLES = ScheduleCalendarSpec(hour=(ScheduleRange(3, 21, 6),), minute=(ScheduleRange(30),))
_NIGHTLY = ScheduleCalendarSpec(hour=(ScheduleRange(2),))
_MORNINGS = ScheduleCalendarSpec(hour=(ScheduleRange(6),))


def schedules(settings: Settings) -> dict[str, Schedule]:
    """By name; weights only where they are published."""
    found = {
        "forecasts": _schedule(TriggerInput(kind="forecast"), ScheduleSpec(calendars=[_CYCLES]), timedelta(hours=6)),
        "retention": _schedule(TriggerInput(kind="retention"), ScheduleSpec(calendars=[_NIGHTLY]), timedelta(days=1)),
        "revisions": _schedule(TriggerInput(kind="revisions"), ScheduleSpec(calendars=[_MORNINGS]), timedelta(days=2)),
    }
    if settings.weights_folder or settings.weights_http_url or settings.weights_chain:
        tempo = timedelta(seconds=settings.weights_tempo_seconds)
        offset = timedelta(seconds=settings.weights_genesis.timestamp() % tempo.total_seconds())
        epochs = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=tempo, offset=offset)])
        found["weights"] = _schedule(TriggerInput(kind="weights"), epochs, 2 * tempo)
    return found


async def apply(client: Client, wanted: dict[str, Schedule]) -> dict[str, str]:
    """Create what is absent, update what differs; pause and note stay, and nothing is ever deleted.

    An update forgets what was due before it and not started, so a schedule that is as wanted is left alone.
    """
    return {name: await _apply(client, name, schedule) for name, schedule in wanted.items()}


async def listed(client: Client) -> list[dict[str, object]]:
    """How those schedules stand that are there."""
    return [row for name in NAMES if (row := await told(client, name))]


async def told(client: Client, name: str) -> dict[str, object] | None:
    """How a schedule stands, if it is there."""
    try:
        found = await client.get_schedule_handle(name).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise
    state, info = found.schedule.state, found.info
    return {
        "name": name,
        "paused": state.paused,
        "next": None if state.paused else min(info.next_action_times, default=None),
        "last": max((one.scheduled_at for one in info.recent_actions), default=None),
        "missed": info.num_actions_missed_catchup_window,
        "note": state.note,
    }


def period(start: datetime, end: datetime) -> ScheduleBackfill:
    """What was due from start to end, both included and in UTC."""
    return ScheduleBackfill(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC), ScheduleOverlapPolicy.ALLOW_ALL)


async def _apply(client: Client, name: str, wanted: Schedule) -> str:
    try:
        await client.create_schedule(name, wanted)
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(name)
        if await _is_as(await handle.describe(), wanted):
            return "unchanged"

        def updated(found: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(dataclasses.replace(wanted, state=found.description.schedule.state))

        await handle.update(updated)
        return "updated"
    return "created"


async def _is_as(found: ScheduleDescription, wanted: Schedule) -> bool:
    """Whether all but its state is as wanted."""
    there, ours = found.schedule.action, wanted.action
    assert isinstance(there, ScheduleActionStartWorkflow) and isinstance(ours, ScheduleActionStartWorkflow)
    given = await found.data_converter.encode(ours.args)
    return (found.schedule.spec, found.schedule.policy) == (wanted.spec, wanted.policy) and (
        (there.workflow, there.id, there.task_queue, [*there.args]) == (ours.workflow, ours.id, ours.task_queue, given)
    )


def _schedule(due: TriggerInput, spec: ScheduleSpec, catch_up: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(Trigger.run, due, id=f"trigger/{due.kind}", task_queue=task_queues.CONTROL),
        spec=spec,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=catch_up),
    )
