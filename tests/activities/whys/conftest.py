"""A validator whose rounds are written down by hand, on each database."""

from tests.activities.weights.conftest import ledger, ledger_url, migrated_url, postgres, scene, sqlite_template

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "scene", "sqlite_template"]
