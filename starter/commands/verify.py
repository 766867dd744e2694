"""`barograph verify-…`, `run dossier`, `run bundle`: proofs for who trusts two hotkeys and nobody."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.commands.options import STATE, Json, RunId, State
from starter.output import REFUSED, emit

if TYPE_CHECKING:
    from protocol.examination import Evidence
    from protocol.receipt import CommitmentAnswer

app = typer.Typer()
TRUTH = ("pass", "lead_hours", "truth_version", "set_digest")


def parse_hotkey(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise typer.BadParameter(f"found {text!r}, expected a hotkey of 64 lower-case hex digits")
    return text


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
Miner = Annotated[str, typer.Option("--miner", metavar="HOTKEY", parser=parse_hotkey, help="Whose it is.")]
Validator = Annotated[str, typer.Option("--validator", metavar="HOTKEY", parser=parse_hotkey, help="Who signed it.")]
Signer = Annotated[
    str | None,
    typer.Option("--validator", metavar="HOTKEY", parser=parse_hotkey, help="Who must have signed; else it is told."),
]


@app.command()
def verify_receipt(commitment: File, receipt: File, miner: Miner, validator: Validator, as_json: Json = False) -> None:
    """Check a commitment as it was sent and the receipt that was answered, without a network."""
    from protocol.commitment import first_broken
    from protocol.dossier import DossierBroken, holding
    from protocol.messages import CommitmentData
    from protocol.receipt import CommitmentAnswer

    with _refusing(REFUSED, as_json=as_json):
        with holding("commitment"):
            offer = CommitmentData.parse(commitment.read_bytes())
        with holding("receipt"):
            answer = CommitmentAnswer.parse(receipt.read_bytes())
        if part := first_broken(offer, answer, miner, validator):
            raise DossierBroken(part, "another value than was signed")
    emit({"holds": True, **_received(answer)}, as_json=as_json)


@app.command()
def verify_dossier(dossier: File, miner: Miner, validator: Validator, as_json: Json = False) -> None:
    """Check a dossier and compute all its scores again, without ledger, Temporal or network."""
    from adapters.dossier_file import verify

    with _refusing(REFUSED, as_json=as_json):
        evidence = verify(dossier, miner, validator)
    emit({"holds": True, **_proved(evidence)}, as_json=as_json)


def dossier(
    run_id: RunId,
    miner: Annotated[str, typer.Option(metavar="NAME_OR_HOTKEY", help="A miner of the run's roster.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")],
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Write everything that proves the score of a miner in a closed run into one file."""
    from adapters.catalog import Catalog
    from adapters.dossier import Origin, write_dossier
    from adapters.object_store import open_object_store
    from protocol.identity import PrivateKey
    from starter import client
    from starter.commands import reports

    settings = client.client_settings(state)
    key = PrivateKey.load(settings.hotkey_path) if settings.hotkey_path else None
    store, catalog = open_object_store(settings.object_store), Catalog(settings.grid_folder)
    with client.reading(settings) as session:
        hotkey = reports.hotkey_of(session, run_id, miner)
        origin = Origin(session, store, catalog, run_id, hotkey, key)
        sha256 = write_dossier(out, origin)
        validator = origin.run.validator_hotkey
    written = {"dossier": out, "sha256": sha256, "size_bytes": out.stat().st_size}
    emit(written | {"run_id": run_id, "miner": hotkey, "validator": validator}, as_json=as_json)


@app.command()
def verify_round(
    run_id: RunId,
    bundle: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="As `barograph run bundle` wrote it.")],
    validator: Signer = None,
    as_json: Json = False,
) -> None:
    """Compute scores and weights of a closed round again; 1 names what differs, 2 what the bundle lacks."""
    from protocol.bundle import lacking, verify_round

    body = bundle.read_bytes()
    with _refusing(1, as_json=as_json):
        if missing := lacking(body):
            emit({"holds": False, "lacks": missing}, as_json=as_json)
            raise typer.Exit(2)
        proved = verify_round(body, run_id, validator)
    told = {"validator": proved.log.tree_head.validator, "outcome": proved.outcome, "coverage": proved.coverage}
    counts = {name: len(getattr(proved, name)) for name in ("roster", "facts", "faults", "audits", "vectors")}
    emit({"holds": True, **told, **counts}, as_json=as_json)


def bundle(
    run_id: RunId,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")],
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Write what proves scores and weights of a closed round into one file."""
    from adapters.bundle import Archive, write_bundle
    from adapters.catalog import Catalog
    from adapters.clock import Clock
    from adapters.object_store import open_object_store
    from protocol.identity import PrivateKey
    from starter import client
    from weather.faults import PrerequisiteMissing
    from workers.weight_sinks import after_reveal

    settings = client.client_settings(state)
    if settings.hotkey_path is None:
        raise PrerequisiteMissing("BAROGRAPH_HOTKEY_PATH is not set: the validator signs the head of its log")
    key, now = PrivateKey.load(settings.hotkey_path), Clock().now()
    store, catalog = open_object_store(settings.object_store), Catalog(settings.grid_folder)
    with client.reading(settings) as session:
        written = write_bundle(out, Archive(session, store, catalog, key, now, after_reveal(settings)), run_id)
    told = {"bundle": out, "size_bytes": out.stat().st_size, "run_id": run_id, "validator": key.hotkey}
    emit(told | {"facts": len(written.facts), "vectors": len(written.vectors)}, as_json=as_json)


@contextmanager
def _refusing(exit_code: int, *, as_json: bool) -> Generator[None]:
    """What does not hold is told."""
    from protocol.dossier import DossierBroken

    try:
        yield
    except DossierBroken as broken:
        told = {"broken": broken.part, "found": broken.found, "expected": broken.expected}
        emit({"holds": False, **told}, as_json=as_json)
        raise typer.Exit(exit_code) from broken


def _received(answer: CommitmentAnswer) -> dict[str, Any]:
    return {
        **answer.receipt.entry.value,
        "leaf_index": answer.receipt.leaf_index,
        "tree_size": answer.tree_head.tree_size,
    }


def _proved(evidence: Evidence) -> dict[str, Any]:
    """What holds, then what is only told, since it hangs on other miners or on bytes that never came."""
    from protocol.dossier import PROVABLE

    closing = evidence.closing
    told = {fault.code for fault in evidence.faults} - PROVABLE
    return {
        **_received(evidence.answer),
        "commit_deadline": evidence.log.commit_deadline,
        "in_time": evidence.answer.in_time,
        "root": evidence.commitment.root,
        "score_spec": evidence.rules.digest,
        "score_nano": closing.score_nano,
        "facts": len(evidence.facts),
        "faults": len(evidence.faults),
        "close_is_logged": evidence.log.closed is not None,
        "only_told": [f"rank {closing.rank}", f"{len(closing.void)} void cases", *sorted(told)],
        "leads": [{"lead_hours": lead, "score_nano": score} for lead, score in closing.lead_scores],
        "truth": [dict(zip(TRUTH, row, strict=True)) for row in evidence.truth_sets()],
    }
