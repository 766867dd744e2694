"""Messages of the operator's verbs on a live run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from activities.messages.base import Hotkey, Instant, Message, PassName
from activities.messages.run import Outcome, Run

Verb = Literal["hold", "release", "rerun", "skip", "accept", "void"]


class Intervention(Message):
    """Input of each verb: who acts and why; a dry run only tells what the act would do."""

    actor: Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,198}[!-~])?$")]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    request_id: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")] | None = None
    scope: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    dry_run: bool = False


class Intervene(Message):
    """Asks for a verb on a run; again with the same request id: the stored receipt."""

    run: Run
    verb: Verb
    intervention: Intervention
    at: Instant


class PassAgain(Message):
    """A pass to score once more, from stored bytes and truth, under its next generation."""

    pass_name: PassName
    lead_hours: int
    generation: int


class BlastRadius(Message):
    """What a verb changes, if all cases that are open otherwise are still to be counted.

    Ranks are moved `(hotkey, from, to)`; None is no rank.
    """

    facts_superseded: int
    cases_voided: int
    miners_touched: int
    coverage_before: str
    coverage_after: str
    outcome_after: Outcome
    ranks_moved: tuple[tuple[str, int | None, int | None], ...] = ()


class InterventionReceipt(Message):
    """Answer of each verb.

    `rerun` names the passes to start, and the miners that it is limited to if any. `open_leads` are the leads that
    have an open case afterwards, of any pass: for the others nothing is left to wait for.
    """

    run_id: str
    request_id: str
    verb: Verb
    actor: str
    reason: str
    scope: str
    at: Instant
    dry_run: bool
    state: Literal["acted", "awaits_second_actor"]
    blast_radius: BlastRadius
    passes: tuple[PassAgain, ...] = ()
    miners: tuple[Hotkey, ...] = ()
    open_leads: tuple[int, ...] = ()

    @property
    def in_force(self) -> bool:
        """Whether the run now obeys it."""
        return self.state == "acted" and not self.dry_run
