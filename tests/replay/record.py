"""`make histories`: plays the cases anew and writes their histories; they are reviewed as code, never edited."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities import task_queues
from activities.messages.audits import ObjectNote
from activities.messages.revisions import RevisionInput
from activities.messages.run import ForecastRunInput, TriggerInput
from protocol import names
from tests.workflows.conftest import add_search_attributes, binary, workers
from tests.workflows.fakes import Script
from tests.workflows.test_forecast_run import MINERS, next_cycle
from tests.workflows.test_miner_job import NORTH, FakeInference, play
from tests.workflows.test_retention import Validator
from tests.workflows.test_retention_audit import ABSENT, start
from tests.workflows.test_revision import revise, trigger
from tests.workflows.test_verbs import RECORDED, begin, skip_to, update
from tests.workflows.test_weights_epoch import next_number
from tests.workflows.test_weights_epoch import start as begin_epoch
from weather.faults import (
    ManifestMalformed,
    MinerUnreachable,
    NothingToPublish,
    OutOfMemory,
    SourceGone,
    TruthNotYetAvailable,
    WeightsNotPublished,
)
from workflows.forecast_run import ForecastRun
from workflows.retention import PAGES
from workflows.trigger import Trigger

HISTORIES = Path(__file__).parent / "histories"
ALONE, LATE, GONE = MINERS
FIVE_MINUTES = timedelta(minutes=5)
NOT_YET = TruthNotYetAvailable("not yet", retry_after=timedelta(hours=6))


# long: a list of cases
async def record() -> None:
    """Every case on a server of its own."""
    await _run("happy", Script(MINERS, pushes={ALONE}), {ALONE: "pushed", LATE: "pulled"}, ("day1", "plain"))
    faults = Script(
        MINERS,
        late={LATE},
        faults={
            ("request_forecast", GONE): [MinerUnreachable("refused")] * 100,
            ("ensure_truth", "era5_final/24"): [NOT_YET] * 1000,
        },
    )
    await _run("faults", faults, {LATE: "late", GONE: "absent"}, ("day1_of_one", "truth_never_came"))
    halves = Script(MINERS[:2], leads=(24,), faults={("score_miners", "2"): [OutOfMemory("x"), OutOfMemory("x")]})
    await _run("one_lead", halves, {}, ("halves",))
    await _run("no_day1", Script(MINERS, leads=(24,), day1_leads=()), {}, ())
    await _run("no_inputs", Script(MINERS, faults={("fetch_inputs", ""): [SourceGone("gone")]}), {}, ())
    await _run("told", Script(MINERS[:1], leads=(24,), round_backend=True), {}, ())
    await _held()
    again = {"leads": [24], "generation": 2}
    await _rerun("rerun", Script(MINERS, outcomes=["void", "closed"], tasks={"rerun": again}), {})
    verified = {"hotkey": GONE, "commitment": RECORDED.model_dump()}
    lost = Script(MINERS, tasks={"rerun": again | verified}, faults={("verify_manifest", GONE): [ManifestMalformed()]})
    await _rerun("miner_again", lost, {GONE: "again"})
    await _weights("published", Script([]))
    await _weights("silent", Script([], faults={("publish_weights", "file"): [WeightsNotPublished("parked")]}))
    await _weights("nothing", Script([], faults={("freeze_epoch_inputs", ""): [NothingToPublish("no round")]}))
    await _trigger()
    await _revisions()
    await _audits("served", 2)
    await _audits("lost", 2, lost=1)
    await _audits("void", 2, faults={("audit_objects", f"{ALONE}/0"): [OutOfMemory("x")]})
    await _audits("carried", 60, lost=40)
    await _retention(3, {"marked": False, "dry_run": True, "removed": False})
    await _retention(PAGES + 1, {"carried": False})
    await _miner_job("happy", FakeInference())
    await _miner_job("refused_twice", FakeInference(refusals=2))
    await _miner_job("refused", FakeInference(final_refusal=NORTH))


async def _run(case: str, script: Script, miners: Mapping[str, str], passes: tuple[str, ...]) -> None:
    async with await _server() as environment:
        client = environment.client
        await add_search_attributes(client)
        request = ForecastRunInput(init_time=next_cycle(await environment.get_current_time()))
        async with workers(client, script, 100):
            await client.execute_workflow(
                ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
            )
        run_id = request.workflow_id
        await _write(client, "forecast_run", case, run_id)
        for hotkey, name in miners.items():
            await _write(client, "miner_forecast", name, names.miner_workflow_id(run_id, hotkey))
        ids = [names.pass_workflow_id(run_id, "day1_qc"), names.pass_workflow_id(run_id, "era5_final", 24)]
        for workflow_id, name in zip(ids, passes, strict=False):
            await _write(client, "scoring_pass", name, workflow_id)


async def _held() -> None:
    """A run that is held over its due passes, then released."""
    async with await _server() as environment:
        await add_search_attributes(environment.client)
        async with workers(environment.client, Script(MINERS), 100):
            handle, init_time = await begin(environment)
            for verb, days in (("hold", 1), ("release", 8)):
                await skip_to(environment, init_time + timedelta(days=days))
                await update(handle, verb)
            await handle.result()
        await _write(environment.client, "forecast_run", "held", handle.id)


async def _rerun(case: str, script: Script, miners: Mapping[str, str]) -> None:
    """A run whose passes, or one of its miners, are played once more."""
    async with await _server() as environment:
        client = environment.client
        await add_search_attributes(client)
        async with workers(client, script, 100):
            handle, init_time = await begin(environment)
            await skip_to(environment, init_time + timedelta(hours=(24 if miners else 48) + 126 + 6))
            await update(handle, "rerun", scope=f"miner:{GONE}" if miners else "lead:24")
            await handle.result()
        await _write(client, "forecast_run", case, handle.id)
        for hotkey, name in miners.items():
            await _write(client, "miner_forecast", name, names.miner_workflow_id(handle.id, hotkey, 2))


async def _weights(case: str, script: Script) -> None:
    async with await _server() as environment:
        await add_search_attributes(environment.client)
        async with workers(environment.client, script, 100):
            epoch = await begin_epoch(environment, await next_number(environment))
            with contextlib.suppress(WorkflowFailureError):
                await epoch.result()
        await _write(environment.client, "weights_epoch", case, epoch.id)


async def _audits(
    case: str, count: int, lost: int | None = None, faults: dict[tuple[str, str], Any] | None = None
) -> None:
    """One miner's audits, five minutes apart; of a chain the last execution."""
    async with await _server() as environment:
        client = environment.client
        await add_search_attributes(client)
        now = await environment.get_current_time()
        audited: dict[tuple[str, int], tuple[ObjectNote, ...]] = {} if lost is None else {(ALONE, lost): ABSENT}
        script = Script([], audits={ALONE: [now + number * FIVE_MINUTES for number in range(count)]}, audited=audited)
        script.faults.update(faults or {})
        async with workers(client, script, 100):
            handle = await start(environment)
            await handle.result()
        await _write(client, "retention_audit", case, handle.id)


