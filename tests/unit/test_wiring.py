"""Which queues a mode serves, what a worker of each is given, and which keys it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from activities import signatures, task_queues
from activities.signatures import Signature
from adapters.ledger.engine import upgrade
from protocol.identity import PrivateKey
from starter.ports import free_ports
from weather.faults import ConfigurationInvalid, LedgerConflict
from workers.http_side import http_side
from workers.settings import QUEUES, REQUIRED, Settings, queues
from workers.wiring import Wiring

HOTKEY, REQUEST_KEY, STRANGER = (PrivateKey.from_bytes(bytes([seed]) * 32) for seed in (2, 3, 9))


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Any]:
    """Wirings of a folder with a registry, keys and a ledger."""
    for name, key in (("hotkey", HOTKEY), ("request", REQUEST_KEY), ("stranger", STRANGER)):
        key.save(tmp_path / name)
    registry = f'network = "test"\n[[validator]]\nname = "north"\nhotkey = "{HOTKEY.hotkey}"\n'
    registry += f'request_keys = ["{REQUEST_KEY.hotkey}"]\nbase_url = "http://127.0.0.1:1/v"\n'
    (tmp_path / "registry.toml").write_text(registry)
    upgrade(f"sqlite:///{tmp_path}/ledger.db")
    wirings: list[Wiring] = []
    client = await Client.connect("127.0.0.1:1", lazy=True)

    def make(**settings: Any) -> Wiring:
        store = f"file://{tmp_path}/objects"
        whole = Settings(
            network="test",
            temporal_address="127.0.0.1:1",
            temporal_namespace="default",
            object_store=store,
            **settings,
        )
        wirings.append(Wiring(whole, client))
        return wirings[-1]

    yield make
    for wiring in wirings:
        wiring.close()


def of_mode(folder: Path, mode: str) -> dict[str, Any]:
    """The settings that a mode requires, and no others."""
    everything = {
        "ledger_url": f"sqlite:///{folder}/ledger.db",
        "registry_path": folder / "registry.toml",
        "hotkey_path": folder / "hotkey",
        "request_key_path": folder / "request",
        "validator_port": 65_000,
        "era5_zarr_url": "http://127.0.0.1:1/era5",
        "climatology_url": "http://127.0.0.1:1/climatology",
    }
    return {name: everything[name] for name in REQUIRED[mode]}


@pytest.mark.parametrize(
    ("mode", "served"),
    [
        ("prepare", {"acquire"}),
        ("evaluate", {"miners", "downloads", "score"}),
        ("hybrid", {"acquire", "miners", "downloads", "score"}),
        ("control", {"control"}),
        ("publish", {"publish"}),
        ("all", {"control", "acquire", "miners", "downloads", "score", "publish"}),
    ],
)
def test_a_mode_serves_its_queues(mode: str, served: set[str]) -> None:
    assert set(queues(mode)) == served
    assert len(queues(mode)) == len(served)


def test_preparation_comes_first_in_a_pod_that_does_both() -> None:
    assert queues("hybrid")[0] == task_queues.ACQUIRE


@pytest.mark.parametrize("mode", ["inference", "no such mode"])
def test_a_mode_that_has_no_work_here_is_an_error(mode: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        queues(mode)
    assert (refused.value.found, refused.value.expected) == (mode, "all, control, evaluate, hybrid, prepare, publish")


@pytest.mark.parametrize("mode", sorted(QUEUES))
def test_a_mode_needs_only_its_own_settings(made: Any, tmp_path: Path, mode: str) -> None:
    wiring = made(**of_mode(tmp_path, mode))
    for queue in queues(mode):
        assert wiring.activities(queue)


def test_every_activity_is_served_on_the_queue_of_its_signature(made: Any, tmp_path: Path) -> None:
    wiring = made(**of_mode(tmp_path, "all"))
    given = {method.__name__: queue for queue in queues("all") for method in wiring.activities(queue)}
    known = {one.name: one.options["task_queue"] for one in vars(signatures).values() if isinstance(one, Signature)}
    assert given == {name: queue for name, queue in known.items() if queue != task_queues.INFERENCE}


def test_a_pod_that_calls_miners_never_touches_the_hotkey(made: Any, tmp_path: Path) -> None:
    (tmp_path / "hotkey").unlink()
    wiring = made(**of_mode(tmp_path, "evaluate"))
    for queue in queues("evaluate"):
        wiring.activities(queue)
    assert wiring.caller.hotkey == HOTKEY.hotkey


def test_a_key_that_the_registry_does_not_know_calls_nobody(made: Any, tmp_path: Path) -> None:
    wiring = made(**of_mode(tmp_path, "evaluate") | {"request_key_path": tmp_path / "stranger"})
    with pytest.raises(ConfigurationInvalid) as refused:
        wiring.activities(task_queues.MINERS)
    assert refused.value.found == STRANGER.hotkey


def test_a_registry_is_read_anew_and_is_of_this_network(made: Any, tmp_path: Path) -> None:
    wiring, file = made(**of_mode(tmp_path, "control")), tmp_path / "registry.toml"
    text = file.read_text()
    assert wiring.registry().miners == ()
    file.write_text(f'{text}[[miner]]\nname = "a"\nhotkey = "{STRANGER.hotkey}"\nbase_url = "https://a.example"\n')
    assert [miner.name for miner in wiring.registry().miners] == ["a"]
    file.write_text(text.replace('"test"', '"main"'))
    with pytest.raises(ConfigurationInvalid) as refused:
        wiring.registry()
    assert (refused.value.found, refused.value.expected) == ("main", "test")
    file.unlink()
    with pytest.raises(ConfigurationInvalid, match=r"registry\.toml"):
        wiring.registry()


async def test_a_validator_that_is_not_in_its_registry_does_not_listen(made: Any, tmp_path: Path) -> None:
    wiring = made(**of_mode(tmp_path, "control") | {"hotkey_path": tmp_path / "stranger"})
    with pytest.raises(ConfigurationInvalid) as refused:
        async with http_side(wiring):
            pass
    assert refused.value.found == STRANGER.hotkey


async def test_a_control_pod_says_what_it_lacks_beside_its_calls(made: Any, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    wiring = made(**of_mode(tmp_path, "control") | {"validator_port": port})
    async with http_side(wiring), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = [await client.get(path) for path in ("/live", "/ready", "/v/health")]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert {name: why == "ok" for name, why in answers[1].json().items()} == {
        "ledger": True,
        "temporal": False,
        "object store": True,
    }


def test_a_ledger_that_lost_leaves_of_its_log_is_refused_before_anything_is_served(made: Any, tmp_path: Path) -> None:
    (tmp_path / "head").write_text('{"root_hash": "00", "tree_size": 3}')
    wiring = made(**of_mode(tmp_path, "control"), log_head_path=tmp_path / "head")
    with pytest.raises(LedgerConflict) as refused:
        wiring.activities(task_queues.CONTROL)
    assert refused.value.found == "no leaf"


@pytest.mark.parametrize("name", ["ledger_url", "hotkey_path", "registry_path"])
def test_a_setting_that_a_mode_lacks_is_named(made: Any, tmp_path: Path, name: str) -> None:
    settings = of_mode(tmp_path, "control")
    del settings[name]
    wiring = made(**settings)
    with pytest.raises(ConfigurationInvalid, match=name):
        wiring.registry() if name == "registry_path" else wiring.activities(task_queues.CONTROL)
