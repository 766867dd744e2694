"""`barograph real`: the same workflows on real ECMWF fields, checked against published numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput
from adapters import temporal_server
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of
from adapters.ledger.views import board_rows
from adapters.temporal_client import connect
from starter.embedded import NAMESPACE, EmbeddedStack, MinerPlan, Ports, World
from starter.embedded_run import running
from starter.state_folder import open_state_folder
from weather import metrics
from weather.faults import InternalError, PrerequisiteMissing
from weather.fields import short_name
from weather.sums import FieldSums
from workflows.forecast_run import ForecastRun

INIT_TIME = datetime(2016, 9, 25, tzinfo=UTC)
LEAD_HOURS = 120
CASE = Path("pairs") / "ifs_oper_vs_an_20160925"
GRIDS = Path(__file__).parent / "sample_grids"
ECMWF, PERSISTENCE = "ecmwf-hres", "persistence"
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


class Line(BaseModel):
    """RMSE of one field at +120 h in its unit, as the ledger has it and as it was published."""

    model_config = ConfigDict(frozen=True)

    field: str
    miner: str
    rmse: float
    published: float

    @property
    def agrees(self) -> bool:
        """To the four decimals that are published."""
        return round(self.rmse, 4) == self.published


class RealReport(BaseModel):
    """What the real case shows."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    ranking: list[str]
    lines: list[Line]
    artefacts: str


@dataclass(frozen=True)
class RealOptions:
    """Where the samples are and where the state goes; `tell` hears of each step."""

    samples: Path | None = None
    state: Path | None = None
    tell: Callable[[str], None] = field(default=lambda _step: None)


async def play(options: RealOptions) -> RealReport:
    """Run the case and compare.

    Raises:
        PrerequisiteMissing: the samples are not there.
        InternalError: a number of the ledger is not the published one, or the order is wrong.
    """
    samples = (options.samples or sample_folder()) / CASE
    if not samples.is_dir():
        raise PrerequisiteMissing("real samples", found=f"no folder {samples}", expected="BAROGRAPH_SAMPLE_DATA")
    root = options.state or Path(".barograph") / f"real-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = open_state_folder(root, temporal_server.binary_version(temporal_server.find_binary()))
    try:
        stack = EmbeddedStack(folder, Ports.free(ui=True), _world(samples), _miners(samples), settings=HASTE)
        options.tell(f"starting {len(stack.processes())} processes in {folder.root}")
        async with running(stack):
            await _run(stack, options)
        return judge(_report(stack))
    finally:
        folder.close()


def sample_folder() -> Path:
    """`BAROGRAPH_SAMPLE_DATA`, else the folder beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("BAROGRAPH_SAMPLE_DATA") or default)


def judge(report: RealReport) -> RealReport:
    """Fail closed unless every number and the order hold."""
    wrong = [f"{one.field} of {one.miner}: {one.rmse:.6f}, {one.published}" for one in report.lines if not one.agrees]
    if wrong or len(report.lines) != 2 * len(PUBLISHED):
        raise InternalError("the ledger's RMSE are not the published ones", found="; ".join(wrong) or "lines missing")
    if report.ranking != [ECMWF, PERSISTENCE]:
        raise InternalError("ranking", found=report.ranking, expected=[ECMWF, PERSISTENCE])
    return report


def _world(samples: Path) -> World:
    return World("ifs-10deg", product="pgrb2.10p0", grid_folder=GRIDS, analyses=samples, bits=24)


def _miners(samples: Path) -> tuple[MinerPlan, ...]:
    served = {"folder": str(samples), "prefix": "oper_"}
    return MinerPlan(ECMWF, "grib_file", parameters=served), MinerPlan(PERSISTENCE, "persistence")


async def _run(stack: EmbeddedStack, options: RealOptions) -> None:
    request = ForecastRunInput(init_time=INIT_TIME, campaign=CampaignRef(name="ifs-sample"))
    client = await connect(stack.temporal_address, NAMESPACE)
    options.tell(f"{request.workflow_id} is running")
    await client.execute_workflow(ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL)


def _report(stack: EmbeddedStack) -> RealReport:
    run_id = ForecastRunInput(init_time=INIT_TIME, campaign=CampaignRef(name="ifs-sample")).workflow_id
    with Ledger(stack.folder.ledger_url) as ledger, ledger.read() as session:
        rows, facts = board_rows(session, run_id), facts_of(session, run_id)
    names = {row.hotkey: row.name for row in rows}
    lines = [
        Line(
            field=short_name(fact.variable, fact.level),
            miner=names[fact.hotkey],
            rmse=metrics.rmse(FieldSums.from_dict(fact.sums)),
            published=PUBLISHED[short_name(fact.variable, fact.level)][names[fact.hotkey] == PERSISTENCE],
        )
        for fact in facts
    ]
    return RealReport(run_id=run_id, ranking=[row.name for row in rows], lines=lines, artefacts=str(stack.folder.root))
