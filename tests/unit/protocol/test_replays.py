"""A commitment that was made for another run, miner, grid, spec, layout or network is refused, pushed or pulled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from protocol.commitment import Commitment, accept
from protocol.messages import CommitmentData, KerchunkCompleted
from protocol.names import job_id, run_id
from tests.unit.protocol.world import COMMITMENT, LAYOUT, MINER, OTHER, RUN, T0, call
from weather.faults import CommitmentBindingMismatch

Offer = CommitmentData | KerchunkCompleted
ELSEWHERE: dict[str, dict[str, Any]] = {
    "run": {
        "run_id": run_id(T0 - timedelta(days=1)),
        "init_time": T0 - timedelta(days=1),
        "job_id": job_id("test", run_id(T0 - timedelta(days=1)), MINER.hotkey),
    },
    "miner": {"hotkey": OTHER.hotkey, "job_id": job_id("test", RUN, OTHER.hotkey)},
    "grid": {"grid": "0p25"},
    "layout": {"layout_digest": "5" * 64},
    "spec": {"score_spec_digest": "5" * 64},
    "network": {"network": "other", "job_id": job_id("other", RUN, MINER.hotkey)},
}


def pushed(made: Commitment) -> Offer:
    return CommitmentData(commitment=made.value, signature=made.sign(MINER))


def pulled(made: Commitment) -> Offer:
    return KerchunkCompleted(
        job_id=job_id("test", RUN, MINER.hotkey),
        access_token="x",
        zarr_store_url="https://miner.example/zarr/",
        verification_hash=made.root,
        commitment=made.value,
        signature=made.sign(MINER),
    )


@pytest.mark.parametrize("offered", [pushed, pulled])
@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_commitment_made_elsewhere_is_refused(elsewhere: str, offered: Callable[[Commitment], Offer]) -> None:
    made = COMMITMENT.model_copy(update=ELSEWHERE[elsewhere])
    with pytest.raises(CommitmentBindingMismatch):
        accept(offered(made), call(), MINER.hotkey, LAYOUT)


@pytest.mark.parametrize("offered", [pushed, pulled])
def test_the_same_commitment_where_it_was_made_is_accepted(offered: Callable[[Commitment], Offer]) -> None:
    made = COMMITMENT
    assert accept(offered(made), call(), MINER.hotkey, LAYOUT) == made
