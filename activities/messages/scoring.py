"""Messages of `ScoringPass`."""

from __future__ import annotations

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, PassName, Ref, TruthVersion
from activities.messages.run import Run


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
    """Makes truth, climatology and references of a pass ready."""

    run: Run
    pass_name: PassName
    lead_hours: tuple[int, ...]


class TruthSet(Message):
    """Field sets of one lead, as documents in the object store; the last is of our entrant of that name."""

    lead_hours: int
    truth_version: TruthVersion
    truth: Ref
    climatology: Ref
    references: tuple[Ref, ...] = ()
    gfs: Ref | None = None


class TruthReady(Message):
    """Everything that the leads of a pass are scored against."""

    sets: tuple[TruthSet, ...]


class StartPass(Message):
    """Projects that scoring was dispatched."""

    run_id: str
    pass_name: PassName
    lead_hours: int
    generation: int
    to: str
    at: Instant


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


class LeadFetched(Message):
    """Where the verified bytes of a miner are; `final` is false if another round may bring more."""

    hotkey: Hotkey
    objects: Ref
    missing: int = 0
    final: bool = True


class ChunkMiner(Message):
    """A miner of a chunk and its verified bytes."""

    hotkey: Hotkey
    objects: Ref


class Scoring(Message):
    """Which pass something is scored in, and against what."""

    run: Run
    pass_name: PassName
    generation: int
    truth: TruthReady


class ScoreMiners(Scoring):
    """Scores a chunk of miners in one pass."""

    miners: tuple[ChunkMiner, ...]


class ScoreEntrants(Scoring):
    """Proves the scorer, then scores our own forecasts, but for the ensemble."""

    inputs: Digest | None = None


class MembersWeighed(Message):
    """The weights, as one document, and all members; none if no ensemble has two."""

    weights: Ref | None = None
    hotkeys: tuple[Hotkey, ...] = ()


class BuildEnsemble(Scoring):
    """Builds the ensembles of a pass out of verified bytes and scores them."""

    weights: Ref
    members: tuple[ChunkMiner, ...]


class EnsembleBuilt(Message):
    """Facts of the ensemble, as one document, and its field set."""

    part: Ref
    fields: Ref
    facts: int


class RecordEnsemble(Scoring):
    """Writes what became of the ensembles of a pass."""

    weights: Ref
    built: EnsembleBuilt | None = None
    fault: FaultNote | None = None
    at: Instant


class PartScored(Message):
    """Facts and faults of a chunk, as one document."""

    part: Ref
    facts: int
    faults: int


class RecordScores(Message):
    """Writes a scored part to the ledger."""

    run_id: str
    part: Ref


class FinishPass(Message):
    """Ends a pass; `fault` voids all of its cases."""

    run: Run
    pass_name: PassName
    lead_hours: int
    generation: int
    at: Instant
    fault: FaultNote | None = None
    likeness: Ref | None = None


class ScoringPassResult(Message):
    """What a pass recorded."""

    pass_name: PassName
    lead_hours: int
    facts: int
    faults: int
    truth_version: str | None
    fault: FaultNote | None = None
    parts: tuple[Digest, ...] = ()
