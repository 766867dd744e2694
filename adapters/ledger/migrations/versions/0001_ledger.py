"""All tables of the ledger, the rows that never change, and the legal edges of statuses.

A column is written `name[*][?][:type]`: `*` is part of the primary key, `?` may be null, no type is text.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0001_ledger"
down_revision = None

TIME = sa.DateTime(timezone=True)
TYPES = {"": sa.Text(), "int": sa.Integer(), "long": sa.BigInteger(), "real": sa.Double(), "time": TIME}
RUNS, ROSTERS, COMMITMENTS = "weather_forecast_runs", "rosters", "commitments"
FACTS, ENSEMBLES, VECTORS = "weather_forecast_component_scores", "weather_ensemble_forecasts", "weight_vectors"
JOBS, RESPONSES = "weather_scoring_jobs", "weather_miner_responses"
LEAD = "run_id* pass* lead_hours*:int generation*:int"
CASE = "run_id* hotkey* pass* lead_hours*:int variable* level* region*"
NANO = "score_nano BETWEEN 0 AND 1000000000"
PASSES = "day1_qc era5_final"

STARTED = "inference_triggered awaiting_inference_results verifying_manifest verification_error"
ANSWERED = f"input_validation_complete input_hash_mismatch input_fetch_error {STARTED}"
EDGES = {
    RUNS: {
        "": "pending",
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
    },
    JOBS: {
        "": "queued",
        "queued": "in_progress failed",
        "in_progress": "completed failed",
        "completed": "",
        "failed": "",
    },
    RESPONSES: {
        "": "received verifying_manifest verification_error",
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
    },
}


# long: a list of tables
def upgrade() -> None:
    frozen("events", "id* type source subject time:time data")
    op.create_index(None, "events", ["subject", "time"])
    create(
        RUNS,
        "run_id* network validator_hotkey purpose init_time:time grid layout_digest score_spec_digest case_set_digest"
        " close_by:time opened_at:time config status status_ordinal:int roster_digest? requested_at?:time"
        " commit_deadline?:time first_lead_hours?:int call_digest? call_document? input_data_hash? bundle_digest?"
        " held_by? review? outcome? outcome_reason? coverage? facts_digest? faults_digest? closed_at?:time",
        one_of("status", " ".join(EDGES[RUNS])),
        one_of("outcome", "closed closed_partial void"),
        one_of("purpose", "live hindcast"),
        one_of("review", "pass fail"),
        check("completed", "(status = 'completed') = (coalesce(outcome, '') IN ('closed', 'closed_partial'))"),
        check("error", "(status = 'error') = (coalesce(outcome, '') = 'void')"),
        check("closed_at", "(outcome IS NULL) = (closed_at IS NULL)"),
    )
    op.create_index("ix_run_outcome", RUNS, ["run_id", "outcome"], unique=True)
    frozen(ROSTERS, "run_id* hotkey* name base_url uid?:int tls_sha256?", to(RUNS))
    frozen(
        "roster_events",
        "run_id* hotkey* kind* at:time block?:int",
        to(ROSTERS, "run_id", "hotkey"),
        one_of("kind", "deregistered"),
    )
    frozen("run_transitions", "run_id* ordinal*:int origin? target reason at:time", to(RUNS))
    create(
        RESPONSES,
        "run_id* hotkey* status status_ordinal:int code? detail found? expected? input_data_hash? manifest_digest?"
        " updated_at:time",
        to(ROSTERS, "run_id", "hotkey"),
        one_of("status", " ".join(EDGES[RESPONSES])),
    )
    create(
        JOBS,
        "run_id* score_type* lead_hours*:int generation*:int status code? updated_at:time",
        to(RUNS),
        one_of("status", " ".join(EDGES[JOBS])),
        one_of("score_type", PASSES),
        check("code", "(status = 'failed') = (code IS NOT NULL)"),
    )
    frozen(
        "interventions",
        "workflow_id* request_id* verb actor reason scope state generation:int state_before answer at:time",
        one_of("state", "acted awaits_second_actor"),
        check("reason", "length(reason) BETWEEN 1 AND 500"),
    )
    create(
        "round_outbox",
        "key* run_id operation item body state rule attempts:int status?:int code? next_at:time",
        to(RUNS),
        one_of("operation", "start_round set_tasks start_agent_run add_evaluation finish_round"),
        one_of("state", "pending stored parked expired"),
    )
    op.create_index(None, "round_outbox", ["run_id", "state"])
    frozen(
        "log_leaves",
        "leaf_index*:int run_id kind key leaf_hash entry peaks",
        to(RUNS),
        sa.UniqueConstraint("run_id", "kind", "key"),
    )
    frozen(
        COMMITMENTS,
        "run_id* hotkey* commitment_digest commitment signature received_at:time channel leaf_index:int",
        to(ROSTERS, "run_id", "hotkey"),
        to("log_leaves", "leaf_index"),
        sa.UniqueConstraint("leaf_index"),
        one_of("channel", "push pull"),
    )
    frozen(
        "receipts",
        "run_id* hotkey* commitment_digest* receipt receipt_signature tree_head tree_head_signature inclusion_proof",
        to(COMMITMENTS, "run_id", "hotkey"),
    )
    create("ingress_marks", "at*:time")
    create("last_words", "run_id* hotkey* at:time code cause", to(ROSTERS, "run_id", "hotkey"))
    frozen("run_secrets", "run_id* purpose* sealed digest", to(RUNS))
    frozen(
        "retention_audits",
        "run_id* hotkey* number*:int due:time recorded_at:time outcome code? faults",
        to(COMMITMENTS, "run_id", "hotkey"),
        one_of("outcome", "kept failed void"),
        check("code", "(outcome = 'void') = (code IS NOT NULL)"),
    )
    create("object_tombstones", "key* size_bytes:long marked_at:time")
    frozen(
        FACTS,
        f"{CASE} spec_digest* truth_version* generation*:int kind valid_time:time forecast_digest truth_digest"
        " climatology_digest reference_digests sums score?:real checks kernel_order package_version scored_at:time"
        " revised_at?:time digest",
        to(RUNS),
        one_of("pass", PASSES),
        one_of("truth_version", "gfs_analysis era5t era5"),
        one_of("kind", "live hindcast"),
        check("score", "(score IS NOT NULL AND score BETWEEN 0 AND 1) OR (score IS NULL AND pass = 'day1_qc')"),
    )
    op.create_index("ix_fields_by_digest", FACTS, ["run_id", "forecast_digest", "hotkey"])
    frozen(
        "fault_records",
        f"{CASE} generation*:int code cause effect detail found? expected? attempts recorded_at:time digest",
        to(RUNS),
        one_of("cause", "miner policy source platform"),
        check("code", "code <> ''"),
        check(
            "effect",
            "(effect = 'W' AND cause IN ('miner', 'policy') AND hotkey <> '*') OR (effect = 'V' AND cause <> 'miner')",
        ),
    )
    frozen(
        "truth_revisions",
        "run_id* lead_hours*:int truth_version* ordinal:int truth_digest rescored:int confirmed:int refused"
        " report_digest scores recorded_at:time",
        to(RUNS),
        one_of("truth_version", "era5t era5"),
        sa.UniqueConstraint("run_id", "ordinal"),
    )
    create("run_likeness", "run_id* likeness", to(RUNS))
    create("score_table", "run_id* hotkey* score_nano:int rank?:int code?", to(RUNS), check("score_nano", NANO))
    frozen(
        "round_group_scores",
        "run_id* hotkey* group_name* score_nano:int",
        to("score_table", "run_id", "hotkey"),
        check("score_nano", NANO),
    )
    create(
        "weather_miner_scores",
        "run_id* hotkey* pass* lead_hours*:int score_nano:int",
        to(RUNS),
        one_of("pass", PASSES),
        check("score_nano", NANO),
    )
    frozen(
        ENSEMBLES,
        f"{LEAD} spec_digest weights_digest fields_digest? status code? recorded_at:time",
        to(RUNS),
        one_of("pass", PASSES),
        one_of("status", "built failed"),
        check("fields_digest", "(status = 'built') = (fields_digest IS NOT NULL)"),
        check("code", "(status = 'failed') = (code IS NOT NULL)"),
    )
    frozen(
        "weather_ensemble_components",
        f"{LEAD} variable* hotkey* weight:real",
        to(ENSEMBLES, "run_id", "pass", "lead_hours", "generation"),
    )
    create(
        "registry_observations",
        "network* hotkey* present_from*:time present_until?:time",
        check("interval", "present_until >= present_from"),
    )
    frozen(VECTORS, "network* input_digest* policy version:int head:int inputs shares shares_digest computed_at:time")
    frozen(
        "weight_vector_rounds",
        "network* input_digest* run_id* outcome",
        to(VECTORS, "network", "input_digest"),
        to(RUNS, "run_id", "outcome"),
        one_of("outcome", "closed closed_partial"),
        check("live", "run_id LIKE 'forecast/%'"),
    )
    frozen("weather_historical_weights", "run_id* score_type* digest* miner_hotkey* score?:real weight:real", to(RUNS))
    create(
        "weight_publications",
        "network* epoch*:int sink* state input_digest? reference? code? updated_at:time",
        to(VECTORS, "network", "input_digest"),
        one_of("state", "planned submitted committed confirmed missed"),
        check("vector", "state = 'missed' OR input_digest IS NOT NULL"),
        check("code", "(state = 'missed') = (code IS NOT NULL)"),
    )
    for table, edges in EDGES.items():
        guard(f"{table}_first_status", table, ("INSERT",), f"NEW.status NOT IN ({quoted(edges[''].split())})")
        pairs = quoted(f"{origin}>{target}" for origin, targets in edges.items() for target in targets.split())
        changed = f"OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) NOT IN ({pairs})"
        guard(f"{table}_status_edge", table, ("UPDATE",), changed)


def create(table: str, columns: str, *constraints: sa.Constraint) -> None:
    op.create_table(table, *map(column, columns.split()), *constraints)


def frozen(table: str, columns: str, *constraints: sa.Constraint) -> None:
    """A table whose rows never change."""
    create(table, columns, *constraints)
    guard(f"{table}_immutable", table, ("UPDATE", "DELETE"))


def column(spelled: str) -> sa.Column:
    marked, _, kind = spelled.partition(":")
    key, null = marked.endswith("*"), marked.endswith("?")
    return sa.Column(marked.rstrip("*?"), TYPES[kind], primary_key=key, nullable=null, autoincrement=False)


def to(table: str, *columns: str) -> sa.ForeignKeyConstraint:
    own = columns or ("run_id",)
    return sa.ForeignKeyConstraint(own, [f"{table}.{name}" for name in own])


def check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=name)


def one_of(name: str, words: str) -> sa.CheckConstraint:
    return check(name, f"{name} IN ({quoted(words.split())})")


def quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def guard(name: str, table: str, actions: tuple[str, ...], condition: str = "") -> None:
    """Refuse these actions on rows for which the condition holds, or on all."""
    if op.get_bind().dialect.name == "sqlite":
        when = f"WHEN {condition}" if condition else ""
        for action in actions:
            trigger = f"CREATE TRIGGER {name}_{action.lower()} BEFORE {action} ON {table} {when}"
            op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{name}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    each = f"FOR EACH ROW WHEN ({condition})" if condition else "FOR EACH STATEMENT"
    events = " OR ".join(actions if condition else (*actions, "TRUNCATE"))
    op.execute(f"CREATE TRIGGER {name} BEFORE {events} ON {table} {each} EXECUTE FUNCTION {name}()")
