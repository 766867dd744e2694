"""What validator and miner have agreed on: messages, bytes, digests, checks; no socket and no clock."""
