"""Speed as ratios to a named baseline in the same process: `make bench`; never a test."""
