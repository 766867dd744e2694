"""How alike the day-1 forecasts of a run are, pair by pair, apart from the public forecast that all may look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from weather.clones import Alike, Likeness
from weather.fields import Values

Array = npt.NDArray[np.float64]
Component = tuple[Mapping[str, Values], Values]
COLUMNS = 180
WORTH_KEEPING = 0.5
_HERE = 4


def run_likeness(components: Iterable[Component], row_weights: Array) -> Likeness:
    """Compare all miners of a run in each component, then take the median over the components of each pair.

    Args:
        components: the day-1 fields of one variable, level and lead by hotkey, and the public forecast of them.
        row_weights: of the grid.
    """
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for fields, public in components:
        hotkeys = sorted(fields)
        if len(hotkeys) > 1:
            alike = similarities(np.stack([fields[hotkey] for hotkey in hotkeys]), public, row_weights)
            for (a, one), (b, other) in combinations(enumerate(hotkeys), 2):
                found[one, other].append(float(alike[a, b]))
    medians = {pair: float(np.median(values)) for pair, values in found.items()}
    middle = float(np.median([*medians.values()])) if medians else 0.0
    return Likeness(
        hotkeys=tuple(sorted({hotkey for pair in found for hotkey in pair})),
        middle=middle,
        spread=float(np.median([abs(value - middle) for value in medians.values()])) if medians else 0.0,
        alike=tuple(
            Alike(*pair, len(found[pair]), round(value, 6))
            for pair, value in sorted(medians.items())
            if value >= WORTH_KEEPING
        ),
    )


def similarities(fields: npt.NDArray[np.float32], public: Values, row_weights: Array) -> Array:
    """Largest centred correlation of two miners' own parts, over shifts of one forecast by a cell each way.

    A miner's own part is its forecast minus the public one, minus the median of all miners' differences: a median,
    since one absurd forecast in a mean would make all the others alike. What is shifted is the forecast and not the
    difference, or whoever rolls a copy by a cell would hide it behind the gradients of the public forecast; each of
    the two must match the other when it is shifted, or those gradients would make all alike to who rolled. Fine grids
    are sampled.

    Args:
        fields: (miners, rows, columns).
        public: (rows, columns).
        row_weights: (rows).

    Returns:
        (miners, miners), in [-1, 1], symmetric; 0 where a miner has no part of its own.
    """
    stride = max(1, fields.shape[-1] // COLUMNS)
    common = public + np.median(fields - public, axis=0)
    own = _neighbours(fields, stride) - common[1:-1:stride, ::stride].astype(np.float64)
    weights = np.broadcast_to(row_weights[1:-1:stride, None], own.shape[-2:])
    own -= (own * weights).sum((-2, -1), keepdims=True) / weights.sum()
    flat = (own * np.sqrt(weights)).reshape(len(_SHIFTS), len(fields), -1)
    norms = np.sqrt((flat * flat).sum(-1, keepdims=True))
    unit = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    largest = np.max([unit[_HERE] @ shifted.T for shifted in unit], axis=0)
    return np.minimum(largest, largest.T)


_SHIFTS = [(south, east) for south in (-1, 0, 1) for east in (-1, 0, 1)]


def _neighbours(fields: npt.NDArray[np.float32], stride: int) -> Array:
    """(shifts, miners, rows, columns) without the first and last row."""
    rolled = (np.roll(fields, shift, (-2, -1))[:, 1:-1:stride, ::stride] for shift in _SHIFTS)
    return np.stack([each.astype(np.float64) for each in rolled])
