"""Any finite field of a miner can be scored: no value makes an error of ours, which would void the case for all."""

from __future__ import annotations

from dataclasses import astuple
from math import isfinite

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.profiles import bounded
from tests.unit.weather.toy import TOY, VALID_TIME, random_triple
from weather import metrics
from weather.day1_gate import Place, gather_evidence, judge_component
from weather.fields import Field
from weather.final_score import case_score
from weather.score_spec import load_rules
from weather.sums import field_sums

RULES = load_rules("5p625")
_, TRUTH, CLIMATOLOGY = random_triple(TOY, 1)
PUBLIC = [random_triple(TOY, seed)[0] for seed in (2, 3)]
field_sums(TRUTH, TRUTH, CLIMATOLOGY)  # the compiler is no growth by a miner's values
LARGEST = float(np.finfo(np.float32).max)

cells = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, 1e-45, -1e-38, 280.0, 16_777_217.0]),
    st.sampled_from([*map(float, TRUTH.values.ravel()), *map(float, CLIMATOLOGY.values.ravel())]),
)


@bounded(300)
@given(values=st.lists(cells, min_size=12, max_size=12) | cells.map(lambda one: [one] * 12))
def test_any_finite_field_has_sums_and_a_score_from_zero_to_one(values: list[float]) -> None:
    forecast = Field.of(TOY, "2t", 0, VALID_TIME, np.reshape(values, TOY.shape))
    evidence = gather_evidence(forecast, TRUTH, CLIMATOLOGY, PUBLIC)
    assert all(map(isfinite, astuple(evidence.sums)))
    metrics.check_identity(evidence.sums)
    assert 0 <= case_score(RULES.era5_final, evidence.sums) <= 1
    component = judge_component(RULES.day1_qc, Place(6, "2t", 0), evidence)
    assert 0 <= component.u <= 1 and 0 <= component.a <= 1 and component.penalty <= 1
    assert isfinite(metrics.rmse(evidence.sums)) and -1 <= metrics.acc_uncentred(evidence.sums) <= 1
