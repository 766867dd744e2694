"""The day-1 fields of all miners of a run, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from activities import documents
from activities.judging import Judge
from activities.messages.scoring import ChunkMiner
from adapters.chunk_decoder import FetchedChunk
from adapters.forecast_reader import FetchedObjects
from adapters.object_store import ObjectStore
from weather.clones import Likeness
from weather.faults import MinerFault
from weather.fields import Field
from weather.likeness import Component, run_likeness

Place = tuple[int, str, int]


def compare(judge: Judge, store: ObjectStore, miners: Sequence[ChunkMiner]) -> Likeness:
    """How alike the miners are; what does not decode is not compared."""
    chunks: defaultdict[Place, dict[str, FetchedChunk]] = defaultdict(dict)
    for miner in miners:
        for chunk in documents.get_model(store, FetchedObjects, miner.objects.sha256).chunks:
            chunks[chunk.lead_hours, chunk.variable, chunk.level][miner.hotkey] = chunk
    return run_likeness(_components(judge, chunks), judge.rules.grid_value.row_weights)


def _components(judge: Judge, chunks: dict[Place, dict[str, FetchedChunk]]) -> Iterator[Component]:
    for (lead, variable, level), found in sorted(chunks.items()):
        fields = {hotkey: field.values for hotkey, chunk in found.items() if (field := _decoded(judge, chunk))}
        for public in judge.worlds[lead].references[:1]:
            yield fields, public[variable, level].values


def _decoded(judge: Judge, chunk: FetchedChunk) -> Field | None:
    try:
        return judge.decode(chunk)
    except MinerFault:
        return None
