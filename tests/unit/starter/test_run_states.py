"""Every status and every reason of a run has its sentence."""

from typing import get_args

from adapters.ledger import transitions
from adapters.ledger.values import Reason
from starter.commands.run_states import CLOSED, OPEN


def test_each_status_and_each_reason_has_a_sentence():
    assert {*OPEN, "completed", "error"} == set(transitions.words(transitions.RUN))
    assert set(CLOSED) == set(get_args(Reason))
