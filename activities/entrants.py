"""Our own forecasts in one pass: climatology, persistence and GFS from what is there, the ensemble from the miners."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel

from activities import documents
from activities.documents import Part
from activities.judging import Judge
from activities.messages.scoring import BuildEnsemble, EnsembleBuilt
from adapters.chunk_decoder import FieldCase
from adapters.forecast_reader import FetchedObjects
from adapters.object_store import ObjectStore
from weather.ensemble import Member, mean_field
from weather.entrants import prove_scorer
from weather.field_sets import FieldEntry, field_set_document
from weather.fields import Field

Forecast = Callable[[FieldCase], Field]


class EnsembleWeights(BaseModel):
    """Members by lead time in hours and variable."""

    members: dict[int, dict[str, list[Member]]]


def prove(judge: Judge) -> None:
    """Score forecasts of known worth on one field a variable.

    Raises:
        InternalError: a canary missed.
    """
    for lead, world in judge.worlds.items():
        for case in {case.variable: case for case in reversed(_cases(judge, lead))}.values():
            key = (case.variable, case.level)
            valid_time = judge.request.run.valid_time(lead)
            prove_scorer(judge.rules.era5_final, world.truth[key], world.climatology[key], valid_time)


def baselines(judge: Judge, store: ObjectStore, inputs: str | None) -> list[Part]:
    """Facts of the entrants of the spec, but for the ensemble; who is not there is left out."""
    cases = [case for lead in judge.worlds for case in _cases(judge, lead)]
    forecasts = {"climatology": _climatology(judge), "persistence": _persistence(judge, store, inputs)}
    forecasts["gfs"] = _gfs(judge)
    there = {name: forecasts[name] for name in judge.rules.entrants if name in forecasts}
    return [judge.entrant(name, cases, forecast) for name, forecast in there.items() if forecast is not None]


def ensemble(judge: Judge, store: ObjectStore, request: BuildEnsemble) -> EnsembleBuilt:
    """Weighted means of the members, each kept and scored."""
    weights = documents.get_model(store, EnsembleWeights, request.weights.sha256).members
    chunks = {
        (one.hotkey, chunk.lead_hours, chunk.variable, chunk.level): chunk
        for one in request.members
        for chunk in documents.get_model(store, FetchedObjects, one.objects.sha256).chunks
    }
    kept: list[FieldEntry] = []

    def mean(case: FieldCase) -> Field:
        place = (case.lead_hours, case.variable, case.level)
        members = weights[case.lead_hours][case.variable]
        field = mean_field((one.weight, judge.decode(chunks[one.hotkey, *place])) for one in members)
        store.put_field(field)
        kept.append(FieldEntry.of(field))
        return field

    cases = [case for lead in weights for case in _cases(judge, lead) if case.variable in weights[lead]]
    part = judge.entrant("ensemble", cases, mean)
    fields = field_set_document("forecast", "ensemble", judge.rules.grid.name, kept)
    return EnsembleBuilt(
        part=documents.put_model(store, part), fields=documents.put(store, fields), facts=len(part.facts)
    )


def _cases(judge: Judge, lead: int) -> list[FieldCase]:
    rules = judge.rules
    fields = rules.day1_fields if judge.request.pass_name == "day1_qc" else rules.final_fields
    return [FieldCase(variable=variable, level=level, lead_hours=lead) for variable, level in fields]


def _climatology(judge: Judge) -> Forecast:
    return lambda case: judge.worlds[case.lead_hours].climatology[case.variable, case.level]


def _persistence(judge: Judge, store: ObjectStore, inputs: str | None) -> Forecast | None:
    """The analysis of the init time, under the valid time of each lead."""
    if inputs is None:
        return None
    run, grid = judge.request.run, judge.rules.grid_value
    rows = json.loads(store.get(inputs))["fields"]
    first = [row for row in rows if datetime.fromisoformat(row["valid_time"]) == run.init_time]
    digests = {(row["variable"], row["level"]): row["sha256"] for row in first}

    def analysis(case: FieldCase) -> Field:
        digest = digests[case.variable, case.level]
        return store.get_field(grid, case.variable, case.level, run.valid_time(case.lead_hours), digest)

    return analysis


def _gfs(judge: Judge) -> Forecast | None:
    """The first public forecast of day 1; at final leads only if it was fetched for this."""
    found = {lead: next(iter(world.references), world.gfs) for lead, world in judge.worlds.items()}
    fields = {lead: those for lead, those in found.items() if those is not None}
    if len(fields) < len(found):
        return None
    return lambda case: fields[case.lead_hours][case.variable, case.level]
