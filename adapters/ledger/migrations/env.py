"""Runs revisions on the connection that `adapters.ledger.schema` gives, with the names of the tables' metadata."""

from alembic import context

from adapters.ledger.tables.base import Row

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Row.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
