"""Tests: each folder mirrors what it tests."""
