"""Marks of the HTTP side and last words of miners.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "ingress_marks",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_ingress_marks")),
    )
    op.create_table(
        "last_words",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "hotkey"], ["rosters.run_id", "rosters.hotkey"], name=op.f("fk_last_words_rosters")
        ),
        sa.PrimaryKeyConstraint("run_id", "hotkey", name=op.f("pk_last_words")),
    )


def downgrade():
    op.drop_table("last_words")
    op.drop_table("ingress_marks")
