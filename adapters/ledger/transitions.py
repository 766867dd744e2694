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

STARTED = "inference_triggered awaiting_inference_results verifying_manifest verification_error"
ANSWERED = f"input_validation_complete input_hash_mismatch input_fetch_error {STARTED}"
RESPONSE: Edges = _edges(
    {
        None: "received verifying_manifest verification_error",
        "received": f"fetch_initiated awaiting_input_hashes {ANSWERED}",
        "fetch_initiated": f"awaiting_input_hashes {ANSWERED}",
        "awaiting_input_hashes": ANSWERED,
        "input_validation_complete": STARTED,
        "input_hash_mismatch": f"input_validation_complete {STARTED}",
        "input_fetch_error": f"fetch_initiated input_validation_complete {STARTED}",
        "inference_triggered": "awaiting_inference_results verifying_manifest verification_error",
        "awaiting_inference_results": "verifying_manifest verification_error",
        "verifying_manifest": "verified_manifest_store_opened failed_manifest_verification verification_error",
        "verified_manifest_store_opened": "",
        "failed_manifest_verification": "verifying_manifest",
        "verification_error": "verifying_manifest",
    }
)
RERUN: Edges = {word: RESPONSE[word] for word in ("failed_manifest_verification", "verification_error")}
RANKED = (
    "received",
    "fetch_initiated",
    "awaiting_input_hashes",
    "input_validation_complete input_hash_mismatch input_fetch_error",
    "inference_triggered",
    "awaiting_inference_results",
    "verifying_manifest",
    "verified_manifest_store_opened failed_manifest_verification verification_error",
)
RESPONSE_RANKS = {word: rank for rank, words in enumerate(RANKED, 1) for word in words.split()}


def require(edges: Edges, subject: str, origin: str | None, target: str) -> None:
    """Refuse an edge that the table does not hold."""
    if target not in edges[origin]:
        legal = ", ".join(sorted(edges[origin])) or "none, it is terminal"
        raise LedgerConflict(f"{subject} cannot go from {origin} to {target}", found=target, expected=legal)
