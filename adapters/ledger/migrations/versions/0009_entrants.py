"""Ensembles of the miners and their components; neither ever changes.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

from adapters.ledger.guards import drop_immutable, guard_immutable

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IMMUTABLE = ("weather_ensemble_forecasts", "weather_ensemble_components")


# long: a list of tables
def upgrade():
    op.create_table(
        "weather_ensemble_forecasts",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("pass", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spec_digest", sa.Text(), nullable=False),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("fields_digest", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("pass IN ('day1_qc', 'era5_final')", name=op.f("ck_weather_ensemble_forecasts_pass")),
        sa.CheckConstraint("status IN ('built', 'failed')", name=op.f("ck_weather_ensemble_forecasts_status")),
        sa.CheckConstraint(
            "(status = 'built') = (fields_digest IS NOT NULL)", name=op.f("ck_weather_ensemble_forecasts_fields_digest")
        ),
        sa.CheckConstraint("(status = 'failed') = (code IS NOT NULL)", name=op.f("ck_weather_ensemble_forecasts_code")),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["weather_forecast_runs.run_id"],
            name=op.f("fk_weather_ensemble_forecasts_weather_forecast_runs"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "pass", "lead_hours", "generation", name=op.f("pk_weather_ensemble_forecasts")
        ),
    )
    op.create_table(
        "weather_ensemble_components",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("pass", sa.Text(), nullable=False),
        sa.Column("lead_hours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variable", sa.Text(), nullable=False),
        sa.Column("hotkey", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "pass", "lead_hours", "generation"],
            [
                "weather_ensemble_forecasts.run_id",
                "weather_ensemble_forecasts.pass",
                "weather_ensemble_forecasts.lead_hours",
                "weather_ensemble_forecasts.generation",
            ],
            name=op.f("fk_weather_ensemble_components_weather_ensemble_forecasts"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id",
            "pass",
            "lead_hours",
            "generation",
            "variable",
            "hotkey",
            name=op.f("pk_weather_ensemble_components"),
        ),
    )
    for table in IMMUTABLE:
        guard_immutable(table)


def downgrade():
    for table in reversed(IMMUTABLE):
        drop_immutable(table)
