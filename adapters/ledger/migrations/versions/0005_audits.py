"""Secrets of runs and retention audits, neither of which ever changes; facts by the digest of their field.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from adapters.ledger.guards import drop_immutable, guard_immutable

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IMMUTABLE = ("run_secrets", "retention_audits")


# long: a list of tables
def upgrade():
    op.create_table(
        "run_secrets",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_run_secrets_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "purpose", name=op.f("pk_run_secrets")),
    )
    op.create_table(
        "retention_audits",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("faults", sa.Text(), nullable=False),
        sa.CheckConstraint("(outcome = 'void') = (code IS NOT NULL)", name=op.f("ck_retention_audits_code")),
        sa.CheckConstraint("outcome IN ('kept', 'failed', 'void')", name=op.f("ck_retention_audits_outcome")),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"],
            ["commitments.run_id", "commitments.hotkey"],
            name=op.f("fk_retention_audits_commitments"),
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", "number", name=op.f("pk_retention_audits")),
    )
    op.create_index("ix_fields_by_digest", "weather_forecast_component_scores", ["run_id", "forecast_digest", "hotkey"])
    for table in IMMUTABLE:
        guard_immutable(table)


def downgrade():
    op.drop_index("ix_fields_by_digest", "weather_forecast_component_scores")
    for table in reversed(IMMUTABLE):
        drop_immutable(table)
