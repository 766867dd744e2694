"""What is done to the world: thin, idempotent, one input and one output."""
