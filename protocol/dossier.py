"""A dossier: everything that proves the score of one miner in one run.

It is an index and objects named by their SHA-256. The index names documents, the documents name fields and chunks.
So a changed byte is a changed name, and an object is told apart from the one that refers to it.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field, StringConstraints

from protocol.document import Count, Digest, Document, Hotkey, RunId, Word
from protocol.facts import Cause, Scored
from protocol.log import Proof, SignedHead
from protocol.merkle import leaf_hash, subset_root
from protocol.receipt import DeadlineMoved, LogEntry, RunClosed, RunOpened
from weather.cases import CaseKey
from weather.faults import MinerFault, PolicyRefusal, SourceFault
from weather.round_score import FaultScope

INDEX = "index.json"
CHECK, CLONE = "QualityControlFailed", "BaselineClone"
REFUSALS = frozenset({"IncompleteForecast", "DecodedSizeRefused", "DecodeFailed"})
PROVABLE = REFUSALS | {CHECK, CLONE, "CommitmentLate"}
LEVELS = {"surface": 0, "*": -1}

Bits = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Every = Literal["*"]
Entrant = Annotated[str, StringConstraints(pattern=r"^baseline/[a-z0-9-]{1,32}$")]
PassName = Literal["day1_qc", "era5_final"]


class DossierBroken(Exception):
    """The first object that does not hold."""

    def __init__(self, part: str, found: object, expected: object = None) -> None:
        """Keep the object's name, what was found, and what was expected where that is one value."""
        super().__init__(
            f"{part} does not hold; found {found}" + ("" if expected is None else f"; expected {expected}")
        )
        self.part, self.found = part, str(found)[:500]
        self.expected = None if expected is None else str(expected)[:500]


@contextmanager
def holding(part: str) -> Generator[None]:
    """Whatever is refused inside breaks this part; a fault of ours stays one."""
    try:
        yield
    except (MinerFault, PolicyRefusal, SourceFault, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DossierBroken(part, error) from error


def require(part: str, found: object, expected: object) -> None:
    """Refuse two values that differ."""
    if found != expected:
        raise DossierBroken(part, found, expected)


class Index(Document):
    """The documents of a dossier by digest; without a verified manifest there are no facts."""

    document: Literal["barograph/dossier/1"] = "barograph/dossier/1"
    commitment: Digest
    answer: Digest
    log: Digest
    call: Digest
    layout: Digest
    score_spec: Digest
    manifest: Digest | None
    facts: Digest
    faults: Digest
    closing: Digest


class Leaf(Document):
    """An entry of the log and its proof."""

    leaf_index: Count
    entry: Annotated[LogEntry, Field(discriminator="kind")]
    inclusion_proof: Proof


class RunLog(SignedHead):
    """What the log says of the run as a whole, under a head that only appends to that of the receipt."""

    consistency_proof: Proof
    leaves: tuple[Leaf, ...]

    @property
    def opened(self) -> RunOpened:
        """The entry that fixes the call; ValueError if there is not exactly one."""
        (opened,) = (leaf.entry for leaf in self.leaves if isinstance(leaf.entry, RunOpened))
        return opened

    @property
    def closed(self) -> RunClosed | None:
        """The entry that fixes facts and faults, if the head covers it."""
        return next((leaf.entry for leaf in self.leaves if isinstance(leaf.entry, RunClosed)), None)

    @property
    def commit_deadline(self) -> datetime:
        """That of the call, or where it was moved to last."""
        moves = [leaf.entry.to for leaf in self.leaves if isinstance(leaf.entry, DeadlineMoved)]
        return [self.opened.commit_deadline, *moves][-1]


class CaseDocument(Document):
    """What facts and faults have in common."""

    run_id: RunId
    hotkey: Hotkey | Every | Entrant
    pass_: Annotated[PassName | Every, Field(alias="pass")]
    lead_hours: Annotated[int, Field(ge=-1)]
    variable: Word
    level: Annotated[str, StringConstraints(pattern=r"^(surface|\*|[1-9][0-9]{0,3})$")]
    region: Word
    generation: Annotated[int, Field(ge=1)]

    @property
    def case(self) -> CaseKey:
        """The case, or the scope."""
        level = LEVELS[self.level] if self.level in LEVELS else int(self.level)
        return CaseKey(self.pass_, self.lead_hours, self.variable, level, self.region)

    def __str__(self) -> str:
        return f"{self.pass_} {self.lead_hours} h {self.variable} {self.level}"


class FactDocument(CaseDocument):
    """A score fact as it is hashed; a float64 is its big-endian bits."""

    spec_digest: Digest
    truth_version: Literal["gfs_analysis", "era5t", "era5"]
    forecast_digest: Digest
    truth_digest: Digest
    climatology_digest: Digest
    reference_digests: dict[str, Digest]
    sums: dict[str, Bits]
    score: Bits | None

    @property
    def scored(self) -> Scored:
        """As much of it as the close needs."""
        score = None if self.score is None else struct.unpack(">d", bytes.fromhex(self.score))[0]
        return Scored(self.hotkey, self.case, self.generation, self.truth_version, score)


class FaultDocument(CaseDocument):
    """A fault record as it is hashed."""

    code: Word
    cause: Cause
    effect: Literal["W", "V"]

    @property
    def final(self) -> FaultScope:
        """As the close reads it."""
        return FaultScope(self.hotkey, self.case, self.effect, self.code, self.generation)


C = TypeVar("C", FactDocument, FaultDocument)


class Proved(Document, Generic[C]):
    """Some leaves of the tree over all facts or faults of a run, and the proof for them."""

    max_bytes: ClassVar[int] = 1 << 26

    tree_size: Count
    indices: tuple[Count, ...]
    siblings: tuple[Digest, ...]
    documents: tuple[C, ...]

    @property
    def root(self) -> str:
        """Root of the tree; ValueError if the proof has another shape."""
        if list(self.indices) != sorted(set(self.indices)) or max(self.indices, default=-1) >= self.tree_size:
            raise ValueError("indices do not ascend within the tree")
        hashes = [leaf_hash(document.canonical) for document in self.documents]
        siblings = iter([bytes.fromhex(sibling) for sibling in self.siblings])
        root = subset_root(self.tree_size, dict(zip(self.indices, hashes, strict=True)), siblings)
        if next(siblings, None) is not None:
            raise ValueError("the proof is too long")
        return root.hex()


class VoidCase(NamedTuple):
    """A case that counts for nobody."""

    pass_: Word
    lead_time_hours: Count
    variable: Word
    level: Count
    region: Word
    code: Word


class RunClosing(Document):
    """How the run ended and what it came to for this miner; which cases are void, and the rank, depend on all."""

    max_bytes: ClassVar[int] = 1 << 26

    outcome: Literal["closed", "closed_partial"]
    coverage: Annotated[str, StringConstraints(pattern=r"^\d+/[1-9]\d*$")]
    facts_digest: Digest
    faults_digest: Digest
    score_nano: Count
    rank: Count | None
    lead_scores: tuple[tuple[Count, Count], ...]
    void: tuple[VoidCase, ...]
