"""Triggers of migrations: a table whose rows never change."""

from __future__ import annotations

from alembic import op


def guard_immutable(table: str) -> None:
    """Refuse every change and removal of a row."""
    name = f"{table}_immutable"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{name}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        events = "UPDATE OR DELETE OR TRUNCATE"
        op.execute(f"CREATE TRIGGER {name} BEFORE {events} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {name}()")
        return
    for action in ("UPDATE", "DELETE"):
        trigger = f"CREATE TRIGGER {name}_{action.lower()} BEFORE {action} ON {table}"
        op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{name}'); END")


def drop_immutable(table: str) -> None:
    """Drop the table with its guard."""
    op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION {table}_immutable()")
