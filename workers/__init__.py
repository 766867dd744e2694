"""Who runs: worker processes, where objects are wired together."""
