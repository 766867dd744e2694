"""Runs, rosters, responses, jobs, events.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# long: a list of tables
def upgrade():
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_subject_time"), "events", ["subject", "time"], unique=False)
    op.create_table(
        "weather_forecast_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("validator_hotkey", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("init_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("grid", sa.Text(), nullable=False),
        sa.Column("layout_digest", sa.Text(), nullable=False),
        sa.Column("score_spec_digest", sa.Text(), nullable=False),
        sa.Column("case_set_digest", sa.Text(), nullable=False),
        sa.Column("close_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_ordinal", sa.Integer(), nullable=False),
        sa.Column("roster_digest", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("commit_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_lead_hours", sa.Integer(), nullable=True),
        sa.Column("call_digest", sa.Text(), nullable=True),
        sa.Column("call_document", sa.Text(), nullable=True),
        sa.Column("input_data_hash", sa.Text(), nullable=True),
        sa.Column("bundle_digest", sa.Text(), nullable=True),
        sa.Column("held_by", sa.Text(), nullable=True),
        sa.Column("review", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("outcome_reason", sa.Text(), nullable=True),
        sa.Column("coverage", sa.Text(), nullable=True),
        sa.Column("facts_digest", sa.Text(), nullable=True),
        sa.Column("faults_digest", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'completed') = (coalesce(outcome, '') IN ('closed', 'closed_partial'))",
            name=op.f("ck_weather_forecast_runs_completed"),
        ),
        sa.CheckConstraint(
            "(status = 'error') = (coalesce(outcome, '') = 'void')", name=op.f("ck_weather_forecast_runs_error")
        ),
        sa.CheckConstraint(
            "outcome IN ('closed', 'closed_partial', 'void')", name=op.f("ck_weather_forecast_runs_outcome")
        ),
        sa.CheckConstraint("purpose IN ('live', 'hindcast')", name=op.f("ck_weather_forecast_runs_purpose")),
        sa.CheckConstraint("review IN ('pass', 'fail')", name=op.f("ck_weather_forecast_runs_review")),
        sa.CheckConstraint(
            "status IN ('pending', 'initial_scoring_queued', 'initial_scoring_running', 'initial_scoring_skipped', 'initial_scoring_failed', 'initial_scoring_done', 'final_scoring_triggered', 'final_scoring_failed', 'final_scoring_completed', 'completed', 'error')",
            name=op.f("ck_weather_forecast_runs_status"),
        ),
        sa.CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name=op.f("ck_weather_forecast_runs_closed_at")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_weather_forecast_runs")),
    )
    op.create_table(
        "rosters",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=True),
        sa.Column("tls_sha256", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_rosters_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", name=op.f("pk_rosters")),
    )
    op.create_table(
        "run_transitions",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_run_transitions_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "ordinal", name=op.f("pk_run_transitions")),
    )
    op.create_table(
        "weather_scoring_jobs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("score_type", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("facts", sa.Integer(), nullable=False),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(status = 'failed') = (code IS NOT NULL)", name=op.f("ck_weather_scoring_jobs_code")),
        sa.CheckConstraint("score_type IN ('day1_qc', 'era5_final')", name=op.f("ck_weather_scoring_jobs_score_type")),
        sa.CheckConstraint(
            "status IN ('queued', 'in_progress', 'completed', 'failed')", name=op.f("ck_weather_scoring_jobs_status")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_weather_scoring_jobs_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "score_type", "lead_hours", "generation", name=op.f("pk_weather_scoring_jobs")
        ),
    )
    op.create_table(
        "weather_miner_responses",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_ordinal", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("input_data_hash", sa.Text(), nullable=True),
        sa.Column("manifest_digest", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('received', 'fetch_initiated', 'awaiting_input_hashes', 'input_validation_complete', 'input_hash_mismatch', 'input_fetch_error', 'inference_triggered', 'awaiting_inference_results', 'verifying_manifest', 'verified_manifest_store_opened', 'failed_manifest_verification', 'verification_error')",
            name=op.f("ck_weather_miner_responses_status"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"], ["rosters.run_id", "rosters.hotkey"], name=op.f("fk_weather_miner_responses_rosters")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", name=op.f("pk_weather_miner_responses")),
    )


def downgrade():
    op.drop_table("weather_miner_responses")
    op.drop_table("weather_scoring_jobs")
    op.drop_table("run_transitions")
    op.drop_table("rosters")
    op.drop_table("weather_forecast_runs")
    op.drop_table("events")
