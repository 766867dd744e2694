"""How alike the miners of a run are, beside the pass that compared them.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("weather_scoring_jobs", sa.Column("likeness", sa.Text(), nullable=True))


def downgrade():
    op.drop_column("weather_scoring_jobs", "likeness")
