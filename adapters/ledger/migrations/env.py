"""Runs revisions on the connection that `adapters.ledger.schema` gives."""

from alembic import context

from adapters.ledger.tables import (  # noqa: F401 (they fill the metadata)
    absence,
    audits,
    commitments,
    ensembles,
    events,
    interventions,
    outbox,
    retention,
    runs,
    scores,
    weights,
)
from adapters.ledger.tables.base import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transactional_ddl=True,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
