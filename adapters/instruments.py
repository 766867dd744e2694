"""Our own metrics: counters at the Prometheus endpoint of the worker that did the work, repeated attempts included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True)
class Count:
    """Namespace, task queue and activity type are labels of each."""

    name: str
    help: str

    def add(self, amount: int = 1, **labels: str) -> None:
        """Count; `pass_` stands for the label `pass`. Outside an activity there is no endpoint to count for."""
        if amount and activity.in_activity():
            named = {name.rstrip("_"): value for name, value in labels.items()}
            activity.metric_meter().create_counter(self.name, self.help).add(amount, named)

    def tally(self, rows: Iterable[object], *labels: str) -> None:
        """Count rows by the members that are labels."""
        for values, amount in Counter(tuple(getattr(row, label) for label in labels) for row in rows).items():
            self.add(amount, **dict(zip(labels, values, strict=True)))


MINERS_SETTLED = Count("barograph_miners_settled", "Miners whose part of a run ended, by outcome and fault code.")
BYTES_VERIFIED = Count("barograph_bytes_verified", "Bytes of miners that were found to be what was committed.")
TRUTH_READY = Count("barograph_truth_ready", "Leads whose truth and climatology are there, by pass.")
FACTS_RECORDED = Count("barograph_facts_recorded", "Score facts written to the ledger, by pass.")
FAULTS_RECORDED = Count("barograph_faults_recorded", "Fault records written to the ledger, by code and cause.")
RUNS_CLOSED = Count("barograph_runs_closed", "Runs closed, by outcome.")
