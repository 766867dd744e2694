"""Messages of `RetentionAudit`, and of the comparison with other validators."""

from __future__ import annotations

from typing import Literal

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, Ref
from activities.messages.run import Run, RunStep


class AuditKey(Message):
    hotkey: Hotkey
    number: int


class Audit(AuditKey):
    """An audit that is due: which objects of which verified store it reads."""

    due: Instant
    store: Digest
    objects: tuple[int, ...]


class OpenAudit(Message):
    """An audit that is not recorded yet, and when its next round begins."""

    audit: Audit
    next_round: int
    begins: Instant


class RetentionAuditInput(Message):
    """The audits of one sealed run; `open`, `done` and `failed` are carried from execution to execution."""

    run: Run
    roster: Ref
    open: tuple[OpenAudit, ...] = ()
    done: int = 0
    failed: int = 0


class TakeAudits(RunStep):
    """Asks what is due; `open` are those that were taken and are not recorded yet."""

    open: tuple[AuditKey, ...] = ()


class AuditsDue(Message):
    """Due audits, and when to ask again; never if there is nothing left."""

    audits: tuple[Audit, ...]
    next_at: Instant | None


class AuditObjects(Message):
    run: Run
    roster: Ref
    audit: Audit
    last_round: bool


class ObjectNote(Message):
    """An object that was not served as committed."""

    path: str
    fault: FaultNote


class ObjectsAudited(Message):
    """What a round found; another one may find better unless it is final."""

    faults: tuple[ObjectNote, ...] = ()
    final: bool = True


class RecordAudit(RunStep):
    """How an audit ended; `void` is a fault of ours, for which nobody pays."""

    audit: Audit
    faults: tuple[ObjectNote, ...] = ()
    void: FaultNote | None = None


class AuditRecorded(Message):
    """What an audit came to, and how many cases it settled."""

    outcome: Literal["kept", "failed", "void"]
    settled: int


class RetentionAuditResult(Message):
    done: int
    failed: int


class CommitmentsCompared(Message):
    """How many validators answered, and who committed to more than one forecast."""

    validators: int
    silent: int
    equivocations: tuple[Hotkey, ...] = ()
