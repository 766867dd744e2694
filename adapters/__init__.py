"""How the world is reached: archives, miners, stores, ledger."""
