"""What starts by itself: applied, shown, paused and made up for, by `barograph` and by the stock `temporal`."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio import activity
from temporalio.client import Client

from activities.messages.retention import Deleted, DeleteObjects, Marked, MarkUnreferenced
from activities.messages.run import ForecastRunInput, Run
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.runs import open_run
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.temporal_client import connect
from protocol import names
from starter import cli
from starter import client as starts
from starter.embedded import NAMESPACE
from starter.schedules import apply, schedules
from tests.activities.ledger.builders import new_run
from tests.workflows.dev_server import QuickRuns, dev_server, listed, pod
from tests.workflows.fake_revisions import FakeRevisions
from tests.workflows.fakes import Script
from tests.workflows.test_stock_cli import Cli, counted
from workers.settings import Settings

pytestmark = pytest.mark.server
DOCUMENT = Path(__file__).parents[2] / "docs" / "schedules.md"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
TABLE = {
    "forecasts": (timedelta(hours=6), timedelta(hours=3, minutes=30), timedelta(hours=6)),
    "weights": (timedelta(seconds=7_200), timedelta(seconds=600), timedelta(hours=2)),
    "retention": (timedelta(days=1), timedelta(hours=2), timedelta(days=1)),
    "revisions": (timedelta(days=1), timedelta(hours=6), timedelta(days=2)),
}
BY_HAND = """temporal schedule create --schedule-id {name} --cron '30 3,9,15,21 * * *' --time-zone UTC
  --overlap-policy {overlap} --catchup-window {window} --paused --notes 'a fix is under way'
  --type Trigger --task-queue control --workflow-id trigger/{name} --input '{{}}'"""
BACKFILL = "temporal schedule backfill --schedule-id {name} --overlap-policy AllowAll --start-time {at} --end-time {at}"


class OneObject:
    """A store of one object that nothing needs."""

    @activity.defn
    async def mark_unreferenced(self, request: MarkUnreferenced) -> Marked:
        return Marked(horizon=request.at, until=None, objects=1, unneeded=1, due=1, due_bytes=5)

    @activity.defn
    async def delete_objects(self, request: DeleteObjects) -> Deleted:
        return Deleted(objects=1, size_bytes=5)


@dataclass
class LedgerRuns(QuickRuns):
    """Opens runs in a ledger too, as often as it is asked."""

    script: Script
    ledger: Ledger
    opened: list[str] = field(default_factory=list)

    @activity.defn
    async def open_run(self, request: ForecastRunInput) -> Run:
        run = await super().open_run(request)
        self.opened.append(run.run_id)
        with self.ledger.begin() as session:
            open_run(session, new_run(run_id=run.run_id, init_time=run.init_time, opened_at=run.opened_at))
        return run


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
async def client(address: str) -> Client:
    return await connect(address, NAMESPACE)


@pytest.fixture
def temporal(address: str, tmp_path: Path) -> Cli:
    return Cli(address, tmp_path)


@pytest.fixture
def settings(address: str, tmp_path: Path) -> Generator[Settings]:
    """Of a validator that publishes; commands find them in the state folder `tmp_path`."""
    given = {
        "BAROGRAPH_NETWORK": "test",
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_NAMESPACE": NAMESPACE,
        "BAROGRAPH_OBJECT_STORE": (tmp_path / "objects").as_uri(),
        "BAROGRAPH_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "BAROGRAPH_WEIGHTS_FOLDER": str(tmp_path),
        "BAROGRAPH_WEIGHTS_GENESIS": "2026-01-01T00:10:00Z",
        "BAROGRAPH_WEIGHTS_TEMPO_SECONDS": "7200",
    }
    (tmp_path / starts.CLIENT_FILE).write_text(json.dumps(given))
    before = dict(os.environ)
    yield starts.client_settings(tmp_path)
    os.environ.clear()
    os.environ.update(before)


@dataclass(frozen=True)
class Barograph:
    """The command line in a thread of its own."""

    state: Path
    capture: pytest.CaptureFixture[str]

    async def __call__(self, line: str) -> Any:
        code = await asyncio.to_thread(cli.run, [*shlex.split(line), "--state", str(self.state), "--json"])
        out, error = self.capture.readouterr()
        return json.loads(out) if code == 0 else (code, error)


@pytest.fixture
def barograph(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Barograph:
    return Barograph(tmp_path, capsys)


async def test_apply_creates_the_table_once_and_leaves_alone_what_is_as_it_should_be(
    barograph: Barograph, client: Client
) -> None:
    assert await barograph("schedule apply") == dict.fromkeys(TABLE, "created")
    assert await barograph("schedule apply") == dict.fromkeys(TABLE, "unchanged")
    for name, (every, offset, catch_up) in TABLE.items():
        found = await client.get_schedule_handle(name).describe()
        times = found.info.next_action_times
        assert {(at - TODAY - offset) % every for at in times} == {timedelta(0)} and times[1] - times[0] == every
        assert found.schedule.policy.catchup_window == (catch_up if name != "weights" else 2 * every)
        assert found.schedule.policy.overlap.name == "ALLOW_ALL"
    told = await barograph("schedule list")
    assert [(each["name"], each["paused"]) for each in told] == [(name, False) for name in TABLE]


async def test_apply_keeps_pause_and_note_and_never_recreates(
    barograph: Barograph, client: Client, temporal: Cli
) -> None:
    for name in TABLE:
        await temporal(f"temporal schedule delete --schedule-id {name}")
    made = await temporal(BY_HAND.format(name="forecasts", overlap="Skip", window="5h"))
    assert made.code == 0, made.error
    handle = client.get_schedule_handle("forecasts")
    created = (await handle.describe()).info.created_at
    assert (await barograph("schedule apply"))["forecasts"] == "updated"
    found = await handle.describe()
    assert (found.schedule.state.paused, found.schedule.state.note) == (True, "a fix is under way")
    assert (found.info.created_at, found.schedule.policy.catchup_window) == (created, timedelta(hours=6))
    assert (await barograph("schedule apply"))["forecasts"] == "unchanged"
    assert not (await barograph("schedule unpause forecasts --note fixed"))["paused"]
    paused = await barograph("schedule pause forecasts --note storm")
    assert (paused["paused"], paused["note"], paused["next"]) == (True, "storm", None)
    assert (await barograph("schedule apply"))["forecasts"] == "unchanged"
    assert (await barograph("schedule list"))[0]["note"] == "storm"
    await temporal("temporal schedule toggle --schedule-id forecasts --unpause --reason 'it is over'")
    assert not (await barograph("schedule list"))[0]["paused"]


async def test_a_day_that_is_made_up_for_by_either_command_is_removed_once(
    barograph: Barograph, client: Client, temporal: Cli
) -> None:
    day = TODAY - timedelta(days=3)
    at = names.format_time(day + timedelta(hours=2))
    triggers = f'WorkflowId = "trigger/retention-{at}" AND ExecutionStatus = "Completed"'
    await barograph("schedule apply")
    async with pod(client, Script([]), OneObject()):
        assert (await temporal(BACKFILL.format(name="retention", at=at))).code == 0
        await counted(client, triggers, 1)
        assert (await barograph(f"schedule backfill retention --start {at} --end {at}"))["name"] == "retention"
        await counted(client, triggers, 2)
        expected = {"removed": 1, "kept": 0, "marked": 0, "size_bytes": 5}
        line = f"temporal workflow result --workflow-id retention/{day.date()} --output json"
        assert (await temporal(line)).document["result"] == expected
        for dry_run in ("", " --dry-run", " --dry-run"):
            assert await barograph(f"retention run --day {day.date()}{dry_run}") == expected
    removals = f'WorkflowId = "retention/{day.date()}"'
    assert (await client.count_workflows(removals)).count == 1
    assert (await client.count_workflows(f'WorkflowId = "retention/{day.date()}/dry-run"')).count == 2


async def test_twenty_starts_and_two_schedules_are_one_workflow_and_one_row(
    client: Client, temporal: Cli, settings: Settings
) -> None:
    """AT-R3."""
    cycle = TODAY - timedelta(days=12)
    at, request = names.format_time(cycle + timedelta(hours=3, minutes=30)), ForecastRunInput(init_time=cycle)
    upgrade(settings.ledger_url or "")
    await apply(client, schedules(settings))
    assert (await temporal(BY_HAND.format(name="mine", overlap="AllowAll", window="6h"))).code == 0
    script = Script(["1" * 64])
    with Ledger(settings.ledger_url or "") as ledger:
        runs = LedgerRuns(script, ledger)
        async with pod(client, script, runs):
            backfills = [temporal(BACKFILL.format(name=name, at=at)) for name in ("forecasts", "mine")]
            begun = asyncio.gather(*(starts.start_run(client, request) for _ in range(20)))
            await asyncio.gather(begun, *backfills)
            assert [joined for _, joined in begun.result()].count(False) <= 1
            for trigger in (f"trigger/forecast-{at}", f"trigger/mine-{at}"):
                await counted(client, f'WorkflowId = "{trigger}" AND ExecutionStatus = "Completed"', 1)
            await client.get_workflow_handle(request.workflow_id).result()
            assert (await temporal(BACKFILL.format(name="mine", at=at))).code == 0
            await counted(client, f'WorkflowId = "trigger/mine-{at}" AND ExecutionStatus = "Completed"', 2)
            await listed(client, f'WorkflowId = "{request.workflow_id}"', 1)
            assert (await client.count_workflows(f'WorkflowId = "{request.workflow_id}"')).count == 1
        with ledger.read() as session:
            rows = session.scalar(select(func.count()).where(ForecastRunRow.run_id == request.workflow_id))
    assert (runs.opened.count(request.workflow_id), rows) == (1, 1)  # the schedule may have begun the cycle of today


async def test_every_command_of_the_documentation_works(barograph: Barograph, client: Client, temporal: Cli) -> None:
    blocks = DOCUMENT.read_text().split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.partition("```")[0].splitlines()]
    async with pod(client, Script([]), OneObject(), FakeRevisions(Script([]))):
        for line in lines:
            if line.startswith("barograph "):
                told = await barograph(line.removeprefix("barograph "))
            else:
                told = await temporal(line)
                told = (told.code, told.error) if told.code else told
            assert not isinstance(told, tuple), (line, told)
    assert len(lines) == 16


async def test_a_name_or_a_time_that_is_none_is_usage(barograph: Barograph) -> None:
    for line, said in (
        ("schedule pause dinner", "'dinner' is not one of 'forecasts', 'weights', 'retention', 'revisions'"),
        ("schedule backfill forecasts --start today --end today", "'%Y-%m-%dT%H:%M:%SZ'"),
        ("retention run --day today", "'%Y-%m-%d'"),
    ):
        code, error = await barograph(line)
        assert code == 2 and said in error
