"""Presences in the registry, vectors of weights and their publications; vectors never change.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

from adapters.ledger.guards import drop_immutable, guard_immutable

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IMMUTABLE = ("weight_vectors", "weight_vector_rounds", "weather_historical_weights")


# long: a list of tables
def upgrade():
    op.create_index("ix_run_outcome", "weather_forecast_runs", ["run_id", "outcome"], unique=True)
    op.create_table(
        "registry_observations",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("present_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("present_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("present_until >= present_from", name=op.f("ck_registry_observations_interval")),
        sa.PrimaryKeyConstraint("network", "hotkey", "present_from", name=op.f("pk_registry_observations")),
    )
    op.create_table(
        "weight_vectors",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("shares", sa.Text(), nullable=False),
        sa.Column("shares_digest", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "input_digest", name=op.f("pk_weight_vectors")),
    )
    op.create_table(
        "weight_vector_rounds",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('closed', 'closed_partial')", name=op.f("ck_weight_vector_rounds_outcome")),
        sa.CheckConstraint("run_id LIKE 'forecast/%'", name=op.f("ck_weight_vector_rounds_live")),
        sa.ForeignKeyConstraint(
            ["network", "input_digest"],
            ["weight_vectors.network", "weight_vectors.input_digest"],
            name=op.f("fk_weight_vector_rounds_weight_vectors"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "outcome"],
            ["weather_forecast_runs.run_id", "weather_forecast_runs.outcome"],
            name=op.f("fk_weight_vector_rounds_weather_forecast_runs"),
        ),
        sa.PrimaryKeyConstraint("network", "input_digest", "run_id", name=op.f("pk_weight_vector_rounds")),
    )
    op.create_table(
        "weather_historical_weights",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("score_type", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("miner_hotkey", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["weather_forecast_runs.run_id"],
            name=op.f("fk_weather_historical_weights_weather_forecast_runs"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "score_type", "digest", "miner_hotkey", name=op.f("pk_weather_historical_weights")
        ),
    )
    op.create_table(
        "weight_publications",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'submitted', 'committed', 'confirmed', 'missed')",
            name=op.f("ck_weight_publications_state"),
        ),
        sa.CheckConstraint("state = 'missed' OR input_digest IS NOT NULL", name=op.f("ck_weight_publications_vector")),
        sa.CheckConstraint("(state = 'missed') = (code IS NOT NULL)", name=op.f("ck_weight_publications_code")),
        sa.ForeignKeyConstraint(
            ["network", "input_digest"],
            ["weight_vectors.network", "weight_vectors.input_digest"],
            name=op.f("fk_weight_publications_weight_vectors"),
        ),
        sa.PrimaryKeyConstraint("network", "epoch", "sink", name=op.f("pk_weight_publications")),
    )
    for table in IMMUTABLE:
        guard_immutable(table)


def downgrade():
    op.drop_table("weight_publications")
    for table in reversed(IMMUTABLE):
        drop_immutable(table)
    op.drop_table("registry_observations")
    op.drop_index("ix_run_outcome", "weather_forecast_runs")
