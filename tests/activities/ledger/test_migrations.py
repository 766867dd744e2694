from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from adapters.ledger.engine import open_engine, revisions, upgrade
from adapters.ledger.tables import commitments, runs, scores, weights  # noqa: F401 (they fill the metadata)
from adapters.ledger.tables.base import Row
from weather.faults import PrerequisiteMissing

CHECKS = {
    "commitments": "channel",
    "fault_records": "cause code effect",
    "interventions": "reason state",
    "registry_observations": "interval",
    "retention_audits": "code outcome",
    "roster_events": "kind",
    "round_group_scores": "score_nano",
    "round_outbox": "operation state",
    "score_table": "score_nano",
    "truth_revisions": "truth_version",
    "weather_ensemble_forecasts": "code fields_digest pass status",
    "weather_forecast_component_scores": "kind pass score truth_version",
    "weather_forecast_runs": "closed_at completed error outcome purpose review status",
    "weather_miner_responses": "status",
    "weather_miner_scores": "pass score_nano",
    "weather_scoring_jobs": "code score_type status",
    "weight_publications": "code state vector",
    "weight_vector_rounds": "live outcome",
}
FROZEN = """commitments events fault_records interventions log_leaves receipts retention_audits roster_events rosters
round_group_scores run_secrets run_transitions truth_revisions weather_ensemble_components weather_ensemble_forecasts
weather_forecast_component_scores weather_historical_weights weight_vector_rounds weight_vectors"""
MOVING = "weather_forecast_runs weather_miner_responses weather_scoring_jobs"


@pytest.fixture
def connection(ledger_url: str) -> Iterator[Connection]:
    upgrade(ledger_url)
    engine = open_engine(ledger_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_give_exactly_the_tables_of_the_code(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    assert compare_metadata(context, Row.metadata) == []


def test_the_database_itself_holds_these_rules(connection: Connection) -> None:
    """What `compare_metadata` does not see."""
    inspector = inspect(connection)
    for table in [*Row.metadata.tables]:
        found = {str(check["name"]).removeprefix(f"ck_{table}_") for check in inspector.get_check_constraints(table)}
        assert (table, found) == (table, set(CHECKS.get(table, "").split()))
    listed = {"sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'"}
    of_postgresql = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    names = connection.scalars(text(listed.get(connection.dialect.name, of_postgresql))).all()
    guards = {f"{table}_immutable" for table in FROZEN.split()}
    guards |= {f"{table}_{guard}" for table in MOVING.split() for guard in ("first_status", "status_edge")}
    assert {re.sub("_(insert|update|delete)$", "", name) for name in names} == guards
    if connection.dialect.name == "sqlite":
        assert len(names) == 2 * len(FROZEN.split()) + 2 * len(MOVING.split())


def test_no_key_column_may_be_null(connection: Connection) -> None:
    for table in Row.metadata.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in inspect(connection).get_columns(table.name)}
        assert not any(columns[column.name] for column in table.primary_key)


def test_an_upgrade_may_be_repeated(ledger_url: str) -> None:
    upgrade(ledger_url)
    upgrade(ledger_url)
    current, head = revisions(ledger_url)
    assert current == head


def test_a_ledger_of_an_unknown_revision_is_refused_and_stays_as_it_is(ledger_url: str) -> None:
    upgrade(ledger_url)
    head = revisions(ledger_url)[1]
    engine = open_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    engine.dispose()
    with pytest.raises(PrerequisiteMissing, match=f"unknown version.*found 0012.*expected {head}"):
        upgrade(ledger_url)
    assert revisions(ledger_url) == ("0012", head)


def test_an_upgrade_that_fails_leaves_nothing(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE score_table (x integer)"))
    engine.dispose()
    with pytest.raises(Exception, match="score_table"):
        upgrade(ledger_url)
    assert _leftovers(ledger_url) == ["score_table"]


def _leftovers(url: str) -> list[str]:
    engine = open_engine(url)
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        if connection.dialect.name == "postgresql":
            names += connection.scalars(
                text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
            ).all()
    engine.dispose()
    return [name for name in names if name != "alembic_version"]
