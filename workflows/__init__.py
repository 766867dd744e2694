"""In what order: deterministic orchestration, nothing else."""
