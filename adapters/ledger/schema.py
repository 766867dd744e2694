"""Revisions of the schema: Alembic, configured in code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from weather.faults import PrerequisiteMissing

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision; one that is not ours is refused."""
    found, known = revision_of(connection), {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise PrerequisiteMissing(
            "the ledger was made by an unknown version: take a new folder or database", found=found, expected=head()
        )
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))
