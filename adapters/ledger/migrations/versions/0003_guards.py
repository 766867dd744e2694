"""Rows that never change, and legal status edges.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IMMUTABLE = (
    "weather_forecast_component_scores",
    "fault_records",
    "log_leaves",
    "commitments",
    "receipts",
    "rosters",
    "run_transitions",
    "events",
)

EDGES = {
    "weather_forecast_runs": {
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
    },
    "weather_scoring_jobs": {
        "": "queued",
        "queued": "in_progress failed",
        "in_progress": "completed failed",
    },
    "weather_miner_responses": {
        "": "received verifying_manifest verification_error",
        "received": "fetch_initiated awaiting_input_hashes input_validation_complete input_hash_mismatch input_fetch_error inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "fetch_initiated": "awaiting_input_hashes input_validation_complete input_hash_mismatch input_fetch_error inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "awaiting_input_hashes": "input_validation_complete input_hash_mismatch input_fetch_error inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "input_validation_complete": "inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "input_hash_mismatch": "input_validation_complete inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "input_fetch_error": "fetch_initiated input_validation_complete inference_triggered awaiting_inference_results verifying_manifest verification_error",
        "inference_triggered": "awaiting_inference_results verifying_manifest verification_error",
        "awaiting_inference_results": "verifying_manifest verification_error",
        "verifying_manifest": "verified_manifest_store_opened failed_manifest_verification verification_error",
        "failed_manifest_verification": "verifying_manifest",
        "verification_error": "verifying_manifest",
    },
}


def upgrade():
    postgres = op.get_bind().dialect.name == "postgresql"
    guard = guard_postgres if postgres else guard_sqlite
    for table in IMMUTABLE:
        guard(f"{table}_immutable", table, ("UPDATE", "DELETE"), None)
    for table, edges in EDGES.items():
        first = quoted(edges[""].split())
        pairs = quoted(f"{origin}>{target}" for origin, targets in edges.items() for target in targets.split())
        guard(f"{table}_first_status", table, ("INSERT",), f"NEW.status NOT IN ({first})")
        changed = f"OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) NOT IN ({pairs})"
        guard(f"{table}_status_edge", table, ("UPDATE",), changed)


def quoted(words):
    return ", ".join(f"'{word}'" for word in words)


def guard_sqlite(name, table, actions, condition):
    when = f"WHEN {condition}" if condition else ""
    for action in actions:
        trigger = f"CREATE TRIGGER {name}_{action.lower()} BEFORE {action} ON {table} {when}"
        op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{name}'); END")


def guard_postgres(name, table, actions, condition):
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    each = f"FOR EACH ROW WHEN ({condition})" if condition else "FOR EACH STATEMENT"
    events = " OR ".join(actions if condition else (*actions, "TRUNCATE"))
    op.execute(f"CREATE TRIGGER {name} BEFORE {events} ON {table} {each} EXECUTE FUNCTION {name}()")


def downgrade():
    postgres = op.get_bind().dialect.name == "postgresql"
    drop = drop_postgres if postgres else drop_sqlite
    for table in IMMUTABLE:
        drop(f"{table}_immutable", table, ("UPDATE", "DELETE"))
    for table in EDGES:
        drop(f"{table}_first_status", table, ("INSERT",))
        drop(f"{table}_status_edge", table, ("UPDATE",))


def drop_sqlite(name, table, actions):
    for action in actions:
        op.execute(f"DROP TRIGGER {name}_{action.lower()}")


def drop_postgres(name, table, actions):
    op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute(f"DROP FUNCTION {name}()")
