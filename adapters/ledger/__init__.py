"""The ledger: rows that project the progress of runs, and facts that never change."""
