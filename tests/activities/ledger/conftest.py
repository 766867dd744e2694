"""Databases under each test of the ledger."""

from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]
