"""The embedded stack: its files are what their readers accept, its Temporal server is real."""

import asyncio
import os
import signal
import subprocess
import tomllib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from adapters import temporal_server
from adapters.archive_server.app import ArchiveSettings
from adapters.ledger.engine import revisions
from adapters.temporal_client import connect
from miner.settings import load_settings as load_miners
from protocol.identity import PrivateKey
from protocol.registry import Registry
from starter.doctor import Check, checks
from starter.embedded import NAMESPACE, EmbeddedStack, MinerPlan, Ports, World
from starter.state_folder import StateFolder, open_state_folder
from starter.supervisor import Limits, Supervisor, supervise
from workers.settings import Settings

MINERS = (MinerPlan("trade-wind", "skilful", parameters={"skill": 1.5}), MinerPlan("calm", cheat="flips_byte"))
VERSION = temporal_server.binary_version(temporal_server.find_binary())


@pytest.fixture
def folder(tmp_path: Path) -> Generator[StateFolder]:
    folder = open_state_folder(tmp_path / "state", VERSION)
    yield folder
    folder.close()


def stack_in(folder: StateFolder, **settings: str) -> EmbeddedStack:
    return EmbeddedStack(folder, Ports.free(), World(), MINERS, settings=settings, durable=False)


@asynccontextmanager
async def temporal_of(stack: EmbeddedStack) -> AsyncGenerator[tuple[Supervisor, Client]]:
    quick = Limits(first_delay_seconds=0.05)
    async with supervise(stack.processes()[:1], quick, stack.folder.lock) as supervisor:
        yield supervisor, await connect(stack.temporal_address, NAMESPACE)


