"""Log, commitments, receipts, facts, faults, scores.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# long: a list of tables
def upgrade():
    op.create_table(
        "fault_records",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("pass", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variable", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(effect = 'W' AND cause IN ('miner', 'policy') AND hotkey <> '*') OR (effect = 'V' AND cause <> 'miner')",
            name=op.f("ck_fault_records_effect"),
        ),
        sa.CheckConstraint("cause IN ('miner', 'policy', 'source', 'platform')", name=op.f("ck_fault_records_cause")),
        sa.CheckConstraint("code <> ''", name=op.f("ck_fault_records_code")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_fault_records_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint(
            "run_id",
            "hotkey",
            "pass",
            "lead_hours",
            "variable",
            "level",
            "region",
            "generation",
            name=op.f("pk_fault_records"),
        ),
    )
    op.create_table(
        "log_leaves",
        sa.Column("leaf_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("leaf_hash", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_log_leaves_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("leaf_index", name=op.f("pk_log_leaves")),
        sa.UniqueConstraint("run_id", "kind", "key", name=op.f("uq_log_leaves_run_id_kind_key")),
    )
    op.create_table(
        "score_table",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("score_nano", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.CheckConstraint("score_nano BETWEEN 0 AND 1000000000", name=op.f("ck_score_table_score_nano")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_score_table_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", name=op.f("pk_score_table")),
    )
    op.create_table(
        "weather_forecast_component_scores",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("pass", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variable", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("spec_digest", sa.Text(), nullable=False),
        sa.Column("truth_version", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("valid_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("forecast_digest", sa.Text(), nullable=False),
        sa.Column("truth_digest", sa.Text(), nullable=False),
        sa.Column("climatology_digest", sa.Text(), nullable=False),
        sa.Column("reference_digests", sa.Text(), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("checks", sa.Text(), nullable=False),
        sa.Column("kernel_order", sa.Text(), nullable=False),
        sa.Column("package_version", sa.Text(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('live', 'hindcast')", name=op.f("ck_weather_forecast_component_scores_kind")),
        sa.CheckConstraint("pass IN ('day1_qc', 'era5_final')", name=op.f("ck_weather_forecast_component_scores_pass")),
        sa.CheckConstraint(
            "(score IS NOT NULL AND score BETWEEN 0 AND 1) OR (score IS NULL AND pass = 'day1_qc')",
            name=op.f("ck_weather_forecast_component_scores_score"),
        ),
        sa.CheckConstraint(
            "truth_version IN ('gfs_analysis', 'era5t', 'era5')",
            name=op.f("ck_weather_forecast_component_scores_truth_version"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["weather_forecast_runs.run_id"],
            name=op.f("fk_weather_forecast_component_scores_weather_forecast_runs"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id",
            "hotkey",
            "pass",
            "lead_hours",
            "variable",
            "level",
            "region",
            "spec_digest",
            "truth_version",
            "generation",
            name=op.f("pk_weather_forecast_component_scores"),
        ),
    )
    op.create_table(
        "weather_miner_scores",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("pass", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("score_nano", sa.Integer(), nullable=False),
        sa.CheckConstraint("pass IN ('day1_qc', 'era5_final')", name=op.f("ck_weather_miner_scores_pass")),
        sa.CheckConstraint("score_nano BETWEEN 0 AND 1000000000", name=op.f("ck_weather_miner_scores_score_nano")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_weather_miner_scores_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", "pass", "lead_hours", name=op.f("pk_weather_miner_scores")),
    )
    op.create_table(
        "commitments",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("commitment_digest", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("leaf_index", sa.Integer(), nullable=False),
        sa.CheckConstraint("channel IN ('push', 'pull')", name=op.f("ck_commitments_channel")),
        sa.ForeignKeyConstraint(["leaf_index"], ["log_leaves.leaf_index"], name=op.f("fk_commitments_log_leaves")),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"], ["rosters.run_id", "rosters.hotkey"], name=op.f("fk_commitments_rosters")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", name=op.f("pk_commitments")),
        sa.UniqueConstraint("leaf_index", name=op.f("uq_commitments_leaf_index")),
    )
    op.create_table(
        "receipts",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("commitment_digest", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("receipt_signature", sa.Text(), nullable=False),
        sa.Column("tree_head", sa.Text(), nullable=False),
        sa.Column("tree_head_signature", sa.Text(), nullable=False),
        sa.Column("inclusion_proof", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"], ["commitments.run_id", "commitments.hotkey"], name=op.f("fk_receipts_commitments")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", "commitment_digest", name=op.f("pk_receipts")),
    )


def downgrade():
    op.drop_table("receipts")
    op.drop_table("commitments")
    op.drop_table("weather_miner_scores")
    op.drop_table("weather_forecast_component_scores")
    op.drop_table("score_table")
    op.drop_table("log_leaves")
    op.drop_table("fault_records")