async def _retention(objects: int, cases: Mapping[str, bool]) -> None:
    """Removals of a store that nobody needs, eight days apart, some of them dry runs; of a chain the last execution."""
    with TemporaryDirectory() as folder:
        async with await _server() as environment:
            validator = Validator(Path(folder), environment, page=1)
            for number in range(objects):
                await validator.put(b"%d" % number, 60)
            async with validator.at_work():
                for case, dry_run in cases.items():
                    request = await validator.request(dry_run=dry_run)
                    await validator.day(dry_run=dry_run)
                    await _write(environment.client, "retention", case, request.workflow_id)
                    await environment.sleep(timedelta(days=8))


async def _trigger() -> None:
    async with await _server() as environment:
        client = environment.client
        await add_search_attributes(client)
        async with workers(client, Script([]), 100):
            for case, hour in (("started", 3), ("joined", 4)):
                at = datetime(2026, 11, 22, hour, 30, tzinfo=UTC)
                await client.execute_workflow(
                    Trigger.run, TriggerInput(at=at), id=f"trigger/forecast-{hour}", task_queue=task_queues.CONTROL
                )
                await _write(client, "trigger", case, f"trigger/forecast-{hour}")


async def _revisions() -> None:
    """A field that changed, none that did, a truth that will never come; and what starts another one."""
    async with await _server() as environment:
        client = environment.client
        await add_search_attributes(client)
        at = next_cycle(await environment.get_current_time())
        gone = {("ensure_truth", "era5_final/48"): [SourceGone("gone")]}
        cases = {"rescored": Script([], changed={24}), "confirmed": Script([]), "gone": Script([], faults=gone)}
        for case, script in cases.items():
            async with workers(client, script, 100):
                with contextlib.suppress(WorkflowFailureError):
                    await revise(environment, at)
            await _write(client, "revision", case, RevisionInput(valid_time=at).workflow_id)
            at += timedelta(hours=6)
        async with workers(client, Script([], unrevised=(at,), published={at}), 100):
            await trigger(environment, at)
        await _write(client, "trigger", "revisions", f"trigger/revisions-{at.isoformat()}")


async def _miner_job(case: str, fake: FakeInference) -> None:
    async with await _server() as environment, play(environment, fake) as job:
        handle = await job.ask(NORTH)
        await handle.result()
        await _write(environment.client, "miner_job", case, handle.id)


async def _server() -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server"), data_converter=pydantic_data_converter
    )


async def _write(client: Client, kind: str, case: str, workflow_id: str) -> None:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    folder = HISTORIES / kind
    folder.mkdir(parents=True, exist_ok=True)
    document = {"workflow_id": workflow_id, **_anonymous(history.to_json_dict())}
    (folder / f"{case}.json").write_text(json.dumps(document, indent=1) + "\n")


def _anonymous(value: Any) -> Any:
    """Without the words that name the machine on which a history was made."""
    if isinstance(value, dict):
        return {name: _anonymous(each) for name, each in value.items() if name not in ("stackTrace", "identity")}
    return [_anonymous(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    asyncio.run(record())
