"""Messages of `ScoringPass`."""

from __future__ import annotations

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, PassName, Ref, TruthVersion
from activities.messages.run import Run, RunStep, Step


class VerifiedMiner(Message):
    """A miner whose manifest and metadata hold."""

    hotkey: Hotkey
    store: Digest


class ScoringPassInput(Message):
    """One pass over the verified miners; lead 0 stands for all leads of day 1."""

    run: Run
    pass_name: PassName
    lead_hours: int = 0
    generation: int = 1
    first_lead_hours: int
    roster: Ref
    call: Ref
    miners: tuple[VerifiedMiner, ...] | None = None


class MinersSettled(Message):
    """Signal: the verified miners of the run, in roster order."""

    miners: tuple[VerifiedMiner, ...]


class EnsureTruth(Message):
    """A revision says which truth it waits for."""

    run: Run
    pass_name: PassName
    lead_hours: tuple[int, ...]
    truth_version: TruthVersion | None = None


class TruthSet(Message):
    """Field sets of one lead, as documents in the object store; the last is of our entrant of that name."""

    lead_hours: int
    truth_version: TruthVersion
    truth: Ref
    climatology: Ref
    references: tuple[Ref, ...] = ()
    gfs: Ref | None = None


class TruthReady(Message):
    sets: tuple[TruthSet, ...]


class StartPass(Step):
    pass_name: PassName
    lead_hours: int
    generation: int
    to: str


class PassStarted(Message):
    """What a pass begins with: the field set of the inputs, if the run has any."""

    inputs: Digest | None = None


class FetchLead(Message):
    """One miner, the fields of one pass, one round of transfers."""

    run: Run
    pass_name: PassName
    lead_hours: tuple[int, ...]
    miner: VerifiedMiner
    roster: Ref
    call: Ref
    last_round: bool = False


class ChunkMiner(Message):
    """A miner of a chunk and its verified bytes."""

    hotkey: Hotkey
    objects: Ref


class LeadFetched(ChunkMiner):
    """`final` is false if another round may bring more."""

    missing: int = 0
    final: bool = True


class Scoring(Message):
    """Which pass something is scored in, and against what."""

    run: Run
    pass_name: PassName
    generation: int
    truth: TruthReady


class ScoreMiners(Scoring):
    miners: tuple[ChunkMiner, ...]


class ScoreEntrants(Scoring):
    """Proves the scorer, then scores our own forecasts, but for the ensemble."""

    inputs: Digest | None = None


class MembersWeighed(Message):
    """The weights, as one document, and all members; none if no ensemble has two."""

    weights: Ref | None = None
    hotkeys: tuple[Hotkey, ...] = ()


class PartScored(Message):
    """Facts and faults of a chunk, as one document."""

    part: Ref
    facts: int
    faults: int = 0


class EnsembleBuilt(PartScored):
    """With the field set of the ensemble."""

    fields: Ref


class BuildEnsemble(Scoring):
    """Builds the ensembles of a pass out of verified bytes and scores them."""

    weights: Ref
    members: tuple[ChunkMiner, ...]


class RecordEnsemble(Scoring):
    weights: Ref
    built: EnsembleBuilt | None = None
    fault: FaultNote | None = None
    at: Instant


class RecordScores(Message):
    run_id: str
    part: Ref


class FinishPass(RunStep):
    """Ends a pass; `fault` voids all of its cases."""

    pass_name: PassName
    lead_hours: int
    generation: int
    fault: FaultNote | None = None
    likeness: Ref | None = None


class ScoringPassResult(Message):
    pass_name: PassName
    lead_hours: int
    facts: int
    faults: int
    truth_version: str | None
    fault: FaultNote | None = None
    parts: tuple[Digest, ...] = ()
