"""The tables of the ledger, by subject."""
