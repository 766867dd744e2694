"""Generated parts of `docs/protocol`: tables of members, examples, vectors; run as a module to write them anew."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from protocol import messages, tokens
from protocol.commitment import Commitment
from protocol.dossier import FactDocument, FaultDocument, Index, Leaf, Proved, RunClosing, RunLog
from protocol.facts import bits_of, fact_document, facts_digest, fault_document
from protocol.jws import unseal
from protocol.manifest import Manifest
from protocol.merkle import leaf_hash, subset_proof
from protocol.problems import PROBLEMS, Refusal
from protocol.receipt import (
    CommitmentAnswer,
    CommitmentEntry,
    DeadlineMoved,
    Receipt,
    RunClosed,
    RunOpened,
    RunSealed,
    TreeHead,
)
from protocol.store import array_metadata, root_metadata
from tests.activities.ledger.builders import fact, fault
from tests.unit.protocol import vectors as protocol_vectors
from tests.unit.protocol.world import CALL, COMMITMENT, LAYOUT, MINER, NONCE, logged, offer_of
from weather.day1_gate import Place, gather_evidence, judge_component
from weather.fields import Field
from weather.final_score import case_score, nano
from weather.grids import Grid
from weather.score_spec import load_rules

FOLDER = Path(__file__).parents[3] / "docs" / "protocol"
BLOCK = re.compile(r"(<!-- (members|example|codes) ?(\w*) -->\n).*?(<!-- end -->)", re.DOTALL)
FORMS = {
    r"^[0-9a-f]{64}$": "64 hex",
    r"^[0-9a-f]{128}$": "128 hex",
    r"^[0-9a-f]{16}$": "16 hex",
    r"^[a-z0-9][a-z0-9-]{0,31}$": "name",
    r"^[ -~]{1,1024}$": "printable ASCII",
}
BY_NAME = {
    "run_id": "run id",
    "job_id": "UUID v5",
    "job": "UUID v5",
    "nonce": "UUID v4",
    "request": "UUID v4",
    "received_at": "time with milliseconds",
    "recorded_at": "time with milliseconds",
}
SAMPLE = Grid("sample", 75_000_000, -30_000_000, 6, 0, 90_000_000, 4)
FACTS = [fact(level=level) for level in (500, 850, 1000)]
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Commitment,
        CommitmentAnswer,
        CommitmentEntry,
        DeadlineMoved,
        FactDocument,
        FaultDocument,
        Index,
        Leaf,
        Manifest,
        Receipt,
        RunClosed,
        RunClosing,
        RunLog,
        RunOpened,
        RunSealed,
        TreeHead,
        messages.ForecastAnswer,
        messages.ForecastRequestData,
        messages.InputObject,
        messages.KerchunkCompleted,
        messages.KerchunkError,
        messages.KerchunkProcessing,
        tokens.AccessClaims,
        tokens.AnswerClaims,
        tokens.RequestClaims,
    )
} | {"ProvedFacts": Proved[FactDocument]}


def examples() -> dict[str, Any]:
    """One body of each message, by name."""
    answer = messages.ForecastAnswer(job_id=CALL.job_id, status="received")
    signed = {"status": "completed", "job_id": CALL.job_id, "verification_hash": COMMITMENT.root}
    address = {"access_token": "…", "zarr_store_url": f"https://miner.example:8443/a/zarr/{CALL.job_id}/"}
    refusal = Refusal("JobConflict", "the job is another run's").problem("/a/weather-forecast-request")
    return {
        "forecast_request": {"nonce": NONCE, "data": CALL.value},
        "forecast_answer": answer.value,
        "commitment_request": {"nonce": NONCE, "data": offer_of(COMMITMENT).value},
        "commitment_answer": logged().value,
        "kerchunk_request": {"nonce": NONCE, "data": {"job_id": CALL.job_id}},
        "kerchunk_completed": {**signed, **address, **offer_of(COMMITMENT).value},
        "receipt_delivery": {"nonce": NONCE, "data": "the answer to a commitment, as above"},
        "request_claims": json.loads(unseal(protocol_vectors.tokens()["request"], tokens.REQUEST).payload),
        "problem": refusal.value,
        "array_metadata": json.loads(array_metadata(LAYOUT, "t")),
        "root_metadata": json.loads(root_metadata(CALL.identity(MINER.hotkey))),
        "layout": LAYOUT.value,
        "manifest": json.loads(protocol_vectors.manifest().canonical),
        "fact": json.loads(fact_document(FACTS[0])),
        "fault": json.loads(fault_document(fault())),
    }


def vectors() -> dict[str, Any]:
    """Those of the protocol, then numbers: what a validator in another language must come to."""
    return {**protocol_vectors.vectors(), "numbers": numbers(), "facts": facts()}


def numbers() -> dict[str, Any]:
    """One 2t field on six rows and four columns: a block of four rows, and two that are left over."""
    truth, climatology, forecast, *public = fields = [sample(number) for number in range(5)]
    rules = load_rules("5p625")
    evidence = gather_evidence(forecast, truth, climatology, public)
    component = judge_component(rules.day1_qc, Place(6, "2t", 0), evidence)
    score = case_score(rules.era5_final, evidence.sums)
    names = ("truth", "climatology", "forecast", "gfs", "gfs-previous")
    return {
        "row_weights": [bits_of(float(weight)) for weight in SAMPLE.row_weights],
        "weights_sha256": SAMPLE.weights_sha256,
        "fields": {name: field.values.tobytes().hex() for name, field in zip(names, fields, strict=True)},
        "field_digests": {name: field.digest for name, field in zip(names, fields, strict=True)},
        "sums": bits(evidence.sums.as_dict()),
        "reference_sums": bits(evidence.references.as_dict()),
        "case_score": bits_of(score),
        "case_score_nano": nano(score),
        "day1_component": bits({"u": component.u, "a": component.a, "penalty": component.penalty}),
    }


def sample(number: int) -> Field:
    """Values near 280 K that no sum represents exactly."""
    cells = np.arange(24).reshape(6, 4)
    values = 280 + (cells * 37 % 23) / 7 + (cells * (11 + number) % 17) / (9 + number)
    return Field.of(SAMPLE, "2t", 0, datetime(2026, 11, 23, 18, tzinfo=UTC), values)


def facts() -> dict[str, Any]:
    """Three facts, their tree, and the proof for the second alone."""
    leaves = [leaf_hash(fact_document(one)) for one in FACTS]
    return {
        "documents": [fact_document(one).decode() for one in FACTS],
        "leaf_hashes": [leaf.hex() for leaf in leaves],
        "facts_digest": facts_digest(FACTS),
        "proof_of_the_second": [sibling.hex() for sibling in subset_proof(leaves, [1])],
        "fault_document": fault_document(fault()).decode(),
    }


def bits(values: dict[str, float]) -> dict[str, str]:
    return {name: bits_of(value) for name, value in values.items()}


def table(kind: str) -> str:
    """A row for each member, in the order in which the class declares them."""
    schema = KINDS[kind].model_json_schema()
    rows = [f"| `{name}` | {form(member, name)} |" for name, member in schema["properties"].items()]
    return "\n".join(["| member | form |", "|---|---|", *rows])


def form(schema: dict[str, Any], name: str = "") -> str:
    """What a value looks like, in words."""
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return ", or ".join(form(part, name) for part in parts)
    if "const" in schema or "enum" in schema:
        return ", or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if schema.get("type") == "array":
        return _list(schema)
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {form(values)}" if isinstance(values, dict) else "object"
    if schema.get("type") == "integer":
        return f"integer ≥ {schema['minimum']}" if "minimum" in schema else "integer"
    if schema.get("type") == "string":
        pattern = schema.get("pattern", "")
        time = "time" if schema.get("format") == "date-time" else "text"
        return BY_NAME.get(name) or FORMS.get(pattern) or (f"`{pattern}`".replace("|", "\\|") if pattern else time)
    return schema.get("type", "any")


def _list(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(form(item) for item in schema['prefixItems'])}]"
    return f"list of ({form(schema['items'])})"


def block(kind: str, name: str) -> str:
    """The text between two markers."""
    if kind == "members":
        return table(name)
    if kind == "codes":
        rows = [f"| `{code}` | {status} | {title} |" for code, (status, title) in PROBLEMS.items()]
        return "\n".join(["| code | status | title |", "|---|---|---|", *rows])
    return f"```json\n{json.dumps(examples()[name], indent=2)}\n```"


def written(page: str) -> str:
    """The page with its blocks made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}{block(match[2], match[3])}\n{match[4]}", page)


def files() -> dict[Path, str]:
    """What every generated file should hold."""
    pages = {path: written(path.read_text()) for path in sorted(FOLDER.glob("*.md"))}
    return {**pages, FOLDER / "vectors.json": json.dumps(vectors(), indent=1) + "\n"}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
