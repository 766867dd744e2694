"""The legal edges of the status columns, as one table; None is the absent row."""

from __future__ import annotations

from collections.abc import Mapping

from weather.faults import LedgerConflict

Edges = Mapping[str | None, frozenset[str]]


def _edges(table: Mapping[str | None, str]) -> Edges:
    return {origin: frozenset(targets.split()) for origin, targets in table.items()}


RUN: Edges = _edges(
    {
        None: "pending",
        "pending": "initial_scoring_queued error",
        "initial_scoring_queued": "initial_scoring_running initial_scoring_skipped initial_scoring_failed error",
        "initial_scoring_running": "initial_scoring_done initial_scoring_failed error",
        "initial_scoring_skipped": "final_scoring_triggered error",
        "initial_scoring_failed": "initial_scoring_queued final_scoring_triggered error",
        "initial_scoring_done": "final_scoring_triggered error",
        "final_scoring_triggered": "final_scoring_completed final_scoring_failed error",
        "final_scoring_failed": "final_scoring_triggered error",
        "final_scoring_completed": "completed error",
        "completed": "",
        "error": "",
    }
)

JOB: Edges = _edges(
    {
        None: "queued",
        "queued": "in_progress failed",
        "in_progress": "completed failed",
        "completed": "",
        "failed": "",
    }
)

PUBLICATION: Edges = _edges(
    {
        None: "planned missed",
        "planned": "submitted committed missed",
        "submitted": "committed confirmed missed",
        "committed": "confirmed missed",
        "confirmed": "",
        "missed": "",
    }
)

RESPONSE_RANKS: Mapping[str, int] = {
    "received": 1,
    "fetch_initiated": 2,
    "awaiting_input_hashes": 3,
    "input_validation_complete": 4,
    "input_hash_mismatch": 4,
    "input_fetch_error": 4,
    "inference_triggered": 5,
    "awaiting_inference_results": 6,
    "verifying_manifest": 7,
    "verified_manifest_store_opened": 8,
    "failed_manifest_verification": 8,
    "verification_error": 8,
}
AFTER_VERIFYING = frozenset({"verified_manifest_store_opened", "failed_manifest_verification"})
RERUN: Edges = {
    "failed_manifest_verification": frozenset({"verifying_manifest"}),
    "verification_error": frozenset({"verifying_manifest"}),
}


def _response_targets(origin: str) -> frozenset[str]:
    rank = RESPONSE_RANKS[origin]
    targets = {word for word, other in RESPONSE_RANKS.items() if other > rank}
    if origin != "verifying_manifest":
        targets -= AFTER_VERIFYING
    if rank == 4:
        targets |= {"input_validation_complete"} - {origin}
    if origin == "input_fetch_error":
        targets |= {"fetch_initiated"}
    return frozenset(targets) | RERUN.get(origin, frozenset())


RESPONSE: Edges = {
    None: frozenset({"received", "verifying_manifest", "verification_error"}),
    **{word: _response_targets(word) for word in RESPONSE_RANKS},
}


def require(edges: Edges, subject: str, origin: str | None, target: str) -> None:
    """Refuse an edge that the table does not hold."""
    if target not in edges[origin]:
        legal = ", ".join(sorted(edges[origin])) or "none, it is terminal"
        raise LedgerConflict(f"{subject} cannot go from {origin} to {target}", found=target, expected=legal)
