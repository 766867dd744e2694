"""The kinds of forecast, one function each: this is where a provider adds its own.

A kind is called with what an honest miner may look at, and with the miner's `parameters` as keyword arguments.
It returns a function of the lead time in hours that gives every field of the layout. To join with a model of your
own: write such a function, add it to `KINDS`, name it in `miners.toml`.

Fields are float32 arrays by (variable, level in hPa, 0 at the surface), finite everywhere, rows from north to south,
columns eastward from longitude 0 (from the grid's first longitude if it is regional), in the units of the layout:
K, m s-1, Pa, kg kg-1, and m2 s-2 for `z`, which is geopotential and not height.

Both are called in a thread of an activity that has until the deadline, an hour at most, and is tried twice. Leads are
asked for in ascending order, each once; what it gave is on disk before the next one is asked for. After a crash the
kind is called anew, and only the leads that are still lacking are asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.ecmwf_files import EcmwfFiles
from adapters.grib_decoder import DecodedMessage
from miner.settings import Miner
from protocol.layout import Layout
from weather.faults import ConfigurationInvalid
from weather.grids import FULL_CIRCLE, Grid
from weather.planet.planet import Planet

Array = npt.NDArray[np.float32]
Fields = Mapping[tuple[str, int], Array]
Forecaster = Callable[[int], Fields]

STEERING = ("z", 500)


@dataclass(frozen=True)
class Inputs:
    """What the call names, decoded, and what else is public.

    Attributes:
        name: of the miner.
        layout: which fields the store must have: its `fields()`, `lead_time_hours` and `grid_value`.
        init_time: of the forecast; lead 0 itself is not in the store.
        analysis: GFS analysis of the init time, with every field of the layout.
        earlier: GFS analysis of six hours before; empty if it was gone.
        climatology: mean fields of a valid time.
        gfs: the public GFS forecast of a lead time in hours; as one's own it is a clone.
        decode: the fields of GRIB messages, decoded in a child process.
    """

    name: str
    layout: Layout
    init_time: datetime
    analysis: Fields
    earlier: Fields
    climatology: Callable[[datetime], Fields]
    gfs: Forecaster
    decode: Callable[[bytes], list[DecodedMessage]]

    def normal(self, lead_hours: int) -> Fields:
        """Climatology of the valid time of a lead; negative leads lie before the init time."""
        return self.climatology(self.init_time + timedelta(hours=lead_hours))


def persistence(inputs: Inputs) -> Forecaster:
    """The weather stays as it is."""
    return lambda lead_hours: inputs.analysis


def climatology(inputs: Inputs) -> Forecaster:
    """The weather is what it usually is at the valid time."""
    return inputs.normal


def damped_persistence(inputs: Inputs, *, daily_factor: float = 0.7) -> Forecaster:
    """Today's anomaly fades towards the climatology of the valid time."""
    normal = inputs.normal(0)
    anomaly = {key: values - normal[key] for key, values in inputs.analysis.items()}

    def forecast(lead_hours: int) -> Fields:
        share = np.float32(daily_factor ** (lead_hours / 24))
        return {key: values + share * anomaly[key] for key, values in inputs.normal(lead_hours).items()}

    return forecast


def advected_persistence(
    inputs: Inputs, *, degrees_per_day: float | None = None, daily_factor: float = 0.7
) -> Forecaster:
    """Today's anomaly drifts eastward, with a given speed or the one seen over the last six hours if any, and fades."""
    grid, now, before = inputs.layout.grid_value, inputs.normal(0), inputs.normal(-6)
    anomaly = {key: values - now[key] for key, values in inputs.analysis.items()}
    seen = {key: values - before[key] for key, values in inputs.earlier.items()}
    speed = (_drift(seen, anomaly, grid) if seen else 0.0) if degrees_per_day is None else degrees_per_day

    def forecast(lead_hours: int) -> Fields:
        days = lead_hours / 24
        share, normal = np.float32(daily_factor**days), inputs.normal(lead_hours)
        return {key: normal[key] + share * shifted(values, days * speed, grid) for key, values in anomaly.items()}

    return forecast


def skilful(inputs: Inputs, *, skill: float = 1.0, seed: int = 1) -> Forecaster:
    """A model of known skill on the synthetic planet; 1 is the skill of GFS."""
    planet, grid = Planet(seed), inputs.layout.grid_value

    def forecast(lead_hours: int) -> Fields:
        weather = planet.miner_forecast(inputs.name, skill, inputs.init_time, lead_hours)
        return {(name, level): weather.field(name, level, grid).values for name, level in inputs.layout.fields()}

    return forecast


def copied_gfs(inputs: Inputs) -> Forecaster:
    """The public GFS forecast, unchanged."""
    return inputs.gfs


def grib_file(inputs: Inputs, *, folder: str, prefix: str = "", step_hours: int | None = None) -> Forecaster:
    """Fields read from files of ECMWF: those of each lead time, or of one step for all."""
    grid, files = inputs.layout.grid_value, EcmwfFiles(Path(folder), prefix, inputs.decode)

    def forecast(lead_hours: int) -> Fields:
        step = lead_hours if step_hours is None else step_hours
        valid_time = inputs.init_time + timedelta(hours=step)
        return {
            (name, level): files.field(grid, name, level, valid_time, step).values
            for name, level in inputs.layout.fields()
        }

    return forecast


KINDS: dict[str, Callable[..., Forecaster]] = {
    kind.__name__: kind
    for kind in (persistence, climatology, damped_persistence, advected_persistence, skilful, copied_gfs, grib_file)
}


def check_kind(miner: Miner) -> None:
    """Refuse a kind that does not exist, or parameters that it does not take."""
    if miner.kind not in KINDS:
        raise ConfigurationInvalid(f"miner {miner.name}", found=miner.kind, expected=sorted(KINDS))
    try:
        inspect.signature(KINDS[miner.kind]).bind(None, **miner.parameters)
    except TypeError as error:
        raise ConfigurationInvalid(f"miner {miner.name}, kind {miner.kind}: {error}") from error


def shifted(values: Array, degrees: float, grid: Grid) -> Array:
    """Values moved eastward, linear between columns; a regional grid repeats its western edge."""
    columns = np.arange(grid.longitude_count)
    source = columns - degrees * 1e6 / grid.longitude_step
    west = np.floor(source).astype(np.int64)
    share = (source - west).astype(np.float32)
    if grid.longitude_step * grid.longitude_count == FULL_CIRCLE:
        near, far = west % grid.longitude_count, (west + 1) % grid.longitude_count
    else:
        near, far = np.clip(west, 0, columns[-1]), np.clip(west + 1, 0, columns[-1])
    return (1 - share) * values[:, near] + share * values[:, far]


def _drift(before: Fields, now: Fields, grid: Grid) -> float:
    """Degrees a day by which the anomalies of the steering level moved east over six hours, by least squares."""
    key = STEERING if STEERING in now else next(iter(now))
    slope = np.gradient((before[key] + now[key]) / 2, grid.longitude_step / 1e6, axis=1)
    return -4 * float(np.sum((now[key] - before[key]) * slope) / np.sum(slope * slope))
