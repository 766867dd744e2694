"""A round bundle: what was decided is computed again from it, and any changed byte is found (AT-S4)."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities import task_queues
from activities.messages.run import ForecastRunInput
from activities.messages.weights import WeightsEpochInput
from adapters.bundle import Archive, write_bundle
from adapters.ledger.engine import Ledger, upgrade
from protocol.bundle import lacking, verify_round
from protocol.dossier import DossierBroken
from starter import cli
from tests.activities.validator.world import ALICE, VALIDATOR
from tests.workflows.conftest import skipping_server
from tests.workflows.many_rounds import DAY, GENESIS, played
from tests.workflows.planet import Planet
from tests.workflows.test_forecast_run import next_cycle, start
from tests.workflows.test_many_rounds import skip_to
from weather.faults import PrerequisiteMissing
from workflows.trigger import OPENS_AFTER_INIT
from workflows.weights_epoch import WeightsEpoch

FLIPS = 1_000


@dataclass(frozen=True)
class Written:
    path: Path
    run_id: str

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The bundle of a round that one vector of weights was made from."""
    return asyncio.run(_written(tmp_path_factory.mktemp("round")))


async def _written(root: Path) -> Written:
    upgrade(url := f"sqlite:///{root}/ledger.db")
    init_time = next_cycle(datetime.now(UTC)).replace(hour=0) + DAY
    async with await skipping_server() as environment:
        with Ledger(url) as ledger:
            planet = Planet(root, ledger, environment.client, 3)
            async with played(planet):
                await skip_to(environment, init_time + OPENS_AFTER_INIT)
                run = await start(environment, ForecastRunInput(init_time=init_time))
                with ledger.read() as session, pytest.raises(PrerequisiteMissing):
                    write_bundle(root / "early", _archive(planet, session), run.id)
                await run.result()
                at = init_time + timedelta(days=9, hours=1)
                await skip_to(environment, at)
                epoch = WeightsEpochInput(epoch=(at - GENESIS) // DAY)
                with environment.auto_time_skipping_disabled():
                    await environment.client.execute_workflow(
                        WeightsEpoch.run, epoch, id=f"weights/test/{epoch.epoch}", task_queue=task_queues.CONTROL
                    )
            with ledger.read() as session:
                bundle = write_bundle(root / "bundle.json", _archive(planet, session), run.id)
    assert (bundle.outcome, len(bundle.vectors), len(bundle.roster)) == ("closed", 1, 3)
    return Written(root / "bundle.json", run.id)


def _archive(planet: Planet, session: object) -> Archive:
    return Archive(session, planet.store, planet.catalog, VALIDATOR, datetime.now(UTC))  # ty: ignore[invalid-argument-type]


def test_an_untouched_bundle_holds(written: Written) -> None:
    assert lacking(written.body) == []
    bundle = verify_round(written.body, written.run_id, VALIDATOR.hotkey)
    assert bundle.scores[0][2] in (1, 2, 3, 4) and len(bundle.scores) == 4


def test_each_changed_byte_is_found_and_its_part_named(written: Written) -> None:
    body, chance = written.body, random.Random(20261125)
    for _ in range(FLIPS):
        changed = bytearray(body)
        changed[chance.randrange(len(body))] ^= 1 << chance.randrange(7)
        with pytest.raises(DossierBroken) as broken:
            if not lacking(bytes(changed)):
                verify_round(bytes(changed), written.run_id, VALIDATOR.hotkey)
            else:
                raise DossierBroken("lacking", "a member")
        assert broken.value.part


@pytest.mark.parametrize(
    ("member", "value", "part"),
    [
        ("outcome", "closed_partial", "outcome"),
        ("coverage", "9/10", "coverage"),
        ("commitments", [], "commitments"),
        ("facts", [], "facts"),
        ("scores", [], "scores"),
    ],
)
def test_a_lie_is_named(written: Written, member: str, value: object, part: str) -> None:
    forged = json.dumps(json.loads(written.body) | {member: value}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(DossierBroken) as broken:
        verify_round(forged, written.run_id, VALIDATOR.hotkey)
    assert broken.value.part == part


def test_the_command_says_what_differs_and_what_is_lacking(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = json.loads(written.body)
    (tmp_path / "lacking").write_text(json.dumps({name: members[name] for name in members if name != "facts"}))

    def verified(path: Path, validator: str) -> tuple[int, dict[str, object]]:
        code = cli.run(["verify-round", written.run_id, "--bundle", str(path), "--validator", validator, "--json"])
        return code, json.loads(capsys.readouterr().out)

    assert verified(written.path, VALIDATOR.hotkey)[0] == 0
    code, told = verified(written.path, ALICE.hotkey)
    assert (code, told["broken"]) == (1, "log: tree head")
    assert verified(tmp_path / "lacking", VALIDATOR.hotkey) == (2, {"holds": False, "lacks": ["facts"]})
