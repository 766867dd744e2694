"""Messages of the operator's verbs on a live run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from activities.messages.base import Hotkey, Instant, Message
from activities.messages.miner import CommitmentRecorded
from activities.messages.run import Outcome, RunStep

Verb = Literal["hold", "release", "rerun", "skip", "accept", "void"]


class Intervention(Message):
    """Input of each verb: who acts and why; a dry run only tells what the act would do."""

    actor: Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,198}[!-~])?$")]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    request_id: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")] | None = None
    scope: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    dry_run: bool = False


class Intervene(RunStep):
    """Asks for a verb on a run; again with the same request id: the stored receipt."""

    verb: Verb
    intervention: Intervention


class BlastRadius(Message):
    """What a verb changes, if all cases that are open otherwise are still to be counted.

    Ranks are moved `(hotkey, from, to)`; None is no rank. `share_l1_ppb` is how far the newest weights move if this run
    is their next round, `epochs_touched` how many epochs begin while it is in the window.
    """

    facts_superseded: int
    cases_voided: int
    miners_touched: int
    coverage_before: str
    coverage_after: str
    outcome_after: Outcome
    ranks_moved: tuple[tuple[str, int | None, int | None], ...] = ()
    share_l1_ppb: int = 0
    epochs_touched: int = 0


class InterventionReceipt(Message):
    """Answer of each verb."""

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


class Intervened(Message):
    """A receipt, and what a run that obeys it has to do.

    Lead 0 stands for the day-1 pass.

    `acts` is false for a dry run and while a second actor is awaited. `leads` are those to wait for no more (`skip`,
    `accept`), or the passes to play again under `generation` (`rerun`): for all miners or for `hotkey`, after its
    `commitment`, if there is one, was verified once more under the same generation.
    """

    receipt: InterventionReceipt
    acts: bool
    leads: tuple[int, ...] = ()
    generation: int = 1
    hotkey: Hotkey | None = None
    commitment: CommitmentRecorded | None = None
