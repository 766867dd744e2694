"""What the round backend is to be told.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OPERATIONS = "'start_round', 'set_tasks', 'start_agent_run', 'add_evaluation', 'finish_round'"


def upgrade():
    op.create_table(
        "round_outbox",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"operation IN ({OPERATIONS})", name=op.f("ck_round_outbox_operation")),
        sa.CheckConstraint("state IN ('pending', 'stored', 'parked', 'expired')", name=op.f("ck_round_outbox_state")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_round_outbox_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_round_outbox")),
    )
    op.create_index("ix_round_outbox_run_id_state", "round_outbox", ["run_id", "state"])


def downgrade():
    op.drop_table("round_outbox")
