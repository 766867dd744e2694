"""`barograph real`: the same workflows on real ECMWF fields, checked against published numbers."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.messages.run import CampaignRef, ForecastRunInput
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of
from adapters.ledger.views import board_rows
from starter.client import start_run
from starter.embedded import EmbeddedStack, MinerPlan, Ports, World
from starter.embedded_run import Tell, playing
from starter.state_folder import StateFolder
from weather import metrics
from weather.faults import InternalError, PrerequisiteMissing
from weather.fields import short_name
from weather.sums import FieldSums

REQUEST = ForecastRunInput(init_time=datetime(2016, 9, 25, tzinfo=UTC), campaign=CampaignRef(name="ifs-sample"))
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data"
CASE = Path("pairs") / "ifs_oper_vs_an_20160925"
GRIDS = Path(__file__).parent / "sample_grids"
ECMWF, PERSISTENCE = "ecmwf-hres", "persistence"
# RMSE at +120 h in the unit of the field, of ECMWF's forecast and of persistence
PUBLISHED = {
    "10u": (2.5992, 6.1865),
    "10v": (3.3782, 5.1003),
    "msl": (261.2816, 1081.2646),
    "t850": (1.7129, 4.0354),
    "t500": (1.8488, 4.5246),
    "u850": (3.5185, 9.2762),
    "u500": (6.4827, 11.6876),
    "v850": (3.9135, 7.6709),
    "v500": (7.2863, 11.0877),
}
HASTE = {"WEATHER_VERIFICATION_WAIT_MINUTES": "0.25", "BAROGRAPH_SEAL_GRACE_SECONDS": "1"}
Document = dict[str, Any]


async def play(samples: Path | None, state: Path | None, tell: Tell) -> Document:
    """Run the case and compare.

    Raises:
        PrerequisiteMissing: the samples are not there.
        InternalError: a number of the ledger is not the published one, or the order is wrong.
    """
    folder = (samples or Path(os.environ.get("BAROGRAPH_SAMPLE_DATA") or SAMPLES)) / CASE
    if not folder.is_dir():
        raise PrerequisiteMissing("real samples", found=f"no folder {folder}", expected="BAROGRAPH_SAMPLE_DATA")
    async with playing("real", state, lambda state: _stack(state, folder), tell) as (stack, client, _):
        run, _ = await start_run(client, REQUEST)
        tell(f"{run.id} is running")
        await run.result()
    ranking, lines = _found(stack)
    _judge(ranking, lines)
    return {"run_id": run.id, "ranking": ranking, "lines": lines, "artefacts": stack.folder.root}


def _stack(state: StateFolder, samples: Path) -> EmbeddedStack:
    world = World("ifs-10deg", product="pgrb2.10p0", grid_folder=GRIDS, analyses=samples, bits=24)
    served = {"folder": str(samples), "prefix": "oper_"}
    miners = MinerPlan(ECMWF, "grib_file", parameters=served), MinerPlan(PERSISTENCE)
    return EmbeddedStack(state, Ports.free(ui=True), world, miners, settings=HASTE)


def _found(stack: EmbeddedStack) -> tuple[list[str], list[Document]]:
    """The ranking without baselines, and each RMSE of a miner as the ledger has it and as it was published."""
    with Ledger(stack.folder.ledger_url) as ledger, ledger.read() as session:
        rows, facts = board_rows(session, REQUEST.workflow_id), facts_of(session, REQUEST.workflow_id)
    miners, lines = {row.hotkey: row.name for row in rows if row.name in (ECMWF, PERSISTENCE)}, []
    for fact in facts:
        if fact.hotkey not in miners:
            continue
        field, miner = short_name(fact.variable, fact.level), miners[fact.hotkey]
        rmse, published = metrics.rmse(FieldSums.from_dict(fact.sums)), PUBLISHED[field][miner == PERSISTENCE]
        lines.append({"field": field, "miner": miner, "rmse": rmse, "published": published})
    return [*miners.values()], lines


def _judge(ranking: list[str], lines: list[Document]) -> None:
    """Fail closed unless the order and every number, to the four decimals that are published, hold."""
    wrong = [
        f"{one['field']} of {one['miner']}: {one['rmse']:.6f}, {one['published']}"
        for one in lines
        if round(one["rmse"], 4) != one["published"]
    ]
    if wrong or len(lines) != 2 * len(PUBLISHED):
        raise InternalError("the ledger's RMSE are not the published ones", found="; ".join(wrong) or "lines missing")
    if ranking != [ECMWF, PERSISTENCE]:
        raise InternalError("ranking", found=ranking, expected=[ECMWF, PERSISTENCE])
