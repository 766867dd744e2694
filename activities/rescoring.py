"""Facts by a newer truth, field by field: of everybody in the run, or of nobody."""

from __future__ import annotations

from itertools import groupby

from pydantic import BaseModel

from activities import documents
from activities.judging import Judge
from adapters.chunk_decoder import FetchedChunk, FieldCase
from adapters.forecast_reader import kept_chunks
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from protocol.facts import ENTRANT
from protocol.layout import Layout
from weather.faults import InternalError, MinerFault
from weather.fields import Field

Place = tuple[str, str, int]


class RevisionPlan(BaseModel):
    """Facts of the fields of one lead that have changed, and what was verified of each miner."""

    facts: tuple[ScoreFact, ...]
    stores: dict[str, str | None]


class Rescored(BaseModel):
    """New facts; and (variable, level, reason) of each field that stays as it was."""

    facts: tuple[ScoreFact, ...] = ()
    refused: tuple[tuple[str, int, str], ...] = ()


def rescore(judge: Judge, store: ObjectStore, layout: Layout, plan: RevisionPlan) -> Rescored:
    """The facts of a plan once more, from what the object store has: the network is never asked."""
    chunks = _kept_chunks(judge, store, layout, plan)
    scored: list[ScoreFact] = []
    refused = []
    for field, group in groupby(sorted(plan.facts, key=_field), key=_field):
        facts = list(group)
        gone = [fact.hotkey for fact in facts if not _is_kept(store, chunks, fact)]
        if gone:
            refused.append((*field, f"the bytes of {gone[0]} are gone"))
            continue
        try:
            scored += [_scored(judge, fact, _forecast(judge, store, chunks, fact)) for fact in facts]
        except MinerFault as fault:
            refused.append((*field, f"a forecast cannot be read any more: {fault.code}"))
    return Rescored(facts=tuple(scored), refused=tuple(refused))


def _kept_chunks(judge: Judge, store: ObjectStore, layout: Layout, plan: RevisionPlan) -> dict[Place, FetchedChunk]:
    kept = {}
    fields, lead = sorted({_field(fact) for fact in plan.facts}), plan.facts[0].lead_hours
    for hotkey in {fact.hotkey for fact in plan.facts}:
        if not (verified := plan.stores.get(hotkey)):
            continue
        manifest = documents.get_model(store, documents.VerifiedStore, verified).manifest.sha256
        wanted = kept_chunks(store, layout, manifest, fields, lead)
        kept |= {(hotkey, chunk.variable, chunk.level): chunk for chunk in wanted}
    return kept


def _is_kept(store: ObjectStore, chunks: dict[Place, FetchedChunk], fact: ScoreFact) -> bool:
    if fact.hotkey.startswith(ENTRANT):
        return store.has(fact.forecast_digest, "fields")
    return (fact.hotkey, *_field(fact)) in chunks


def _forecast(judge: Judge, store: ObjectStore, chunks: dict[Place, FetchedChunk], fact: ScoreFact) -> Field:
    if fact.hotkey.startswith(ENTRANT):
        return store.get_field(judge.rules.grid_value, *_field(fact), fact.valid_time, fact.forecast_digest)
    return judge.decode(chunks[fact.hotkey, *_field(fact)])


def _scored(judge: Judge, fact: ScoreFact, forecast: Field) -> ScoreFact:
    case = FieldCase(variable=fact.variable, level=fact.level, lead_hours=fact.lead_hours)
    new = judge.final(fact.hotkey, case, forecast)
    found, expected = ((one.forecast_digest, one.climatology_digest) for one in (new, fact))
    if found != expected:
        raise InternalError("a field is rescored from other bytes than before", found=found, expected=expected)
    return new.model_copy(update={"generation": fact.generation})


def _field(fact: ScoreFact) -> tuple[str, int]:
    return fact.variable, fact.level
