"""How alike the miners of each run are.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "run_likeness",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("likeness", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["weather_forecast_runs.run_id"], name=op.f("fk_run_likeness_weather_forecast_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_likeness")),
    )


def downgrade():
    op.drop_table("run_likeness")
