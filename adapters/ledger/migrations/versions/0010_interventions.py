"""What operators did; it never changes.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

from adapters.ledger.guards import drop_immutable, guard_immutable

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "interventions",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state_before", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('acted', 'awaits_second_actor')", name=op.f("ck_interventions_state")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 500", name=op.f("ck_interventions_reason")),
        sa.PrimaryKeyConstraint("workflow_id", "request_id", name=op.f("pk_interventions")),
    )
    guard_immutable("interventions")


def downgrade():
    drop_immutable("interventions")