def settings_of(stack: EmbeddedStack, mode: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as patch:
        for name, value in stack.environment(mode).items():
            patch.setenv(name, value)
        return Settings()


def test_registry_and_miners_are_what_their_readers_accept(folder: StateFolder) -> None:
    stack = stack_in(folder)
    stack.write_files()
    registry = Registry.parse((folder.root / "registry.toml").read_bytes())
    miners = load_miners(folder.root / "miners.toml")
    assert [miner.name for miner in registry.miners] == [miner.name for miner in miners.miners]
    for entry, miner in zip(registry.miners, miners.miners, strict=True):
        assert PrivateKey.load(miner.key_file).hotkey == entry.hotkey
        assert entry.base_url == f"http://127.0.0.1:{miners.port}{miner.base_path}"
    assert (miners.miners[0].kind, miners.miners[0].parameters) == ("skilful", {"skill": 1.5})
    assert miners.miners[1].cheat == "flips_byte"
    assert miners.registry == folder.root / "registry.toml"


def test_the_archive_and_the_ledger_are_ready_for_their_owners(folder: StateFolder) -> None:
    stack = stack_in(folder)
    stack.write_files()
    archive = ArchiveSettings.model_validate_json((folder.root / "archive.json").read_bytes())
    assert (archive.port, archive.levels, archive.seed) == (stack.ports.archive, (500, 850, 1000), 1)
    current, head = revisions(folder.ledger_url)
    assert current == head


def test_keys_survive_a_second_start(folder: StateFolder) -> None:
    registries = []
    for _ in range(2):
        stack_in(folder).write_files()
        registries.append(tomllib.loads((folder.root / "registry.toml").read_text()))
    first, second = registries
    assert [miner["hotkey"] for miner in first["miner"]] == [miner["hotkey"] for miner in second["miner"]]
    assert first["validator"][0]["request_keys"] == second["validator"][0]["request_keys"]


def test_miners_and_other_validators_of_a_registry_that_fits_are_the_operators(folder: StateFolder) -> None:
    stack, file = stack_in(folder), folder.root / "registry.toml"
    stack.write_files()
    text = file.read_text()
    other = '[[validator]]\nname = "north"\nhotkey = "a"\nbase_url = "https://north.example"\n'
    edited = f"{text[: text.index('[[miner]]')]}\n{other}"
    for kept in (text, edited):
        file.write_text(kept)
        stack.write_files()
        assert file.read_text() == kept and not file.with_suffix(".old").exists()
    for unfit in (edited.replace("embedded", "other"), edited.replace(str(stack.ports.validator), "1"), "[["):
        file.write_text(unfit)
        stack.write_files()
        assert (file.read_text(), file.with_suffix(".old").read_text()) == (text, unfit)


def test_only_control_knows_the_ledger_and_the_hotkey(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_in(folder, WEATHER_VERIFICATION_WAIT_MINUTES="0.5")
    control, hybrid = (settings_of(stack, mode, monkeypatch) for mode in ("control", "hybrid"))
    assert control.ledger_url and control.hotkey_path and control.validator_port == stack.ports.validator
    assert (hybrid.ledger_url, hybrid.hotkey_path) == (None, None) and hybrid.request_key_path
    assert hybrid.verification_wait_minutes == 0.5 and hybrid.max_hotkeys_per_address is None


def test_processes_start_in_the_order_in_which_they_need_each_other(folder: StateFolder) -> None:
    processes = stack_in(folder).processes()
    assert [process.name for process in processes] == [
        "temporal",
        "archive",
        "worker-control",
        "worker-hybrid",
        "miners",
    ]
    assert all(process.environment["OMP_NUM_THREADS"] == "1" for process in processes)
    assert processes[3].argv[1:] == ["-m", "starter", "worker", "--mode", "hybrid"]


@pytest.mark.server
async def test_a_killed_server_comes_back_with_all_it_knew(folder: StateFolder) -> None:
    run = SearchAttributePair(SearchAttributeKey.for_keyword("BarographRun"), "forecast/2026-11-22T18Z")
    async with temporal_of(stack_in(folder)) as (supervisor, client):
        await client.start_workflow(
            "ForecastRun", id=run.value, task_queue="control", search_attributes=TypedSearchAttributes([run])
        )
        killed = await supervisor.ready_pid("temporal")
        os.kill(killed, signal.SIGKILL)
        await supervisor.ready_pid("temporal", other_than=killed)
        assert (await client.get_workflow_handle(run.value).describe()).search_attributes
    async with temporal_of(stack_in(folder)) as (_, client):
        assert await temporal_server.missing_search_attributes(client) == {}
        assert [found.id async for found in client.list_workflows(f'BarographRun = "{run.value}"')] == [run.value]
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)


@pytest.mark.server
async def test_doctor_finds_a_sound_stack_sound(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_in(folder)
    stack.write_files()
    async with temporal_of(stack):
        for mode in ("control", "hybrid"):
            found = await checks(settings_of(stack, mode, monkeypatch))
            assert [(check.name, check.found) for check in found if check.exit_code] == []
    assert any(check.found == "9 registered" for check in found)


async def test_doctor_names_all_that_is_wrong_with_its_exit_code(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(stack_in(folder), "control", monkeypatch)
    open_key = folder.root / "open.key"
    PrivateKey.generate().save(open_key)
    open_key.chmod(0o644)
    (folder.root / "registry.toml").write_text('network = "Bad!"')
    wrong = {
        "hotkey_path": open_key,
        "object_store": (folder.root / "lock" / "objects").as_uri(),
        "ledger_url": f"sqlite:///{folder.root / 'lock' / 'ledger.db'}",
    }
    found = {check.name: check for check in await checks(settings.model_copy(update=wrong))}
    failing = {name: check.exit_code for name, check in found.items() if not check.ok and check.exit_code}
    assert failing == {
        "key files": 2,
        "registry": 2,
        "temporal": 3,
        "search attributes": 4,
        "ledger": 3,
        "ledger schema": 4,
        "object store": 3,
    }
    assert "0644" in found["key files"].found and "expected 0600" in found["key files"].found
    assert all(isinstance(check, Check) and check.remedy for check in found.values() if not check.ok)


@pytest.mark.server
async def test_doctor_prints_the_command_that_registers_what_is_missing(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_in(folder)
    (temporal,) = stack.processes()[:1]

    async def connected(_pid: int) -> None:
        await temporal_server.wait_until_ready(await connect(stack.temporal_address, NAMESPACE))

    async with supervise([replace(temporal, ready=connected)]):
        settings = settings_of(stack, "hybrid", monkeypatch)
        (missing,) = [check for check in await checks(settings) if check.exit_code == 4]
        assert (missing.name, missing.ok) == ("search attributes", False)
        program, *arguments = missing.remedy.split()
        assert program == "temporal"
        command = [temporal_server.find_binary(), *arguments, "--address", stack.temporal_address]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=20)
        assert [check for check in await checks(settings) if check.exit_code == 4] == []
