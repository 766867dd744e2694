"""Tests: each folder mirrors what it tests."""

import sqlite3  # noqa: F401 - before `eccodes`, whose wheel brings an SQLite of its own that would be bound instead
