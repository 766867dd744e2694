"""Group scores of closed runs, and what happened to members of a roster; neither ever changes.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

from adapters.ledger.guards import drop_immutable, guard_immutable

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

IMMUTABLE = ("round_group_scores", "roster_events")


# long: a list of tables
def upgrade():
    op.create_table(
        "round_group_scores",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.Column("score_nano", sa.Integer(), nullable=False),
        sa.CheckConstraint("score_nano BETWEEN 0 AND 1000000000", name=op.f("ck_round_group_scores_score_nano")),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"],
            ["score_table.run_id", "score_table.hotkey"],
            name=op.f("fk_round_group_scores_score_table"),
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", "group_name", name=op.f("pk_round_group_scores")),
    )
    op.create_table(
        "roster_events",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("block", sa.Integer(), nullable=True),
        sa.CheckConstraint("kind IN ('deregistered')", name=op.f("ck_roster_events_kind")),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"], ["rosters.run_id", "rosters.hotkey"], name=op.f("fk_roster_events_rosters")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", "kind", name=op.f("pk_roster_events")),
    )
    for table in IMMUTABLE:
        guard_immutable(table)


def downgrade():
    for table in reversed(IMMUTABLE):
        drop_immutable(table)
