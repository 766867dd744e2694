"""Where weights go."""
