"""The other side of the protocol: the reference miner, and the template for people who join."""
