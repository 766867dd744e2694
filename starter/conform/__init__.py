"""A validator that asks one miner everything, and tells which check failed."""
